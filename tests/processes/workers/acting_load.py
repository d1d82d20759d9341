"""A load generator that acts: acting_load.py WHAT PARENT SECONDS.

WHAT is ``works`` (tells that both simulated GPUs worked), ``cannot`` (tells why not), ``hangs``, ``dies`` or
``babbles``.
"""

import json
import sys
import time

from llem.lifeline import die_with_parent

FOR_EVER_S = 3600
DEVICES = ["GPU-00000000-sim0-0000-0000-000000000000", "GPU-00000000-sim1-0000-0000-000000000000"]


def main() -> None:
    what, parent, seconds = sys.argv[1:]
    die_with_parent(int(parent))
    if what == "hangs":
        time.sleep(FOR_EVER_S)
    elif what == "dies":
        sys.exit(1)
    elif what == "babbles":
        print("hello", flush=True)
    elif what == "cannot":
        print(json.dumps({"reason": "there is no device to work on"}), flush=True)
    else:
        start_ns = time.monotonic_ns()
        time.sleep(float(seconds))
        told = {"devices": DEVICES, "start_ns": start_ns, "end_ns": time.monotonic_ns(), "name": "acted work"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
