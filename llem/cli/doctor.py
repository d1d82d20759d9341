"""``llem doctor``."""

import os
import shutil
import tempfile
from pathlib import Path

from llem.cli.doctorview import CheckProgress, Examined, show
from llem.cli.screen import say, tell
from llem.cli.text import json_text
from llem.domain.checked import capabilities
from llem.domain.errors import SensorError, StudyError
from llem.domain.names import SAMPLES_ENDING
from llem.domain.sensing import SensorReport
from llem.domain.sensor_check import SensorCheck
from llem.sensors import automatic_sensors
from llem.study.checking import CheckSettings, check_now
from llem.study.host import host_facts, require_linux
from llem.study.recording import RecorderClient
from llem.study.signals import EndingSignals, SessionInterrupted
from llem.study.spoilers import spoilers


def examine(*, quick: bool, as_json: bool) -> int:
    """Print what can be measured here and return the exit code.

    Raises:
        EnvironmentNotFitError: This is no Linux.
    """
    require_linux()
    try:
        found = _examined(quick=quick)
    except SessionInterrupted as stop:
        return stop.exit_code
    if as_json:
        say(json_text(_tree(found)))
    else:
        show(found)
    if not found.capabilities and not as_json:
        tell(
            "No energy can be measured here: figures will be modelled (~) or null. Time, tokens and memory are "
            "measured all the same."
        )
    return 0 if found.capabilities else 3


def _examined(*, quick: bool) -> Examined:
    with tempfile.TemporaryDirectory(prefix="llem-") as spare, EndingSignals() as signals:
        recorder = RecorderClient(automatic_sensors(), Path(spare) / "recorder.log", signals)
        try:
            report = recorder.report
            check, unchecked = (None, "--quick") if quick else _checked(recorder, report, Path(spare), signals)
        finally:
            recorder.close()
    host, here = host_facts(), Path.cwd()
    free_bytes = shutil.disk_usage(here).free
    return Examined(
        host=host,
        free_bytes=free_bytes,
        report=report,
        check=check,
        unchecked=unchecked,
        capabilities=capabilities(report.channels, check),
        spoilers=spoilers(
            report.devices,
            load=os.getloadavg()[0],
            cpus=host.cpus,
            free_bytes=free_bytes,
            folder=here,
            check=check,
        ),
    )


def _checked(
    recorder: RecorderClient, report: SensorReport, spare: Path, signals: EndingSignals
) -> tuple[SensorCheck | None, str | None]:
    """Return what a check found, or why there was none."""
    try:
        with CheckProgress() as progress:
            samples, log = spare / f"check{SAMPLES_ENDING}", spare / "load.log"
            event = check_now(recorder, report, samples, log, signals, progress, CheckSettings())
    except (SensorError, StudyError) as error:  # the second: its disk is full
        return None, error.message
    return (event.check, None) if event else (None, "no channel here measures energy")


def _tree(found: Examined) -> dict[str, object]:
    return {
        "host": found.host.model_dump(mode="json"),
        "disk_free_bytes": found.free_bytes,
        "sensors": found.report.model_dump(mode="json"),
        "check": found.check.model_dump(mode="json") if found.check else None,
        "no_check_reason": found.unchecked,
        "capabilities": [capability.model_dump(mode="json") for capability in found.capabilities],
        "spoilers": [spoiler.model_dump(mode="json") for spoiler in found.spoilers],
        "can_measure_energy": bool(found.capabilities),
    }
