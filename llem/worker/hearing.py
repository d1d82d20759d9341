"""What a worker hears: the parent's word on a pipe of its own, looked for between passes and never waited for."""

import os
from collections.abc import Callable

from llem.domain.messages import GoOn

READ_BYTES = 1 << 12

Hear = Callable[[], GoOn | None]
"""Returns what the parent said since the last time, or None."""


class HearingPipe:
    """The pipe on which the parent speaks.

    Args:
        descriptor: Its end that is read.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._partial = b""

    def __call__(self) -> GoOn | None:
        """Return the next message, or None if none has come. Never waits."""
        try:
            self._partial += os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            pass  # nothing new was said
        line, end, rest = self._partial.partition(b"\n")
        if not end:
            return None
        self._partial = rest
        return GoOn.model_validate_json(line)
