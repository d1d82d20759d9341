"""Workers that are forked from a zygote: as clean as new ones, ended as surely, done without where they cannot be."""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from llem.domain.messages import WorkerSpec
from llem.study.cold import Streams
from llem.study.knocking import Knocker
from llem.study.launcher import Exit
from llem.study.local import LocalLauncher
from llem.study.signals import EndingSignals, SessionInterrupted
from llem.study.zygote import Zygote, ZygoteError
from llem.study.zygotes import MOST_ALIVE, Zygotes

WORKERS = Path(__file__).parent / "workers"
FORKED = {"LLEM_ACTING_ZYGOTE": "ok"}
COLD = (sys.executable, str(WORKERS / "acting_worker.py"))


def zygote_command(what: str = "ok") -> tuple[str, ...]:
    return (sys.executable, str(WORKERS / "acting_zygote.py"), what)


def zygotes() -> list[int]:
    """Return the zygotes that this process has started and that live."""
    return [pid for pid in children(os.getpid()) if comm(pid) == "llem-zygote"]


def children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(pid) for pid in found.split()]


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


class Ended(NamedTuple):
    """An attempt that has ended."""

    exited: Exit
    launcher: str
    log: str

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.log.splitlines()[-1])
        return found


class Desk:
    """Runs attempts of acting workers through a launcher, without a study."""

    def __init__(self, place: Path, make: Any, signals: EndingSignals, zygote: tuple[str, ...] | None) -> None:
        self.launcher = LocalLauncher(str(place), COLD, zygote)
        self._place, self._make, self._signals = place, make, signals
        self._attempts = 0

    def spec(self, behaviour: str = "tell_state", environment: dict[str, str] | None = None, **model: Any) -> Any:
        self._attempts += 1
        config = self._make.config(
            model={"config": "llama", "behaviour": behaviour, **model}, environment=environment or {}
        )
        return WorkerSpec(trial="a_c1", attempt=self._attempts, config=config, base_dir="/")

    def run(self, behaviour: str = "tell_state", environment: dict[str, str] | None = None, **model: Any) -> Ended:
        spec = self.spec(behaviour, environment, **model)
        log = self._place / f"{self._attempts}.log"
        start = self.launcher.prepare(spec, log, self._signals)
        exited = start.start().end(patience_s=20, grace_s=1, signals=self._signals)
        return Ended(exited, start.launcher, log.read_text())


@pytest.fixture
def signals() -> Iterator[EndingSignals]:
    with EndingSignals() as listening:
        yield listening


@pytest.fixture
def desk(make: Any, tmp_path: Path, signals: EndingSignals) -> Iterator[Callable[..., Desk]]:
    """Return a function that makes desks: with a zygote of the given kind, or with new processes only."""
    made = []

    def desk_of(what: str | None = "ok") -> Desk:
        made.append(Desk(tmp_path, make, signals, zygote_command(what) if what else None))
        return made[-1]

    yield desk_of
    for one in made:
        one.launcher.close()


# What is not the same in any two processes.
OWN = ("pid", "parent", "group", "drawn", "descriptors", "pipes", "arguments", "environment", "name")


def test_a_forked_worker_is_as_a_new_one_whatever_the_one_before_it_did(desk: Any) -> None:
    forked, new = desk(), desk(None)
    first, second, cold = forked.run(), forked.run(), new.run()
    assert [ended.launcher for ended in (first, second, cold)] == ["local-warm", "local-warm", "local-cold"]
    assert [ended.exited for ended in (first, second, cold)] == [Exit(0, None)] * 3
    states = [ended.state for ended in (first, second, cold)]
    shared = [{key: value for key, value in state.items() if key not in OWN} for state in states]
    assert shared[0] == shared[1] == shared[2]
    assert (shared[0]["soiled"], shared[0]["blocked"], shared[0]["deathsig"]) == ([], [], signal.SIGKILL)
    assert len({state["drawn"] for state in states}) == 3
    (zygote,) = zygotes()
    for state in states:
        assert state["group"] == state["pid"]
        # Nothing but the standard streams and the two pipes: neither the zygote's socket nor anything of ours.
        assert sorted(map(int, state["descriptors"])) == sorted({0, 1, 2, *state["pipes"]})
        assert state["descriptors"]["1"] == state["descriptors"]["2"]
        assert state["arguments"] == [str(state["parent"]), *map(str, state["pipes"])]
    assert [state["parent"] for state in states] == [zygote, zygote, os.getpid()]
    environments = [
        {name: value for name, value in state["environment"].items() if name != "LLEM_ATTEMPT"} for state in states
    ]
    assert environments[0] == environments[1] == environments[2]
    assert [state["environment"]["LLEM_ATTEMPT"].rsplit("/")[-1] for state in states] == ["1", "2", "1"]


def test_a_zygote_neither_grows_nor_keeps_anything_of_its_workers(desk: Any) -> None:
    forked = desk()

    def held() -> tuple[int, int, list[int], int]:
        (zygote,) = zygotes()
        status = Path(f"/proc/{zygote}/status").read_text()
        (rss_kb,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
        descriptors = len(list(Path(f"/proc/{zygote}/fd").iterdir()))
        return rss_kb, descriptors, children(zygote), len(list(Path(f"/proc/{zygote}/task").iterdir()))

    for _ in range(10):
        forked.run("ok")
    rss_kb, *others = held()
    for _ in range(60):
        assert forked.run("ok").exited == Exit(0, None)
    later_kb, *later = held()
    assert later == others == [len(("in", "out", "error", "socket")), [], 1]
    assert later_kb - rss_kb < 60 * 4  # not a page for each


def test_an_idle_zygote_takes_no_time_of_the_processor(desk: Any, until: Any) -> None:
    forked = desk()
    forked.run("ok")
    (zygote,) = zygotes()

    def fields() -> list[str]:
        return Path(f"/proc/{zygote}/stat").read_text().rpartition(")")[2].split()

    def spent() -> tuple[str, ...]:
        switches = [line for line in Path(f"/proc/{zygote}/status").read_text().splitlines() if "ctxt" in line]
        return (*fields()[11:13], *switches)

    until(lambda: fields()[0] == "S", "its sleep")
    before = spent()
    time.sleep(0.5)
    assert spent() == before


@pytest.mark.parametrize("what", ["ok", None], ids=["forked", "new"])
def test_the_end_of_a_worker_is_told_as_it_was(desk: Any, what: str | None) -> None:
    one = desk(what)
    assert one.run("exit_3").exited == Exit(3, None)
    assert one.run("kill_itself").exited == Exit(None, "SIGKILL")
    assert one.run("segfault").exited == Exit(None, "SIGSEGV")


def test_a_daemon_that_hides_from_group_session_and_environment_is_ended_with_its_worker(
    desk: Any, tmp_path: Path
) -> None:
    ended = desk().run("leave_daemon", pid_file=str(tmp_path / "pid"))
    assert ended.exited == Exit(7, None)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_variable_that_is_obeyed_late_is_set_in_the_forked_worker_and_any_other_needs_a_new_one(desk: Any) -> None:
    forked = desk()
    late = forked.run(environment={"CUDA_VISIBLE_DEVICES": "3"})
    assert (late.launcher, late.state["environment"]["CUDA_VISIBLE_DEVICES"]) == ("local-warm", "3")
    early = forked.run(environment={"CUDA_VISIBLE_DEVICES": "3", "OMP_NUM_THREADS": "2"})
    assert (early.launcher, early.state["environment"]["OMP_NUM_THREADS"]) == ("local-cold", "2")
    # And nothing of that stays.
    assert "CUDA_VISIBLE_DEVICES" not in forked.run().state["environment"].keys() - os.environ.keys()


def test_a_zygote_that_does_not_answer_is_ended_with_its_worker(desk: Any, tmp_path: Path, signals: Any) -> None:
    zygote = Zygote(zygote_command(), {}, f"{tmp_path}/zygote/1/", tmp_path / "zygote.log", reply_s=0.2)
    zygote.prepare(desk().spec(), signals)
    (pid,) = zygotes()
    os.kill(pid, signal.SIGSTOP)
    null = os.open(os.devnull, os.O_RDWR)
    with pytest.raises(ZygoteError, match=r"did not answer within 0\.2 s"):
        zygote.fork({"LLEM_ATTEMPT": "x"}, Streams(null, null, null, null))
    os.close(null)
    assert not zygote.alive
    assert zygotes() == []


def test_no_more_zygotes_are_kept_than_local_and_hub_models_need(desk: Any, tmp_path: Path, signals: Any) -> None:
    kept, spec, log = Zygotes(str(tmp_path), zygote_command()), desk().spec(), tmp_path / "zygote.log"
    first = kept.ready(spec, {"HF_HUB_OFFLINE": "1"}, log, signals)
    second = kept.ready(spec, {}, log, signals)
    assert kept.ready(spec, {"HF_HUB_OFFLINE": "1"}, log, signals) is first
    third = kept.ready(spec, {"HF_HUB_OFFLINE": "0"}, log, signals)
    assert (first.alive, second.alive, third.alive) == (True, False, True)
    assert len(zygotes()) == MOST_ALIVE
    kept.close()
    assert zygotes() == []


def test_a_host_is_asked_whether_it_answers_without_a_thread_and_once_a_minute(signals: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answers = Knocker().answers(signals)
        assert answers("127.0.0.1", port)
        assert threading.active_count() == 1
    assert answers("127.0.0.1", port)  # as it was known
    assert not Knocker().answers(signals)("127.0.0.1", port)


def test_an_ending_signal_ends_the_wait_for_a_host(signals: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SessionInterrupted):
        Knocker().answers(signals)("127.0.0.1", 9)


def launchers(study: Any) -> list[tuple[str, str | None]]:
    running = study.events("experiment_running")
    return [(event["data"]["launcher"], event["data"]["cold_because"]) for event in running]


def zygote_of(session: Any) -> int:
    (pid,) = [pid for pid in children(session.pid) if comm(pid) == "llem-zygote"]
    return pid


def test_a_killed_parent_takes_zygote_and_worker_along(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(["hang"]), env=FORKED)
    study.wait_for("phase_entered", phase="measure")
    assert len(session.others()) >= 2
    session.signal(signal.SIGKILL)
    session.wait()
    until(lambda: session.others() == {}, "the end of zygote and worker", 2)


def test_a_killed_zygote_costs_its_trial_and_the_next_one_has_another(lab: Any) -> None:
    session, study = lab.start(lab.write(["hang_with_children", "ok"]), env=FORKED)
    study.wait_for("phase_entered", phase="measure")
    os.kill(zygote_of(session), signal.SIGKILL)
    session.ended(1)
    (event,) = study.terminal(study.trial_of("hang_with_children"))
    assert (event["kind"], event["data"]["error_type"]) == ("experiment_failed", "ZygoteDied")
    assert (event["data"]["exit_code"], event["data"]["signal"]) == (None, None)
    assert study.completions()[study.trial_of("ok")] == 1
    assert launchers(study) == [("local-warm", None)] * 2
    assert lab.survivors() == {}


def test_a_zygote_that_dies_between_two_trials_is_started_again(lab: Any) -> None:
    _, study = lab.run(lab.write(["ok", "ok_too"]), env={"LLEM_ACTING_ZYGOTE": "once"})
    assert launchers(study) == [("local-warm", None)] * 2


@pytest.mark.parametrize(
    ("what", "reason"), [("threaded", "the zygote has 2 threads"), ("absent", "the zygote died")]
)
def test_where_no_zygote_can_be_used_workers_start_anew_and_the_record_says_why(
    lab: Any, what: str, reason: str
) -> None:
    session, study = lab.run(lab.write(cycles=4), env={"LLEM_ACTING_ZYGOTE": what})
    assert {launcher for launcher, _ in launchers(study)} == {"local-cold"}
    reasons = [because for _, because in launchers(study)]
    assert all(because.startswith(reason) for because in reasons[:2])
    assert all(because.startswith("2 zygotes in a row failed") and reason in because for because in reasons[2:])
    assert [study.result(trial)["cold_because"] for trial in study.trials()] == reasons
    warnings = [line for line in session.err.splitlines() if line.startswith("warning: workers start anew")]
    assert len(warnings) == 2, "each reason once"
    assert lab.survivors() == {}


def test_who_wants_new_processes_gets_them_and_nothing_is_explained(lab: Any) -> None:
    measurement = {"isolation": "exec", "sensors": [], "min_window_s": 0, "min_passes": 1, "guard_s": 0}
    _, study = lab.run(lab.write(measurement=measurement), env=FORKED)
    assert launchers(study) == [("local-cold", None)]
    assert not (study.root / "logs" / "zygote.log").exists()


def test_ctrl_c_while_a_zygote_starts_ends_the_session_at_once(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(), env={"LLEM_ACTING_ZYGOTE": "slow"})
    until(lambda: any(comm(pid) == "llem-zygote" for pid in children(session.pid)), "the zygote")
    session.signal(signal.SIGINT)
    session.ended(130)
    assert study.events("experiment_running") == []
    assert study.events("session_ended")[-1]["data"]["reason"] == "interrupted"
    assert lab.survivors() == {}
    lab.resume(study, env=FORKED)
    assert set(study.completions().values()) == {1}


def test_what_a_forked_worker_s_killed_session_left_is_ended_by_resume(lab: Any) -> None:
    session, study = lab.start(lab.write(["first:hang_with_children"]), env=FORKED)
    study.wait_for("phase_entered", phase="measure")
    session.signal(signal.SIGKILL)
    session.wait()
    resumed = lab.resume(study, env=FORKED)
    assert "that an earlier session left behind" in resumed.err
    assert lab.survivors() == {}
