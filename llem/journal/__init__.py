"""The record of a study: events in one SQLite file, appended by one writer, read by anyone."""
