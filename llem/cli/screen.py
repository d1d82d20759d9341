"""What is left to do when nobody reads our output any more."""

import os
import sys


def silence_broken_streams() -> None:
    """Point stdout and stderr at nothing where their reader has gone (a closed terminal, ``… | head``).

    What still waits in their buffers would otherwise fail once more when Python exits, and replace the exit code.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
