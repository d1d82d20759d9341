from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from llem.domain.messages import Stagger
from llem.domain.staggering import segment_start_ns

HOUR_NS = 3600 * 10**9


def test_a_segment_begins_at_its_share_of_a_period():
    four = Stagger(segments=4, period_s=0.1)
    assert segment_start_ns(1_000, 1_000, 1, four) == 1_000 + 25_000_000
    assert segment_start_ns(1_000, 1_000 + 25_000_001, 1, four) == 1_000 + 125_000_000
    assert segment_start_ns(1_000, 3_700_000_000, 3, four) == 1_000 + 3_775_000_000


@given(
    st.integers(0, HOUR_NS),
    st.integers(0, HOUR_NS),
    st.integers(2, 64).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))),
    st.integers(100_000, 10**9),
)
def test_it_is_never_early_late_by_less_than_a_period_and_in_phase(first_ns, later_ns, segment, period_ns):
    segments, number = segment
    start_ns = segment_start_ns(
        first_ns, first_ns + later_ns, number, Stagger(segments=segments, period_s=period_ns / 1e9)
    )
    assert first_ns + later_ns <= start_ns <= first_ns + later_ns + period_ns + 2 + number * period_ns // segments
    away = (Fraction(start_ns - first_ns) - Fraction(number * period_ns, segments)) % period_ns
    assert min(away, period_ns - away) <= 2
