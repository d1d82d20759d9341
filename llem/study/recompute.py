"""One completed trial's result against its raw edges and against the journal."""

import json
from dataclasses import dataclass, fields

from pydantic import JsonValue, ValidationError

from llem.domain.errors import SensorError
from llem.domain.events import SessionStarted
from llem.domain.figures import Evaluation
from llem.domain.model import Value
from llem.domain.result import ARITHMETIC, ExperimentResult, Headline
from llem.domain.row import Row
from llem.domain.spec import ExperimentConfig
from llem.projections.manifest import TrialState
from llem.sensors.samples import read_samples
from llem.study.differences import differences
from llem.study.evaluation import evaluated
from llem.study.folder import StudyFolder

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
class CompletedTrial:
    """What the journal says of a completed trial.

    Attributes:
        state: Where it stands.
        config: Its configuration, as it was planned.
        study_name: The study.
        completing: Its completing event.
        session: The start of the session that completed it; None where the journal has none.
    """

    state: TrialState
    config: ExperimentConfig
    study_name: str
    completing: Row
    session: SessionStarted | None


@dataclass(frozen=True)
class Recomputation:
    """What became of the recomputation of one trial.

    Attributes:
        findings: What differs or cannot be read.
        done: Whether its figures were recomputed.
        arithmetic: The arithmetic that made its result; None where the result cannot be read.
    """

    findings: list[Discrepancy]
    done: bool = False
    arithmetic: int | None = None


def recompute(folder: StudyFolder, trial: CompletedTrial) -> Recomputation:
    """Compare a trial's result file with the journal and with what its raw edges give."""
    where = f"{folder.results.name}/{trial.state.result_file}"
    try:
        content = (folder.results / str(trial.state.result_file)).read_bytes()
        result = ExperimentResult.model_validate_json(content, strict=True)
    except (OSError, ValueError) as error:
        return Recomputation([Discrepancy(where=where, found=f"it cannot be read as a result: {_reason(error)}")])
    findings = _differing(where, "the journal says", result, _as_journalled(result, trial))
    arithmetic = result.arithmetic
    if arithmetic != ARITHMETIC:
        return Recomputation(findings, arithmetic=arithmetic)
    try:
        evaluation = _evaluated(folder, trial, result)
    except SensorError as error:
        at = f"{folder.samples.name}/{trial.state.samples_file}"
        return Recomputation([*findings, Discrepancy(where=at, found=error.message)], arithmetic=arithmetic)
    except NO_FIGURES as error:
        none = Discrepancy(where=where, found=f"no figures can be made of its raw edges: {_reason(error)}")
        return Recomputation([*findings, none], arithmetic=arithmetic)
    again = result.model_copy(update={name: getattr(evaluation, name) for name in EVALUATED})
    findings += _differing(where, "recomputed", result, again)
    findings += _headline_findings(trial, evaluation.headline(result.measured))
    return Recomputation(findings, done=True, arithmetic=arithmetic)


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


def _as_journalled(result: ExperimentResult, trial: CompletedTrial) -> ExperimentResult:
    """Return the result with all that the journal, too, says of it, as the journal says it."""
    state, session = trial.state, trial.session
    told = {
        "study_name": trial.study_name,
        "trial": state.trial,
        "attempt": trial.completing.attempt,
        "session": trial.completing.session,
        "cycle": state.cycle,
        "config_hash": state.config_hash,
        "config": trial.config,
        "host": session.host if session else result.host,
        "devices": session.sensors.devices if session else result.devices,
        "samples_file": state.samples_file,
        "samples_sha256": state.samples_sha256,
    }
    return result.model_copy(update=told)


def _evaluated(folder: StudyFolder, trial: CompletedTrial, result: ExperimentResult) -> Evaluation:
    name = trial.state.samples_file
    samples = None if name is None else read_samples(folder.samples / name)
    return evaluated(trial.config, result.measured, samples, result.unrecorded)


def _headline_findings(trial: CompletedTrial, headline: Headline) -> list[Discrepancy]:
    """Compare the figures that the journal has; an earlier llem stored fewer of them, which is no difference."""
    stands = Headline.model_validate(trial.state.headline).model_dump(mode="json")
    again = {name: value for name, value in headline.model_dump(mode="json").items() if name in stands}
    where = f"event {trial.completing.seq}"
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
