import pytest

from llem.domain.events import ExperimentCompleted, ExperimentFailed, ExperimentRunning, ResultRejected
from llem.projections.manifest import ManifestFold
from llem.projections.results import summarise


@pytest.fixture(scope="session")
def summary(make):
    """Return a function from the headlines of one experiment's cycles to its summary; None is a failed cycle."""

    def of(*headlines):
        chain = make.chain()
        for event in make.plan(1, len(headlines)):
            chain.append(event)
        for cycle, headline in enumerate(headlines, start=1):
            about = {"trial": f"e0_c{cycle}", "attempt": 1}
            chain.append(ExperimentRunning(**about, log_file="l", launcher="local"))
            if headline is None:
                chain.append(ExperimentFailed(**about, error_type="X", error_message="x", phase="load"))
            else:
                chain.append(ExperimentCompleted(**about, result_file="r", result_sha256=make.sha, headline=headline))
        (found,) = summarise(ManifestFold().apply_all(chain.rows))
        return found

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
    assert (found.ttft_p50_s.mean, found.ttft_p50_s.n) == (pytest.approx(0.2), 2)


def test_a_rejected_result_counts_no_more(make):
    chain = make.chain()
    for event in make.plan(1, 1):
        chain.append(event)
    about = {"trial": "e0_c1", "attempt": 1}
    chain.append(ExperimentCompleted(**about, result_file="r", result_sha256=make.sha, headline=make.headline()))
    chain.append(ResultRejected(**about, file="results/r", reason="the file is missing"))
    (found,) = summarise(ManifestFold().apply_all(chain.rows))
    assert (found.cycles, found.n_valid, found.n_invalid) == (1, 0, 0)


def test_experiments_are_summed_up_in_the_order_of_the_study_file(make):
    chain = make.chain()
    for event in make.plan(4, 2):
        chain.append(event)
    found = summarise(ManifestFold().apply_all(chain.rows))
    assert [summary.config_summary for summary in found] == [{"batch_size": n} for n in (1, 2, 3, 4)]
    assert {summary.cycles for summary in found} == {2}
