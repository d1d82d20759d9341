from llem.domain.fitting import Peak
from llem.projections.peaks import peaks_of
from llem.projections.trials import TrialState


def state(batch_size, status="completed", peak_bytes=None, error_type=None, **summary):
    headline = {"peak_memory_bytes": peak_bytes} if status == "completed" else None
    summary = {"batch_size": batch_size, **summary}
    return TrialState("t", 0, 1, "", summary, "", status=status, headline=headline, error_type=error_type)


def test_only_experiments_that_differ_in_their_batch_size_alone_say_what_fits():
    states = [
        state(1, peak_bytes=10, dtype="float16"),
        state(1, peak_bytes=12, dtype="float16"),
        state(2, dtype="float16"),
        state(8, "failed", error_type="OutOfMemory", dtype="float16"),
        state(4, "failed", error_type="WorkerKilled", dtype="float16"),
        state(16, "pending", dtype="float16"),
        state(64, peak_bytes=5, dtype="int8"),
    ]
    found = peaks_of(states, state(32, "running", dtype="float16"))
    assert found == [Peak(1, 12), Peak(2, None), Peak(8, None, fitted=False)]


def test_a_batch_that_fitted_in_one_cycle_fits():
    once = [state(4, "failed", error_type="OutOfMemory"), state(4, peak_bytes=7)]
    assert peaks_of(once, state(8)) == peaks_of(reversed(once), state(8)) == [Peak(4, 7)]


def test_where_the_batch_size_does_not_vary_nothing_is_known_of_another():
    one = TrialState("t", 0, 1, "", {"model": "m"}, "", status="completed", headline={"peak_memory_bytes": 7})
    assert peaks_of([one], one) == []
