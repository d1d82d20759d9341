"""Bytes flipped, zeroed, overwritten and cut off anywhere in a journal and its log: a true state, or a named damage.

The long profile (see ``conftest.py``) takes thousands of cases: ``HYPOTHESIS_PROFILE=long pytest tests/damage``.
"""

import contextlib
import io
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from spoil import LENGTHS, WAYS, spoil, written

from llem.cli.log import show_audit
from llem.cli.reading import read_fold
from llem.domain.errors import JournalError
from llem.study.audit import audit
from llem.study.recover import recover

CASES = settings(
    max_examples=max(100, settings.default.max_examples // 4),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller case says no more, and takes minutes to find
)

HITS = st.lists(
    st.tuples(
        st.sampled_from(WAYS),
        st.sampled_from(["journal.db", "journal.db-wal"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(LENGTHS),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=3,
)


@cache
def places(path):
    return written(path.read_bytes())


def hit(original, study, how, name, where, length, value):
    """Damage one file of a copy at a share of what was ever written of it."""
    name = name if (study.root / name).exists() else "journal.db"
    content = (study.root / name).read_bytes()
    spoiled = spoil(content, places(original.folder.root / name), how, where, length, value)
    (study.root / name).write_bytes(spoiled)


@pytest.fixture(params=["sealed", "live"], scope="module")
def original(request):
    return request.getfixturevalue(request.param)


@CASES
@given(hits=HITS, told=st.sampled_from([None, None, "text", "json"]))
def test_damage_is_named_and_never_makes_another_state_and_what_is_sound_is_recovered(
    original, in_memory, hits, told
):
    with tempfile.TemporaryDirectory(dir=in_memory) as place:
        study = original.copy(Path(place))
        for one in hits:
            hit(original, study, *one)
        damaged = seen_by_audit(original, study, told)
        seen_by_fold(original, study)
        recovered(original, study, damaged)


def seen_by_audit(original, study, told):
    """Look at it as ``log --verify`` does; return whether its journal is damaged, None where nothing is left."""
    rows = []
    try:
        found = audit(study, lambda row, fold: rows.append(row))
    except JournalError as error:
        assert str(error)  # noqa: PT017 - to say nothing is not what is expected of a refusal
        return None
    assert rows == original.rows[: found.events]
    # The last events of a log that nothing outside the journal remembers yet can go without a trace, and none else.
    assert found.damaged or (rows == original.read(study) and len(rows) >= original.remembered)
    completed = {
        entry["trial"] for entry in original.manifests[len(rows) - 1] or () if entry["status"] == "completed"
    }
    assert set(found.trustworthy) <= completed if rows else not found.trustworthy
    if told:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert show_audit(study.root, as_json=told == "json") == (3 if found.findings else 0)
    return found.damaged


def seen_by_fold(original, study):
    """Look at the study as ``status`` does."""
    try:
        fold = read_fold(study.root).fold
    except JournalError:
        return
    if not fold.seq:
        assert fold.manifest() is None
        return
    assert fold.hash == original.rows[fold.seq - 1].hash
    for entry, told in zip(original.standing(fold), original.manifests[fold.seq - 1], strict=True):
        assert entry == told or (entry["status"], told["status"]) == ("interrupted", "running")


def content(study):
    """Return every file of a study with what is in it, but for what SQLite shares among readers."""
    files = (path for path in study.root.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {path: path.read_bytes() for path in files}


def recovered(original, study, damaged):
    before = content(study)
    try:
        found, fold = recover(study)
    except JournalError:
        assert content(study) == before
        return
    assert found.outcome == ("recovered" if damaged else "nothing_wrong")
    if not damaged:
        return
    *kept, last = original.read(study)
    assert kept == original.rows[: found.events]
    assert last.kind == "journal_recovered"
    assert original.standing(fold) == original.manifests[found.events - 1]
    again = audit(study)
    assert (again.damaged, again.events) == (False, found.events + 1)
    assert again.findings == ()
    assert recover(study)[0].outcome == "nothing_wrong"
    for name in ("journal.db", "journal.db-wal"):
        if study.root / name in before:
            assert (study.root / found.kept_in / name).read_bytes() == before[study.root / name]
