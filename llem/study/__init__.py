"""The parent of a study: reads the plan, runs every trial in a worker, records what happens."""
