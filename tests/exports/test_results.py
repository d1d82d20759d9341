import json

import pytest

from llem.domain.study_result import StudyResult
from llem.exports.results import export_results
from llem.projections.manifest import ManifestFold
from llem.projections.results import study_result


@pytest.fixture
def fold(make):
    chain = make.chain()
    return ManifestFold().apply_all([chain.append(event) for event in make.plan()])


def test_the_exported_results_are_those_of_the_fold_and_nothing_lies_beside_them(fold, tmp_path):
    export_results(fold, tmp_path / "results.json")
    content = (tmp_path / "results.json").read_bytes()
    assert StudyResult.model_validate_json(content) == study_result(fold)
    assert json.loads(content)["journal_hash"] == fold.hash
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_a_fold_without_a_plan_exports_nothing(tmp_path):
    export_results(ManifestFold(), tmp_path / "results.json")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_leaves_nothing_half_written(fold, tmp_path):
    (tmp_path / "results.json").mkdir()
    with pytest.raises(OSError):
        export_results(fold, tmp_path / "results.json")
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
