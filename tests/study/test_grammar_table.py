"""The grammar of study files, as a table: what a file says, and the experiments that it gives.

Each case is the text below two lines of head (``HEAD``), and what comes of it: the values of some keys in every
experiment, and the funnel from declared grid points to trials.
"""

import os
from collections import Counter
from dataclasses import dataclass, field

import pytest

from llem.domain.identity import value_at

HEAD = "name: tiny\nmodel: {config: llama}\n"
TEXTS = '{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n{"text": "four"}\n'
A_MODEL = "{}"  # a folder with a config.json is a model, as far as a plan can know


@dataclass
class Case:
    """A study and what it gives.

    Attributes:
        rule: What it shows.
        study: The study file, without its head.
        over: Keys …
        gives: … and their values in each experiment, in the order of the plan; values where there is one key.
        funnel: Declared points, those skipped by kind, duplicates, experiments, trials.
        files: Files beside the study.
        head: The first lines of the study.
        settings: ``--set`` on the command line.
        environ: Variables of the environment.
        two: Whether llem has a second engine, ``vllm``.
        plan: Facts of the plan of repetition.
        reasons: Why points are skipped, each reason once.
        warnings: What a person is warned of.
    """

    rule: str
    study: str
    over: str
    gives: list
    funnel: str
    files: dict[str, str] = field(default_factory=dict)
    head: str = HEAD
    settings: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    two: bool = False
    plan: dict[str, object] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


DEFAULTS_AND_LISTS = [
    Case(
        "a study without a grid is one experiment, five times",
        "",
        "engine dtype batch_size prompts.source generation.output_tokens",
        [("transformers", "auto", 1, "synthetic", 64)],
        "1 declared, 1 experiment, 5 trials",
    ),
    Case(
        "what stands at the top holds for every experiment",
        "dtype: float32\ngeneration: {seed: 3}\nsweep: {batch_size: [1, 2]}\n",
        "batch_size dtype generation.seed",
        [(1, "float32", 3), (2, "float32", 3)],
        "2 declared, 2 experiments, 10 trials",
    ),
    Case(
        "experiments are listed one by one, over what stands at the top",
        "dtype: float32\nexperiments:\n  - {batch_size: 4}\n  - {batch_size: 2, dtype: float16}\n  - {}\n",
        "batch_size dtype",
        [(4, "float32"), (2, "float16"), (1, "float32")],
        "3 declared, 3 experiments, 15 trials",
    ),
    Case(
        "a listed experiment may name sections and dotted keys; sections merge key by key",
        "generation: {output_tokens: 8, seed: 1}\nexperiments:\n  - generation: {seed: 2}\n  - generation.seed: 3\n",
        "generation.output_tokens generation.seed",
        [(8, 2), (8, 3)],
        "2 declared, 2 experiments, 10 trials",
    ),
    Case(
        "a list in a listed experiment is a value as it stands",
        "experiments: [{measurement: {sensors: [nvml, rapl]}}, {measurement.sensors: [rapl]}]\n",
        "measurement.sensors",
        [["nvml", "rapl"], ["rapl"]],
        "2 declared, 2 experiments, 10 trials",
    ),
    Case(
        "listed experiments are crossed with the sweep, which runs faster",
        "experiments: [{dtype: float32}, {dtype: float16}]\nsweep: {batch_size: [1, 2]}\n",
        "dtype batch_size",
        [("float32", 1), ("float32", 2), ("float16", 1), ("float16", 2)],
        "4 declared, 4 experiments, 20 trials",
    ),
    Case(
        "the sweep overrules what a listed experiment says",
        "experiments: [{batch_size: 1}, {batch_size: 2}]\nsweep: {batch_size: [4]}\n",
        "batch_size",
        [4],
        "2 declared, 1 duplicate, 1 experiment, 5 trials",
    ),
    Case(
        "every listed experiment may have a model of its own",
        "experiments:\n  - model: {config: llama, hidden_size: 64}\n  - model: org/hub-model\n  - model: hub-model\n",
        "model",
        ["llama-random", "org/hub-model", "hub-model"],
        "3 declared, 3 experiments, 15 trials",
        head="name: tiny\n",
    ),
]

BASES = [
    Case(
        "a base file gives what the study leaves out",
        "base: common.yaml\ndtype: float16\n",
        "dtype batch_size",
        [("float16", 4)],
        "1 declared, 1 experiment, 5 trials",
        files={"common.yaml": "dtype: float32\nbatch_size: 4\n"},
    ),
    Case(
        "a base may hold all but the base key",
        "base: common.yaml\n",
        "batch_size",
        [1, 2],
        "2 declared, 2 experiments, 4 trials",
        head="",
        files={"common.yaml": HEAD + "cycles: 2\nsweep: {batch_size: [1, 2]}\n"},
        plan={"study_name": "tiny"},
    ),
    Case(
        "sections of a base merge key by key",
        "base: common.yaml\ngeneration: {seed: 2}\n",
        "generation.output_tokens generation.seed",
        [(8, 2)],
        "1 declared, 1 experiment, 5 trials",
        files={"common.yaml": "generation: {output_tokens: 8, seed: 1}\n"},
    ),
    Case(
        "a base may have a base, each found from the folder of the file that names it",
        "base: shared/gpu.yaml\n",
        "batch_size dtype generation.seed",
        [(4, "float16", 7)],
        "1 declared, 1 experiment, 5 trials",
        files={
            "shared/gpu.yaml": "base: deeper/all.yaml\ndtype: float16\n",
            "shared/deeper/all.yaml": "base: ../../root.yaml\nbatch_size: 4\ndtype: float32\n",
            "root.yaml": "generation: {seed: 7}\nbatch_size: 2\n",
        },
    ),
    Case(
        "the axes of a base are inherited; those of the study join them and run faster",
        "base: common.yaml\nsweep: {batch_size: [1, 2]}\n",
        "dtype batch_size",
        [("float32", 1), ("float32", 2), ("float16", 1), ("float16", 2)],
        "4 declared, 4 experiments, 20 trials",
        files={"common.yaml": "sweep: {dtype: [float32, float16]}\n"},
    ),
    Case(
        "an axis of the study replaces that of its base",
        "base: common.yaml\nsweep: {dtype: [bfloat16]}\n",
        "dtype batch_size",
        [("bfloat16", 1), ("bfloat16", 2)],
        "2 declared, 2 experiments, 10 trials",
        files={"common.yaml": "sweep: {dtype: [float32, float16], batch_size: [1, 2]}\n"},
    ),
    Case(
        "null takes an axis of the base away",
        "base: common.yaml\nsweep: {dtype: null}\n",
        "dtype batch_size",
        [("auto", 1), ("auto", 2)],
        "2 declared, 2 experiments, 10 trials",
        files={"common.yaml": "sweep: {dtype: [float32, float16], batch_size: [1, 2]}\n"},
    ),
    Case(
        "null takes the whole sweep of the base away",
        "base: common.yaml\nsweep: null\n",
        "dtype batch_size",
        [("auto", 1)],
        "1 declared, 1 experiment, 5 trials",
        files={"common.yaml": "sweep: {dtype: [float32, float16], batch_size: [1, 2]}\n"},
    ),
    Case(
        "a group of any name joins the inherited axes, 'path' and 'source' too",
        "base: common.yaml\nsweep:\n  path: [{}, {batch_size: 8}]\n  source: [{}, {generation.seed: 1}]\n",
        "dtype batch_size generation.seed",
        [
            ("float32", 1, 0),
            ("float32", 1, 1),
            ("float32", 8, 0),
            ("float32", 8, 1),
            ("float16", 1, 0),
            ("float16", 1, 1),
            ("float16", 8, 0),
            ("float16", 8, 1),
        ],
        "8 declared, 8 experiments, 40 trials",
        files={"common.yaml": "sweep: {dtype: [float32, float16]}\n"},
    ),
    Case(
        "listed experiments and conditions of the study replace those of its base",
        "base: common.yaml\nexperiments: [{batch_size: 1}, {batch_size: 8}]\nexclude: [{batch_size: 8}]\n",
        "batch_size",
        [1],
        "2 declared, 1 excluded, 1 experiment, 5 trials",
        files={"common.yaml": "experiments: [{dtype: float32}, {dtype: float16}]\nexclude: [{batch_size: 1}]\n"},
        reasons=("study.yaml:5:11: exclude: batch_size: 8",),
    ),
    Case(
        "relative prompts and model folders of a base start from the folder of the base",
        "base: shared/common.yaml\nsweep: {prompts.path: [own.jsonl]}\n",
        "model prompts.path",
        [("./shared/tiny", "own.jsonl")],
        "1 declared, 1 experiment, 5 trials",
        head="name: tiny\n",
        files={
            "shared/common.yaml": "model: tiny\nprompts: {path: texts.jsonl}\n",
            "shared/tiny/config.json": A_MODEL,
            "shared/texts.jsonl": TEXTS,
            "own.jsonl": TEXTS,
        },
    ),
    Case(
        "paths in the sweep and the listed experiments of a base start from its folder, hub ids from nowhere",
        "base: shared/common.yaml\n",
        "model prompts.path",
        [
            ("./shared/tiny", "./shared/a.jsonl"),
            ("./shared/tiny", "./b.jsonl"),
            ("org/hub-model", "./shared/a.jsonl"),
            ("org/hub-model", "./b.jsonl"),
        ],
        "4 declared, 4 experiments, 20 trials",
        head="name: tiny\n",
        files={
            "shared/common.yaml": (
                "experiments: [{model: ./tiny}, {model: org/hub-model}]\n"
                "sweep: {prompts.path: [a.jsonl, ../b.jsonl]}\n"
            ),
            "shared/tiny/config.json": A_MODEL,
            "shared/a.jsonl": TEXTS,
            "b.jsonl": TEXTS + '{"text": "five"}\n',
        },
    ),
    Case(
        "texts replace the random ids of a base, whose keys do not suit them",
        "base: common.yaml\nprompts: {path: texts.jsonl}\n",
        "prompts.source prompts.path prompts.count prompts.input_tokens",
        [("jsonl", "texts.jsonl", None, None)],
        "1 declared, 1 experiment, 5 trials",
        files={"common.yaml": "prompts: {count: 2, input_tokens: 16}\n", "texts.jsonl": TEXTS},
    ),
    Case(
        "random ids replace the texts of a base",
        "base: common.yaml\nprompts: {source: synthetic, count: 2}\n",
        "prompts.source prompts.count",
        [("synthetic", 2)],
        "1 declared, 1 experiment, 5 trials",
        files={"common.yaml": "prompts: {path: texts.jsonl, count: 3}\n", "texts.jsonl": TEXTS},
    ),
]

AXES = [
    Case(
        "axes are crossed, the last one fastest",
        "sweep:\n  batch_size: [1, 2]\n  dtype: [float32, float16]\n",
        "batch_size dtype",
        [(1, "float32"), (1, "float16"), (2, "float32"), (2, "float16")],
        "4 declared, 4 experiments, 20 trials",
    ),
    Case(
        "an axis over a key of a section leaves the section's other keys as they are",
        "generation: {seed: 3}\nsweep: {generation.output_tokens: [1, 2, 4]}\n",
        "generation.output_tokens generation.seed",
        [(1, 3), (2, 3), (4, 3)],
        "3 declared, 3 experiments, 15 trials",
    ),
    Case(
        "an axis over sections merges each of them; texts replace random ids",
        "prompts: {input_tokens: 16}\nsweep: {prompts: [{count: 1}, {count: 2}, {path: texts.jsonl}]}\n",
        "prompts.source prompts.count prompts.input_tokens",
        [("synthetic", 1, 16), ("synthetic", 2, 16), ("jsonl", None, None)],
        "3 declared, 3 experiments, 15 trials",
        files={"texts.jsonl": TEXTS},
    ),
    Case(
        "an axis over models takes hub ids, folders and configurations, and each as a whole",
        "sweep: {model: [gpt2, ./tiny, {config: opt, hidden_size: 32}]}\n",
        "model",
        ["gpt2", "./tiny", "opt-random"],
        "3 declared, 3 experiments, 15 trials",
        files={"tiny/config.json": A_MODEL},
    ),
    Case(
        "an axis below a model's configuration sweeps the architecture",
        "sweep: {model.hidden_size: [64, 128], model.config: [llama, qwen3]}\n",
        "model.config model.hidden_size",
        [("llama", 64), ("qwen3", 64), ("llama", 128), ("qwen3", 128)],
        "4 declared, 4 experiments, 20 trials",
    ),
    Case(
        "null is a value of an axis: llem's default",
        "generation: {do_sample: true, top_k: 3}\nsweep: {generation.top_k: [null, 5]}\n",
        "generation.top_k",
        [None, 5],
        "2 declared, 2 experiments, 10 trials",
    ),
    Case(
        "settings of the method are swept like any other",
        "sweep: {measurement.warmup_passes: [0, 1, 2], measurement.sensors: [auto, [rapl]]}\n",
        "measurement.warmup_passes measurement.sensors",
        [(0, "auto"), (0, ["rapl"]), (1, "auto"), (1, ["rapl"]), (2, "auto"), (2, ["rapl"])],
        "6 declared, 6 experiments, 30 trials",
    ),
    Case(
        "variables are swept one by one, beside those that all have",
        'environment: {A: x}\nsweep: {environment.B_C: ["1", "2"], measurement.isolation: [auto, exec]}\n',
        "environment measurement.isolation",
        [
            ({"A": "x", "B_C": "1"}, "auto"),
            ({"A": "x", "B_C": "1"}, "exec"),
            ({"A": "x", "B_C": "2"}, "auto"),
            ({"A": "x", "B_C": "2"}, "exec"),
        ],
        "4 declared, 4 experiments, 20 trials",
    ),
    Case(
        "variables of an alternative stand for all of them",
        "sweep: {g: [{}, {environment: {A: x, B: y}}]}\n",
        "environment",
        [{}, {"A": "x", "B": "y"}],
        "2 declared, 2 experiments, 10 trials",
    ),
]

GROUPS = [
    Case(
        "a group's entries are alternatives, and {} is the study as it stands",
        "sweep:\n  sampling:\n    - {}\n    - {generation.do_sample: true, generation.temperature: 0.7}\n",
        "generation.do_sample generation.temperature",
        [(False, None), (True, 0.7)],
        "2 declared, 2 experiments, 10 trials",
    ),
    Case(
        "a list inside an entry is a small grid within it",
        "sweep:\n  g:\n    - {}\n    - {dtype: float16, batch_size: [2, 4], generation.seed: [1, 2]}\n",
        "dtype batch_size generation.seed",
        [("auto", 1, 0), ("float16", 2, 1), ("float16", 2, 2), ("float16", 4, 1), ("float16", 4, 2)],
        "5 declared, 5 experiments, 25 trials",
    ),
    Case(
        "a list inside a section inside an entry is one too",
        "generation: {seed: 9}\n"
        "sweep:\n  g:\n    - generation: {do_sample: true, top_k: [5, 50]}\n      batch_size: 2\n",
        "generation.top_k generation.seed batch_size",
        [(5, 9, 2), (50, 9, 2)],
        "2 declared, 2 experiments, 10 trials",
    ),
    Case(
        "a list inside a list is a value of the small grid",
        "sweep: {g: [{measurement.sensors: [[rapl], [nvml, rapl], auto]}]}\n",
        "measurement.sensors",
        [["rapl"], ["nvml", "rapl"], "auto"],
        "3 declared, 3 experiments, 15 trials",
    ),
    Case(
        "a list inside a model's configuration belongs to the architecture",
        "sweep: {g: [{model: {config: qwen3, layer_types: [full_attention, sliding_attention]}}]}\n",
        "model.config model.layer_types",
        [("qwen3", ["full_attention", "sliding_attention"])],
        "1 declared, 1 experiment, 5 trials",
    ),
    Case(
        "the keys of an entry reach across sections",
        "sweep:\n  load:\n    - {batch_size: 1, prompts.count: 1, generation.output_tokens: 256}\n"
        "    - {batch_size: 8, prompts.count: 16, generation.output_tokens: 16}\n",
        "batch_size prompts.count generation.output_tokens",
        [(1, 1, 256), (8, 16, 16)],
        "2 declared, 2 experiments, 10 trials",
    ),
    Case(
        "groups are crossed with each other and with axes",
        "sweep:\n  a: [{}, {dtype: float16}]\n  batch_size: [1, 2]\n"
        "  b: [{generation.seed: 1}, {generation.seed: 2}]\n",
        "dtype batch_size generation.seed",
        [
            ("auto", 1, 1),
            ("auto", 1, 2),
            ("auto", 2, 1),
            ("auto", 2, 2),
            ("float16", 1, 1),
            ("float16", 1, 2),
            ("float16", 2, 1),
            ("float16", 2, 2),
        ],
        "8 declared, 8 experiments, 40 trials",
    ),
    Case(
        "what stands later in the sweep overrules what stands before",
        "sweep:\n  batch_size: [1, 2]\n  g: [{}, {batch_size: 8}]\n",
        "batch_size",
        [1, 8, 2],
        "4 declared, 1 duplicate, 3 experiments, 15 trials",
    ),
]

ENGINES = [
    Case(
        "an axis of the engine's options",
        "sweep: {transformers.attn_implementation: [eager, sdpa], batch_size: [1, 2]}\n",
        "transformers.attn_implementation batch_size",
        [("eager", 1), ("eager", 2), ("sdpa", 1), ("sdpa", 2)],
        "4 declared, 4 experiments, 20 trials",
    ),
    Case(
        "an axis over the engine's whole section merges with what stands at the top",
        "transformers: {device: cpu}\nsweep: {transformers: [{attn_implementation: eager}, {device: auto}]}\n",
        "transformers.device transformers.attn_implementation",
        [("cpu", "eager"), ("auto", None)],
        "2 declared, 2 experiments, 10 trials",
    ),
    Case(
        "options of an engine imply it where the study names none",
        "sweep: {vllm.max_num_seqs: [1, 2]}\n",
        "engine vllm.max_num_seqs",
        [("vllm", 1), ("vllm", 2)],
        "2 declared, 2 experiments, 10 trials",
        two=True,
    ),
    Case(
        "axes of two engines apply to their own experiments only, what is left to both",
        "sweep: {transformers.attn_implementation: [eager, sdpa], vllm.max_num_seqs: [1, 2], batch_size: [1, 4]}\n",
        "engine transformers.attn_implementation vllm.max_num_seqs batch_size",
        [
            ("transformers", "eager", None, 1),
            ("transformers", "eager", None, 4),
            ("transformers", "sdpa", None, 1),
            ("transformers", "sdpa", None, 4),
            ("vllm", None, 1, 1),
            ("vllm", None, 1, 4),
            ("vllm", None, 2, 1),
            ("vllm", None, 2, 4),
        ],
        "8 declared, 8 experiments, 40 trials",
        two=True,
    ),
    Case(
        "an axis of engines with options of one of them",
        "sweep: {engine: [transformers, vllm], vllm.max_num_seqs: [1, 2], batch_size: [1, 4]}\n",
        "engine vllm.max_num_seqs batch_size",
        [
            ("transformers", None, 1),
            ("transformers", None, 4),
            ("vllm", 1, 1),
            ("vllm", 1, 4),
            ("vllm", 2, 1),
            ("vllm", 2, 4),
        ],
        "6 declared, 6 experiments, 30 trials",
        two=True,
    ),
    Case(
        "experiments stand in the order in which the study names their engines",
        "sweep: {engine: [vllm, transformers]}\n",
        "engine",
        ["vllm", "transformers"],
        "2 declared, 2 experiments, 10 trials",
        two=True,
    ),
    Case(
        "listed experiments keep their order, whatever their engines are",
        "experiments: [{vllm.max_num_seqs: 1}, {batch_size: 2}, {engine: vllm, batch_size: 4}]\n",
        "engine batch_size",
        [("vllm", 1), ("transformers", 2), ("vllm", 4)],
        "3 declared, 3 experiments, 15 trials",
        two=True,
    ),
    Case(
        "the baseline of a group with options of another engine is of llem's own default",
        "sweep: {g: [{}, {vllm.max_num_seqs: 1}, {vllm: {max_num_seqs: [2, 3], quantization: gptq}}]}\n",
        "engine vllm.max_num_seqs vllm.quantization",
        [("transformers", None, None), ("vllm", 1, None), ("vllm", 2, "gptq"), ("vllm", 3, "gptq")],
        "4 declared, 4 experiments, 20 trials",
        two=True,
    ),
    Case(
        "an engine that the study names is not overruled by options of another, which is told",
        "engine: transformers\nsweep: {vllm.max_num_seqs: [1, 2], batch_size: [1, 2]}\n",
        "engine batch_size",
        [("transformers", 1), ("transformers", 2)],
        "2 declared, 2 experiments, 10 trials",
        two=True,
        warnings=("sweep vllm.max_num_seqs applies to no experiment: its engine is not among them",),
    ),
    Case(
        "an engine that the sweep names overrules the one at the top",
        "engine: transformers\nsweep: {engine: [vllm]}\n",
        "engine",
        ["vllm"],
        "1 declared, 1 experiment, 5 trials",
        two=True,
    ),
    Case(
        "a listed experiment's engine overrules the one at the top for itself alone",
        "engine: vllm\nexperiments: [{}, {engine: transformers}]\nsweep: {vllm.max_num_seqs: [1, 2]}\n",
        "engine vllm.max_num_seqs",
        [("vllm", 1), ("vllm", 2), ("transformers", None)],
        "3 declared, 3 experiments, 15 trials",
        two=True,
    ),
    Case(
        "each engine reads its own section at the top",
        "transformers: {attn_implementation: eager}\nvllm: {max_num_seqs: 8}\n"
        "sweep: {engine: [transformers, vllm]}\n",
        "engine transformers.attn_implementation vllm.max_num_seqs",
        [("transformers", "eager", None), ("vllm", None, 8)],
        "2 declared, 2 experiments, 10 trials",
        two=True,
    ),
    Case(
        "an engine's section merges key by key, whatever its options are called",
        "engine: vllm\nvllm: {max_num_seqs: 8}\nsweep: {vllm: [{path: a}, {source: b}, {quantization: gptq}]}\n",
        "vllm.max_num_seqs vllm.path vllm.source vllm.quantization",
        [(8, "a", None, None), (8, None, "b", None), (8, None, None, "gptq")],
        "3 declared, 3 experiments, 15 trials",
        two=True,
    ),
    Case(
        "axes that move together may belong to an engine",
        "sweep:\n  zip: {vllm.quantization: [awq, gptq], dtype: [float16, bfloat16]}\n",
        "engine vllm.quantization dtype",
        [("vllm", "awq", "float16"), ("vllm", "gptq", "bfloat16")],
        "2 declared, 2 experiments, 10 trials",
        two=True,
    ),
    Case(
        "the engine moves together with its options",
        "sweep:\n  zip: {engine: [transformers, vllm], batch_size: [1, 8]}\n",
        "engine batch_size",
        [("transformers", 1), ("vllm", 8)],
        "2 declared, 2 experiments, 10 trials",
        two=True,
    ),
]

ZIPS = [
    Case(
        "axes in zip move together",
        "sweep: {zip: {batch_size: [1, 8], prompts.count: [4, 32]}}\n",
        "batch_size prompts.count",
        [(1, 4), (8, 32)],
        "2 declared, 2 experiments, 10 trials",
    ),
    Case(
        "they are crossed with the other axes, in the order of the file",
        "sweep:\n  dtype: [float32, float16]\n  zip: {batch_size: [1, 8], prompts.count: [4, 32]}\n",
        "dtype batch_size prompts.count",
        [("float32", 1, 4), ("float32", 8, 32), ("float16", 1, 4), ("float16", 8, 32)],
        "4 declared, 4 experiments, 20 trials",
    ),
    Case(
        "a list of zips is several dimensions",
        "sweep:\n  zip:\n    - {batch_size: [1, 8], prompts.count: [4, 32]}\n"
        "    - {generation.do_sample: [false, true], generation.top_k: [null, 5]}\n",
        "batch_size prompts.count generation.do_sample generation.top_k",
        [(1, 4, False, None), (1, 4, True, 5), (8, 32, False, None), (8, 32, True, 5)],
        "4 declared, 4 experiments, 20 trials",
    ),
    Case(
        "a zip of one axis is that axis",
        "sweep: {zip: {batch_size: [1, 2, 4]}}\n",
        "batch_size",
        [1, 2, 4],
        "3 declared, 3 experiments, 15 trials",
    ),
]

CONDITIONS = [
    Case(
        "exclude leaves out the points that have a value",
        "sweep: {batch_size: [1, 2, 4]}\nexclude:\n  - batch_size: 2\n",
        "batch_size",
        [1, 4],
        "3 declared, 1 excluded, 2 experiments, 10 trials",
        reasons=("study.yaml:5:5: exclude: batch_size: 2",),
    ),
    Case(
        "all terms of a condition must hold, any condition is enough",
        "sweep: {batch_size: [1, 2], dtype: [float32, float16]}\n"
        "exclude:\n  - {batch_size: 1, dtype: float16}\n  - {batch_size: 2, dtype: float32}\n",
        "batch_size dtype",
        [(1, "float32"), (2, "float16")],
        "4 declared, 2 excluded, 2 experiments, 10 trials",
        reasons=(
            "study.yaml:5:5: exclude: batch_size: 1, dtype: float16",
            "study.yaml:6:5: exclude: batch_size: 2, dtype: float32",
        ),
    ),
    Case(
        "a list in a condition means any of its values",
        "sweep: {batch_size: [1, 2, 4, 8]}\nexclude: [{batch_size: [1, '>= 8']}]\n",
        "batch_size",
        [2, 4],
        "4 declared, 2 excluded, 2 experiments, 10 trials",
        reasons=("study.yaml:4:11: exclude: batch_size: [1, >= 8]",),
    ),
    Case(
        "a number compares",
        "prompts: {count: 64}\nsweep: {batch_size: [1, 8, 16, 32]}\nexclude: [{batch_size: '> 8'}]\n",
        "batch_size",
        [1, 8],
        "4 declared, 2 excluded, 2 experiments, 10 trials",
        reasons=("study.yaml:5:11: exclude: batch_size: > 8",),
    ),
    Case(
        "a point has values that nobody gave: llem's defaults",
        "sweep: {batch_size: [1, 2], generation.output_tokens: [32, 64]}\n"
        "exclude:\n  - {dtype: auto, batch_size: 2, generation.output_tokens: 64, measurement.guard_s: '< 1'}\n",
        "batch_size generation.output_tokens",
        [(1, 32), (1, 64), (2, 32)],
        "4 declared, 1 excluded, 3 experiments, 15 trials",
        reasons=(
            "study.yaml:5:5: exclude: dtype: auto, batch_size: 2, generation.output_tokens: 64, "
            "measurement.guard_s: < 1",
        ),
    ),
    Case(
        "an empty group entry is excluded by the default that it stands for",
        "sweep: {g: [{}, {batch_size: 2}]}\nexclude: [{batch_size: 1}]\n",
        "batch_size",
        [2],
        "2 declared, 1 excluded, 1 experiment, 5 trials",
        reasons=("study.yaml:4:11: exclude: batch_size: 1",),
    ),
    Case(
        "a condition on an engine's option holds by its default too",
        "sweep: {g: [{}, {transformers.device: cpu}], batch_size: [1, 2]}\n"
        "exclude: [{transformers.device: auto, batch_size: 2}]\n",
        "transformers.device batch_size",
        [("auto", 1), ("cpu", 1), ("cpu", 2)],
        "4 declared, 1 excluded, 3 experiments, 15 trials",
        reasons=("study.yaml:4:11: exclude: transformers.device: auto, batch_size: 2",),
    ),
    Case(
        "a condition on an engine's option holds for that engine's experiments only",
        "vllm: {max_num_seqs: 8}\nsweep: {engine: [transformers, vllm]}\nexclude: [{vllm.max_num_seqs: 8}]\n",
        "engine",
        ["transformers"],
        "2 declared, 1 excluded, 1 experiment, 5 trials",
        two=True,
        reasons=("study.yaml:5:11: exclude: vllm.max_num_seqs: 8",),
    ),
    Case(
        "a condition on the source of prompts that nobody named",
        "sweep: {prompts: [{count: 8}, {path: texts.jsonl}], batch_size: [1, 2]}\n"
        "exclude: [{prompts.source: jsonl, batch_size: 2}]\n",
        "prompts.source batch_size",
        [("synthetic", 1), ("synthetic", 2), ("jsonl", 1)],
        "4 declared, 1 excluded, 3 experiments, 15 trials",
        files={"texts.jsonl": TEXTS},
        reasons=("study.yaml:4:11: exclude: prompts.source: jsonl, batch_size: 2",),
    ),
    Case(
        "a condition on the model",
        "sweep: {model: [gpt2, org/large], batch_size: [1, 2]}\nexclude: [{model: org/large, batch_size: '!= 1'}]\n",
        "model batch_size",
        [("gpt2", 1), ("gpt2", 2), ("org/large", 1)],
        "4 declared, 1 excluded, 3 experiments, 15 trials",
        reasons=("study.yaml:4:11: exclude: model: org/large, batch_size: != 1",),
    ),
    Case(
        "'!=' compares with what the text means in YAML: true, false and null",
        "sweep: {zip: {generation.do_sample: [true, true, false], generation.top_k: [null, 3, null]}}\n"
        "exclude:\n  - generation.do_sample: '!= true'\n  - generation.top_k: '!= null'\n",
        "generation.do_sample generation.top_k",
        [(True, None)],
        "3 declared, 2 excluded, 1 experiment, 5 trials",
        reasons=(
            "study.yaml:6:5: exclude: generation.top_k: != null",
            "study.yaml:5:5: exclude: generation.do_sample: != true",
        ),
        warnings=("2 of 3 grid points are skipped: see the reasons",),
    ),
    Case(
        "only keeps the points for which a condition holds",
        "sweep: {batch_size: [1, 2], dtype: [float32, float16]}\nonly: [{dtype: float32}, {batch_size: 2}]\n",
        "batch_size dtype",
        [(1, "float32"), (2, "float32"), (2, "float16")],
        "4 declared, 1 excluded, 3 experiments, 15 trials",
        reasons=("study.yaml:4:1: only: no condition holds",),
    ),
    Case(
        "what only keeps, exclude may still leave out",
        "sweep: {batch_size: [1, 2, 4]}\nonly: [{batch_size: '<= 2'}]\nexclude: [{batch_size: 1}]\n",
        "batch_size",
        [2],
        "3 declared, 2 excluded, 1 experiment, 5 trials",
        reasons=("study.yaml:5:11: exclude: batch_size: 1", "study.yaml:4:1: only: no condition holds"),
        warnings=("2 of 3 grid points are skipped: see the reasons",),
    ),
    Case(
        "1 and 1.0 are one value to a condition, true and 1 are not",
        "sweep: {model.x: [1, 2, true, '1']}\nexclude: [{model.x: 1.0}]\n",
        "model.x",
        [2, True, "1"],
        "4 declared, 1 excluded, 3 experiments, 15 trials",
        reasons=("study.yaml:4:11: exclude: model.x: 1.0",),
    ),
    Case(
        "a condition that holds for no point is told",
        "sweep: {batch_size: [1, 2]}\nexclude: [{batch_size: 3}]\nonly: [{batch_size: '> 0'}, {dtype: float32}]\n",
        "batch_size",
        [1, 2],
        "2 declared, 2 experiments, 10 trials",
        warnings=(
            "study.yaml:5:29: only: dtype: float32: holds for no grid point",
            "study.yaml:4:11: exclude: batch_size: 3: holds for no grid point",
        ),
    ),
]

ANCHORS = [
    Case(
        "keys that begin with x- hold anchors and are otherwise left alone",
        "x-notes: {anything: [1, {goes: here}]}\nx-short: &short {output_tokens: 4, seed: 1}\n"
        "generation:\n  <<: *short\n  seed: 2\n",
        "generation.output_tokens generation.seed",
        [(4, 2)],
        "1 declared, 1 experiment, 5 trials",
    ),
    Case(
        "a list behind an anchor is an axis",
        "x-sizes: &sizes [1, 2]\nsweep:\n  batch_size: *sizes\n  generation.seed: *sizes\n",
        "batch_size generation.seed",
        [(1, 1), (1, 2), (2, 1), (2, 2)],
        "4 declared, 4 experiments, 20 trials",
    ),
    Case(
        "a mapping behind an anchor is an entry of a group, or a part of one",
        "x-small: &small {batch_size: 1, generation.output_tokens: 8}\n"
        "sweep: {g: [*small, {<<: *small, dtype: float16}, {<<: *small, batch_size: 4}]}\n",
        "batch_size generation.output_tokens dtype",
        [(1, 8, "auto"), (1, 8, "float16"), (4, 8, "auto")],
        "3 declared, 3 experiments, 15 trials",
    ),
    Case(
        "a block that two places share is swept in one of them only",
        "sweep: {model.rope.a: [1, 2]}\n",
        "model.rope model.other",
        [({"a": 1}, {"a": 0}), ({"a": 2}, {"a": 0})],
        "2 declared, 2 experiments, 10 trials",
        head="name: tiny\nmodel: {config: llama, rope: &shared {a: 0}, other: *shared}\n",
    ),
    Case(
        "a variable may stand behind an anchor that is merged where variables may stand",
        "x-texts: &texts {path: '${LLEM_TEST_TEXTS:texts.jsonl}'}\nprompts: {<<: *texts, count: 2}\n",
        "prompts.path prompts.count",
        [("texts.jsonl", 2)],
        "1 declared, 1 experiment, 5 trials",
        files={"texts.jsonl": TEXTS},
    ),
]

VARIABLES = [
    Case(
        "a variable that is not set gives its default, for models, prompts and the base",
        "base: ${LLEM_TEST_BASE:common}.yaml\nprompts: {path: '${LLEM_TEST_TEXTS:texts}.jsonl'}\n",
        "model prompts.path batch_size",
        [("org/model-7b", "texts.jsonl", 2)],
        "1 declared, 1 experiment, 5 trials",
        head="name: tiny\nmodel: org/model-${LLEM_TEST_SIZE:7b}\n",
        files={"common.yaml": "batch_size: 2\n", "texts.jsonl": TEXTS},
    ),
    Case(
        "a variable that is set gives its value",
        "prompts: {path: '${LLEM_TEST_FOLDER:nowhere}/texts.jsonl'}\n",
        "model prompts.path",
        [("org/model-70b", "data/texts.jsonl")],
        "1 declared, 1 experiment, 5 trials",
        head="name: tiny\nmodel: org/model-${LLEM_TEST_SIZE:7b}\n",
        files={"data/texts.jsonl": TEXTS},
        environ={"LLEM_TEST_SIZE": "70b", "LLEM_TEST_FOLDER": "data"},
    ),
    Case(
        "variables stand in sweeps, groups, zips and listed experiments too",
        "experiments: [{model: 'org/${A_NAME:a}'}, {model: b}]\n"
        "sweep:\n  g: [{}, {prompts: {path: '${A_FILE:texts.jsonl}'}}]\n"
        "  zip: {prompts.path: ['${A_FILE:texts.jsonl}'], dtype: [float32]}\n",
        "model prompts.path dtype",
        [("org/a", "texts.jsonl", "float32"), ("b", "texts.jsonl", "float32")],
        "4 declared, 2 duplicates, 2 experiments, 10 trials",
        files={"texts.jsonl": TEXTS},
    ),
]

PROFILES_AND_REPETITION = [
    Case(
        "the quick profile measures less and repeats less",
        "profile: quick\n",
        "measurement.warmup_passes measurement.min_window_s measurement.min_passes",
        [(1, 1.0, 2)],
        "1 declared, 1 experiment, 3 trials",
        plan={"profile": "quick", "cycles": 3},
    ),
    Case(
        "the publish profile measures more and repeats more",
        "profile: publish\n",
        "measurement.warmup_passes measurement.min_window_s measurement.min_passes",
        [(5, 60.0, 5)],
        "1 declared, 1 experiment, 7 trials",
        plan={"profile": "publish", "cycles": 7},
    ),
    Case(
        "what base, study and sweep say overrules the profile",
        "base: common.yaml\nprofile: quick\ncycles: 2\nmeasurement: {min_passes: 9}\n"
        "sweep: {measurement.min_window_s: [5]}\n",
        "measurement.warmup_passes measurement.min_window_s measurement.min_passes",
        [(7, 5.0, 9)],
        "1 declared, 1 experiment, 2 trials",
        files={"common.yaml": "measurement: {warmup_passes: 7}\n"},
    ),
    Case(
        "a base may name the profile",
        "base: common.yaml\n",
        "measurement.min_window_s",
        [1.0],
        "1 declared, 1 experiment, 3 trials",
        files={"common.yaml": "profile: quick\n"},
        plan={"profile": "quick"},
    ),
    Case(
        "the plan of repetition is the study's, whatever the grid is",
        "cycles: 2\norder: reverse\nseed: 9\n"
        "gaps: {between_trials: 5, between_cycles: {cool_to_c: 45, at_most_s: 60}}\n"
        "sweep: {batch_size: [1, 2, 4]}\n",
        "batch_size",
        [1, 2, 4],
        "3 declared, 3 experiments, 6 trials",
        plan={"cycles": 2, "order": "reverse", "seed": 9, "sequence": [0, 1, 2, 2, 1, 0]},
    ),
]

COMMAND_LINE = [
    Case(
        "--set is typed as YAML and overrules the study",
        "batch_size: 4\ngeneration: {seed: 1, output_tokens: 8}\n",
        "batch_size generation.do_sample generation.seed generation.output_tokens measurement.sensors",
        [(2, True, 1, 8, ["rapl"])],
        "1 declared, 1 experiment, 5 trials",
        settings=("batch_size=2", "generation.do_sample=true", "measurement.sensors=[rapl]"),
    ),
    Case(
        "--set overrules the sweep, and what thereby is equal is one experiment",
        "sweep: {batch_size: [1, 2], dtype: [float32, float16]}\n",
        "batch_size dtype",
        [(4, "float32"), (4, "float16")],
        "4 declared, 2 duplicates, 2 experiments, 10 trials",
        settings=("batch_size=4",),
    ),
    Case(
        "--set of a section merges key by key",
        "generation: {seed: 1, output_tokens: 8}\n",
        "generation.seed generation.output_tokens",
        [(2, 8)],
        "1 declared, 1 experiment, 5 trials",
        settings=("generation={seed: 2}",),
    ),
    Case(
        "the last --set of a key wins, whether it names the key or its section",
        "",
        "generation.seed",
        [3],
        "1 declared, 1 experiment, 5 trials",
        settings=("generation={seed: 1}", "generation.seed=2", "generation={seed: 3}"),
    ),
    Case(
        "--set adds and replaces an axis, and null takes it away",
        "sweep: {batch_size: [1, 2], dtype: [float32, float16]}\n",
        "batch_size dtype generation.seed",
        [(8, "auto", 1), (8, "auto", 2)],
        "2 declared, 2 experiments, 10 trials",
        settings=("sweep.batch_size=[8]", "sweep.dtype=null", "sweep.generation.seed=[1, 2]"),
    ),
    Case(
        "--set replaces the whole sweep by null",
        "sweep: {batch_size: [1, 2]}\n",
        "batch_size",
        [1],
        "1 declared, 1 experiment, 5 trials",
        settings=("sweep=null",),
    ),
    Case(
        "--set gives groups, zips, conditions and listed experiments",
        "exclude: [{batch_size: 1}]\n",
        "dtype batch_size generation.seed",
        [("float32", 2, 0), ("float32", 2, 9), ("float16", 4, 0), ("float16", 4, 9)],
        "6 declared, 2 excluded, 4 experiments, 20 trials",
        settings=(
            "experiments=[{dtype: float32, batch_size: 2}, {dtype: float16, batch_size: 4}, {batch_size: 8}]",
            "sweep.g=[{}, {generation.seed: 9}]",
            "exclude=[{batch_size: 8}]",
        ),
        reasons=("command line: exclude: batch_size: 8",),
    ),
    Case(
        "--set of the study's own keys overrules base, study and profile",
        "profile: publish\ncycles: 9\norder: reverse\nlimits: {trial_s: 5}\n",
        "measurement.min_window_s",
        [1.0],
        "1 declared, 1 experiment, 2 trials",
        settings=("profile=quick", "cycles=2", "order=sequential", "seed=4", "name=other", "limits.study_s=60"),
        plan={"profile": "quick", "order": "sequential", "seed": 4, "study_name": "other"},
    ),
    Case(
        "--set reaches below a model's configuration",
        "sweep: {model.hidden_size: [64, 128]}\n",
        "model.hidden_size model.num_hidden_layers",
        [(64, 2), (128, 2)],
        "2 declared, 2 experiments, 10 trials",
        settings=("model.num_hidden_layers=2",),
    ),
    Case(
        "--set of the model replaces it whole",
        "sweep: {batch_size: [1, 2]}\n",
        "model batch_size",
        [("gpt2", 1), ("gpt2", 2)],
        "2 declared, 2 experiments, 10 trials",
        settings=("model=gpt2",),
    ),
    Case(
        "--set of the engine leaves the experiments of that engine, and no others in its clothes",
        "sweep: {transformers.attn_implementation: [eager, sdpa], vllm.max_num_seqs: [1, 2]}\n",
        "engine vllm.max_num_seqs",
        [("vllm", 1), ("vllm", 2)],
        "2 declared, 2 experiments, 10 trials",
        settings=("engine=vllm",),
        two=True,
        warnings=("sweep transformers.attn_implementation applies to no experiment: its engine is not among them",),
    ),
    Case(
        "--set of an engine's option, for the experiments of that engine",
        "sweep: {engine: [transformers, vllm]}\n",
        "engine vllm.max_num_seqs",
        [("transformers", None), ("vllm", 4)],
        "2 declared, 2 experiments, 10 trials",
        settings=("vllm.max_num_seqs=4",),
        two=True,
    ),
]

DUPLICATES_AND_SKIPS = [
    Case(
        "equal configurations are one experiment, and counted",
        "sweep: {batch_size: [2, 1, 2], dtype: [auto]}\n",
        "batch_size",
        [2, 1],
        "3 declared, 1 duplicate, 2 experiments, 10 trials",
    ),
    Case(
        "a number written in two ways is one number",
        "sweep: {measurement.min_window_s: [10, 10.0], model.x: [1, 1.0]}\n",
        "measurement.min_window_s",
        [10.0],
        "4 declared, 3 duplicates, 1 experiment, 5 trials",
    ),
    Case(
        "what is llem's default is equal whether it is written or not",
        "sweep: {g: [{}, {dtype: auto}, {generation: {}}, {prompts: {source: synthetic, count: 8}}]}\n",
        "dtype",
        ["auto"],
        "4 declared, 3 duplicates, 1 experiment, 5 trials",
    ),
    Case(
        "prompts of one content under two names are one experiment under the first",
        "sweep: {prompts.path: [texts.jsonl, same.jsonl]}\n",
        "prompts.path",
        ["texts.jsonl"],
        "2 declared, 1 duplicate, 1 experiment, 5 trials",
        files={"texts.jsonl": TEXTS, "same.jsonl": TEXTS},
    ),
    Case(
        "a point with a value that cannot be is skipped with its reason, at the place of the value",
        "sweep:\n  batch_size: [1, 0, 2, many]\n",
        "batch_size",
        [1, 2],
        "4 declared, 2 invalid, 2 experiments, 10 trials",
        reasons=(
            "study.yaml:4:19: batch_size: input should be greater than 0; found 0",
            "study.yaml:4:25: batch_size: input should be a valid integer; found 'many'",
        ),
    ),
    Case(
        "values that do not fit each other are skipped where they meet",
        "sweep: {batch_size: [4, 16], prompts.count: [8, 16]}\n",
        "batch_size prompts.count",
        [(4, 8), (4, 16), (16, 16)],
        "4 declared, 1 invalid, 3 experiments, 15 trials",
        reasons=("study.yaml:3:25: batch_size: batch_size (16) is more than prompts.count (8)",),
    ),
    Case(
        "a missing file skips the points that need it",
        "sweep: {prompts.path: [texts.jsonl, nowhere.jsonl]}\n",
        "prompts.path",
        ["texts.jsonl"],
        "2 declared, 1 invalid, 1 experiment, 5 trials",
        files={"texts.jsonl": TEXTS},
        reasons=(
            "study.yaml:3:37: prompts.path: The prompts nowhere.jsonl cannot be read: No such file or directory. "
            "Check prompts.path.",
        ),
    ),
    Case(
        "an unknown engine skips its points",
        "sweep: {engine: [transformers, transfomers]}\n",
        "engine",
        ["transformers"],
        "2 declared, 1 invalid, 1 experiment, 5 trials",
        reasons=("study.yaml:3:32: engine: unknown engine 'transfomers'; did you mean 'transformers'?",),
    ),
    Case(
        "an engine's rule skips a point that cannot run",
        "engine: vllm\nsweep: {dtype: [float16, float32], vllm.quantization: [null, awq]}\n",
        "dtype vllm.quantization",
        [("float16", None), ("float16", "awq"), ("float32", None)],
        "4 declared, 1 engine_rule, 3 experiments, 15 trials",
        two=True,
        reasons=("study.yaml:4:62: vllm.quantization: awq needs float16; found float32",),
    ),
    Case(
        "a model that is not there is a rule of the engine",
        "sweep: {model: [gpt2, ./nowhere]}\n",
        "model",
        ["gpt2"],
        "2 declared, 1 engine_rule, 1 experiment, 5 trials",
        reasons=(
            "study.yaml:3:23: model: nowhere is no model: there is no such folder. "
            "Expected a folder, a hub id or 'config:'",
        ),
    ),
    Case(
        "skips of all kinds are counted apart, and more than half of them are a warning",
        "engine: vllm\nsweep: {batch_size: [0, 1, 2, 3], vllm.quantization: [null, awq]}\n"
        "exclude: [{batch_size: 3}]\n",
        "batch_size vllm.quantization",
        [(1, None), (2, None)],
        "8 declared, 2 invalid, 2 engine_rule, 2 excluded, 2 experiments, 10 trials",
        two=True,
        reasons=(
            "study.yaml:4:22: batch_size: input should be greater than 0; found 0",
            "study.yaml:4:61: vllm.quantization: awq needs float16; found auto",
            "study.yaml:5:11: exclude: batch_size: 3",
        ),
        warnings=("6 of 8 grid points are skipped: see the reasons",),
    ),
    Case(
        "a half that is skipped is no warning",
        "sweep: {batch_size: [0, 1]}\n",
        "batch_size",
        [1],
        "2 declared, 1 invalid, 1 experiment, 5 trials",
        reasons=("study.yaml:3:22: batch_size: input should be greater than 0; found 0",),
    ),
    Case(
        "duplicates are no skips and warn of nothing",
        "sweep: {batch_size: [1, 1, 1, 1]}\n",
        "batch_size",
        [1],
        "4 declared, 3 duplicates, 1 experiment, 5 trials",
    ),
    Case(
        "a base, a profile, a group, a zip, an axis, conditions and the command line together",
        "base: common.yaml\nprofile: quick\n"
        "sweep:\n  g: [{}, {generation: {do_sample: true, top_k: [5, 50]}}]\n"
        "  zip: {batch_size: [1, 8], prompts.count: [8, 64]}\n"
        "exclude: [{generation.top_k: 50, batch_size: '> 1'}]\n",
        "dtype generation.top_k batch_size prompts.count measurement.min_window_s generation.seed",
        [
            ("float32", None, 1, 8, 1.0, 7),
            ("float32", None, 8, 64, 1.0, 7),
            ("float32", 5, 1, 8, 1.0, 7),
            ("float32", 5, 8, 64, 1.0, 7),
            ("float32", 50, 1, 8, 1.0, 7),
            ("float16", None, 1, 8, 1.0, 7),
            ("float16", None, 8, 64, 1.0, 7),
            ("float16", 5, 1, 8, 1.0, 7),
            ("float16", 5, 8, 64, 1.0, 7),
            ("float16", 50, 1, 8, 1.0, 7),
        ],
        "12 declared, 2 excluded, 10 experiments, 20 trials",
        files={"common.yaml": "cycles: 4\nsweep: {dtype: [float32, float16]}\ngeneration: {seed: 1}\n"},
        settings=("generation.seed=7", "cycles=2"),
        reasons=("study.yaml:8:11: exclude: generation.top_k: 50, batch_size: > 1",),
    ),
]

CASES = [
    *DEFAULTS_AND_LISTS,
    *BASES,
    *AXES,
    *GROUPS,
    *ENGINES,
    *ZIPS,
    *CONDITIONS,
    *ANCHORS,
    *VARIABLES,
    *PROFILES_AND_REPETITION,
    *COMMAND_LINE,
    *DUPLICATES_AND_SKIPS,
]


def funnel(plan):
    """Return the counts of a plan as a table writes them."""
    skipped = Counter()
    for found in plan.study.skipped:
        skipped[found.kind] += len(found.points)
    parts = [f"{plan.study.declared} declared"]
    parts += [f"{skipped[kind]} {kind}" for kind in ("invalid", "engine_rule", "excluded") if skipped[kind]]
    if plan.study.duplicates:
        parts.append(f"{plan.study.duplicates} duplicate{'s' * (plan.study.duplicates > 1)}")
    parts.append(f"{len(plan.experiments)} experiment{'s' * (len(plan.experiments) > 1)}")
    return ", ".join([*parts, f"{plan.trials} trials"])


def named(config, key):
    """Return a value as a table writes it: a model by its name."""
    return config.model_name if key == "model" and not isinstance(config.model, str) else value_at(config, key)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_study_gives_the_experiments_of_its_table(planned_files, tmp_path, monkeypatch, case):
    for name in ("A_NAME", "A_FILE", *(name for name in os.environ if name.startswith("LLEM_TEST_"))):
        monkeypatch.delenv(name, raising=False)
    for name, value in case.environ.items():
        monkeypatch.setenv(name, value)
    plan = planned_files({"study.yaml": case.head + case.study, **case.files}, case.settings, two=case.two)
    keys = case.over.split()
    rows = [tuple(named(planned.config, key) for key in keys) for planned in plan.experiments]
    assert (rows if len(keys) > 1 else [row[0] for row in rows]) == case.gives
    assert funnel(plan) == case.funnel
    assert [reason.replace(f"{tmp_path}/", "") for reason in (s.reason for s in plan.study.skipped)] == [
        *case.reasons
    ]
    assert [warning.replace(f"{tmp_path}/", "") for warning in plan.warnings] == [*case.warnings]
    assert {key: getattr(plan.study, key) for key in case.plan} == case.plan


def test_the_table_has_a_name_of_its_own_for_each_rule():
    assert len({case.rule for case in CASES}) == len(CASES) >= 45
