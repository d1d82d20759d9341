import pytest

from llem.domain.errors import LlemError


@pytest.mark.parametrize("message", ["Event 3 was altered", "Event 3 was altered."])
def test_what_was_found_and_the_way_out_are_two_sentences(message):
    assert str(LlemError(message, remedy="Recover it.")) == "Event 3 was altered. Recover it."
