import pytest

from llem.domain.carbon import CarbonFactor
from llem.domain.events import ExperimentCompleted, ExperimentFailed, ExperimentRunning, ResultRejected
from llem.domain.result import Headline
from llem.projections.manifest import ManifestFold
from llem.projections.results import PARTS, study_result


def completed(make, experiments, carbon=None):
    """Return the rows of a study in which each experiment's cycles ended so; None is a failed cycle."""
    chain = make.chain()
    study, *planned = make.plan(len(experiments), len(experiments[0]))
    for event in (study.model_copy(update={"carbon": carbon}), *planned):
        chain.append(event)
    for index, headlines in enumerate(experiments):
        for cycle, headline in enumerate(headlines, start=1):
            about = {"trial": f"e{index}_c{cycle}", "attempt": 1}
            chain.append(ExperimentRunning(**about, log_file="l", launcher="local"))
            if headline is None:
                chain.append(ExperimentFailed(**about, error_type="X", error_message="x", phase="load"))
            else:
                chain.append(ExperimentCompleted(**about, result_file="r", result_sha256=make.sha, headline=headline))
    return chain.rows


@pytest.fixture(scope="session")
def summary(make):
    """Return a function from the headlines of one experiment's cycles to its summary; None is a failed cycle."""

    def of(*headlines):
        (found,) = study_result(ManifestFold().apply_all(completed(make, [headlines]))).experiments
        return found

    return of


@pytest.fixture(scope="session")
def found(make):
    """Return a function from the headlines of each experiment's cycles to what the study found."""

    def of(*experiments, carbon=None):
        return study_result(ManifestFold().apply_all(completed(make, experiments, carbon)))

    return of


def measured(make, joules, tokens=100, **changes):
    return make.headline(
        energy_total_j=joules, energy_per_output_token_j=joules / tokens, output_tokens=tokens, **changes
    )


def test_energy_per_token_is_the_ratio_of_sums_with_the_interval_of_the_cycles(make, summary):
    found = summary(measured(make, 10.0), measured(make, 20.0), measured(make, 60.0, tokens=200))
    energy = found.energy_per_output_token_j
    assert energy.mean == pytest.approx(90 / 400)
    assert energy.n == 3
    # cycles 0.1, 0.2, 0.3: s = 0.1, and t = 4.3027 for two degrees of freedom
    assert energy.half_width == pytest.approx(4.30265 * 0.1 / 3**0.5, rel=1e-4)
    assert (found.provenance, found.boundary, found.energy_reason) == ("counter", "gpu", None)
    assert (found.cycles, found.n_valid, found.n_invalid) == (3, 3, 0)


def test_one_cycle_has_no_interval(make, summary):
    found = summary(measured(make, 10.0), None)
    assert found.energy_per_output_token_j.n == 1
    assert found.energy_per_output_token_j.half_width is None
    assert (found.cycles, found.n_valid) == (2, 1)


def test_an_invalid_cycle_enters_no_mean(make, summary):
    found = summary(measured(make, 10.0), measured(make, 9000.0, invalid=("token_count",), output_tokens_per_s=1.0))
    assert found.energy_per_output_token_j.mean == pytest.approx(0.1)
    assert found.output_tokens_per_s.mean == 50.0
    assert (found.n_valid, found.n_invalid) == (1, 1)
    assert [(one.cycle, one.codes) for one in found.invalid_cycles] == [(2, ("token_count",))]


def test_cycles_measured_in_different_ways_are_not_averaged(make, summary):
    found = summary(measured(make, 10.0), measured(make, 20.0, provenance="sampled"))
    assert found.energy_per_output_token_j is None
    assert found.provenance == "none"
    assert found.energy_reason == "cycles were measured in different ways: counter (gpu), sampled (gpu)"
    assert found.output_tokens_per_s.n == 2


UNKNOWN = {
    "provenance": "none",
    "boundary": None,
    "energy_total_j": None,
    "energy_per_output_token_j": None,
    "energy_reason": "no sensor here measures the processor",
}


def test_unknown_energy_stays_unknown_with_its_reason(make, summary):
    found = summary(make.headline(**UNKNOWN), make.headline(**UNKNOWN))
    assert found.energy_per_output_token_j is None
    assert found.energy_reason == "no sensor here measures the processor"
    assert found.output_tokens_per_s.mean == 50.0


def test_one_cycle_of_unknown_energy_is_not_counted_as_zero(make, summary):
    found = summary(measured(make, 10.0), make.headline(**UNKNOWN))
    assert found.energy_per_output_token_j is None or found.energy_per_output_token_j.mean == pytest.approx(0.1)
    assert found.energy_per_output_token_j is not None or found.energy_reason


def test_an_experiment_without_a_valid_cycle_says_so(make, summary):
    found = summary(None, measured(make, 10.0, invalid=("token_count",)))
    assert found.energy_per_output_token_j is None
    assert found.energy_reason == "no valid cycle"
    assert found.output_tokens_per_s is None
    assert found.ttft_p50_s is None
    assert found.peak_memory_bytes is None


def test_peak_memory_is_the_largest_and_latency_the_mean_over_cycles(make, summary):
    found = summary(
        make.headline(peak_memory_bytes=5, ttft_p50_s=0.1),
        make.headline(peak_memory_bytes=9, ttft_p50_s=0.3),
        make.headline(peak_memory_bytes=None, ttft_p50_s=None),
    )
    assert found.peak_memory_bytes == 9
    assert (found.peak_memory_mean_bytes.mean, found.peak_memory_mean_bytes.n) == (7, 2)
    assert (found.ttft_p50_s.mean, found.ttft_p50_s.n) == (pytest.approx(0.2), 2)


def test_latency_between_tokens_is_the_mean_over_cycles_with_its_spread(make, summary):
    found = summary(*(make.headline(itl_p50_s=itl_s) for itl_s in (0.001, 0.002, 0.003))).itl_p50_s
    assert (found.mean, found.sd, found.n) == (pytest.approx(0.002), pytest.approx(0.001), 3)


def test_a_rejected_result_counts_no_more(make):
    chain = make.chain()
    for event in make.plan(1, 1):
        chain.append(event)
    about = {"trial": "e0_c1", "attempt": 1}
    chain.append(ExperimentCompleted(**about, result_file="r", result_sha256=make.sha, headline=make.headline()))
    chain.append(ResultRejected(**about, file="results/r", reason="the file is missing"))
    (found,) = study_result(ManifestFold().apply_all(chain.rows)).experiments
    assert (found.cycles, found.n_valid, found.n_invalid) == (1, 0, 0)


def test_experiments_are_summed_up_in_the_order_of_the_study_file(make):
    chain = make.chain()
    for event in make.plan(4, 2):
        chain.append(event)
    found = study_result(ManifestFold().apply_all(chain.rows)).experiments
    assert [summary.config_summary for summary in found] == [{"batch_size": n} for n in (1, 2, 3, 4)]
    assert {summary.cycles for summary in found} == {2}


def test_energy_per_token_and_per_request_stand_on_what_the_headline_counts(make, summary):
    work = {"input_tokens": 300, "requests": 4}
    found = summary(*(measured(make, joules, **work) for joules in (10.0, 20.0, 30.0)))
    assert found.energy_per_token_j.mean == pytest.approx(60 / 1200)
    assert found.energy_per_request_j.mean == pytest.approx(60 / 12)
    assert found.energy_per_request_j.sd == pytest.approx(2.5)  # cycles 2.5, 5, 7.5
    assert found.unknown.keys() == set(PARTS)


def test_parts_of_the_energy_are_told_per_request_with_the_interval_of_the_cycles(make, summary):
    def cycle(net_j, prefill_j):
        parts = {"energy_above_context_idle_j": net_j, "energy_prefill_j": prefill_j, "energy_decode_j": 80.0}
        return measured(make, 100.0, requests=4, input_tokens=1, u_scale_j=5.0, **parts)

    found = summary(cycle(60.0, 20.0), cycle(-4.0, 20.0), cycle(52.0, 20.0))
    assert found.energy_above_context_idle_per_request_j.mean == pytest.approx(108 / 12)
    # cycles 15, -1, 13: t = 4.3027 for two degrees of freedom
    assert found.energy_above_context_idle_per_request_j.half_width == pytest.approx(
        4.30265 * 8.71780 / 3**0.5, rel=1e-4
    )
    assert (found.energy_prefill_per_request_j.mean, found.energy_prefill_per_request_j.sd) == (5.0, 0.0)
    assert found.energy_prefill_per_request_j.u_scale == pytest.approx(0.25)  # a twentieth of it, as of the total
    assert found.energy_decode_per_request_j.within_sd is None
    assert found.unknown == {}


def test_a_part_that_a_valid_cycle_does_not_have_is_null_with_the_reason(make, summary):
    known = {"energy_prefill_j": 20.0, "energy_decode_j": 80.0, "energy_above_context_idle_j": 50.0}
    work = {"requests": 4, "input_tokens": 1}
    found = summary(measured(make, 100.0, **work, **known), measured(make, 100.0, **work, energy_prefill_j=20.0))
    assert found.energy_prefill_per_request_j.mean == 5.0
    assert found.energy_decode_per_request_j is None
    assert "the result files say why" in found.unknown["energy_decode_per_request_j"]


def test_stated_uncertainties_tell_the_spread_apart_and_the_scale_stays_apart(make, summary):
    stated = {"u_energy_total_j": 3.0 * 1.959964, "u_scale_j": 1.0}
    energy = summary(*(measured(make, joules, **stated) for joules in (10.0, 20.0, 30.0))).energy_per_output_token_j
    assert (energy.within_sd, energy.between_sd) == (
        pytest.approx(0.03, rel=1e-6),
        pytest.approx(0.0953939, abs=1e-6),
    )
    assert energy.u_scale == pytest.approx(3 / 300)
    assert energy.half_width == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-6)


def test_a_journal_of_before_has_no_counts_and_says_so(make, summary):
    found = summary(measured(make, 10.0), measured(make, 20.0, input_tokens=300, requests=4))
    assert (found.energy_per_token_j, found.energy_per_request_j) == (None, None)
    assert found.energy_per_output_token_j.mean == pytest.approx(0.15)
    assert found.unknown.keys() == {"energy_per_token_j", "energy_per_request_j", *PARTS}
    assert "earlier llem" in found.unknown["energy_per_token_j"]


EXPERIMENTS = [
    lambda make: [None, None],
    lambda make: [measured(make, 10.0), measured(make, 20.0, provenance="sampled")],
    lambda make: [make.headline(**UNKNOWN), make.headline(peak_memory_bytes=None, ttft_p50_s=None, itl_p50_s=None)],
    lambda make: [make.headline(peak_memory_bytes=None, ttft_p50_s=None, itl_p50_s=None)] * 2,
    lambda make: [measured(make, 10.0, input_tokens=1, requests=1)] * 2,
]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=["failed", "different", "unknown", "unmeasured", "whole"])
def test_every_figure_that_is_null_has_its_reason_and_no_other(make, summary, experiment):
    found = summary(*experiment(make))
    figures = [name for name in type(found).model_fields if name.endswith(("_j", "_s", "_bytes"))]
    assert len(figures) == 11
    assert {name for name in figures if getattr(found, name) is None} == found.unknown.keys()
    assert all(found.unknown.values())


def test_experiments_are_compared_within_their_cycles(make, found):
    first = [measured(make, joules) for joules in (10.0, 13.0, 8.0)]
    second = [measured(make, joules) for joules in (20.0, 26.1, 16.1)]
    result = found(first, second)
    (comparison,) = result.comparisons
    assert comparison.reference_hash == result.experiments[0].config_hash
    assert comparison.config_hash == result.experiments[1].config_hash
    assert comparison.ratio == pytest.approx((2 * 26.1 / 13 * 16.1 / 8) ** (1 / 3))
    assert (comparison.n_cycles, comparison.distinguishable) == (3, True)


def test_a_cycle_that_is_invalid_in_one_experiment_is_compared_in_none(make, found):
    first = [measured(make, joules) for joules in (10.0, 13.0, 8.0, 10.0)]
    second = [*(measured(make, 2 * joules) for joules in (10.0, 13.0, 8.0)), measured(make, 900.0, invalid=("x",))]
    (comparison,) = found(first, second).comparisons
    assert (comparison.n_cycles, comparison.ratio) == (3, pytest.approx(2))


def test_a_modelled_energy_is_not_compared_with_a_measured_one(make, found):
    modelled = {"provenance": "modelled", "boundary": "cpu+ram"}
    (comparison,) = found([measured(make, 10.0)] * 3, [measured(make, 10.0, **modelled)] * 3).comparisons
    assert comparison.ratio is None
    assert comparison.reason == "measured in different ways: modelled (cpu+ram), the reference counter (gpu)"


def test_an_experiment_of_unknown_energy_is_not_compared(make, found):
    (comparison,) = found([measured(make, 10.0)] * 3, [make.headline(**UNKNOWN)] * 3).comparisons
    assert (comparison.ratio, comparison.reason) == (None, "its energy is unknown")


def test_a_result_names_the_study_and_the_event_that_it_reflects(make):
    rows = completed(make, [[measured(make, 10.0)]])
    result = study_result(ManifestFold().apply_all(rows))
    assert (result.study_name, result.llem_version, result.schema_version) == ("tiny", "0.0.1", 2)
    assert (result.journal_seq, result.journal_hash) == (rows[-1].seq, rows[-1].hash)
    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_every_prefix_of_a_journal_has_a_result_once_there_is_a_plan(make):
    rows = completed(make, [[measured(make, 10.0), None, make.headline(**UNKNOWN)], [measured(make, 5.0)] * 3])
    fold = ManifestFold()
    assert study_result(fold) is None
    for row in rows:
        fold.apply(row)
        result = study_result(fold)
        assert (result.journal_seq, result.journal_hash) == (row.seq, row.hash)


def test_what_a_headline_of_before_did_not_have_is_not_written(make):
    old = make.headline(ttft_p50_s=None)
    parts = {"energy_above_context_idle_j", "energy_prefill_j", "energy_decode_j"}
    added = {"u_energy_total_j", "u_scale_j", "input_tokens", "requests", *parts}
    assert old.model_dump(mode="json").keys() == Headline.model_fields.keys() - added
    new = make.headline(u_energy_total_j=0.0, input_tokens=5)
    assert new.model_dump(mode="json").keys() == Headline.model_fields.keys() - {"u_scale_j", "requests", *parts}
    for headline in (old, new):
        assert Headline.model_validate_json(headline.model_dump_json()) == headline


RTE = CarbonFactor(intensity_g_per_kwh=36.0, source="RTE eco2mix, 2025 mean", pue=2.0)


def test_declared_carbon_is_that_of_the_valid_cycles_with_what_it_is_made_of(make, found):
    spoiled = measured(make, 9000.0, invalid=("token_count",))
    result = found([measured(make, 10.0), measured(make, 20.0), spoiled], carbon=RTE)
    (summary,) = result.experiments
    assert result.carbon == RTE
    assert summary.carbon.energy_total_j == 30.0
    assert summary.carbon.g_total == pytest.approx(30.0 / 3.6e6 * 2 * 36)
    assert summary.carbon.g_per_output_token.mean == pytest.approx(0.15 / 3.6e6 * 2 * 36)
    assert summary.carbon.g_per_output_token.n == 2
    assert (summary.carbon.source, summary.carbon.provenance, summary.carbon.boundary) == (
        RTE.source,
        "counter",
        "gpu",
    )
    assert "carbon" not in summary.unknown


def test_carbon_of_a_modelled_energy_is_modelled(make, found):
    modelled = measured(make, 10.0, provenance="modelled", boundary="cpu+ram")
    (summary,) = found([modelled], carbon=RTE).experiments
    assert (summary.carbon.provenance, summary.carbon.boundary) == ("modelled", "cpu+ram")


def test_carbon_of_an_unknown_energy_is_unknown_for_the_same_reason(make, found):
    unknown = make.headline(
        energy_total_j=None, energy_per_output_token_j=None, energy_reason="lost", provenance="none"
    )
    (summary,) = found([measured(make, 10.0), unknown], carbon=RTE).experiments
    assert summary.carbon is None
    assert summary.unknown["carbon"] == summary.energy_reason


def test_a_study_that_declares_no_carbon_has_none_and_lacks_none(make, found):
    result = found([measured(make, 10.0)])
    assert (result.carbon, result.experiments[0].carbon) == (None, None)
    assert "carbon" not in result.experiments[0].unknown
