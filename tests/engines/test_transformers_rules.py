"""What the engine transformers refuses before anything is loaded, and what it lets through."""

import json
import sys
import time

import pytest

from llem.domain.host import Gpu
from llem.domain.spec import ExperimentConfig
from llem.engines import ENGINES, installed, transformers_rules
from llem.engines.architecture import CONTEXT_KEYS, KEEP_EVERY_TOKEN, UNKNOWN, architecture_of
from llem.engines.installed import torch_accelerator
from llem.engines.sources import HubModel, LocalModel, model_source
from llem.engines.transformers import TransformersOptions

GIB = 1 << 30
T4 = Gpu(name="Tesla T4", compute_capability=(7, 5), memory_bytes=16 * GIB)
H100 = Gpu(name="NVIDIA H100", compute_capability=(9, 0), memory_bytes=80 * GIB)
MUTE = Gpu(name="NVIDIA GB10", compute_capability=None, memory_bytes=None)

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "max_position_embeddings": 131072,
}  # 32 × 2 × 8 × 128 = 65,536 values per token: 128 KiB in 2 bytes


class Machine:
    """A machine with these GPUs; None is one of which nothing is known."""

    def __init__(self, gpus):
        self._gpus, self.asked = gpus, 0

    def gpus(self):
        self.asked += 1
        return self._gpus


class Unasked:
    def gpus(self):
        pytest.fail("the machine was asked")


@pytest.fixture
def torch_built_for(monkeypatch):
    """Return a function that says for what the installed torch was built; CUDA, if it is not called."""

    def build(accelerator):
        monkeypatch.setattr(transformers_rules, "torch_accelerator", lambda: accelerator)

    build("cuda")
    return build


@pytest.fixture
def installed_are(monkeypatch):
    """Return a function that says which packages are installed; none, if it is not called."""

    def install(*modules):
        monkeypatch.setattr(transformers_rules, "installed", lambda module: module in modules)

    install()
    return install


@pytest.fixture
def told(tmp_path, torch_built_for, installed_are):
    """Return a function that gives the (path, message) pairs of a configuration on a machine."""

    def check(machine=None, *, options=None, **fields):
        machine = Unasked() if machine is None else machine
        found = ENGINES["transformers"].check(configuration(options=options, **fields), tmp_path, machine)
        return [(problem.path, problem.message) for problem in found]

    return check


def configuration(*, options=None, tokens=(128, 64), **fields):
    given = {
        "model": {"config": "llama", "hidden_size": 64},
        "prompts": {"source": "synthetic", "count": fields.get("batch_size", 1), "input_tokens": tokens[0]},
        "generation": {"output_tokens": tokens[1]},
        "engine_options": TransformersOptions.model_validate(options or {}).model_dump(mode="json"),
    }
    return ExperimentConfig.model_validate({**given, **fields})


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes a model's folder and returns its name as a study gives it."""

    def write(config, *, name="model", **files):
        place = tmp_path / name
        place.mkdir(parents=True)
        content = config if isinstance(config, str) else json.dumps(config)
        (place / "config.json").write_text(content)
        for file, keys in files.items():
            (place / f"{file}.json").write_text(json.dumps(keys))
        return f"./{name}"

    return write


class TestDevice:
    @pytest.mark.parametrize(
        ("device", "gpus", "message"),
        [
            (
                "cuda",
                [],
                "cuda is not there: this machine shows no GPU; check CUDA_VISIBLE_DEVICES and `llem doctor`, or use "
                "another device",
            ),
            (
                "cuda:1",
                [H100],
                "cuda:1 is not there: this machine shows 1 GPU; check CUDA_VISIBLE_DEVICES and `llem doctor`, or use "
                "another device",
            ),
            (
                "cuda:2",
                [H100, T4],
                "cuda:2 is not there: this machine shows 2 GPUs; check CUDA_VISIBLE_DEVICES and `llem doctor`, or "
                "use another device",
            ),
        ],
    )
    def test_a_gpu_that_the_machine_does_not_have_is_told(self, told, device, gpus, message):
        assert told(Machine(gpus), options={"device": device}) == [("transformers.device", message)]

    @pytest.mark.parametrize(
        ("device", "gpus"),
        [("cuda", [H100]), ("cuda:0", [H100]), ("cuda:1", [T4, H100]), ("cuda", None), ("cuda:7", None)],
    )
    def test_a_gpu_that_is_there_or_may_be_is_let_through(self, told, device, gpus):
        assert told(Machine(gpus), options={"device": device}) == []

    @pytest.mark.parametrize(
        "device", ["cuda:x", "cuda:", "cuda:-1", "cuda:01", "cuda:1 ", "cuda:1:2", "cuda:" + "9" * 5000]
    )
    def test_a_number_that_torch_cannot_read_is_told(self, told, device):
        message = f"torch knows no device {device!r}: use 'cpu', 'cuda' or 'cuda:N'"
        assert told(options={"device": device}) == [("transformers.device", message)]

    @pytest.mark.parametrize("device", ["cpu", "auto", "mps", "xpu:3", "CUDA", "cudax", ""])
    def test_other_devices_are_the_librarys_business_and_the_machine_is_not_asked(self, told, device):
        assert told(options={"device": device}) == []

    @pytest.mark.parametrize("accelerator", ["none", "xpu"])
    def test_a_torch_without_cuda_is_told_where_there_is_a_gpu(self, told, torch_built_for, accelerator):
        torch_built_for(accelerator)
        message = "cuda is not there: the installed torch is built without CUDA; install one with it"
        assert told(Machine([H100]), options={"device": "cuda"}) == [("transformers.device", message)]

    def test_the_gpus_of_rocm_call_themselves_cuda_and_are_not_nvmls_to_deny(self, told, torch_built_for):
        torch_built_for("hip")
        assert told(options={"device": "cuda:3", "attn_implementation": "sdpa"}, dtype="bfloat16") == []

    @pytest.mark.model
    @pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:12", "cuda:x", "cuda:", "cuda:01", "cuda:1 "])
    def test_torch_reads_a_device_as_the_rule_does(self, device):
        import torch

        try:
            torch.device(device)
            readable = True
        except RuntimeError:
            readable = False
        assert readable == bool(transformers_rules.CUDA_DEVICE.fullmatch(device))


class TestBfloat16:
    MESSAGE = (
        "bfloat16 needs compute capability 8.0; Tesla T4 has 7.5, where torch would only emulate it: use float16 or "
        "float32"
    )

    @pytest.mark.parametrize(
        ("device", "gpus"), [("cuda", [T4]), ("cuda:1", [H100, T4]), ("auto", [T4]), ("auto", [T4, H100])]
    )
    def test_a_gpu_without_it_is_told(self, told, device, gpus):
        assert told(Machine(gpus), options={"device": device}, dtype="bfloat16") == [("dtype", self.MESSAGE)]

    @pytest.mark.parametrize(
        ("device", "gpus"),
        [("cuda", [H100]), ("cuda", [H100, T4]), ("auto", []), ("auto", None), ("auto", [MUTE]), ("cuda", [MUTE])],
    )
    def test_a_gpu_with_it_or_none_or_an_unknown_one_is_let_through(self, told, device, gpus):
        assert told(Machine(gpus), options={"device": device}, dtype="bfloat16") == []

    @pytest.mark.parametrize("dtype", ["auto", "float32", "float16"])
    def test_other_types_need_no_answer_from_the_machine(self, told, dtype):
        assert told(dtype=dtype) == []

    def test_a_processor_can_do_it(self, told, torch_built_for):
        assert told(options={"device": "cpu"}, dtype="bfloat16") == []
        torch_built_for("none")  # `auto` then means the processor, whatever GPU there is
        assert told(dtype="bfloat16") == []

    def test_a_model_that_is_spread_may_lie_anywhere(self, told, folder):
        assert told(model=folder(LLAMA), options={"device_map": "auto"}, dtype="bfloat16") == []


class TestPackages:
    @pytest.mark.parametrize(
        ("asked", "key", "messages"),
        [
            ({"load_in_8bit": True}, "load_in_8bit", ["bitsandbytes needs bitsandbytes"]),
            (
                {"quant_method": "bitsandbytes", "load_in_4bit": True},
                "load_in_4bit",
                ["bitsandbytes needs bitsandbytes"],
            ),
            ({"quant_method": "gptq"}, "quant_method", ["gptq needs optimum", "gptq needs gptqmodel"]),
            ({"quant_method": "awq"}, "quant_method", ["awq needs gptqmodel"]),
            ({"quant_method": "hqq"}, "quant_method", ["hqq needs hqq"]),
            ({"quant_method": "torchao"}, "quant_method", ["torchao needs torchao"]),
            ({"quant_method": "compressed-tensors"}, "quant_method", ["compressed-tensors needs compressed_tensors"]),
            ({"quant_method": "eetq"}, "quant_method", ["eetq needs kernels"]),
            ({"quant_method": "aqlm"}, "quant_method", ["aqlm needs aqlm"]),
            ({"quant_method": "higgs"}, "quant_method", ["higgs needs flute", "higgs needs fast_hadamard_transform"]),
            ({"quant_method": "spqr"}, "quant_method", ["spqr needs spqr_quant"]),
            ({"quant_method": "vptq"}, "quant_method", ["vptq needs vptq"]),
            ({"quant_method": "auto-round"}, "quant_method", ["auto-round needs auto_round"]),
        ],
    )
    def test_a_quantiser_that_is_not_installed_is_told(self, told, folder, asked, key, messages):
        found = told(model=folder(LLAMA), options={"quantization_config": asked})
        assert [path for path, _ in found] == [f"transformers.quantization_config.{key}"] * len(messages)
        assert [message.partition(",")[0] for _, message in found] == messages

    def test_what_installs_it_is_named(self, told, folder):
        (problem,) = told(model=folder(LLAMA), options={"quantization_config": {"quant_method": "quanto"}})
        assert problem == (
            "transformers.quantization_config.quant_method",
            "quanto needs optimum.quanto, which is not installed here: `pip install optimum-quanto`",
        )

    def test_one_that_is_installed_is_let_through(self, told, folder, installed_are):
        installed_are("optimum", "gptqmodel")
        assert told(model=folder(LLAMA), options={"quantization_config": {"quant_method": "gptq", "bits": 4}}) == []

    @pytest.mark.parametrize("method", ["bitnet", "fp8", "mxfp4", "gguf", "fbgemm_fp8", "no-such-method", None, 3])
    def test_methods_that_need_none_or_nobody_knows_are_the_librarys_business(self, told, folder, method):
        assert told(model=folder(LLAMA), options={"quantization_config": {"quant_method": method}}) == []

    @pytest.mark.parametrize("nested", [False, True], ids=["on top", "in the text's part"])
    def test_a_checkpoint_that_is_quantised_already_needs_it_too(self, told, folder, nested):
        quantised = {**LLAMA, "quantization_config": {"quant_method": "gptq"}}
        found = told(model=folder({"text_config": quantised} if nested else quantised))
        message = "gptq needs optimum, which is not installed here: `pip install optimum`"
        assert (found[0], len(found)) == (("model", message), 2)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            (
                "flash_attention_2",
                "flash_attention_2 needs flash_attn, which is not installed here: `pip install flash-attn "
                "--no-build-isolation`, or `pip install kernels` to have it from the hub",
            ),
            (
                "flash_attention_3",
                "flash_attention_3 needs flash_attn_interface, which is not installed here: `pip install "
                "flash-attn-3`, or `pip install kernels` to have it from the hub",
            ),
        ],
    )
    def test_flash_attention_without_its_package_is_told(self, told, name, message):
        found = told(Machine([H100]), options={"attn_implementation": name})
        assert found == [("transformers.attn_implementation", message)]

    @pytest.mark.parametrize("gpus", [[H100], None])
    def test_flash_attention_with_its_package_is_let_through(self, told, installed_are, gpus):
        installed_are("flash_attn")
        assert told(Machine(gpus), options={"attn_implementation": "flash_attention_2"}) == []

    @pytest.mark.parametrize("elsewhere", ["kernels", "torch_npu"])
    def test_flash_attention_that_comes_from_elsewhere_is_let_through(self, told, installed_are, elsewhere):
        installed_are(elsewhere)
        assert told(options={"attn_implementation": "flash_attention_2"}) == []

    @pytest.mark.parametrize("package", ["flash_attn", "another"])
    def test_flash_attention_without_a_gpu_is_told_and_not_what_to_install(self, told, installed_are, package):
        installed_are(package)
        message = "flash_attention_2 needs a GPU, and this machine shows none: use 'sdpa' or 'eager'"
        found = told(Machine([]), options={"attn_implementation": "flash_attention_2"})
        assert found == [("transformers.attn_implementation", message)]

    @pytest.mark.parametrize("name", [None, "eager", "sdpa", "flex_attention", "kernels-community/flash-attn2"])
    def test_other_attention_needs_no_answer(self, told, name):
        assert told(options={"attn_implementation": name}) == []

    def test_a_package_is_looked_for_and_not_imported(self, tmp_path, monkeypatch):
        (tmp_path / "half_installed" / "part").mkdir(parents=True)
        (tmp_path / "half_installed" / "__init__.py").write_text("raise RuntimeError('imported')")
        (tmp_path / "half_installed" / "part" / "__init__.py").write_text("raise RuntimeError('imported')")
        monkeypatch.syspath_prepend(tmp_path)
        assert installed.installed("half_installed")
        assert installed.installed("half_installed.part")
        assert not installed.installed("half_installed.missing")
        assert not installed.installed("no_such_package_at_all")
        assert not installed.installed("no_such_package_at_all.part")
        assert "half_installed" not in sys.modules

    @pytest.mark.parametrize(
        ("text", "accelerator"),
        [
            ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None", "cuda"),
            ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\nxpu: Optional[str] = None", "hip"),
            ("cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu: Optional[str] = '20250302'", "xpu"),
            ("cuda: Optional[str] = None\nhip: Optional[str] = None", "none"),
            ("a new layout", None),
            ("version = 3", None),
        ],
    )
    def test_torch_says_what_it_was_built_for_without_being_imported(self, tmp_path, monkeypatch, text, accelerator):
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('imported')")
        (tmp_path / "torch" / "version.py").write_text(f"from typing import Optional\n{text}\n")
        monkeypatch.setattr(installed, "find_spec", lambda name: Spec(str(tmp_path / name / "__init__.py")))
        assert torch_accelerator.__wrapped__() == accelerator

    @pytest.mark.model
    def test_the_torch_that_is_here_says_the_same_when_it_is_imported(self):
        import torch

        built_for = {"cuda": torch.version.cuda, "hip": torch.version.hip, "xpu": getattr(torch.version, "xpu", None)}
        assert torch_accelerator() == next((kind for kind, version in built_for.items() if version), "none")


class Spec:
    def __init__(self, origin):
        self.origin = origin


class TestContext:
    @pytest.mark.parametrize(
        ("tokens", "place"),
        [
            ((129, 128), "prompts.input_tokens"),
            ((200, 57), "prompts.input_tokens"),
            ((57, 200), "generation.output_tokens"),
        ],
    )
    def test_what_is_longer_than_the_context_is_told_at_the_longer_part(self, told, tokens, place):
        model = {"config": "llama", "max_position_embeddings": 256}
        message = "output tokens need 257 positions; the model has 256: lower one of them"
        assert told(model=model, tokens=tokens) == [(place, f"{tokens[0]} input and {tokens[1]} {message}")]

    def test_what_fills_it_exactly_is_let_through(self, told):
        assert told(model={"config": "llama", "max_position_embeddings": 256}, tokens=(128, 128)) == []

    def test_the_context_is_each_sequences_own(self, told):
        assert told(model={"config": "llama", "max_position_embeddings": 192}, batch_size=64) == []

    @pytest.mark.parametrize(
        "config",
        [
            {"model_type": "llama", "max_position_embeddings": 100},
            {"model_type": "gpt2", "n_positions": 100, "n_ctx": 4096},
            {"model_type": "gptj", "n_positions": 100},
            {"model_type": "rwkv", "context_length": 100},
            {"model_type": "dbrx", "max_seq_len": 100},
            {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "max_position_embeddings": 100}},
            {"max_position_embeddings": 500, "text_config": {"max_position_embeddings": 100}},
        ],
        ids=lambda config: config.get("model_type", "nested"),
    )
    def test_a_folder_says_it_under_the_name_that_its_architecture_gives_it(self, told, folder, config):
        message = "128 input and 64 output tokens need 192 positions; the model has 100: lower one of them"
        assert told(model=folder(config)) == [("prompts.input_tokens", message)]

    @pytest.mark.parametrize(
        "config",
        [
            {"model_type": "bloom", "seq_length": 100},  # no limit: its attention has no positions
            {"model_type": "mpt", "max_seq_len": 100},
            {"model_type": "gpt2", "n_ctx": 100},  # read by nothing
            {"model_type": "llama", "max_position_embeddings": None},
            {"model_type": "llama", "max_position_embeddings": "100"},
            {"model_type": "llama", "max_position_embeddings": True},
            {"model_type": ["llama"], "max_seq_len": 100},
            {"model_type": "musicgen", "max_position_embeddings": 100, "decoder": {"max_position_embeddings": 900}},
            {"max_position_embeddings": 100, "text_config": {"max_position_embeddings": 500}},
            {},
            [],
            "{",
            "[" * 100_000,
        ],
        ids=str,
    )
    def test_a_folder_that_does_not_say_it_is_let_through(self, told, folder, config):
        assert told(model=folder(config)) == []

    def test_the_librarys_own_default_is_unknown(self, told):
        assert told(model={"config": "gpt2"}, tokens=(900, 900)) == []

    def test_texts_of_their_own_length_are_not_known(self, told, tmp_path):
        model = {"config": "llama", "max_position_embeddings": 16}
        texts = {"source": "jsonl", "path": "prompts.jsonl", "count": 1}
        assert told(model=model, prompts=texts) == []
        (problem,) = told(model=model, prompts={**texts, "input_tokens": 128})
        assert problem[1].startswith("128 input and 64 output tokens need 192 positions; the model has 16")

    def test_a_folder_that_changes_is_read_anew(self, told, folder, tmp_path):
        model = folder({"max_position_embeddings": 100})
        assert len(told(model=model)) == 1
        time.sleep(0.02)
        (tmp_path / model / "config.json").write_text('{"max_position_embeddings": 200}')
        assert told(model=model) == []


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return a function that puts a model into an empty hub cache under HF_HOME."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))

    def put(name, config, *, commit="c" * 40, ref="main", cache="hf/hub"):
        model = tmp_path / cache / f"models--{name.replace('/', '--')}"
        snapshot = model / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(json.dumps(config))
        if ref is not None:
            (model / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
            (model / "refs" / ref).write_text(commit)

    return put


class TestHub:
    SHORT = {"model_type": "llama", "max_position_embeddings": 100}  # noqa: RUF012

    @pytest.mark.parametrize("name", ["someone/some-model", "gpt2"])
    def test_a_model_in_the_cache_is_known(self, told, hub, name):
        hub(name, self.SHORT)
        (problem,) = told(model=name)
        assert problem[0] == "prompts.input_tokens"

    @pytest.mark.parametrize("revision", ["v1.0", "refs/pr/7", "d" * 40])
    def test_the_revision_that_is_asked_for_counts(self, told, hub, revision):
        hub("someone/model", {**self.SHORT, "max_position_embeddings": 4096})
        hub("someone/model", self.SHORT, commit="d" * 40, ref=None if revision == "d" * 40 else revision)
        assert told(model="someone/model") == []
        assert len(told(model="someone/model", options={"revision": revision})) == 1

    @pytest.mark.parametrize("revision", [None, "no-such-branch", "../../..", "\0", "e" * 5000])
    def test_what_is_not_in_the_cache_is_let_through(self, told, hub, revision):
        hub("someone/model", self.SHORT)
        assert (
            told(model="someone/other" if revision is None else "someone/model", options={"revision": revision}) == []
        )

    @pytest.mark.parametrize(
        ("variable", "value", "cache"),
        [
            ("HF_HUB_CACHE", "{place}/a", "a"),
            ("HUGGINGFACE_HUB_CACHE", "{place}/b", "b"),
            ("HF_HOME", "{place}/c", "c/hub"),
            ("HF_HOME", "$LLEM_TEST_PLACE/d", "d/hub"),
            ("XDG_CACHE_HOME", "{place}/e", "e/huggingface/hub"),
            ("HOME", "{place}/f", "f/.cache/huggingface/hub"),
        ],
    )
    def test_the_cache_is_found_where_huggingface_hub_keeps_it(
        self, told, hub, tmp_path, monkeypatch, variable, value, cache
    ):
        monkeypatch.delenv("HF_HOME")
        monkeypatch.setenv("LLEM_TEST_PLACE", str(tmp_path))
        monkeypatch.setenv(variable, value.format(place=tmp_path))
        hub("someone/model", self.SHORT, cache=cache)
        assert len(told(model="someone/model")) == 1


class TestKvCache:
    def test_a_batch_whose_cache_alone_is_larger_than_the_gpu_is_told(self, told, folder):
        # 81 × 8,191 tokens × 128 KiB = 80.99 GiB
        (problem,) = told(Machine([H100]), model=folder(LLAMA), dtype="bfloat16", batch_size=81, tokens=(8128, 64))
        assert problem == (
            "batch_size",
            "the KV cache of 81 sequences of 8192 tokens needs 81.0 GiB; NVIDIA H100 has 80.0 GiB: lower batch_size "
            "or the tokens of a sequence",
        )

    def test_one_that_fits_exactly_without_the_last_token_is_let_through(self, told, folder):
        assert told(Machine([H100]), model=folder(LLAMA), dtype="bfloat16", batch_size=80, tokens=(8129, 64)) == []

    @pytest.mark.parametrize(
        ("config", "dtype", "gib"),
        [
            ({}, "float16", "12.5"),
            ({}, "float32", "25.0"),
            ({}, "auto", "12.5"),
            ({"dtype": "float32"}, "auto", "25.0"),
            ({"torch_dtype": "float32"}, "auto", "25.0"),
            ({"num_key_value_heads": 32}, "float16", "50.0"),
            ({"head_dim": 256}, "float16", "25.0"),
            ({"model_type": "qwen2", "sliding_window": 4096}, "float16", "12.5"),
            ({"model_type": "qwen3", "head_dim": 128}, "float16", "12.5"),
            ({"model_type": "mistral", "sliding_window": None}, "float16", "12.5"),
            ({"layer_types": ["full_attention"] * 32}, "float16", "12.5"),
            ({"text_config": {**LLAMA, "num_hidden_layers": 64}}, "float16", "25.0"),
        ],
        ids=str,
    )
    def test_layers_heads_sizes_and_types_count(self, told, folder, config, dtype, gib):
        tiny = H100.model_copy(update={"memory_bytes": 2 * GIB})
        (problem,) = told(
            Machine([tiny]), model=folder({**LLAMA, **config}), dtype=dtype, batch_size=100, tokens=(1000, 25)
        )
        assert f"needs {gib} GiB; NVIDIA H100 has 2.0 GiB" in problem[1]

    def test_a_model_made_from_a_configuration_counts_in_float32(self, told):
        keys = {key: value for key, value in LLAMA.items() if key != "model_type"}
        (problem,) = told(Machine([T4]), model={"config": "llama", **keys}, batch_size=100, tokens=(1000, 25))
        assert "needs 25.0 GiB; Tesla T4 has 16.0 GiB" in problem[1]

    def test_gpt2_counts_by_its_own_names(self, told, folder):
        gpt2 = {"model_type": "gpt2", "n_layer": 48, "n_head": 25, "n_embd": 1600, "n_positions": 1024}
        (problem,) = told(Machine([T4]), model=folder(gpt2), dtype="float16", batch_size=64, tokens=(960, 64))
        assert "needs 18.7 GiB; Tesla T4 has 16.0 GiB" in problem[1]

    @pytest.mark.parametrize(
        "config",
        [
            {"model_type": "deepseek_v3"},
            {"model_type": "gemma2"},
            {"model_type": None},
            {"num_key_value_heads": None},
            {"num_hidden_layers": "32"},
            {"use_cache": False},
            {"sliding_window": 4096},
            {"model_type": "mistral"},
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4096},
            {"model_type": "qwen3"},
            {"layer_types": ["full_attention"] * 31 + ["sliding_attention"]},
        ],
        ids=str,
    )
    def test_a_model_that_may_keep_less_is_let_through(self, told, folder, config):
        assert told(model=folder({**LLAMA, **config}), dtype="float16", batch_size=10_000) == []

    @pytest.mark.parametrize("generation", [{"use_cache": False}, {"cache_implementation": "quantized"}], ids=str)
    def test_a_checkpoint_that_generates_otherwise_is_let_through(self, told, folder, generation):
        model = folder(LLAMA, generation_config=generation)
        assert told(model=model, dtype="float16", batch_size=10_000) == []

    @pytest.mark.parametrize("kind", ["quantized", "offloaded", "offloaded_static"])
    def test_a_cache_that_lies_elsewhere_or_is_smaller_is_let_through(self, told, folder, kind):
        options = {"cache_implementation": kind}
        assert told(model=folder(LLAMA), options=options, dtype="float16", batch_size=10_000) == []

    @pytest.mark.parametrize("kind", ["static", "dynamic"])
    def test_one_that_keeps_all_is_told(self, told, folder, kind):
        options = {"cache_implementation": kind}
        found = told(Machine([H100]), model=folder(LLAMA), options=options, dtype="float16", batch_size=10_000)
        assert [path for path, _ in found] == ["batch_size"]

    @pytest.mark.parametrize(
        ("options", "gpus", "refused"),
        [
            ({}, [T4, H100], True),  # auto lies on the first alone
            ({}, [H100, T4], False),
            ({"device": "cuda:1"}, [H100, T4], True),
            ({"device": "cuda:1"}, [T4, H100], False),
            ({"device_map": "auto"}, [T4, H100], False),
            ({"device_map": "auto"}, [T4, T4], False),
            ({"device_map": "balanced"}, [T4], True),
            ({"device_map": "auto"}, [T4, MUTE], False),
            ({"device_map": {"": "cpu"}}, [T4], False),
            ({"device_map": "cpu"}, [T4], False),
            ({"device": "cpu"}, [T4], False),
            ({}, [MUTE], False),
            ({}, [], False),
            ({}, None, False),
        ],
        ids=str,
    )
    def test_the_memory_in_which_the_model_lies_counts(self, told, folder, options, gpus, refused):
        # 160 × 1,024 tokens × 128 KiB = 20 GiB
        found = told(
            Machine(gpus), model=folder(LLAMA), options=options, dtype="float16", batch_size=160, tokens=(1000, 25)
        )
        assert [path for path, _ in found] == ["batch_size"] * refused

    def test_several_gpus_are_told_together(self, told, folder):
        options = {"device_map": "auto"}
        (problem,) = told(
            Machine([T4, T4]),
            model=folder(LLAMA),
            options=options,
            dtype="float16",
            batch_size=400,
            tokens=(1000, 25),
        )
        assert "needs 50.0 GiB; 2 GPUs have together 32.0 GiB" in problem[1]

    def test_a_cache_that_fits_any_gpu_asks_nothing(self, told, folder):
        assert told(model=folder(LLAMA), dtype="float16", batch_size=8, tokens=(1000, 25)) == []

    def test_a_number_that_no_float_can_say_is_told_all_the_same(self, told, folder):
        found = told(Machine([T4]), model=folder(LLAMA), dtype="float16", batch_size=10**400)
        assert [path for path, _ in found] == ["batch_size"]


class TestModel:
    @pytest.mark.parametrize(
        ("model", "found"),
        [
            ("./missing", "there is no such folder"),
            ("./empty", "it has no config.json"),
            ("/\0", "there is no such folder"),
        ],
    )
    def test_a_folder_that_holds_no_model_is_told_and_nothing_else(self, told, tmp_path, model, found):
        (tmp_path / "empty").mkdir()
        message = f"{tmp_path / model} is no model: {found}. Expected a folder, a hub id or 'config:'"
        assert told(model=model, options={"device": "cuda:x"}) == [("model", message)]

    def test_a_config_that_is_no_file_is_no_model(self, told, tmp_path):
        (tmp_path / "model" / "config.json").mkdir(parents=True)
        assert "it has no config.json" in told(model="./model")[0][1]

    def test_random_weights_take_no_options_of_trained_ones(self, told):
        options = {"quantization_config": {"quant_method": "awq"}, "device_map": "auto"}
        assert told(options=options) == [
            ("transformers.quantization_config", "random weights cannot be quantised: give a model"),
            ("transformers.device_map", "random weights are made on one device: use 'device'"),
        ]

    def test_options_that_nobody_gave_are_the_defaults(self, told):
        assert told(engine_options={}) == []

    def test_every_problem_is_told_at_once(self, told, folder):
        found = told(
            Machine([T4]),
            model=folder({**LLAMA, "max_position_embeddings": 1024}),
            dtype="bfloat16",
            batch_size=160,
            tokens=(1000, 25),
            options={"attn_implementation": "flash_attention_2", "quantization_config": {"quant_method": "hqq"}},
        )
        assert [path for path, _ in found] == [
            "dtype",
            "transformers.quantization_config.quant_method",
            "transformers.attn_implementation",
            "prompts.input_tokens",
            "batch_size",
        ]


def test_ten_thousand_points_of_one_model_cost_a_fraction_of_their_validation(folder, tmp_path):
    model = folder(LLAMA)
    configs = [configuration(model=model, batch_size=size, dtype="float16") for size in range(1, 10_001)]
    machine = Machine([H100])
    started_s = time.process_time()
    for config in configs:
        transformers_rules.check(config, tmp_path, machine)
    assert time.process_time() - started_s < 0.5  # 0.09 s where nothing else runs


@pytest.mark.model
class TestAgainstTheLibrary:
    """The tables are true of the transformers that is installed."""

    @pytest.mark.parametrize(("model_type", "key"), [*CONTEXT_KEYS.items(), ("llama", "max_position_embeddings")])
    def test_a_context_is_what_the_worker_will_see(self, model_type, key, tmp_path):
        from transformers import AutoConfig

        built = AutoConfig.for_model(model_type, **{key: 96}).get_text_config()
        known = architecture_of(model_source(configuration(model={"config": model_type, key: 96}), tmp_path), "main")
        assert (built.max_position_embeddings, known.context_tokens) == (96, 96)

    @pytest.mark.parametrize("model_type", sorted(KEEP_EVERY_TOKEN))
    def test_a_cache_has_the_size_that_was_foretold(self, model_type, tmp_path):
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        keys = {
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "hidden_size": 64,
            "intermediate_size": 32,
            "ffn_dim": 32,
            "vocab_size": 128,
            "max_position_embeddings": 64,
            "head_dim": 24,
            "sliding_window": None,
            "pad_token_id": 0,
            "word_embed_proj_dim": 64,
            "num_local_experts": 2,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 32,
        }
        if model_type not in ("llama", "mistral", "mixtral", "qwen3", "qwen3_moe"):
            del keys["head_dim"]  # their size of a head follows from the others
        built = AutoConfig.for_model(model_type, **keys)
        built.save_pretrained(tmp_path / "saved")
        model = AutoModelForCausalLM.from_config(built, dtype=torch.float32).eval()
        ids = torch.ones((2, 5), dtype=torch.long)
        output = model.generate(
            ids, max_new_tokens=4, min_new_tokens=4, do_sample=False, return_dict_in_generate=True
        )
        layers = output.past_key_values.layers
        numbers = sum(layer.keys.numel() + layer.values.numel() for layer in layers)
        known = architecture_of(LocalModel(tmp_path / "saved"), "main")
        assert known.cached_values_per_token is not None
        assert numbers == 2 * (5 + 4 - 1) * known.cached_values_per_token

    @pytest.mark.parametrize("method", sorted(transformers_rules.QUANTISERS))
    def test_a_quantiser_that_is_refused_would_not_have_run(self, method):
        from transformers.quantizers.auto import AutoHfQuantizer, AutoQuantizationConfig

        if all(installed.installed(module) for module, _ in transformers_rules.QUANTISERS[method]):
            pytest.skip("its packages are here")
        keys = {"bitsandbytes": {"load_in_4bit": True}, "gptq": {"bits": 4}, "torchao": {"quant_type": "int8"}}
        config = {"quant_method": method, **keys.get(method, {})}

        def prepare():
            quantiser = AutoHfQuantizer.from_config(AutoQuantizationConfig.from_dict(config), pre_quantized=True)
            quantiser.validate_environment(device_map={"": "cpu"})

        with pytest.raises((ImportError, RuntimeError, ValueError)):
            prepare()

    def test_a_hub_model_that_is_not_cached_is_unknown(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
        assert architecture_of(HubModel("no/body"), "main") in (None, UNKNOWN)
