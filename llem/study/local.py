"""The launcher of this machine: forks workers from a zygote where that is as good as a new process."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path

from llem.domain.messages import WorkerSpec
from llem.engines import ENGINES
from llem.study.cgroup import ROOT, KillWatch, MemoryGroup
from llem.study.cold import COLD_COMMAND, ColdProcess, Streams
from llem.study.knocking import Knocker
from llem.study.leftovers import MARKER, kill_marked
from llem.study.local_attempt import LocalAttempt, LocalProcess
from llem.study.logs import open_log
from llem.study.signals import EndingSignals
from llem.study.zygote import ZygoteError
from llem.study.zygotes import ZYGOTE_COMMAND, Zygotes

PIPE_BYTES = 1 << 20


class LocalLauncher:
    """Starts workers on this machine, each in a process group of its own.

    Args:
        study: Marks the attempts of this study; the same in every session of it.
        command: The command of a worker that is started anew; the parent's pid, the message descriptor and the one on
            which the worker hears are appended.
        zygote: The command of a zygote; None to do without.
        root: Where the system's files are, as far as they tell why a worker was killed.
    """

    def __init__(
        self,
        study: str,
        command: Sequence[str] = COLD_COMMAND,
        zygote: Sequence[str] | None = ZYGOTE_COMMAND,
        root: Path = ROOT,
    ) -> None:
        self._study = study
        self._group = MemoryGroup.own(root)
        self._command = tuple(command)
        self._zygotes = Zygotes(study, zygote) if zygote else None
        self._knocker = Knocker()
        self._told: set[str] = set()

    def prepare(self, spec: WorkerSpec, log: Path, signals: EndingSignals) -> "LocalStart":
        """Have a zygote ready that can fork the worker, or the reason why it starts anew; see ``Launcher``."""
        config, marker = spec.config, {MARKER: f"{self._study}/{spec.trial}/{spec.attempt}"}
        entry = ENGINES[config.engine]
        imported = entry.environment(config, Path(spec.base_dir), self._knocker.answers(signals))
        anew = {**imported, **config.environment, **marker}

        def cold(because: str | None = None, warning: str | None = None) -> LocalStart:
            def begin(streams: Streams) -> LocalProcess:
                return ColdProcess(self._command, anew, streams)

            return LocalStart(spec, log, begin, self._group, "local-cold", because, warning)

        if self._zygotes is None or config.measurement.isolation == "exec":
            return cold()
        early = sorted(set(config.environment) - entry.late_variables)
        if early:
            return cold(f"{', '.join(early)} may be read when libraries are imported")
        try:
            zygote = self._zygotes.ready(spec, imported, log.with_name("zygote.log"), signals)
        except ZygoteError as error:
            return cold(str(error), self._news(str(error)))

        def begin(streams: Streams) -> LocalProcess:
            return zygote.fork({**config.environment, **marker}, streams)

        return LocalStart(spec, log, begin, self._group, "local-warm")

    def sweep(self) -> int:
        """End what earlier attempts of this study left behind on this machine."""
        return kill_marked(self._study + "/")

    def close(self) -> None:
        """End the zygotes."""
        if self._zygotes is not None:
            self._zygotes.close()

    def _news(self, reason: str) -> str | None:
        if reason in self._told:
            return None
        self._told.add(reason)
        return f"workers start anew, which takes longer: {reason} (see logs/zygote.log)"


@dataclass(frozen=True)
class LocalStart:
    """An attempt that is ready to start; see ``Start``.

    Attributes:
        spec: The attempt.
        log: Where its output goes.
        begin: Starts its process.
        group: The cgroup that the worker will be in, where it counts memory.
    """

    spec: WorkerSpec
    log: Path
    begin: Callable[[Streams], LocalProcess]
    group: MemoryGroup | None
    launcher: str
    cold_because: str | None = None
    warning: str | None = None

    def start(self) -> LocalAttempt:
        """Start the worker; see ``Start``. Called from the main thread, since workers die with that thread."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        hearing, telling = os.pipe2(os.O_CLOEXEC)
        kills = KillWatch(self.group)
        try:
            _widen(reader)
            with (
                open_log(self.log, anew=True) as output,
                os.fdopen(os.memfd_create("specification"), "wb") as specification,
            ):
                # A file, not a pipe: a worker that never reads its specification cannot block us.
                specification.write(self.spec.model_dump_json().encode())
                specification.seek(0)
                process = self.begin(Streams(specification.fileno(), output.fileno(), writer, hearing))
        except BaseException as error:
            os.close(reader)
            os.close(telling)
            if isinstance(error, ZygoteError):
                raise OSError(str(error)) from error
            raise
        finally:
            os.close(writer)
            os.close(hearing)
        return LocalAttempt(process, reader, telling, kills)


def _widen(pipe: int) -> None:
    try:
        fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # over the user's limit: the usual 64 KiB works too, since we always read
