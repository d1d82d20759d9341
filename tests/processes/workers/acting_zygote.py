"""A zygote of acting workers that imports nothing heavy: acting_zygote.py WHAT PARENT FD.

WHAT is ``ok``; ``threaded``, which starts a thread while it imports; ``slow``, which imports for an hour; ``absent``,
which leaves at once; or ``once``, which prepares for one attempt and leaves when it is asked to do so for a second.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import acting_worker

from llem.worker.zygote import main

FOR_EVER_S = 3600


def preload(config: Any, base_dir: Path) -> None:
    if WHAT == "threaded":
        threading.Thread(target=time.sleep, args=(FOR_EVER_S,), daemon=True).start()
    elif WHAT == "slow":
        time.sleep(FOR_EVER_S)
    elif WHAT == "once" and PREPARED:
        os._exit(1)
    PREPARED.add(WHAT)


def run(descriptor: int, hearing: int) -> None:
    acting_worker.main()


PREPARED: set[str] = set()

if __name__ == "__main__":
    _, WHAT, *arguments = sys.argv
    if WHAT == "absent":
        os._exit(1)
    main(arguments, preload, run)
