"""Real, tiny models through the real command line: what a trial's result file says is what was asked and done."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lab import TINY_LLAMA

from llem.domain.deadlines import Deadlines
from llem.domain.measured import Measured
from llem.domain.messages import Stagger, WorkerSpec
from llem.domain.spec import Limits
from llem.study.local import LocalLauncher
from llem.study.signals import EndingSignals
from llem.study.supervise import Supervisor

pytestmark = pytest.mark.model

SHORT = {
    "warmup_passes": 1,
    "warmup_max_s": 0,
    "soak_max_s": 0,
    "min_window_s": 0.2,
    "min_passes": 2,
    "guard_s": 0.05,
    "bare_idle_s": 0,
}
WHOLE = {**SHORT, "warmup_max_s": 2, "soak_max_s": 5}
"""The whole protocol of a trial."""
COUNT, INPUT, OUTPUT = 3, 12, 6


def write(lab: Any, name: str, **changes: Any) -> Path:
    tree = {
        "name": name,
        "model": TINY_LLAMA,
        "dtype": "float32",
        "prompts": {"count": COUNT, "input_tokens": INPUT},
        "generation": {"output_tokens": OUTPUT},
        "measurement": {**SHORT, "sensors": []},
        "cycles": 1,
        **changes,
    }
    path: Path = lab.place / f"{name}.yaml"
    path.write_text(json.dumps(tree))
    return path


def run(lab: Any, study_file: Path, *options: str, code: int = 0, **popen: Any) -> tuple[Any, Any]:
    session = lab.llem("study", "run", study_file, "--output", lab.output, *options, code=code, **popen)
    return session, lab.study_of(session)


@pytest.fixture(scope="module")
def measured(module_lab: Any) -> Any:
    """Measure a random llama with forced and with natural stops; return the session and its study."""
    sweep = {"generation.stop": ["forced", "natural"]}
    return run(module_lab, write(module_lab, "measured", sweep=sweep, batch_size=2, measurement=WHOLE), "--json")


def results(study: Any) -> dict[str, Any]:
    """Return the result of each kind of stop."""
    found = [study.result(trial) for trial in study.trials()]
    return {result["config"]["generation"]["stop"]: result for result in found}


def test_a_session_prints_json_lines_and_nothing_else(measured: Any) -> None:
    session, study = measured
    *lines, closing = [json.loads(line) for line in session.out.splitlines()]
    assert [line["kind"] for line in lines][-2:] == ["study_completed", "session_ended"]
    assert {line["hash"] for line in lines} <= {event["hash"] for event in study.events()}
    assert (closing["status"], closing["exit_code"]) == ("completed", 0)


def test_every_phase_of_a_trial_that_no_meter_reads_is_an_event(measured: Any) -> None:
    _, study = measured
    phases = [event["data"]["phase"] for event in study.events("phase_entered", trial=study.trials()[0])]
    assert phases == [
        "load",
        "prepare",
        "count_flops",
        "warmup",
        "soak",
        "measure",
        "latency",
        "teardown",
    ]


def test_what_comes_before_the_window_is_in_the_result_as_it_was(measured: Any) -> None:
    found = results(measured[1])["forced"]["measured"]
    assert (found["loaded_idle"], found["prefill"]) == (None, None)
    assert len(found["warmup_s"]) == SHORT["warmup_passes"]
    assert len(found["warmup"]["repeats"]) == len(found["warmup"]["passes"]) >= 1
    # A machine that others use too may spread for as long as it is given.
    assert found["warmup"]["converged"] in (True, False)
    assert (found["warmup"]["reason"] is None) == found["warmup"]["converged"]
    # No sensor tells how warm a processor is.
    assert (found["soak"]["steady"], found["soak"]["passes"] >= 1) == (None, True)
    assert "cpu" in found["soak"]["reason"] or "recorder" in found["soak"]["reason"]
    times = [found["load"], *found["warmup"]["repeats"], found["soak"]["interval"]]
    moments = [moment for one in times for moment in (one["start_ns"], one["end_ns"])]
    assert moments == sorted(moments)
    assert moments[-1] <= found["window"]["guard_start_ns"]


def test_forced_stops_do_exactly_the_work_that_was_asked_for(measured: Any) -> None:
    result = results(measured[1])["forced"]
    work, passes = result["measured"]["work"], result["measured"]["window"]["passes"]
    assert passes >= SHORT["min_passes"]
    assert work["requests"] == COUNT * passes
    assert work["input_tokens"] == COUNT * INPUT * passes
    assert work["output_tokens"] == work["asked_output_tokens"] == COUNT * OUTPUT * passes
    assert work["padding_tokens"] == 0
    assert result["validity"] == []


def test_natural_stops_do_at_most_that_work_and_are_another_experiment(measured: Any) -> None:
    found = results(measured[1])
    work = found["natural"]["measured"]["work"]
    assert 0 < work["output_tokens"] <= work["asked_output_tokens"]
    assert found["natural"]["config_hash"] != found["forced"]["config_hash"]
    assert work["prompts_sha256"] == found["forced"]["measured"]["work"]["prompts_sha256"]


def test_the_window_is_as_long_as_asked_and_speed_is_work_over_it(measured: Any) -> None:
    result = results(measured[1])["forced"]
    window, figures = result["measured"]["window"], result["figures"]
    seconds = (window["t1_ns"] - window["t0_ns"]) / 1e9
    assert seconds >= SHORT["min_window_s"]
    assert (window["t0_ns"] - window["guard_start_ns"]) / 1e9 >= SHORT["guard_s"]
    assert (window["guard_end_ns"] - window["t1_ns"]) / 1e9 >= SHORT["guard_s"]
    assert figures["duration_s"] == pytest.approx(seconds)
    assert figures["output_tokens_per_s"] == pytest.approx(result["measured"]["work"]["output_tokens"] / seconds)


def test_latencies_are_timed_per_batch_and_token(measured: Any) -> None:
    latency = results(measured[1])["forced"]["measured"]["latency"]
    batches = 2  # three prompts in batches of two
    assert latency["passes"] == 1
    assert latency["ttft_s"]["n"] == latency["end_to_end_s"]["n"] == batches
    assert latency["itl_s"]["n"] == batches * (OUTPUT - 1)
    assert 0 < latency["ttft_s"]["p50"] < latency["end_to_end_s"]["p50"]
    assert 0 < latency["itl_s"]["min"] <= latency["itl_s"]["p50"] <= latency["itl_s"]["max"]


def test_the_operations_of_a_pass_are_about_two_per_weight_and_token(measured: Any) -> None:
    result = results(measured[1])["forced"]
    flops = result["measured"]["flops"]["per_pass"]
    # Embeddings are looked up, not multiplied; the first token comes from the prompt's pass.
    weights = result["measured"]["model"]["parameters"] - TINY_LLAMA["vocab_size"] * TINY_LLAMA["hidden_size"]
    head = TINY_LLAMA["vocab_size"] * TINY_LLAMA["hidden_size"]
    tokens = COUNT * (INPUT + OUTPUT - 1)
    least = 2 * (weights - head) * tokens
    assert least < flops < 3 * 2 * weights * tokens
    assert result["figures"]["flops"] == flops * result["measured"]["window"]["passes"]


def test_the_energy_is_a_marked_figure_or_null_with_its_reason(measured: Any) -> None:
    _, study = measured
    for result in results(study).values():
        figures = result["figures"]
        nulls = {name for name, value in figures.items() if value is None}
        assert nulls == set(figures["unknown"])
        assert all(figures["unknown"].values())
        if figures["energy_total_j"] is None:
            assert result["provenance"] == "none"
        else:
            assert figures["energy_total_j"] > 0
            assert result["provenance"] in ("counter", "sampled", "modelled")
            tokens = result["measured"]["work"]["output_tokens"]
            assert figures["energy_per_output_token_j"] == pytest.approx(figures["energy_total_j"] / tokens)
        for part in result["components"]:
            modelled = part["channel"]["provenance"] == "modelled"
            assert not part["in_total"] or modelled == (result["provenance"] == "modelled")
            assert (part["energy_j"] is None) == (part["reason"] is not None)


def test_a_result_is_anchored_in_the_journal_just_before_its_event(measured: Any) -> None:
    _, study = measured
    events = study.events()
    for trial in study.trials():
        result = study.result(trial)
        anchored = events[result["journal_seq"] - 1]
        assert anchored["hash"] == result["journal_hash"]
        following = events[result["journal_seq"]]
        assert (following["kind"], following["trial"]) == ("experiment_completed", trial)
    assert study.findings() == []


def test_every_figure_of_a_real_model_is_recomputed_bit_by_bit(lab: Any, measured: Any) -> None:
    _, study = measured
    tree = json.loads(lab.llem("study", "verify", study.root, "--json").out)
    assert tree["findings"] == []
    assert tree["recomputed"] == tree["completed"] == len(study.trials())


def test_a_result_says_on_what_it_was_measured(measured: Any) -> None:
    result = results(measured[1])["forced"]
    model = result["measured"]["model"]
    assert model["parameters"] > 0
    assert model["dtype"] == "float32"
    assert len(model["weights_sha256"]) == 64
    assert model["revision"] is None
    assert model["unknown"]["revision"]
    assert set(result["measured"]["libraries"]) >= {"torch", "transformers", "tokenizers"}
    assert result["host"]["packages"]["torch"] == result["measured"]["libraries"]["torch"]
    assert result["measured"]["memory"]["rss_bytes"] > 10_000_000
    assert len(result["measured"]["work"]["outputs_sha256"]) == 64


@pytest.mark.parametrize("stop", ["forced", "natural"])
def test_a_metered_worker_idles_and_makes_both_windows_in_segments(make: Any, tmp_path: Path, stop: str) -> None:
    config = make.config(
        model=TINY_LLAMA,
        dtype="float32",
        prompts={"source": "synthetic", "count": COUNT, "input_tokens": INPUT},
        generation={"output_tokens": OUTPUT, "stop": stop},
        measurement={**SHORT, "count_flops": False, "min_passes": 4},
    )
    stagger = Stagger(segments=3, period_s=0.1)
    spec = WorkerSpec(trial="a_c1", attempt=1, config=config, base_dir="/", guard_s=0.06, stagger=stagger)
    with EndingSignals() as signals:
        launcher = LocalLauncher(str(tmp_path), zygote=None)
        started_ns = time.monotonic_ns()
        worker = launcher.prepare(spec, tmp_path / "worker.log", signals).start()
        try:
            measured = Supervisor(
                worker,
                started_ns=started_ns,
                deadlines=Deadlines(Limits(trial_s=80), time.monotonic()),
                signals=signals,
                on_phases=lambda messages: None,
                on_progress=lambda message: None,
                tick=lambda: None,
            ).watch()
        finally:
            worker.end(patience_s=5, grace_s=1, signals=signals)
    assert isinstance(measured, Measured), (measured, (tmp_path / "worker.log").read_text())
    assert measured.work.requests == COUNT * measured.window.passes
    assert measured.loaded_idle is not None
    assert measured.loaded_idle.duration_s >= 0.06
    prefill = measured.prefill
    assert prefill is not None
    assert prefill.requests == prefill.output_tokens == COUNT * prefill.window.passes
    assert prefill.input_tokens == COUNT * INPUT * prefill.window.passes
    assert prefill.window.guard_start_ns >= measured.window.guard_end_ns
    for window in (measured.window, measured.prefill.window):
        assert len(window.segments) == 3
        assert window.duration_s >= SHORT["min_window_s"]
        for number, segment in enumerate(window.segments):
            assert segment.passes >= 2
            assert (segment.t0_ns - segment.guard_start_ns) / 1e9 >= 0.06
            assert (segment.t0_ns - window.t0_ns) / 1e9 >= number * (SHORT["min_window_s"] / 3 + 0.06)


def test_a_forked_and_a_new_worker_measure_the_same(lab: Any) -> None:
    measurement = {**SHORT, "warmup_passes": 3, "latency_passes": 10, "sensors": []}
    sweep = {"measurement.isolation": ["auto", "exec"]}
    generation = {"output_tokens": OUTPUT, "do_sample": True}
    study_file = write(lab, "starts", sweep=sweep, measurement=measurement, generation=generation)
    _, study = run(lab, study_file)
    found = [study.result(trial) for trial in study.trials()]
    ways = {(one["config"]["measurement"]["isolation"], one["launcher"], one["cold_because"]) for one in found}
    assert ways == {("auto", "local-warm", None), ("exec", "local-cold", None)}
    for same in ("outputs_sha256", "prompts_sha256"):
        assert len({one["measured"]["work"][same] for one in found}) == 1
    assert len({one["figures"]["flops"] / one["measured"]["window"]["passes"] for one in found}) == 1
    # The quickest of many tokens: others on the machine slow most of them at times, and never make one quicker.
    warm, cold = (
        min(one["measured"]["latency"]["itl_s"]["min"] for one in found if one["launcher"] == launcher)
        for launcher in ("local-warm", "local-cold")
    )
    assert 0.5 < warm / cold < 2


MAKE_MODEL = """
import sys
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = trainers.BpeTrainer(
    vocab_size=400,
    special_tokens=["<pad>", "<end>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
)
tokenizer.train_from_iterator(["the cat sat on the mat and looked at the hat"] * 20, trainer)
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")
fast.save_pretrained(sys.argv[1])
torch.manual_seed(0)
config = LlamaConfig(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=len(fast), max_position_embeddings=128, pad_token_id=0, eos_token_id=1, bos_token_id=None,
)
LlamaForCausalLM(config).save_pretrained(sys.argv[1])
print(len(fast("the cat sat on the mat")["input_ids"]), len(fast("the hat")["input_ids"]))
"""
NO_NETWORK = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "", "HTTPS_PROXY": "", "https_proxy": ""}
NO_NETWORK |= {"ALL_PROXY": "", "all_proxy": "", "HTTP_PROXY": "", "http_proxy": ""}


def test_a_local_model_with_its_own_tokenizer_is_measured_without_network(lab: Any) -> None:
    folder = lab.place / "models" / "tiny"
    made = subprocess.run(
        [sys.executable, "-c", MAKE_MODEL, str(folder)], capture_output=True, text=True, timeout=120, check=True
    )
    lengths = [int(length) for length in made.stdout.split()]
    prompts = lab.place / "prompts.jsonl"
    prompts.write_text('{"text": "the cat sat on the mat"}\n{"text": "the hat"}\n')
    study_file = write(
        lab, "local", model="models/tiny", prompts={"path": "prompts.jsonl"}, batch_size=2, dtype="auto"
    )
    environment = {**NO_NETWORK, "HF_HOME": str(lab.place / "hf")}
    _, study = run(lab, study_file, env=environment)
    result = study.result(study.trials()[0])
    work, passes = result["measured"]["work"], result["measured"]["window"]["passes"]
    assert work["input_tokens"] == sum(lengths) * passes
    assert work["padding_tokens"] == (max(lengths) - min(lengths)) * passes
    assert work["output_tokens"] == 2 * OUTPUT * passes
    assert result["measured"]["model"]["tokenizer"] == "model"
    assert len(result["measured"]["model"]["weights_sha256"]) == 64
    assert result["config"]["prompts"]["sha256"]
    assert study.events("experiment_planned")[0]["data"]["result_stem"].startswith("tiny_transformers_auto_")


def test_a_model_that_is_larger_than_any_memory_fails_its_trial_as_such(lab: Any) -> None:
    vast = {**TINY_LLAMA, "vocab_size": 2 * 10**13}  # 2.56 PB, beyond what a process can address
    _, study = run(lab, write(lab, "vast", model=vast, retries=1), code=1)
    (event,) = study.events("experiment_failed")
    assert (event["data"]["error_type"], event["data"]["phase"]) == ("OutOfMemory", "load")
    assert "tried to allocate 2560000000000000 bytes" in event["data"]["error_message"]
    assert "The model itself did not fit, whatever batch_size" in event["data"]["error_message"]


def test_a_hub_model_without_network_fails_its_trial_with_a_remedy(lab: Any) -> None:
    study_file = write(lab, "hub", model="nobody/no-such-model")
    environment = {**NO_NETWORK, "HF_HOME": str(lab.place / "hf")}
    session, study = run(lab, study_file, code=1, env=environment)
    (event,) = study.events("experiment_failed")
    assert event["data"]["error_type"] == "ModelNotAvailable"
    assert "nobody/no-such-model" in event["data"]["error_message"]
    assert event["data"]["phase"] == "load"
    assert event["data"]["traceback"] is None
    assert study.manifest()["status"] == "failed"
    assert "ModelNotAvailable" in session.err


def test_an_output_that_nobody_reads_to_its_end_does_not_turn_failure_into_success(lab: Any) -> None:
    # How long a text is shows when it is tokenised: the plan lets it through, and the trial fails in its worker.
    (lab.place / "texts.jsonl").write_text('{"text": "twelve bytes"}\n')
    study_file = write(lab, "head", prompts={"path": "texts.jsonl"}, generation={"output_tokens": 128})
    command = f"{sys.executable} -m llem study run {study_file} --output {lab.output} --json 2>/dev/null | head -n 1"
    script = f"{command}; exit ${{PIPESTATUS[0]}}"
    shell = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=90, check=False)
    (root,) = lab.output.iterdir()
    study = lab.study_in(root)
    assert [event["data"]["error_type"] for event in study.events("experiment_failed")] == ["ContextTooLong"]
    assert study.manifest()["status"] == "failed"
    assert shell.returncode == 1


def test_the_real_command_killed_in_the_middle_is_resumed_to_completion(lab: Any, until: Any) -> None:
    study_file = write(lab, "killed")
    command = [sys.executable, "-m", "llem", "study", "run", str(study_file), "--output", str(lab.output)]
    session = lab.popen(*command)
    study = lab.study_of(session)
    study.wait_for("phase_entered", phase="load")
    os.kill(session.pid, signal.SIGKILL)
    session.wait()
    until(lambda: session.others() == {}, "the end of worker and recorder", 2)
    resumed = lab.llem("study", "resume", "--output", lab.output)
    assert resumed.err.splitlines()[-1].startswith("The one trial completed.")
    assert study.completions() == dict.fromkeys(study.trials(), 1)
    assert len(study.events("experiment_interrupted")) == 1
    assert study.findings() == []
