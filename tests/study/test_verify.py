"""A figure that is not what its raw edges give is found, also where every hash fits."""

import gzip
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.baseline import BaselinePower, bare_powers
from llem.domain.errors import InputError
from llem.domain.events import (
    BaselineMeasured,
    ExperimentCompleted,
    ExperimentRunning,
    ResultRejected,
    SessionEnded,
    SessionStarted,
    StudyCompleted,
)
from llem.domain.measured import Measured
from llem.domain.result import ARITHMETIC, ExperimentResult, Figures
from llem.domain.row import Row
from llem.domain.sensing import Channel, SensorReport
from llem.exports.manifest import export_manifest
from llem.exports.results import export_results
from llem.journal.journal import Journal
from llem.projections.manifest import ManifestFold
from llem.projections.trials import TrialState
from llem.sensors.base import Reading
from llem.sensors.samples import SampleWriter, read_samples
from llem.study.differences import differences
from llem.study.evaluation import evaluated
from llem.study.folder import PARTS, StudyFolder, create_study_dir
from llem.study.grounds import Grounds
from llem.study.integrity import sha256_of
from llem.study.recompute import EVALUATED, RecordedResult, recompute
from llem.study.verify import verify

S = 1_000_000_000
FIGURES = [name for name in Figures.model_fields if name != "unknown"]
GPU = "GPU-1"

Tree = dict[str, Any]
Change = Callable[[Tree], object]


def as_it_is(tree: Tree) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class Made:
    """A trial to make: what its sensors say, and what a forger changes before the hashes are taken."""

    powers: Mapping[str, float | None] = field(default_factory=lambda: {"counter": 100.0, "power": 90.0})
    devices: tuple[str, ...] = (GPU,)
    measured: Mapping[str, Any] = field(default_factory=dict)
    unrecorded: str | None = None
    in_result: Change = as_it_is
    in_headline: Change = as_it_is
    in_samples: Callable[[list[Any]], object] = lambda lines: None


NOTHING_RECORDED = Made(powers={}, devices=("cpu",), unrecorded="no sensor can be read here (rapl: hidden)")


class Maker:
    """Makes whole studies whose every hash fits, whatever was forged in them."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def channel(self, source: str) -> Channel:
        kinds: dict[str, Tree] = {
            "counter": {},
            "power": {"id": "nvml/GPU-1/power", "kind": "power_w", "provenance": "sampled"},
            "package": {"id": "rapl/0", "sensor": "rapl", "device": "rapl:0", "boundary": "cpu_package"},
        }
        channel: Channel = self.make.channel(**kinds[source])
        return channel

    def samples(self, path: Path, trial: Made) -> str:
        """Write ten readings a second for 40 s, the last of each sensor a failed one; return the file's SHA-256."""
        channels = {source: self.channel(source) for source in trial.powers}
        writer = SampleWriter(path, list(channels.values()))
        for tick in range(400):
            for source, power_w in trial.powers.items():
                if power_w is not None:
                    value = power_w if channels[source].kind == "power_w" else power_w * tick / 10
                    writer.write([Reading(channels[source].id, tick * S // 10, tick * S // 10 + 1000, value)])
        writer.write([Reading(channel.id, 40 * S, 40 * S, None, "it fell asleep") for channel in channels.values()])
        writer.finish()
        lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        trial.in_samples(lines)
        return forged_samples(path, lines)

    def result(self, folder: StudyFolder, state: TrialState, trial: Made, row: Row, study: Any) -> tuple[Tree, Tree]:
        """Return the trees of a result and its headline, as an attempt makes them."""
        measured: Measured = self.make.measured(devices=trial.devices, **trial.measured)
        name = None if trial.unrecorded else f"{state.trial}_a1.json.gz"
        sha256 = None if name is None else self.samples(folder.samples / name, trial)
        samples = None if name is None else read_samples(folder.samples / name)
        config = study.configs[state.index]
        evaluation = evaluated(config, measured, samples, trial.unrecorded)
        result = ExperimentResult(
            llem_version="0.1",
            study_name="tiny",
            study_design_hash=self.make.sha,
            trial=state.trial,
            attempt=1,
            session=row.session,
            cycle=state.cycle,
            config_hash=state.config_hash,
            config_summary=state.config_summary,
            config=config,
            journal_seq=row.seq,
            journal_hash=row.hash,
            launcher="local",
            **{part: getattr(evaluation, part) for part in EVALUATED},
            measured=measured,
            host=self.make.host(),
            devices=(),
            recorder=None,
            samples_file=name,
            samples_sha256=sha256,
            unrecorded=trial.unrecorded,
            arithmetic=ARITHMETIC,
        )
        return json.loads(result.model_dump_json()), evaluation.headline(measured).model_dump(mode="json")

    def study(self, place: Path, trials: Sequence[Made]) -> StudyFolder:
        """Return the folder of a study that is over: one experiment, a cycle per trial."""
        folder = create_study_dir(place, "tiny", self.make.start)
        planned = self.make.plan(1, len(trials))
        plan = Plan([event.config for event in planned[1:]])
        with Journal(folder.journal) as journal:
            fold = ManifestFold().apply_all(journal.append_all(planned))
            sensors = SensorReport()
            journal.append(
                SessionStarted(command="run", llem_version="0.1", pid=1, host=self.make.host(), sensors=sensors)
            )
            for state, trial in zip(fold.trials.values(), trials, strict=True):
                about = {"trial": state.trial, "attempt": 1}
                row = journal.append(ExperimentRunning(**about, log_file="logs/x.log", launcher="local"))
                result, headline = self.result(folder, state, trial, row, plan)
                samples = {key: result[key] for key in ("samples_file", "samples_sha256")}
                trial.in_result(result)
                trial.in_headline(headline)
                content = json.dumps(result).encode()
                (folder.results / state.planned_file).write_bytes(content)
                journal.append(
                    ExperimentCompleted(
                        **about,
                        result_file=state.planned_file,
                        result_sha256=sha256_of(content),
                        **samples,
                        headline=headline,
                    )
                )
            journal.append(StudyCompleted(completed=len(trials), failed=0, skipped=0))
            journal.append(SessionEnded(reason="finished"))
            fold = ManifestFold().apply_all(journal.rows())
            export_manifest(fold, folder.manifest)
            export_results(fold, folder.results_file)
            assert journal.seal()
        return folder


@dataclass(frozen=True)
class Plan:
    configs: list[Any]


def forged_samples(path: Path, lines: Sequence[Any]) -> str:
    content = gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    path.write_bytes(content)
    return sha256_of(content)


@pytest.fixture(scope="session")
def maker(make: Any) -> Maker:
    return Maker(make)


def fields_found(folder: StudyFolder) -> dict[str, list[str | None]]:
    """Return the fields that were found to differ, by place."""
    found: dict[str, list[str | None]] = {}
    for finding in verify(folder).findings:
        found.setdefault(finding.where, []).append(finding.field)
    return found


def test_a_study_that_nobody_touched_is_clean(maker: Maker, tmp_path: Path) -> None:
    sources = [{"counter": 100.0, "power": 90.0}, {"counter": None, "power": 90.0}, {"package": 33.3}]
    trials = [Made(powers, (GPU,) if "power" in powers else ("cpu",)) for powers in sources]
    folder = maker.study(tmp_path, [*trials, NOTHING_RECORDED])
    before = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}
    seen: list[tuple[int, int]] = []
    found = verify(folder, lambda number, of: seen.append((number, of)))
    assert found.findings == ()
    assert (found.results, found.anchors, found.completed, found.recomputed) == (4, 5, 4, 4)
    assert found.figures == 4 * len(FIGURES)
    assert (found.arithmetic, found.other_arithmetic) == (ARITHMETIC, {})
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()} == before


def by_one_bit(name: str) -> Change:
    """Return a change of one figure by the least that a float can change, or of a null to a value."""

    def change(tree: Tree) -> None:
        figures = tree["figures"]
        if figures[name] is None:
            del figures["unknown"][name]
            figures[name] = 1.0
        else:
            figures[name] = math.nextafter(figures[name], math.inf)

    return change


def to_null(tree: Tree) -> None:
    tree["figures"].update(energy_total_j=None)
    tree["figures"]["unknown"]["energy_total_j"] = "nobody asked"


def replaced(*path: str | int, by: Any) -> Change:
    def change(tree: Any) -> None:
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = by

    return change


ALTERED: dict[str, tuple[Change, str]] = {
    **{f"figures.{name}": (by_one_bit(name), f"figures.{name}") for name in FIGURES},
    "a figure made null": (to_null, "figures.energy_total_j"),
    "a reason": (replaced("figures", "unknown", "energy_load_j", by="no time"), "figures.unknown.energy_load_j"),
    "the energy of a channel": (replaced("components", 0, "energy_j", by=1.0), "components[0].energy_j"),
    "the uncertainty of a channel": (replaced("components", 1, "u_j", by=1.0), "components[1].u_j"),
    "the readings of a channel": (replaced("components", 0, "readings", by=1), "components[0].readings"),
    "a channel": (replaced("components", 0, "channel", "device", by="GPU-9"), "components[0].channel.device"),
    "a channel in the total": (replaced("components", 1, "in_total", by=True), "components[1].in_total"),
    "no channel": (replaced("components", by=[]), "components"),
    "the boundary": (replaced("boundary", by="gpu+cpu_package"), "boundary"),
    "the provenance": (replaced("provenance", by="external"), "provenance"),
    "the estimator": (replaced("estimator", by="a_better_one"), "estimator"),
    "the validity": (replaced("validity", by=[{"code": "gpu_lost", "message": "where?"}]), "validity"),
    "the warnings": (replaced("warnings", by=[]), "warnings"),
    "the window": (replaced("measured", "window", "t1_ns", by=21 * S), "figures.duration_s"),
    "the tokens": (replaced("measured", "work", "output_tokens", by=599), "figures.output_tokens_per_s"),
    "the trial": (replaced("trial", by="e9_c1"), "trial"),
    "the attempt": (replaced("attempt", by=2), "attempt"),
    "the session": (replaced("session", by=9), "session"),
    "the cycle": (replaced("cycle", by=300), "cycle"),
    "the configuration": (replaced("config", "generation", "stop", by="natural"), "config.generation.stop"),
    "the configuration's hash": (replaced("config_hash", by="b" * 64), "config_hash"),
    "the study": (replaced("study_name", by="huge"), "study_name"),
    "the machine": (replaced("host", "cpu", by="a better processor"), "host.cpu"),
    "the devices": (replaced("devices", by=[{"id": "GPU-1", "name": "H100", "facts": {}}]), "devices"),
    "the samples": (replaced("samples_file", by="e0_c1_a1.json.gz"), "samples_file"),
}


@pytest.fixture(scope="module")
def forged(maker: Maker, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the verification of a study whose every result was altered in another place, and every hash fits."""
    trials = [Made(in_result=change) for change, _ in ALTERED.values()]
    return verify(maker.study(tmp_path_factory.mktemp("forged"), trials))


@pytest.mark.parametrize("altered", ALTERED)
def test_whatever_is_altered_in_a_result_is_named_though_every_hash_fits(forged: Any, altered: str) -> None:
    where = f"results/e0_c{list(ALTERED).index(altered) + 1}.json"
    found = {finding.field: finding for finding in forged.findings if finding.where == where}
    expected = ALTERED[altered][1]
    assert expected in found
    assert found[expected].stands != found[expected].expected
    assert expected in found[expected].found


def test_of_forged_results_nothing_but_recomputation_finds_anything(forged: Any) -> None:
    assert all(finding.field for finding in forged.findings)
    assert (forged.results, forged.anchors) == (len(ALTERED), len(ALTERED) + 1)
    assert forged.recomputed == len(ALTERED)


def test_a_finding_says_what_stands_there_and_what_the_edges_give(maker: Maker, tmp_path: Path) -> None:
    folder = maker.study(tmp_path, [Made(in_result=replaced("figures", "energy_total_j", by=1000.0))])
    (finding,) = verify(folder).findings
    assert (finding.where, finding.field, finding.stands) == ("results/e0_c1.json", "figures.energy_total_j", 1000.0)
    assert finding.expected == pytest.approx(1200)
    assert finding.found == f"figures.energy_total_j is 1000.0; recomputed: {finding.expected}"


def test_a_figure_that_was_altered_everywhere_is_found_everywhere(maker: Maker, tmp_path: Path) -> None:
    trial = Made(
        in_result=replaced("figures", "energy_total_j", by=1000.0), in_headline=replaced("energy_total_j", by=1000.0)
    )
    assert fields_found(maker.study(tmp_path, [trial])) == {
        "results/e0_c1.json": ["figures.energy_total_j"],
        "event 5": ["headline.energy_total_j"],
    }


def test_a_headline_of_an_earlier_llem_is_compared_by_the_figures_that_it_has(maker: Maker, tmp_path: Path) -> None:
    def of_before(headline: Tree) -> None:
        for name in ("u_energy_total_j", "u_scale_j", "input_tokens", "requests"):
            del headline[name]

    def altered(headline: Tree) -> None:
        of_before(headline)
        headline["energy_total_j"] = 1000.0

    folder = maker.study(tmp_path, [Made(in_headline=of_before), Made(in_headline=altered)])
    assert [finding.field for finding in verify(folder).findings] == ["headline.energy_total_j"]


def test_an_altered_headline_in_the_manifest_alone_is_found(maker: Maker, tmp_path: Path) -> None:
    folder = maker.study(tmp_path, [Made()])
    tree = json.loads(folder.manifest.read_text())
    tree["experiments"][0]["headline"]["energy_total_j"] = 1000.0
    folder.manifest.write_text(json.dumps(tree))
    assert fields_found(folder) == {"manifest.json": ["experiments[0].headline.energy_total_j"]}


def test_an_altered_mean_in_the_results_of_the_study_is_found(maker: Maker, tmp_path: Path) -> None:
    folder = maker.study(tmp_path, [Made(), Made()])
    tree = json.loads(folder.results_file.read_text())
    tree["experiments"][0]["energy_per_output_token_j"]["mean"] *= 0.9
    folder.results_file.write_text(json.dumps(tree))
    assert fields_found(folder) == {"results.json": ["experiments[0].energy_per_output_token_j.mean"]}


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff"])
def test_an_export_that_is_gone_or_garbled_says_nothing(maker: Maker, tmp_path: Path, content: bytes | None) -> None:
    folder = maker.study(tmp_path, [Made()])
    for path in (folder.manifest, folder.results_file):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    assert fields_found(folder) == {}


def test_an_export_that_is_behind_is_compared_with_what_was_so_then(maker: Maker, tmp_path: Path) -> None:
    folder = maker.study(tmp_path, [Made(), Made()])
    with Journal(folder.journal) as journal:
        then = ManifestFold().apply_all(row for row in journal.rows() if row.seq <= 7)
        export_manifest(then, folder.manifest)
        export_results(then, folder.results_file)
        assert journal.seal()
    assert fields_found(folder) == {}


def test_edges_that_were_altered_with_their_hash_give_other_figures(maker: Maker, tmp_path: Path) -> None:
    folder = maker.study(tmp_path, [Made()])
    with Journal(folder.journal) as journal:
        rows = list(journal.rows())
    completed = next(row for row in rows if row.kind == "experiment_completed")
    path = folder.samples / completed.payload()["samples_file"]
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    for block in lines[1:]:
        for number, column in zip(block["channels"], block["values"], strict=True):
            if number == 0 and "unit" in column:
                column["unit"] *= 1.01
    forged_samples(path, lines)
    found = {(finding.where, finding.field) for finding in verify(folder).findings}
    assert (f"samples/{path.name}", None) in found, "its hash is not the recorded one"
    assert ("results/e0_c1.json", "figures.energy_total_j") in found
    assert (f"event {completed.seq}", "headline.energy_total_j") in found


@pytest.mark.parametrize("part", ["results/e0_c1.json", "samples/e0_c1_a1.json.gz"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"{}", b"[" * 100_000, gzip.compress(b"[]", mtime=0)])
def test_a_file_that_is_missing_or_garbled_is_one_finding(
    maker: Maker, tmp_path: Path, part: str, content: bytes | None
) -> None:
    folder = maker.study(tmp_path, [Made(), Made()])
    path = folder.root / part
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    found = verify(folder)
    assert [(finding.where, finding.field) for finding in found.findings] == [(part, None)]
    assert (found.completed, found.recomputed, found.results) == (2, 1, 1)


@pytest.mark.parametrize(
    "part", ["results/e0_c1.json", "samples/e0_c1_a1.json.gz", "manifest.json", "results.json", "results/stray.json"]
)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(maker: Maker, tmp_path: Path, part: str) -> None:
    folder = maker.study(tmp_path, [Made()])
    (folder.root / part).unlink(missing_ok=True)
    os.mkfifo(folder.root / part)
    named = part.endswith("c1.json") or part.startswith("samples")
    assert fields_found(folder) == ({part: [None]} if named else {})


def test_a_result_that_is_none_is_named_though_its_hash_fits(maker: Maker, tmp_path: Path) -> None:
    trials = [Made(in_result=lambda tree: tree.pop("figures")), Made(in_samples=lambda lines: lines.insert(3, [99]))]
    with pytest.raises(Exception, match="cannot be read"):
        maker.study(tmp_path / "unreadable", trials[1:])
    found = verify(maker.study(tmp_path, trials[:1]))
    assert [finding.where for finding in found.findings] == ["results/e0_c1.json"]
    assert "figures" in found.findings[0].found


def test_what_another_arithmetic_made_is_told_and_is_no_finding(maker: Maker, tmp_path: Path) -> None:
    def of_before(tree: Tree) -> None:
        by_one_bit("energy_total_j")(tree)
        del tree["arithmetic"]  # as in files written before it was told

    found = verify(maker.study(tmp_path, [Made(in_result=of_before), Made()]))
    assert found.findings == ()
    assert (found.arithmetic, found.other_arithmetic) == (ARITHMETIC, {1: 1})
    assert (found.completed, found.recomputed, found.figures) == (2, 1, len(FIGURES))


def test_a_result_that_was_rejected_is_not_verified(maker: Maker, tmp_path: Path) -> None:
    folder = maker.study(tmp_path, [Made(), Made()])
    with Journal(folder.journal) as journal:
        journal.session += 1
        journal.append(ResultRejected(trial="e0_c1", attempt=1, file="results/e0_c1.json", reason="missing"))
        assert journal.seal()
    (folder.results / "e0_c1.json").unlink()
    found = verify(folder)
    assert (found.findings, found.completed, found.recomputed) == ((), 1, 1)


def test_a_folder_without_a_journal_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no study"):
        verify(StudyFolder(tmp_path))


def test_everything_that_an_evaluation_gives_stands_in_a_result() -> None:
    assert set(ExperimentResult.model_fields) > EVALUATED >= {"figures", "components", "provenance", "validity"}


@pytest.mark.parametrize(
    ("stands", "expected", "found"),
    [
        ({"a": 1.0}, {"a": 1.0}, []),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, [("a", 0.1 + 0.2, 0.3)]),
        ({"a": None}, {"a": 0}, [("a", None, 0)]),
        ({"a": {"b": 1}}, {"a": {}}, [("a.b", 1, None)]),
        ({}, {"a": "x"}, [("a", None, "x")]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [("a[1]", 2, 3)]),
        ({"a": [1]}, {"a": [1, 2]}, [("a", [1], [1, 2])]),
        ({"a": [1]}, {"a": {"b": 1}}, [("a", [1], {"b": 1})]),
    ],
)
def test_differences_are_named_leaf_by_leaf(stands: Any, expected: Any, found: Any) -> None:
    assert list(differences(stands, expected)) == found


def with_baseline(maker: Maker, place: Path, **changes: Any) -> StudyFolder:
    """Return a study with a baseline of a counter that rises by 20 J a second, its event changed by ``changes``."""
    folder = create_study_dir(place, "tiny", maker.make.start)
    sha256 = maker.samples(folder.samples / "baseline_s1_1.jsonl.gz", Made({"counter": 20.0}))
    held = read_samples(folder.samples / "baseline_s1_1.jsonl.gz")
    event = BaselineMeasured(
        powers=bare_powers(held.channels, held.edges, held.failures, 5 * S, 25 * S),
        why="first",
        start_ns=5 * S,
        end_ns=25 * S,
        samples_file="baseline_s1_1.jsonl.gz",
        samples_sha256=sha256,
    )
    with Journal(folder.journal) as journal:
        journal.append_all(maker.make.plan(1, 1))
        journal.append(event.model_copy(update=changes))
    return folder


def test_a_baseline_is_recomputed_from_its_readings(maker: Maker, tmp_path: Path) -> None:
    found = verify(with_baseline(maker, tmp_path))
    assert (found.baselines, found.findings) == (1, ())


def test_a_baseline_that_is_not_what_its_readings_give_is_found_with_the_place(maker: Maker, tmp_path: Path) -> None:
    forged = (BaselinePower(channel="nvml/GPU-1/energy", power_w=math.nextafter(20.0, 30.0), u_w=0.0),)
    found = fields_found(with_baseline(maker, tmp_path, powers=forged))
    assert list(found) == ["event 3"]
    assert "powers[0].power_w" in found["event 3"]


def test_a_baseline_of_another_time_is_found(maker: Maker, tmp_path: Path) -> None:
    assert list(fields_found(with_baseline(maker, tmp_path, end_ns=6 * S))) == ["event 3"]


def test_a_baseline_without_a_record_has_nothing_to_recompute(maker: Maker, tmp_path: Path) -> None:
    nothing = {"samples_file": None, "samples_sha256": None}
    found = verify(with_baseline(maker, tmp_path, **nothing))
    assert (found.baselines, found.findings) == (0, ())


def test_a_result_that_names_a_baseline_which_its_session_did_not_measure_is_found(
    maker: Maker, tmp_path: Path
) -> None:
    (forged,) = fields_found(
        maker.study(tmp_path, [Made(in_result=lambda tree: tree.update(baseline_seq=2))])
    ).values()
    assert forged == ["baseline_seq"]


def test_a_result_that_names_another_place_in_the_order_is_found(maker: Maker, tmp_path: Path) -> None:
    change = Made(in_result=lambda tree: tree.update(order_index=3, seed=8))
    (forged,) = fields_found(maker.study(tmp_path, [change])).values()
    assert forged == ["order_index", "seed"]


class TestOneTrial:
    """One trial without a journal around it, so that many can be made."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
        root = tmp_path_factory.mktemp("one")
        for part in PARTS:
            (root / part).mkdir()
        return StudyFolder(root)

    def made(self, maker: Maker, folder: StudyFolder, trial: Made) -> RecordedResult:
        config = maker.make.config()
        state = TrialState("e0_c1", 0, 1, maker.make.sha, {}, "e0_c1.json", status="completed")
        row = Row(5, "", 1, "experiment_completed", 1, "e0_c1", 1, "{}", "", "")
        tree, headline = maker.result(folder, state, trial, row, Plan([config]))
        (folder.results / "e0_c1.json").write_text(json.dumps(tree))
        event = ExperimentCompleted(
            trial="e0_c1",
            attempt=1,
            result_file="e0_c1.json",
            result_sha256=maker.make.sha,
            samples_file=tree["samples_file"],
            samples_sha256=tree["samples_sha256"],
            headline=headline,
        )
        row = maker.make.chain().append(event)
        return RecordedResult(state, 0, config, maker.make.plan(1, 1)[0], row, None, Grounds())

    # So little power that the operations per joule are beyond floats is no trial's.
    POWERS = st.none() | st.just(0.0) | st.floats(1e-9, 1e6)

    @given(
        st.dictionaries(st.sampled_from(["counter", "power", "package"]), POWERS, min_size=1),
        st.sampled_from([("cpu",), (GPU,)]),
        st.floats(0.5, 20),
        st.floats(21, 60),
        st.integers(1, 10**12),
    )
    def test_whatever_the_sensors_said_is_recomputed_to_the_last_bit(
        self, maker: Maker, folder: StudyFolder, powers: Any, devices: Any, t0_s: float, t1_s: float, flops: int
    ) -> None:
        flops_counted = {"per_pass": flops, "source": "counted"}
        trial = Made(powers, devices, {"window": maker.make.window(t0_s, t1_s), "flops": flops_counted})
        outcome = recompute(folder, self.made(maker, folder, trial))
        assert (outcome.findings, outcome.done) == ([], True)

    ANYTHING = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    )

    @given(st.data())
    def test_no_value_in_a_result_that_is_recomputed_can_be_another(
        self, maker: Maker, folder: StudyFolder, data: st.DataObject
    ) -> None:
        trial = self.made(maker, folder, Made())
        path = folder.results / "e0_c1.json"
        tree = json.loads(path.read_text())
        before = json.dumps(tree)
        spot: Any = tree
        key: Any = data.draw(st.sampled_from(sorted(EVALUATED)))
        while spot[key] and isinstance(spot[key], dict | list) and data.draw(st.booleans()):
            spot = spot[key]
            key = data.draw(st.sampled_from(list(spot) if isinstance(spot, dict) else list(range(len(spot)))))
        spot[key] = data.draw(self.ANYTHING)
        path.write_text(json.dumps(tree))
        if tree != json.loads(before):
            assert recompute(folder, trial).findings

    @given(st.data())
    def test_no_edges_trip_a_recomputation(self, maker: Maker, folder: StudyFolder, data: st.DataObject) -> None:
        trial = self.made(maker, folder, Made())
        path = folder.samples / str(trial.event.samples_file)
        lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        for _ in range(data.draw(st.integers(1, 4))):
            number = data.draw(st.integers(0, len(lines) - 1))
            if data.draw(st.booleans()) and isinstance(lines[number], dict) and lines[number]:
                lines[number][data.draw(st.sampled_from(sorted(lines[number])))] = data.draw(self.ANYTHING)
            else:
                lines[number] = data.draw(self.ANYTHING)
        forged_samples(path, lines)
        recompute(folder, trial)

    @given(st.binary(max_size=300))
    def test_no_bytes_trip_a_recomputation(self, maker: Maker, folder: StudyFolder, content: bytes) -> None:
        trial = self.made(maker, folder, Made())
        for path in (folder.samples / str(trial.event.samples_file), folder.results / "e0_c1.json"):
            path.write_bytes(content)
            (finding,) = recompute(folder, trial).findings
            assert finding.where.endswith(path.name)
