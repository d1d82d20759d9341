from pathlib import Path

import pytest

from llem.domain.errors import InputError
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.study.relimit import NewLimits


@pytest.fixture
def chain(make):
    """Return the journal of a planned study."""
    made = make.chain()
    for event in make.plan():
        made.append(event)
    return made


def against(chain, *settings):
    return NewLimits(settings).against(Path("study"), PlanFold().apply_all(chain.rows))


def test_new_limits_are_an_extension_that_changes_nothing_else(chain):
    before = PlanFold().apply_all(chain.rows)
    extension = against(chain, "study_s=28800", "silence_s=null", "energy_kwh=0.5")
    assert (extension.sources, extension.number) == ([], 1)
    (event,) = extension.events
    chain.append(event)
    after = PlanFold().apply_all(chain.rows)
    limits = after.study.limits
    assert (limits.study_s, limits.silence_s, limits.energy_kwh, limits.trial_s) == (28800.0, None, 0.5, 3600.0)
    assert after.study.model_copy(update={"limits": before.study.limits}) == before.study
    assert after.experiments == before.experiments
    folded = ManifestFold().apply_all(chain.rows)
    assert (folded.study["limits"]["study_s"], len(folded.trials)) == (28800.0, len(before.study.sequence))


def test_the_limits_that_a_study_has_are_no_extension(chain):
    assert against(chain, "trial_s=3600") is None


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("trail_s=5", "--limit trail_s=5: unknown limit 'trail_s'; did you mean 'trial_s'?"),
        ("trial_s", "--limit trial_s: a limit needs a value"),
        ("trial_s=-1", "--limit trial_s=-1: input should be greater than 0"),
        ("trial_s=null", "--limit trial_s=null: input should be a valid number"),
        ("trial_s=[", "--limit trial_s=[: "),
        (
            "trial_s=11",
            "limits.trial_s: too short: measurement.min_window_s and two of guard_s take 11.4 s; found 11",
        ),
    ],
)
def test_a_limit_that_cannot_be_is_refused(chain, setting, said):
    with pytest.raises(InputError) as refused:
        against(chain, setting)
    assert said in str(refused.value)
    assert "Write --limit NAME=VALUE" in str(refused.value)
