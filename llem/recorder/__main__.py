"""``python -P -m llem.recorder PARENT SENSOR…``: started by the parent; commands on stdin, replies on stdout."""

import gc
import os
import signal
import sys

from llem.lifeline import die_with_parent
from llem.recorder.recorder import Recorder, open_sensors
from llem.sensors import SENSORS


def main(arguments: list[str]) -> None:
    """Open the sensors and serve until stdin ends."""
    parent, *names = arguments
    die_with_parent(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Replies have a descriptor of their own: whatever a library prints goes to the log.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    commands = os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    sensors, report = open_sensors(names, SENSORS)
    gc.freeze()  # else each full collection looks at every loaded library, and delays readings
    Recorder(sensors.values(), report, commands, replies).run()


if __name__ == "__main__":
    main(sys.argv[1:])
