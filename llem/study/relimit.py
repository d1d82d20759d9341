"""Other limits for a study that has run: ``llem study resume --limit``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue, ValidationError

from llem.domain.deadlines import too_short
from llem.domain.errors import InputError
from llem.domain.events import StudyExtended
from llem.domain.spec import Limits
from llem.projections.plan import PlanFold
from llem.study.extend import Extension
from llem.study.grammar import unknown
from llem.study.yaml_source import read_value
from llem.version import __version__

REMEDY = "Write --limit NAME=VALUE, such as --limit study_s=28800; null takes a limit away. Nothing was run."


@dataclass(frozen=True)
class NewLimits:
    """Limits that a study is resumed with, and has from then on.

    Attributes:
        settings: ``name=value``, the value in YAML.
    """

    settings: Sequence[str]

    def against(self, root: Path, plan: PlanFold) -> Extension | None:
        """Return the extension that gives the study in ``root`` its limits; None if it has them.

        Raises:
            InputError: A setting is no limit, or one that no trial of the study can keep.
        """
        assert plan.study is not None
        limits = self._limits(plan.study.limits)
        for planned in plan.experiments.values():
            for limit, why in too_short(limits, planned.config.measurement):
                raise InputError(f"--limit: limits.{limit}: {why}.", remedy=REMEDY)
        if limits == plan.study.limits:
            return None
        event = StudyExtended(
            study_design_hash=plan.study.study_design_hash,
            llem_version=__version__,
            cycles=plan.study.cycles,
            limits=limits,
            sequence=[],
            added=0,
            summaries=tuple(planned.config_summary for planned in plan.experiments.values()),
            carbon=plan.study.carbon,
        )
        return Extension([event], [], plan.extensions + 1)

    def _limits(self, before: Limits) -> Limits:
        changed: dict[str, JsonValue] = before.model_dump()
        for setting in self.settings:
            name, equals, text = setting.partition("=")
            try:
                if not equals:
                    raise ValueError("a limit needs a value")
                if name not in changed:
                    raise ValueError(unknown(name, changed, what="limit"))
                changed[name] = read_value(text)
                Limits.model_validate(changed)
            except ValidationError as error:
                why = error.errors(include_url=False)[0]["msg"]
                raise InputError(f"--limit {setting}: {why[0].lower()}{why[1:]}.", remedy=REMEDY) from None
            except ValueError as error:
                end = "" if str(error).endswith("?") else "."
                raise InputError(f"--limit {setting}: {error}{end}", remedy=REMEDY) from None
        return Limits.model_validate(changed)
