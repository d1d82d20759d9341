"""``python -P -m llem.worker PARENT FD HEAR_FD``: a worker that is started cold, by the parent."""

import sys

from llem.lifeline import die_with_parent
from llem.worker.attempt import run

if __name__ == "__main__":
    parent, *descriptors = sys.argv[1:]
    die_with_parent(int(parent))
    run(*map(int, descriptors))
