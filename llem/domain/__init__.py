"""The pure heart of llem: what a study is, what happened, and the arithmetic. No I/O, no clock."""
