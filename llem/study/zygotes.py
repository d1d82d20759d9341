"""The session's zygotes: started when they are first needed, started again when they died, and done without."""

import sys
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from llem.domain.messages import WorkerSpec
from llem.study.signals import EndingSignals
from llem.study.zygote import Zygote, ZygoteError

ZYGOTE_COMMAND = (sys.executable, "-P", "-m", "llem.worker.zygote")
MOST_ALIVE = 2
"""A study of local models and of hub models needs two; each holds some 300 MB."""
MAX_FAILED_STARTS = 2
"""In a row; after that a session does without, since each try takes seconds of every trial."""


class Zygotes:
    """Keeps zygotes, one for each set of variables that are read when libraries are imported.

    Args:
        study: Marks them.
        command: A zygote's command.
    """

    def __init__(self, study: str, command: Sequence[str] = ZYGOTE_COMMAND) -> None:
        self._study = study
        self._command = command
        self._numbers = count(1)
        self._alive: dict[tuple[str, frozenset[tuple[str, str]]], Zygote] = {}
        self._failed_starts = 0
        self._failure = ""

    def ready(self, spec: WorkerSpec, environment: Mapping[str, str], log: Path, signals: EndingSignals) -> Zygote:
        """Return a zygote that can fork a worker for ``spec`` now.

        Args:
            spec: The attempt.
            environment: Variables that are read when libraries are imported.
            log: Where the output of a new one goes.
            signals: An ending signal ends the wait for it.

        Raises:
            ZygoteError: There is none.
            SessionInterrupted: An ending signal came.
        """
        key = (spec.config.engine, frozenset(environment.items()))
        zygote = self._alive.pop(key, None)
        if zygote is not None:
            try:
                zygote.prepare(spec, signals)
            except ZygoteError:
                zygote = None  # it died since, or is spoiled: a new one may do
        if zygote is None:
            zygote = self._started(spec, environment, log, signals)
        self._alive[key] = zygote  # the last one is the one used last
        return zygote

    def close(self) -> None:
        """End them all."""
        while self._alive:
            self._alive.popitem()[1].end()

    def _started(self, spec: WorkerSpec, environment: Mapping[str, str], log: Path, signals: EndingSignals) -> Zygote:
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise ZygoteError(f"{MAX_FAILED_STARTS} zygotes in a row failed, the last since {self._failure}")
        while len(self._alive) >= MOST_ALIVE:
            self._alive.pop(next(iter(self._alive))).end()
        try:
            zygote = Zygote(self._command, environment, f"{self._study}/zygote/{next(self._numbers)}/", log)
            zygote.prepare(spec, signals)
        except ZygoteError as error:
            self._failed_starts += 1
            self._failure = str(error)
            raise
        self._failed_starts = 0
        return zygote
