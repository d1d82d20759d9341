"""Studies in processes of their own: started, watched through their journals, and never left behind."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

WORKERS = Path(__file__).parents[1] / "processes" / "workers"
DRIVER = WORKERS / "driver.py"
MARK = "LLEM_TEST_MARK"
WATCHDOG_S = 90.0
TERMINAL = {"experiment_completed", "experiment_failed", "experiment_interrupted", "experiment_skipped"}

SHORT: dict[str, Any] = {"warmup_max_s": 0, "soak_max_s": 0, "bare_idle_s": 0, "phases": False}
"""The parts of the protocol that take time; a test that is about one of them sets it."""
TINY_LLAMA: dict[str, Any] = {
    "config": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}
"""A real model, with random weights, that loads and generates within milliseconds."""
BASE: dict[str, Any] = {
    "name": "acted",
    "model": {"config": "llama", "behaviour": "ok"},
    "prompts": {"count": 1, "input_tokens": 4},
    "generation": {"output_tokens": 4},
    "measurement": {
        "sensors": [],
        "warmup_passes": 0,
        "min_window_s": 0,
        "min_passes": 1,
        "guard_s": 0,
        "latency_passes": 0,
        "count_flops": False,
    },
    "cycles": 1,
    "order": "sequential",
    "retries": 0,
    "limits": {"consecutive_failures": None},
}


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """Return what ``condition`` gives once it is true; fail where it never is."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    pytest.fail(f"waited in vain for {what}")


def marked_processes(mark: str) -> dict[int, str]:
    """Return pid → command line of every living process that was started under ``mark``."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:300]
        except OSError:
            continue
    return found


def rows_of(journal: Path, mode: str) -> list[sqlite3.Row]:
    connection = sqlite3.connect(f"{journal.absolute().as_uri()}?mode={mode}", uri=True, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        return list(connection.execute("SELECT * FROM events ORDER BY seq"))
    finally:
        connection.close()


@dataclass
class Study:
    """A study's folder, read as a stranger would read it: by SQL and by eye."""

    root: Path

    @property
    def journal(self) -> Path:
        return self.root / "journal.db"

    def rows(self) -> list[sqlite3.Row]:
        """Return all that the journal holds, byte for byte, and leave it as it lies.

        A session that was killed while it closed may leave a log to roll back, and nobody can read the journal
        without doing that: then it is done to a copy.

        Raises:
            sqlite3.OperationalError: There is no journal yet.
        """
        try:
            return rows_of(self.journal, "ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
                raise
        with tempfile.TemporaryDirectory() as spare:
            for path in self.root.glob(f"{self.journal.name}*"):
                shutil.copy(path, spare)
            return rows_of(Path(spare) / self.journal.name, "rw")

    def events(self, *kinds: str, trial: str | None = None) -> list[dict[str, Any]]:
        """Return the events so far, their data unfolded; nothing while there is no journal yet."""
        try:
            rows = [dict(row) for row in self.rows()]
        except sqlite3.OperationalError:
            return []
        for row in rows:
            row["data"] = json.loads(row["data"])
        return [
            row for row in rows if (not kinds or row["kind"] in kinds) and (trial is None or row["trial"] == trial)
        ]

    def kinds(self, trial: str | None = None) -> list[str]:
        return [event["kind"] for event in self.events(trial=trial)]

    def trials(self) -> list[str]:
        """Return the planned trials."""
        planned = self.events("study_planned", "experiment_planned")
        return [
            f"{event['data']['label']}_c{cycle}"
            for event in planned[1:]
            for cycle in range(1, planned[0]["data"]["cycles"] + 1)
        ]

    def trial_of(self, behaviour: str) -> str:
        """Return the first trial of the experiment that behaves so."""
        for event in self.events("experiment_planned"):
            if event["data"]["config"]["model"].get("behaviour") == behaviour:
                return f"{event['data']['label']}_c1"
        raise LookupError(behaviour)

    def terminal(self, trial: str) -> list[dict[str, Any]]:
        """Return the events that end attempts at ``trial``."""
        return [event for event in self.events(trial=trial) if event["kind"] in TERMINAL]

    def wait_for(self, kind: str, *, count: int = 1, **data: Any) -> dict[str, Any]:
        """Wait until the journal holds ``count`` events of this kind with this data; return the last of them."""

        def found() -> list[dict[str, Any]]:
            events = self.events(kind)
            matching = [e for e in events if all(e["data"].get(key) == value for key, value in data.items())]
            return matching if len(matching) >= count else []

        event: dict[str, Any] = wait_until(found, f"{count} × {kind} {data} in {self.root}")[-1]
        return event

    def manifest(self) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads((self.root / "manifest.json").read_text())
        return tree

    def result(self, trial: str) -> dict[str, Any]:
        """Return the result file that the last completing event of ``trial`` names."""
        event = self.events("experiment_completed", trial=trial)[-1]
        tree: dict[str, Any] = json.loads((self.root / "results" / event["data"]["result_file"]).read_text())
        return tree

    def result_files(self) -> set[str]:
        return {path.name for path in (self.root / "results").glob("*.json")}

    def findings(self) -> list[str]:
        """Return what an audit finds wrong."""
        from llem.study.audit import audit
        from llem.study.folder import StudyFolder

        return [f"{finding.where}: {finding.found}" for finding in audit(StudyFolder(self.root)).findings]

    def completions(self) -> Counter[str]:
        """Return how often each trial was completed without being rejected afterwards."""
        counts: Counter[str] = Counter()
        for event in self.events("experiment_completed", "result_rejected"):
            counts[event["trial"]] += 1 if event["kind"] == "experiment_completed" else -1
        return counts


class Running:
    """A session in a process of its own; its words go to files, so that nothing blocks on us."""

    def __init__(self, command: list[str], place: Path, mark: str, **options: Any) -> None:
        number = uuid.uuid4().hex[:8]
        self._out, self._err = place / f"{number}.out", place / f"{number}.err"
        self.mark = mark
        environment = {**os.environ, MARK: mark, **options.pop("env", {})}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **options}
            self.process = subprocess.Popen(command, env=environment, **streams)
        self.pid = self.process.pid

    @property
    def out(self) -> str:
        return self._out.read_text("utf-8", "surrogateescape")

    @property
    def err(self) -> str:
        return self._err.read_text("utf-8", "surrogateescape")

    def wait(self, timeout_s: float = WATCHDOG_S) -> int:
        """Return the exit code: negative for a signal that killed it."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the session does not end; its words so far: {self.err[-2000:]}")

    def ended(self, code: int) -> "Running":
        """Wait for the end, which must have this exit code."""
        found = self.wait()
        assert found == code, f"exit code {found}, not {code}\n{self.out[-2000:]}\n{self.err[-4000:]}"
        return self

    def signal(self, signum: int) -> None:
        self.process.send_signal(signum)

    def others(self) -> dict[int, str]:
        """Return the living processes that this session started."""
        return {pid: command for pid, command in marked_processes(self.mark).items() if pid != self.pid}


class Lab:
    """Runs studies below one folder, and ends whatever a test leaves behind."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.mark = uuid.uuid4().hex
        self.output = place / "studies"

    def write(self, behaviours: list[str] | None = None, **changes: Any) -> Path:
        """Write a study file: an experiment per behaviour, ``changes`` at its top (``model`` adds to the model)."""
        measurement = {**SHORT, **changes.get("measurement", BASE["measurement"])}
        limits = {**BASE["limits"], **changes.get("limits", {})}
        tree = {**BASE, **changes, "measurement": measurement, "limits": limits}
        tree["model"] = {**BASE["model"], **changes.get("model", {})}
        if behaviours is not None:
            tree["sweep"] = {"model.behaviour": behaviours, **changes.get("sweep", {})}
        path = self.place / f"{uuid.uuid4().hex[:8]}.yaml"
        path.write_text(json.dumps(tree))  # JSON is YAML
        return path

    def popen(self, *command: str, **options: Any) -> Running:
        return Running(list(command), self.place, self.mark, **options)

    def begin_run(self, study: Path, *options: str, before: tuple[str, ...] = (), **popen: Any) -> Running:
        """Start a study, and return at once; ``before`` stands before the command (``nohup``)."""
        command = (*before, sys.executable, str(DRIVER), "run", str(self.output), str(study), *options)
        return self.popen(*command, **popen)

    def start(self, study: Path, *options: str, **popen: Any) -> tuple[Running, Study]:
        """Start a study; return once its folder is known and its plan is recorded."""
        session = self.begin_run(study, *options, **popen)
        return session, self.study_of(session)

    def study_of(self, session: Running) -> Study:
        """Return the study that a session says it runs."""

        def told() -> str | None:
            lines = session.err.splitlines(keepends=True)
            heads = [line for line in lines if line.startswith("study folder: ") and line.endswith("\n")]
            if not heads and session.process.poll() is not None:
                pytest.fail(f"the session ended early: {session.err}")
            return heads[0] if heads else None

        return Study(Path(wait_until(told, "the study's folder").split(": ", 1)[1].strip()))

    def run(self, study: Path, *options: str, code: int = 0, **popen: Any) -> tuple[Running, Study]:
        """Run a study to its end, which must have this exit code."""
        session, started = self.start(study, *options, **popen)
        return session.ended(code), started

    def begin_resume(self, study: Study, *options: str, **popen: Any) -> Running:
        return self.popen(sys.executable, str(DRIVER), "resume", str(study.root), *options, **popen)

    def resume(self, study: Study, *options: str, code: int = 0, **popen: Any) -> Running:
        """Resume a study to its end, which must have this exit code."""
        return self.begin_resume(study, *options, **popen).ended(code)

    def study_in(self, root: Path) -> Study:
        return Study(root)

    def copy(self, study: Study) -> Study:
        """Return a copy of a study that no session runs."""
        return Study(Path(shutil.copytree(study.root, self.place / uuid.uuid4().hex[:8])))

    def llem(self, *arguments: object, code: int | None = 0, **popen: Any) -> Running:
        """Run the real command line to its end."""
        session = self.popen(sys.executable, "-m", "llem", *map(str, arguments), **popen)
        found = session.wait()
        assert code is None or found == code, f"exit code {found}, not {code}\n{session.out}\n{session.err}"
        return session

    def survivors(self) -> dict[int, str]:
        """Return every living process that this lab started, directly or not."""
        return marked_processes(self.mark)

    def end_all(self) -> None:
        for pid in self.survivors():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A place to run studies in."""
    made = Lab(tmp_path)
    yield made
    made.end_all()


@pytest.fixture(scope="module")
def module_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A place for studies that several tests look at."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.end_all()


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Return ``wait_until``: what tests wait with."""
    return wait_until


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> Iterator[None]:
    """Let the sessions that tests start hear signals, also where the tests run in the background of a shell.

    A shell has its background jobs ignore SIGINT (and ``nohup`` SIGHUP); children inherit that, and llem keeps it.
    """
    ignored = [signum for signum in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(signum) is signal.SIG_IGN]
    for signum in ignored:
        signal.signal(signum, signal.SIG_DFL)
    yield
    for signum in ignored:
        signal.signal(signum, signal.SIG_IGN)
