"""Whatever a study file holds, and whatever is typed beside it: a plan, or a refusal with exit code 2.

The long profile (see ``conftest.py``) takes thousands of cases each: ``HYPOTHESIS_PROFILE=long pytest``.
"""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llem.domain.errors import InputError
from llem.domain.events import ExperimentPlanned, StudyPlanned
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import plan_study

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = settings(max_examples=max(150, settings.default.max_examples))


def plan_or_refusal(path, commanded=(), grammar=None):
    """Plan a study, check that its plan holds together, and return whether it was one.

    Whatever is raised beside an InputError, whose exit code is 2, is a mistake of llem's.
    """
    options = {} if grammar is None else {"grammar": grammar}
    try:
        plan = plan_study(load_study(path, commanded, machine=UnknownMachine(), **options))
    except InputError as refused:
        assert str(refused)  # noqa: PT017 - to say nothing is not what is expected of a refusal
        return False
    skipped = sum(len(found.points) for found in plan.study.skipped)
    assert plan.study.declared == len(plan.experiments) + plan.study.duplicates + skipped
    assert plan.trials == plan.study.cycles * len(plan.experiments)
    assert StudyPlanned.model_validate_json(plan.study.model_dump_json()) == plan.study
    for experiment in plan.experiments[:3]:
        assert ExperimentPlanned.model_validate_json(experiment.model_dump_json()) == experiment
    return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with what studies refer to: the examples, texts and a model."""
    root = tmp_path_factory.mktemp("fuzz") / "examples"
    shutil.copytree(EXAMPLES, root, ignore=shutil.ignore_patterns("*.json", "tiny-llama"))
    (root / "tiny").mkdir()
    (root / "tiny" / "config.json").write_text("{}")
    (root / "texts.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    return root


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(
        ["auto", "> 1", "${HOME}", "${NOWHERE:x}", "${", "a.b", "~", "~x", "..", "/", "\0", "1:30.5", "2026-01-02"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
NUMBERS = st.sampled_from([1, 2, 4, 8])
ODD_NUMBERS = st.sampled_from([0, 1.0, 0.5, -1, 10**20, True, "2"])
MODELS = st.sampled_from(["gpt2", "org/model", "./tiny", "tiny", "${NOWHERE:gpt2}"]) | st.fixed_dictionaries(
    {"config": st.sampled_from(["llama", "gpt2"])},
    optional={"hidden_size": NUMBERS, "seed": NUMBERS | ODD_NUMBERS, "x": JUNK},
)
# Plausible values for each dotted key of an experiment, and others that are nearly so.
VALUES = {
    "model": (MODELS, st.sampled_from(["./nowhere", "${NOWHERE}", {"hidden_size": 8}])),
    "model.hidden_size": (NUMBERS, ODD_NUMBERS),
    "engine": (st.sampled_from(["transformers", "vllm"]), st.just("vlm")),
    "dtype": (st.sampled_from(["auto", "float32", "float16"]), st.just("fp16")),
    "batch_size": (NUMBERS, ODD_NUMBERS),
    "prompts.source": (st.just("synthetic"), st.sampled_from(["jsonl", "text"])),
    "prompts.count": (st.sampled_from([8, 16]), NUMBERS | ODD_NUMBERS),
    "prompts.path": (
        st.sampled_from(["prompts.jsonl", "${NOWHERE:prompts.jsonl}"]),
        st.sampled_from(["texts.jsonl", "nowhere.jsonl", "."]),
    ),
    "prompts.seed": (NUMBERS, ODD_NUMBERS),
    "generation.output_tokens": (NUMBERS, ODD_NUMBERS),
    "generation.do_sample": (st.just(True), st.just(False)),
    "generation.top_k": (st.none(), NUMBERS | ODD_NUMBERS),
    "generation.seed": (NUMBERS, ODD_NUMBERS),
    "measurement.sensors": (st.sampled_from(["auto", ["rapl"], ["nvml", "rapl"]]), st.sampled_from([["x"], "rapl"])),
    "measurement.guard_s": (st.sampled_from([0, 0.5, 1, 1.0]), ODD_NUMBERS),
    "measurement.isolation": (st.sampled_from(["auto", "exec"]), st.just("fork")),
    "environment.OMP_NUM_THREADS": (st.sampled_from(["1", "2"]), st.sampled_from([1, None, "a\0"])),
    "transformers.device": (st.sampled_from(["cpu", "auto"]), st.sampled_from(["cuda", "cuda:0", "gpu"])),
    "transformers.device_map": (st.none(), st.sampled_from(["auto", {"": "cpu"}])),
    "transformers.quantization_config": (st.none(), st.sampled_from([{"quant_method": "bitsandbytes"}, {}])),
    "transformers.torch_compile": (st.sampled_from([True, False, {"mode": "default"}]), ODD_NUMBERS),
    "vllm.max_num_seqs": (NUMBERS, ODD_NUMBERS),
    "vllm.quantization": (st.sampled_from([None, "gptq"]), st.just("awq")),
    "vllm.path": (st.sampled_from([None, "a"]), ODD_NUMBERS),
}
KEYS = sorted(VALUES)
SETTINGS = {
    "cycles": NUMBERS,
    "order": st.sampled_from(["blocks", "sequential", "interleave", "reverse", "shuffle", "latin_square"]),
    "seed": NUMBERS,
    "profile": st.sampled_from(["quick", "standard", "publish"]),
    "limits": st.fixed_dictionaries({}, optional={"trial_s": NUMBERS, "study_s": NUMBERS}),
    "carbon": st.sampled_from([{"country": "FRA", "pue": 2}, {"intensity_g_per_kwh": 56, "source": "a"}]),
    "gaps": st.fixed_dictionaries(
        {}, optional={"between_trials": NUMBERS | st.just({"cool_to_c": 45, "at_most_s": 60})}
    ),
}
ODD_SETTINGS = st.sampled_from(["fast", {"x": 1}, {"between_cycles": {"cool_to_c": 45}}]) | ODD_NUMBERS


@st.composite
def now_and_then(draw, usual, else_, one_in):
    """Draw from ``usual``, and once in ``one_in`` times from ``else_``."""
    return draw(else_ if draw(st.integers(1, one_in)) == 1 else usual)


def value_of(key):
    usual, odd = VALUES[key]
    return now_and_then(usual, odd | JUNK, 20)


@st.composite
def misspelt(draw, key):
    place = draw(st.integers(0, len(key)))
    lacking, parted = key[:place] + key[place + 1 :], key[:place] + "." + key[place:]
    return draw(st.sampled_from([lacking, parted, f"{key}x", f"{key}.", f"{key}.x"]))


@st.composite
def dotted(draw, values, *, most=3):
    """Draw a mapping of dotted keys; ``values`` makes the strategy for the value of a key."""
    tree = {}
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=most, unique=True)):
        name = draw(now_and_then(st.just(key), misspelt(key), 60))
        tree[name] = draw(values(key))
    return tree


def nested(tree):
    """Return a mapping of dotted keys as one of sections."""
    found = {}
    for key, value in tree.items():
        head, dot, rest = key.partition(".")
        if dot and isinstance(found.setdefault(head, {}), dict):
            found[head][rest] = value
        elif not dot:
            found[head] = value
    return found


ENTRIES = dotted(value_of) | dotted(value_of).map(nested)
LISTS = lambda key: st.lists(value_of(key), min_size=1, max_size=3)  # noqa: E731 - a strategy for each key
GROUP_ENTRIES = dotted(lambda key: value_of(key) | LISTS(key)) | dotted(lambda key: value_of(key) | LISTS(key)).map(
    nested
)


@st.composite
def zips(draw):
    length = draw(st.integers(1, 3))
    columns = lambda key: st.lists(value_of(key), min_size=length, max_size=length)  # noqa: E731 - as above
    return draw(now_and_then(dotted(columns), dotted(LISTS), 8))


def conditions():
    comparisons = st.sampled_from(["> 1", ">= 2", "< 4", "!= sdpa", "!= null", ["<= 1", 8], "> x"])
    return st.lists(dotted(lambda key: value_of(key) | comparisons, most=2), min_size=1, max_size=2)


@st.composite
def sweeps(draw):
    tree = draw(dotted(LISTS))
    if draw(st.booleans()):
        tree[draw(st.sampled_from(["g", "source", "path", "limits"]))] = draw(
            st.lists(GROUP_ENTRIES, min_size=1, max_size=3)
        )
    if draw(st.booleans()):
        tree["zip"] = draw(zips() | st.lists(zips(), min_size=1, max_size=2))
    if draw(st.integers(0, 9)) == 0:
        tree[draw(st.sampled_from(["batch_size", "g", "zip"]))] = None
    return tree


@st.composite
def documents(draw, *, base=None):
    """Draw a study that is right but for a mistake here and there."""
    tree = {"name": "fuzz", "model": draw(MODELS)} | nested(draw(dotted(value_of)))
    for key in draw(st.lists(st.sampled_from(sorted(SETTINGS)), max_size=3, unique=True)):
        tree[key] = draw(now_and_then(SETTINGS[key], ODD_SETTINGS | JUNK, 20))
    parts = {
        "sweep": sweeps(),
        "experiments": st.lists(ENTRIES, min_size=1, max_size=3),
        "exclude": conditions(),
        "only": conditions(),
        "x-note": JUNK,
    }
    for key in draw(st.lists(st.sampled_from(sorted(parts)), max_size=3, unique=True)):
        tree[key] = draw(now_and_then(parts[key], JUNK, 20))
    if base is not None:
        tree["base"] = base
    if draw(st.integers(0, 9)) == 0:
        key = draw(now_and_then(st.sampled_from(sorted(tree)).flatmap(misspelt), st.text(max_size=5), 4))
        tree[key] = draw(JUNK)
    if draw(st.integers(0, 9)) == 0:
        del tree[draw(st.sampled_from(sorted(tree)))]
    return tree


def typed():
    """Return a strategy for what is typed after ``--set``."""
    of_experiments = st.sampled_from(KEYS).flatmap(lambda key: st.tuples(st.just(key), value_of(key)))
    of_studies = st.sampled_from(sorted(SETTINGS)).flatmap(lambda key: st.tuples(st.just(key), SETTINGS[key]))
    others = st.tuples(
        st.sampled_from(["sweep", "sweep.batch_size", "sweep.g", "sweep.zip", "exclude", "generation", "base", "x"]),
        JUNK | sweeps() | st.lists(ENTRIES, max_size=2) | NUMBERS.map(lambda number: [number]),
    )
    pairs = (of_experiments | of_studies | others).map(lambda pair: f"{pair[0]}={as_yaml(pair[1])}")
    return st.lists(now_and_then(pairs, st.text(max_size=8), 20), max_size=2)


def as_yaml(tree):
    # JSON is YAML, but for the names of what is no number.
    text = json.dumps(tree, ensure_ascii=False)
    return text.replace("NaN", ".nan").replace("-Infinity", "-.inf").replace("Infinity", ".inf")


@CASES
@given(documents(), typed(), st.booleans())
def test_no_study_whatever_gives_anything_but_a_plan_or_a_refusal(folder, two_engines, study, commanded, two):
    (folder / "study.yaml").write_text(as_yaml(study), encoding="utf-8", errors="replace")
    plan_or_refusal(folder / "study.yaml", commanded, two_engines if two else None)


@CASES
@given(
    documents(base="deeper/base.yaml"), documents() | documents(base="../study.yaml") | documents(base="more.yaml")
)
def test_no_study_over_any_base_gives_anything_but_a_plan_or_a_refusal(folder, two_engines, study, base):
    (folder / "deeper").mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(as_yaml(study), encoding="utf-8", errors="replace")
    (folder / "deeper" / "base.yaml").write_text(as_yaml(base), encoding="utf-8", errors="replace")
    plan_or_refusal(folder / "study.yaml", (), two_engines)


ORIGINALS = {str(path.relative_to(EXAMPLES)): path.read_bytes() for path in sorted(EXAMPLES.rglob("*.yaml"))}
PIECES = [
    *(
        b"\t",
        b"\n",
        b"  ",
        b"- ",
        b": ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"#",
        b"'",
        b'"',
        b"|",
        b">",
        b"---\n",
        b"\0",
        b"\xff",
    ),
    *(b"&a ", b"*a", b"<<: *a", b"<<: ", b"? ", b"!!set ", b"!!float ", b"!!binary ", b"!x ", b"~", b".inf", b"0x1p"),
    *(b"-1", b"1e999", b"1.0e+999", b"9" * 400, b"2026-01-02", b"${NOWHERE}", b"${NOWHERE:x}", b"null", b"{}", b"[]"),
    *(b"sweep:\n", b"zip: ", b"base: study.yaml\n", b"model.x: 1\n", b"exclude: [{batch_size: 1}]\n", "é".encode()),
]


@st.composite
def mutated(draw):
    """Draw an example with some of its bytes changed: (its name, its content)."""
    name = draw(st.sampled_from(sorted(ORIGINALS)))
    content = ORIGINALS[name]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 0, 1, 2, 8, 60])))
        pieces = st.sampled_from(PIECES) | st.binary(max_size=3)
        # Bytes taken from elsewhere in the file make copies of keys and lines.
        copied = st.integers(0, len(content)).map(lambda at, whole=content: whole[at : at + 30])
        content = content[:start] + draw(pieces | copied) + content[end:]
    return name, content


@CASES
@given(mutated())
def test_no_example_with_any_bytes_changed_gives_anything_but_a_plan_or_a_refusal(folder, case):
    name, content = case
    path = folder / Path(name).parent / "mutated.yaml"
    path.write_bytes(content)
    plan_or_refusal(path)


@pytest.mark.parametrize("name", sorted(ORIGINALS))
def test_every_example_is_a_plan_before_anything_is_changed_in_it(folder, name):
    (folder / "local_model" / "tiny-llama").mkdir(exist_ok=True)
    (folder / "local_model" / "tiny-llama" / "config.json").write_text("{}")
    assert plan_or_refusal(folder / name)


def test_many_of_the_studies_that_are_drawn_are_plausible(folder, two_engines):
    """A fuzz test that only ever draws what is refused at the first look would show little."""
    plans = []

    @settings(max_examples=400, database=None, derandomize=True)
    @given(documents())
    def draw(study):
        (folder / "study.yaml").write_text(as_yaml(study), encoding="utf-8", errors="replace")
        try:
            plans.append(plan_or_refusal(folder / "study.yaml", (), two_engines))
        except Exception:  # noqa: BLE001 - the tests above tell of these
            plans.append(False)

    draw()
    assert sum(plans) >= len(plans) / 6
