"""Ending signals at swept moments of a whole study, from the interpreter's first step to its last."""

import shutil
import signal
import time
from itertools import cycle
from typing import Any

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
ACTING = {"LLEM_ACTING_RECORDER": "meter", "LLEM_ACTING_ZYGOTE": "ok", "LLEM_CHECK": "0.1:0"}
METER = {
    "sensors": ["rapl"],
    "warmup_passes": 0,
    "min_window_s": 0,
    "min_passes": 1,
    "guard_s": 0,
    "bare_idle_s": 0.1,
}


def test_a_signal_at_any_moment(lab: Any, tally: Any, draw: Any, rounds: Any) -> None:
    tally.fault = "SIGINT, SIGTERM or SIGHUP, and often a second one, at any moment from the first import to the exit"
    tally.asked = "Nothing runs on, no traceback, the exit code tells; a resume completes what was begun"
    wrongs = (
        "processes left after 1 s",
        "tracebacks",
        "false exit codes",
        "studies that cannot be resumed",
        "files not sound",
    )
    tally.look_for(*wrongs)
    study_file = lab.write(
        ["ok", "first:kill_itself"],  # with a baseline, a sensor check, a gap, a retry and a cool-down
        measurement=METER,
        gaps={"between_trials": 0.1},
        retries=1,
        limits={"consecutive_failures": 1, "cool_down_s": 0.1},
    )
    began = time.monotonic()
    lab.begin_run(study_file, env=ACTING).ended(0)
    whole_s = time.monotonic() - began
    shutil.rmtree(lab.output)
    points = rounds(3, 100)
    for point, signum in zip(range(points), cycle(EXIT_CODES)):
        session = lab.begin_run(study_file, env=ACTING)
        time.sleep((point + draw.random()) / points * whole_s)
        session.signal(signum)
        if point % 2:
            time.sleep(draw.random() * 0.1)
            session.signal(signum)
        code = session.wait()
        tally.tried += 1
        dead_by = time.monotonic() + 1.0
        while lab.survivors() and time.monotonic() < dead_by:
            time.sleep(0.01)
        tally.bad["processes left after 1 s"] += len(lab.survivors())
        # What Python says when a signal comes before it has begun with llem is not ours.
        early = "Traceback" in session.err and not any(f"llem/{part}/" in session.err for part in ("cli", "study"))
        tally.bad["tracebacks"] += "Traceback" in session.err and not early
        tally.bad["false exit codes"] += code not in (EXIT_CODES[signum], -signum, 0) and not early
        for root in lab.output.iterdir() if lab.output.exists() else ():
            tally.seen["studies resumed"] = int(tally.seen.get("studies resumed", 0)) + 1
            study = lab.study_in(root)
            tally.bad["false exit codes"] += code == 0 and study.events()[-1]["kind"] != "session_ended"
            resumed = lab.begin_resume(study, env=ACTING).wait() == 0
            complete = resumed and list(study.completions().values()) == [1, 1]
            tally.bad["studies that cannot be resumed"] += not complete
            tally.bad["files not sound"] += len(study.findings()) if complete else 0
            shutil.rmtree(root)
    tally.assert_nothing_wrong()
