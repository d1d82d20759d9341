"""Pure folds of events into views: the same fold live and in replay, without I/O and without a clock."""
