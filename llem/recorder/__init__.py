"""The recorder: a small process that reads the sensors, so that no worker's work delays a reading."""
