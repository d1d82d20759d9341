"""A result, or a baseline, against its raw edges and against the journal."""

import json
from dataclasses import dataclass, fields

from pydantic import JsonValue, ValidationError

from llem.domain.baseline import bare_powers
from llem.domain.decoding import typed_event
from llem.domain.errors import SensorError
from llem.domain.events import BaselineMeasured, ExperimentCompleted, SessionStarted, StudyPlanned
from llem.domain.figures import Evaluation
from llem.domain.model import Value
from llem.domain.result import ARITHMETIC, ExperimentResult, Headline
from llem.domain.row import Row
from llem.domain.spec import ExperimentConfig
from llem.projections.trials import TrialState
from llem.sensors.samples import read_samples
from llem.study.differences import differences
from llem.study.evaluation import evaluated
from llem.study.folder import StudyFolder
from llem.study.grounds import Grounds
from llem.study.integrity import require_regular

EVALUATED = frozenset(part.name for part in fields(Evaluation))
"""What of a result is recomputed; the rest of it was measured, or is told by the journal."""
NO_FIGURES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What edges can raise that no sensor gave: a forged file may hold anything."""
MOST_SHOWN = 200


class Discrepancy(Value):
    """Something that is not as it was recorded, or not what the raw edges give.

    Attributes:
        where: The event, file or anchor.
        found: What is wrong with it, in words.
        field: The value that differs, such as ``figures.energy_total_j``; null where no single value does.
        stands: What stands there; null also where nothing does.
        expected: What was recomputed, or what the journal says.
    """

    where: str
    found: str
    field: str | None = None
    stands: JsonValue = None
    expected: JsonValue = None


@dataclass(frozen=True)
class RecordedResult:
    """What the journal says of a result, and of the trial that it is of.

    Attributes:
        state: Where the trial stands.
        place: The trial's place in the order of the plan, from 0.
        config: Its configuration, as it was planned.
        study: The plan.
        completing: The event that names the result.
        session: The start of the session that made it; None where the journal has none.
        grounds: What it stands on beside its own readings.
    """

    state: TrialState
    place: int
    config: ExperimentConfig
    study: StudyPlanned
    completing: Row
    session: SessionStarted | None
    grounds: Grounds

    @property
    def event(self) -> ExperimentCompleted:
        """Return the event that names the result."""
        event = typed_event(self.completing)
        assert isinstance(event, ExperimentCompleted)
        return event


@dataclass(frozen=True)
class Recomputation:
    """What became of the recomputation of one result.

    Attributes:
        findings: What differs or cannot be read.
        done: Whether its figures were recomputed.
        arithmetic: The arithmetic that made its result; None where the result cannot be read.
    """

    findings: list[Discrepancy]
    done: bool = False
    arithmetic: int | None = None


def recompute(folder: StudyFolder, recorded: RecordedResult) -> Recomputation:
    """Compare a result file with the journal and with what its raw edges give."""
    event = recorded.event
    where = f"{folder.results.name}/{event.result_file}"
    try:
        path = folder.result(event.result_file)
        require_regular(path)
        result = ExperimentResult.model_validate_json(path.read_bytes(), strict=True)
    except (OSError, ValueError) as error:
        return Recomputation([Discrepancy(where=where, found=f"it cannot be read as a result: {_reason(error)}")])
    findings = _differing(where, "the journal says", result, _as_journalled(result, recorded, event))
    arithmetic = result.arithmetic
    if arithmetic != ARITHMETIC:
        return Recomputation(findings, arithmetic=arithmetic)
    try:
        evaluation = _evaluated(folder, recorded, event, result)
    except SensorError as error:
        at = f"{folder.samples.name}/{event.samples_file}"
        return Recomputation([*findings, Discrepancy(where=at, found=error.message)], arithmetic=arithmetic)
    except NO_FIGURES as error:
        none = Discrepancy(where=where, found=f"no figures can be made of its raw edges: {_reason(error)}")
        return Recomputation([*findings, none], arithmetic=arithmetic)
    again = result.model_copy(update={name: getattr(evaluation, name) for name in EVALUATED})
    findings += _differing(where, "recomputed", result, again)
    findings += _headline_findings(recorded, event, evaluation.headline(result.measured))
    return Recomputation(findings, done=True, arithmetic=arithmetic)


def recompute_baseline(folder: StudyFolder, seq: int, baseline: BaselineMeasured) -> Recomputation:
    """Compare the powers in a baseline's event with what its raw edges give."""
    if baseline.samples_file is None:
        return Recomputation([])  # nothing was recorded, and the event says why
    at = f"{folder.samples.name}/{baseline.samples_file}"
    try:
        held = read_samples(folder.samples / baseline.samples_file)
        powers = bare_powers(held.channels, held.edges, held.failures, baseline.start_ns, baseline.end_ns)
    except SensorError as error:
        return Recomputation([Discrepancy(where=at, found=error.message)])
    except NO_FIGURES as error:
        return Recomputation([Discrepancy(where=at, found=f"no powers can be made of it: {_reason(error)}")])
    again = baseline.model_copy(update={"powers": powers})
    stands, expected = ({"powers": one.model_dump(mode="json")["powers"]} for one in (baseline, again))
    return Recomputation(differing(f"event {seq}", "recomputed", stands, expected), done=True)


def differing(where: str, source: str, stands: JsonValue, expected: JsonValue) -> list[Discrepancy]:
    """Return a finding for each place in which two values differ.

    Args:
        where: The file or event in which the one stands.
        source: What the other is, such as ``recomputed``.
        stands: The one.
        expected: The other.
    """
    return [
        Discrepancy(
            where=where,
            found=f"{field} is {_shown(one)}; {source}: {_shown(other)}",
            field=field,
            stands=one,
            expected=other,
        )
        for field, one, other in differences(stands, expected)
    ]


def _differing(where: str, source: str, stands: ExperimentResult, expected: ExperimentResult) -> list[Discrepancy]:
    return differing(where, source, stands.model_dump(mode="json"), expected.model_dump(mode="json"))


def _as_journalled(
    result: ExperimentResult, recorded: RecordedResult, event: ExperimentCompleted
) -> ExperimentResult:
    """Return the result with all that the journal, too, says of it, as the journal says it."""
    state, session, grounds = recorded.state, recorded.session, recorded.grounds
    told = {
        "study_name": recorded.study.study_name,
        "trial": state.trial,
        "attempt": event.attempt,
        "session": recorded.completing.session,
        "cycle": state.cycle,
        # Earlier files do not have these two.
        "order_index": None if result.order_index is None else recorded.place,
        "seed": None if result.seed is None else recorded.study.seed,
        "baseline_seq": grounds.baseline_seq,
        "check_seq": grounds.check_seq,
        "config_hash": state.config_hash,
        "config": recorded.config,
        "host": session.host if session else result.host,
        "devices": session.sensors.devices if session else result.devices,
        "samples_file": event.samples_file,
        "samples_sha256": event.samples_sha256,
    }
    return result.model_copy(update=told)


def _evaluated(
    folder: StudyFolder, recorded: RecordedResult, event: ExperimentCompleted, result: ExperimentResult
) -> Evaluation:
    samples = None if event.samples_file is None else read_samples(folder.samples / event.samples_file)
    grounds = recorded.grounds
    return evaluated(
        recorded.config,
        result.measured,
        samples,
        result.unrecorded,
        check=grounds.check,
        bare=grounds.bare,
        devices=result.devices,
    )


def _headline_findings(recorded: RecordedResult, event: ExperimentCompleted, headline: Headline) -> list[Discrepancy]:
    """Compare the figures that the journal has; an earlier llem stored fewer of them, which is no difference."""
    stands = event.headline.model_dump(mode="json")
    again = {name: value for name, value in headline.model_dump(mode="json").items() if name in stands}
    where = f"event {recorded.completing.seq}"
    return differing(where, "recomputed", {"headline": stands}, {"headline": again})


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, OSError):
        return str(error.strerror)
    return f"{type(error).__name__}: {error}"
