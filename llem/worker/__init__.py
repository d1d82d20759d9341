"""The worker: one attempt at one trial, in a process of its own."""
