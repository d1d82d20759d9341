"""Study files as people write them, and what they are told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llem.domain.errors import InputError, StudyFileError
from llem.domain.spec import JsonlPrompts, SyntheticPrompts
from llem.study.grammar import GRAMMAR
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import plan_study

EXAMPLES = Path(__file__).parents[2] / "examples"
# Two lines, so that the third is where a case begins.
HEAD = "name: tiny\nmodel: {config: llama}\n"


@pytest.fixture
def told(tmp_path):
    """Return a function from a study's text to what its author is told, one line a problem, and the exit code."""

    def of(text):
        path = tmp_path / "study.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(StudyFileError) as refused:
            load_study(path, machine=UnknownMachine())
        assert refused.value.exit_code == 2
        assert str(refused.value).endswith("Mend the file and try again; nothing was run.")
        return refused.value.message.replace(f"{tmp_path}/", "").splitlines()

    return of


def configs_of(study):
    return [declared.config for declared in study.experiments]


@pytest.fixture
def loaded(tmp_path):
    """Return a function from a study's text, without name and model, to the study."""

    def of(text="", head=HEAD):
        path = tmp_path / "study.yaml"
        path.write_text(head + text)
        return load_study(path, machine=UnknownMachine())

    return of


NO_STUDY = {
    "empty": ("", "study.yaml: is empty; expected a study, such as examples/quickstart.yaml"),
    "only comments": ("# nothing\n", "study.yaml: is empty; expected a study, such as examples/quickstart.yaml"),
    "a list": ("- a\n- b\n", "study.yaml:1:1: holds a sequence; expected a mapping of keys to values"),
    "a text": ("hello\n", "study.yaml:1:1: holds a scalar; expected a mapping of keys to values"),
    "not UTF-8": (b"name: caf\xe9\n", "study.yaml: is not UTF-8 text: byte 9 is 0xe9"),
    "UTF-16": ("name: a\n".encode("utf-16"), "study.yaml: is not UTF-8 text: byte 0 is 0xff"),
    "two documents": (HEAD + "---\nname: b\n", "study.yaml:3:1: is no YAML: but found another document"),
    "python object": (
        HEAD + "batch_size: !!python/object/apply:os.system [ls]\n",
        "study.yaml:3:13: is no YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
    "unknown alias": (HEAD + "dtype: *nowhere\n", "study.yaml:3:8: is no YAML: found undefined alias"),
    "number as key": (HEAD + "4: four\n", "study.yaml:3:1: the key '4' is no text: put it in quotes"),
    "list as key": (HEAD + "? [a]\n: b\n", "study.yaml:3:3: the key [ScalarNode"),
    "key stands twice": (HEAD + "name: b\n", "study.yaml:3:1: name: stands twice; the first is on line 1"),
    "deep key stands twice": (
        HEAD + "generation:\n  seed: 1\n  seed: 2\n",
        "study.yaml:5:3: generation.seed: stands twice; the first is on line 4",
    ),
    "alias in itself": (HEAD + "limits: &a {b: *a}\n", "study.yaml:3:9: limits.b: an alias contains itself"),
    "oversized": (HEAD + "#" * 1_000_000, "study.yaml: has 1,000,034 bytes; a study file may have 1,000,000"),
}


@pytest.mark.parametrize(("text", "message"), NO_STUDY.values(), ids=NO_STUDY)
def test_a_file_that_holds_no_study_says_what_it_holds(told, text, message):
    (line,) = told(text)
    assert line.startswith(message)


@pytest.mark.parametrize(
    "text", ["name: a\n\tmodel: b\n", "name:\ta\n\tb: c\n", "model: {config: llama\n", "a: 'b\n"]
)
def test_a_file_that_is_no_yaml_says_where_it_stops_being_one(told, text):
    (line,) = told(text)
    assert line.startswith("study.yaml:2:") or line.startswith("study.yaml:3:")
    assert "is no YAML: " in line


def test_a_control_character_is_refused(told):
    line, *_ = told("name: a\x00b\n")
    assert line.startswith("study.yaml: is no YAML: ")


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(StudyFileError, match=r"nowhere\.yaml: cannot be read: No such file or directory") as refused:
        load_study(tmp_path / "nowhere.yaml")
    assert refused.value.exit_code == 2


def test_a_folder_is_no_study_file(tmp_path):
    with pytest.raises(StudyFileError, match="cannot be read: Is a directory"):
        load_study(tmp_path)


WRONG = {
    "nothing but a name": ("name: a\n", ["study.yaml:1:1: model: is missing"]),
    "no name": ("model: gpt2\n", ["study.yaml:1:1: name: is missing"]),
    "name climbs": (
        "name: ../x\nmodel: gpt2\n",
        [
            "study.yaml:1:1: name: string should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'; found '../x'",
        ],
    ),
    "name is a number": ("name: 5\nmodel: gpt2\n", ["study.yaml:1:1: name: input should be a valid string; found 5"]),
    "unknown key": (HEAD + "cylces: 3\n", ["study.yaml:3:1: cylces: unknown key 'cylces'; did you mean 'cycles'?"]),
    "far from any key": (
        HEAD + "xyzzy: 3\n",
        [
            "study.yaml:3:1: xyzzy: unknown key 'xyzzy'; expected one of base, batch_size, carbon, cycles, dtype, "
            "engine, environment, exclude, experiments, gaps, generation, limits, measurement, model, name, only, "
            "order, profile, prompts, reruns, retries, seed, sweep, transformers",
        ],
    ),
    "unknown key in generation": (
        HEAD + "generation:\n  temprature: 1\n",
        ["study.yaml:4:3: generation.temprature: unknown key 'temprature'; did you mean 'temperature'?"],
    ),
    "unknown key in measurement": (
        HEAD + "measurement: {warmup: 1}\n",
        ["study.yaml:3:15: measurement.warmup: unknown key 'warmup'; did you mean 'warmup_max_s'?"],
    ),
    "unknown key in prompts": (
        HEAD + "prompts: {path: p.jsonl, feild: text}\n",
        ["study.yaml:3:26: prompts.feild: unknown key 'feild'; did you mean 'field'?"],
    ),
    "unknown key in limits": (
        HEAD + "limits: {trail_s: 5}\n",
        ["study.yaml:3:10: limits.trail_s: unknown key 'trail_s'; did you mean 'trial_s'?"],
    ),
    "a trial shorter than its window": (
        HEAD + "limits:\n  trial_s: 11\n",
        [
            "study.yaml:4:3: limits.trial_s: too short: measurement.min_window_s and two of guard_s take 11.4 s; "
            "found 11"
        ],
    ),
    "a window longer than a trial may be by default": (
        HEAD + "measurement:\n  min_window_s: 5000\n",
        [
            "study.yaml:4:3: limits.trial_s: too short: measurement.min_window_s and two of guard_s take 5001.4 s; "
            "found 3600"
        ],
    ),
    "a warm-up that may take longer than its limit": (
        HEAD + "limits: {warmup_s: 100}\nsweep: {measurement.soak_max_s: [0, 60]}\n",
        [
            "study.yaml:3:10: limits.warmup_s: too short: measurement.warmup_max_s, soak_max_s and guard_s together "
            "allow 120.7 s; found 100"
        ],
    ),
    "unknown key in carbon": (
        HEAD + "carbon: {contry: FRA}\n",
        ["study.yaml:3:10: carbon.contry: unknown key 'contry'; did you mean 'country'?"],
    ),
    "unknown country": (
        HEAD + "carbon:\n  pue: 1.2\n  country: France\ncylces: 3\n",
        [
            "study.yaml:5:3: carbon.country: unknown country 'France'; did you mean 'FRA' (France)?",
            "study.yaml:6:1: cylces: unknown key 'cylces'; did you mean 'cycles'?",
        ],
    ),
    "two intensities": (
        HEAD + "carbon: {country: FRA, intensity_g_per_kwh: 56, source: RTE}\n",
        ["study.yaml:3:1: carbon: needs either intensity_g_per_kwh, with its source, or country"],
    ),
    "an intensity from nowhere": (
        HEAD + "carbon: {intensity_g_per_kwh: 56}\n",
        ["study.yaml:3:1: carbon: intensity_g_per_kwh needs its source, and a country has one already"],
    ),
    "a PUE below 1": (
        HEAD + "carbon: {country: FRA, pue: 0.9}\n",
        ["study.yaml:3:24: carbon.pue: input should be greater than or equal to 1; found 0.9"],
    ),
    "sweeping carbon": (
        HEAD + "sweep: {carbon.country: [FRA, DEU]}\n",
        [
            "study.yaml:3:9: sweep.carbon.country: 'carbon' belongs to the whole study, "
            "so no experiment can have its own"
        ],
    ),
    "unknown key of the engine": (
        HEAD + "transformers: {attn_implementatoin: sdpa}\n",
        [
            "study.yaml:3:16: transformers.attn_implementatoin: unknown key 'attn_implementatoin'; "
            "did you mean 'attn_implementation'?",
        ],
    ),
    "wrong type": (
        HEAD + "batch_size: many\n",
        [
            "study.yaml:3:1: batch_size: input should be a valid integer; found 'many'",
        ],
    ),
    "wrong choice": (
        HEAD + "dtype: fp16\n",
        ["study.yaml:3:1: dtype: input should be 'auto', 'float32', 'float16' or 'bfloat16'; found 'fp16'"],
    ),
    "out of range": (
        HEAD + "generation: {output_tokens: 0}\n",
        ["study.yaml:3:14: generation.output_tokens: input should be greater than 0; found 0"],
    ),
    "unknown engine": (
        HEAD + "engine: transformer\n",
        ["study.yaml:3:1: engine: unknown engine 'transformer'; did you mean 'transformers'?"],
    ),
    "unknown sensor": (
        HEAD + "measurement:\n  sensors: [nvml, rapls]\n",
        ["study.yaml:4:3: measurement.sensors: unknown sensor 'rapls'; did you mean 'rapl'?"],
    ),
    "unknown sweep key": (
        HEAD + "sweep:\n  bacth_size: [1]\n",
        ["study.yaml:4:3: sweep.bacth_size: unknown key 'bacth_size'; did you mean 'batch_size'?"],
    ),
    "unknown deep sweep key": (
        HEAD + "sweep:\n  generation.temprature: [1]\n",
        ["study.yaml:4:3: sweep.generation.temprature: unknown key 'temprature'; did you mean 'temperature'?"],
    ),
    "sweeping cycles": (
        HEAD + "sweep: {cycles: [1, 2]}\n",
        ["study.yaml:3:9: sweep.cycles: 'cycles' belongs to the whole study, so no experiment can have its own"],
    ),
    "sweeping the sweep": (
        HEAD + "sweep: {sweep.batch_size: [1]}\n",
        [
            "study.yaml:3:9: sweep.sweep.batch_size: 'sweep' belongs to the whole study, "
            "so no experiment can have its own",
        ],
    ),
    "sweep of one value without brackets": (
        HEAD + "sweep: {batch_size: 4}\n",
        ["study.yaml:3:9: sweep.batch_size: expected a list of values; found 4"],
    ),
    "sweep of nothing": (
        HEAD + "sweep: {batch_size: []}\n",
        [
            "study.yaml:3:9: sweep.batch_size: expected a list of values; an empty one leaves no experiment",
        ],
    ),
    "no good value in a sweep": (
        HEAD + "sweep:\n  dtype: [single, fp16]\n",
        [
            "study.yaml:4:11: dtype: input should be 'auto', 'float32', 'float16' or 'bfloat16'; found 'single'",
            "study.yaml:4:19: dtype: input should be 'auto', 'float32', 'float16' or 'bfloat16'; found 'fp16'",
        ],
    ),
    "sampling without sampling": (
        HEAD + "generation:\n  temperature: 0.7\n  top_k: 5\n",
        ["study.yaml:3:1: generation: temperature and top_k would have no effect without 'do_sample: true'"],
    ),
    "two ways to place a model": (
        HEAD + "transformers: {device: cpu, device_map: auto}\n",
        ["study.yaml:3:1: transformers: give 'device' or 'device_map', not both"],
    ),
    "batch larger than prompts": (
        HEAD + "batch_size: 8\nprompts: {count: 4}\n",
        ["study.yaml:3:1: batch_size: batch_size (8) is more than prompts.count (4)"],
    ),
    "quantised random weights": (
        HEAD + "transformers: {quantization_config: {quant_method: bitsandbytes}}\n",
        [
            "study.yaml:3:16: transformers.quantization_config: random weights cannot be quantised: give a model",
        ],
    ),
}


@pytest.mark.parametrize(("text", "messages"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_told_with_its_place_and_what_was_expected(told, text, messages):
    assert told(text) == messages


def test_a_missing_model_folder_is_told_at_its_line(told, tmp_path):
    expected = "Expected a folder, a hub id or 'config:'"
    assert told("name: a\nmodel: ./nowhere\n") == [
        f"study.yaml:2:1: model: nowhere is no model: there is no such folder. {expected}"
    ]
    (tmp_path / "nowhere").mkdir()
    assert told("name: a\nmodel: ./nowhere\n") == [
        f"study.yaml:2:1: model: nowhere is no model: it has no config.json. {expected}"
    ]


def test_a_missing_prompts_file_is_told_at_its_line(told):
    assert told(HEAD + "prompts:\n  path: nowhere.jsonl\n") == [
        "study.yaml:4:3: prompts.path: The prompts nowhere.jsonl cannot be read: No such file or directory. "
        "Check prompts.path."
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"text": "a"}\nnot json\n', "p.jsonl:2: expected a JSON object with a text under 'text'"),
        ('{"text": "a"}\n\n{"prompt": "b"}\n', "p.jsonl:3: expected a JSON object with a text under 'text'"),
        ('{"text": 5}\n', "p.jsonl:1: expected a JSON object with a text under 'text'"),
        ('{"text": ""}\n', "p.jsonl:1: expected a JSON object with a text under 'text'"),
        ('["text"]\n', "p.jsonl:1: expected a JSON object with a text under 'text'"),
        ("", "p.jsonl holds 0 prompts; the study asks for at least one"),
    ],
)
def test_a_bad_prompts_file_is_told_with_its_own_line(told, tmp_path, lines, message):
    (tmp_path / "p.jsonl").write_text(lines)
    (line,) = told(HEAD + "prompts: {path: p.jsonl}\n")
    assert line.startswith(f"study.yaml:3:11: prompts.path: {message}")


def test_a_prompts_file_that_is_too_short_for_the_study_is_told(told, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    (line,) = told(HEAD + "prompts: {path: p.jsonl, count: 3}\n")
    assert "p.jsonl holds 2 prompts; the study asks for 3" in line
    assert told(HEAD + "batch_size: 3\nprompts: {path: p.jsonl}\n") == [
        "study.yaml:3:1: batch_size: 2 prompts cannot fill one batch of 3"
    ]


def test_a_prompts_file_is_read_from_the_studys_folder_and_hashed(loaded, tmp_path, monkeypatch):
    (tmp_path / "p.jsonl").write_text('{"text": "a"}\n')
    monkeypatch.chdir("/")
    (config,) = configs_of(loaded("prompts: {path: p.jsonl}\n"))
    assert isinstance(config.prompts, JsonlPrompts)
    # sha256sum of the line above
    assert config.prompts.sha256 == "7c24616314d4c7ddcc755cd2cb42baf4e49ac41b1492fa02c30adc34e1cb2e5d"


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(told):
    text = "name: a/b\nmodel: {config: llama}\ncylces: 3\nlimits: {trial_s: -1}\norder: random\nsweep: {seed: [1]}\n"
    assert [line.split(": ")[0] for line in told(text)] == [
        f"study.yaml:{n}" for n in ("1:1", "3:1", "4:10", "5:1", "6:9")
    ]


def test_mistakes_in_the_experiments_are_told_together_with_those_in_the_settings(told):
    lines = told(HEAD + "cylces: 3\ndtype: fp16\ngeneration: {output_tokens: 0}\n")
    assert [line.split(": ")[1] for line in lines] == ["cylces", "dtype", "generation.output_tokens"]


def test_one_mistake_in_the_base_of_a_sweep_is_told_once(told):
    assert len(told(HEAD + "dtype: fp16\nsweep: {batch_size: [1, 2, 4], generation.seed: [1, 2]}\n")) == 1


def test_a_model_without_an_architecture_is_told_once_and_what_is_missing(told):
    lines = told("name: a\nmodel: {hidden_size: 64}\n")
    assert any("model.config: is missing" in line for line in lines)


NO_PLACE_TO_LAND = {
    "below a hub id": ("name: a\nmodel: gpt2\nsweep:\n  model.hidden_size: [8, 16]\n", "4:23"),
    "below a number": (HEAD + "batch_size: 1\nsweep:\n  batch_size.x: [1]\n", "5:3"),
    "below a wrong section": (HEAD + "prompts: 5\nsweep:\n  prompts.count: [8]\n", "5:19"),
}


@pytest.mark.parametrize(("text", "place"), NO_PLACE_TO_LAND.values(), ids=NO_PLACE_TO_LAND)
def test_a_sweep_below_a_value_that_is_no_section_is_told(told, text, place):
    assert any(line.startswith(f"study.yaml:{place}: ") for line in told(text))


@pytest.mark.parametrize("engine", ["[transformers]", "{a: 1}", "~", "5", "''"])
def test_an_engine_that_is_no_name_is_told(told, engine):
    (line,) = told(HEAD + f"engine: {engine}\n")
    assert line.startswith("study.yaml:3:1: engine: ")


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize(
    "text",
    [
        "name: a\nmodel:\n  {{config: llama, x: {0}}}\n",
        "name: a\nmodel: {{config: llama}}\nsweep: {{model.x: [{0}]}}\n",
        HEAD.replace("{", "{{").replace("}", "}}") + "generation: {{do_sample: true, temperature: {0}}}\n",
        HEAD.replace("{", "{{").replace("}", "}}") + "transformers: {{torch_compile: {{a: {0}}}}}\n",
        HEAD.replace("{", "{{").replace("}", "}}") + "limits: {{trial_s: {0}}}\n",
    ],
    ids=["model", "sweep", "generation", "engine", "limits"],
)
def test_a_number_that_json_cannot_say_is_told_at_its_line(told, text, number):
    assert all(line.startswith("study.yaml:3:") for line in told(text.format(number)))


@pytest.mark.parametrize(
    "text",
    [
        'prompts: {path: "a\\0b"}\n',
        f"prompts: {{path: {'a' * 5000}}}\n",
        "prompts: {path: .}\n",
        "prompts: {path: /dev/null/x}\n",
    ],
    ids=["null byte", "too long", "a folder", "below a file"],
)
def test_a_prompts_path_that_no_system_can_open_is_told(told, text):
    (line,) = told(HEAD + text)
    assert line.startswith("study.yaml:3:")


@pytest.mark.parametrize("model", ['"./a\\0b"', "./" + "a" * 5000, "~nobody-of-this-name/x", "''", "[]", "~", "5"])
def test_a_model_that_no_system_can_open_is_told(told, model):
    assert all(line.startswith("study.yaml:2:1: model: ") for line in told(f"name: a\nmodel: {model}\n"))


@pytest.mark.parametrize("section", ["[]", "false", "0", "''"])
def test_a_section_that_is_no_section_is_told_and_not_taken_for_an_empty_one(told, section):
    (line,) = told(HEAD + f"transformers: {section}\n")
    assert line.startswith("study.yaml:3:1: transformers: ")


@pytest.mark.parametrize("value", ["true", "yes", "'4'", "4.5"])
def test_a_number_of_requests_is_written_as_a_number(told, value):
    (line,) = told(HEAD + f"batch_size: {value}\n")
    assert line.startswith("study.yaml:3:1: batch_size: ")


def test_a_sweep_key_that_ends_in_a_dot_is_told(told):
    (line,) = told(HEAD + "sweep: {batch_size.: [1, 2]}\n")
    assert line.startswith("study.yaml:3:9: sweep.batch_size.: ")


def test_a_mistake_that_overrides_a_merged_value_is_told_at_its_own_line(told):
    text = HEAD + "measurement: &m {guard_s: 1}\ngeneration:\n  <<: {seed: 1}\n  seed: none\n"
    (line,) = told(text)
    assert line.startswith("study.yaml:6:3: generation.seed: ")


LAUGHS = "\n".join(
    ["name: a", "model:", "  config: llama", "  l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    + [f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 40)]
)
FLOODS = {
    "a billion laughs": (LAUGHS, "unfolds to more than 200,000 values"),
    "a wide list": (HEAD + f"sweep: {{batch_size: [{'1,' * 220_000}]}}\n", "unfolds to more than 200,000 values"),
}
LOAD = (
    "import sys\n"
    "from pathlib import Path\n"
    "from llem.domain.errors import LlemError\n"
    "from llem.study.load import load_study\n"
    "try:\n"
    "    load_study(Path(sys.argv[1]))\n"
    "except LlemError as error:\n"
    "    print(error)\n"
    "    sys.exit(error.exit_code)\n"
)


@pytest.mark.parametrize(("text", "message"), FLOODS.values(), ids=FLOODS)
def test_a_small_file_that_unfolds_without_end_is_refused_while_it_is_small(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    # Unfolded it would need far more than this: a process that has not ended by then never does.
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, message in done.stdout) == (2, True), done.stdout + done.stderr


@pytest.mark.parametrize("depth", [100, 3_000, 150_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")], ids=["lists", "mappings"])
def test_a_file_of_any_depth_is_refused_and_harms_nothing(tmp_path, depth, opening, closing):
    path = tmp_path / "study.yaml"
    path.write_text(f"name: a\nmodel: {opening * depth}{closing * depth}\n")
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], check=False, capture_output=True, text=True)
    assert (done.returncode, "study.yaml" in done.stdout) == (2, True), done.stderr[-300:]


@given(st.text() | st.binary())
def test_no_file_whatever_gives_anything_but_a_study_or_a_refusal(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "study.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(StudyFileError):
        load_study(path, machine=UnknownMachine())


KEYS = GRAMMAR.keys[()]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["llama", "auto", "", "a/b", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["config", "count", "path", "source", "sensors", "device", "batch_size", "model.seed", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))
def test_no_values_whatever_give_anything_but_a_study_or_a_refusal(tmp_path_factory, changes):
    path = tmp_path_factory.mktemp("any") / "study.yaml"
    tree = {"name": "a", "model": {"config": "llama"}, **changes}
    # JSON is YAML, but for the names of what is no number.
    text = json.dumps(tree).replace("NaN", ".nan").replace("-Infinity", "-.inf").replace("Infinity", ".inf")
    path.write_text(text)
    try:
        plan = plan_study(load_study(path, machine=UnknownMachine()))
    except InputError:  # exit code 2
        return
    assert plan.study.declared >= len(plan.experiments) >= 1


def test_the_least_that_a_study_says_is_filled_in(loaded):
    study = loaded()
    (config,) = configs_of(study)
    assert (study.settings.cycles, study.settings.order, study.settings.seed) == (5, "blocks", None)
    assert (config.engine, config.dtype, config.batch_size) == ("transformers", "auto", 1)
    assert config.prompts == SyntheticPrompts(count=8, input_tokens=128, seed=0)
    assert config.engine_options["device"] == "auto"
    assert (config.generation.output_tokens, config.generation.stop) == (64, "forced")


def test_anchors_and_merge_keys_work(loaded):
    (config,) = configs_of(loaded("generation: &base\n  output_tokens: 4\n  seed: 1\n"))
    assert config.generation.output_tokens == 4
    (config,) = configs_of(loaded("prompts: {<<: {count: 4, seed: 9}, count: 5}\n"))
    assert (config.prompts.count, config.prompts.seed) == (5, 9)


def test_an_anchor_that_two_places_share_is_swept_in_one_of_them_only(loaded):
    study = loaded(
        "sweep: {model.rope.a: [1, 2]}\n",
        head="name: a\nmodel: {config: llama, rope: &shared {a: 0}, other: *shared}\n",
    )
    assert [config.model.options for config in configs_of(study)] == [
        {"rope": {"a": 1}, "other": {"a": 0}},
        {"rope": {"a": 2}, "other": {"a": 0}},
    ]


def test_a_sweep_beside_a_fixed_sub_block_gives_each_value_once(loaded):
    study = loaded("generation: {seed: 3}\nsweep: {generation.output_tokens: [1, 2, 4]}\n")
    assert [(c.generation.output_tokens, c.generation.seed) for c in configs_of(study)] == [(1, 3), (2, 3), (4, 3)]


def test_a_sweep_over_a_section_that_the_file_leaves_out_lands_in_it(loaded):
    study = loaded("sweep: {transformers.attn_implementation: [eager, sdpa], measurement.guard_s: [0]}\n")
    assert [config.engine_options["attn_implementation"] for config in configs_of(study)] == ["eager", "sdpa"]


def test_a_sweep_below_an_engines_empty_section_lands_in_it(loaded):
    study = loaded("transformers:\nsweep: {transformers.attn_implementation: [eager]}\n")
    assert [config.engine_options["attn_implementation"] for config in configs_of(study)] == ["eager"]


def test_a_byte_order_mark_is_no_mistake(loaded):
    assert loaded(head="\ufeff" + HEAD).settings.name == "tiny"


def test_the_file_is_kept_as_it_was_written(loaded, tmp_path):
    study = loaded("# a comment\n")
    assert [(source.file, source.raw) for source in study.sources] == [
        (str(tmp_path / "study.yaml"), b"name: tiny\nmodel: {config: llama}\n# a comment\n")
    ]
    assert study.base_dir == tmp_path


def test_the_quickstart_that_is_shipped_loads():
    study = load_study(EXAMPLES / "quickstart.yaml", machine=UnknownMachine())
    assert (study.settings.name, len(study.experiments), study.settings.cycles) == ("quickstart", 4, 3)
