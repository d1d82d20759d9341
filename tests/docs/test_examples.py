"""The examples of the documentation are planned, and each page must say what comes of them.

How a page writes its examples:

- A ```yaml block is a study. The block after it is ```text and says what comes of the study: see ``Said``.
- ``# common.yaml`` as a block's first line names the file. One that is not ``study.yaml`` lies beside the studies
  that follow on its page, and has no text.
- A study that names neither a base nor a name or a model gets those of ``HEAD`` at its end, as the pages say.
- ```yaml fragment is planned too, and nothing is said of it.
- A text that begins with ``$ llem study plan study.yaml …`` speaks of the study before it, with these options; one
  that begins with ``$ llem study resume FOLDER --study other.yaml …`` of that study against a file beside it.
- A text that begins with ``$ llem study plan examples/…`` is what that command prints, ``…`` for lines left out.
"""

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest

from llem.cli.commands import Changes
from llem.domain.errors import InputError, StudyFileError
from llem.domain.identity import summary_text
from llem.domain.spec import CYCLE_AFTER_CYCLE
from llem.study.explain import explain
from llem.study.extend import StudyDiffersError, compare
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import StudyPlan, plan_study
from llem.study.references import VARIABLE

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/design").glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w+)([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
HEAD = {"name": "name: example\n", "model": "model: {config: llama, max_position_embeddings: 1024}\n"}
CUT = "…"
FREE = re.compile(r"; [\d.,]+ [kMGT]?B free")


@dataclass
class Block:
    """A fenced block: where it begins, its language, what stands behind that, and its lines."""

    page: Path
    line: int
    language: str
    info: str
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def file(self) -> str:
        named = re.match(r"# ([\w./-]+\.yaml)$", self.lines[0])
        return named[1] if named else "study.yaml"

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass
class Example:
    """A study, the files beside it, and the texts that say what comes of it."""

    study: Block
    files: dict[str, str]
    texts: list[Block] = field(default_factory=list)


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            found[2],
            found[3].strip(),
            "".join(line.removeprefix(found[1]) for line in found[4].splitlines(keepends=True)),
        )
        for found in FENCE.finditer(text)
    ]


def examples_of(page: Path) -> list[Example]:
    examples: list[Example] = []
    files: dict[str, str] = {}
    latest: Example | None = None
    for block in blocks_of(page):
        if block.language == "yaml" and block.file != "study.yaml":
            files[block.file] = block.text
            if latest:  # a file to compare with may stand between a study and the text about both
                latest.files[block.file] = block.text
        elif block.language == "yaml":
            latest = Example(block, dict(files))
            examples.append(latest)
        elif block.language == "text" and latest and (not latest.texts or about_the_study(block)):
            latest.texts.append(block)
    return examples


def about_the_study(block: Block) -> bool:
    return re.match(r"\$ .*\bllem study (plan study\.yaml|resume .*--study )", block.lines[0]) is not None


EXAMPLES = [example for page in PAGES for example in examples_of(page)]
OUTPUTS = [
    block
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "text" and block.lines and block.lines[0].startswith("$ llem study plan examples/")
]


@dataclass
class Command:
    """A command line that a text shows in front of its result."""

    settings: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    other: str | None = None
    folder: str = ""
    extend: bool = False


def command_of(text: Block) -> Command:
    command = Command()
    if not text.lines[0].startswith("$ "):
        return command
    words = iter(shlex.split(text.lines[0].removeprefix("$ ")))
    word = next(words)
    while word != "llem":
        name, _, value = word.partition("=")
        command.environ[name] = value
        word = next(words)
    study, action, target = islice(words, 3)
    assert (study, action in ("plan", "resume")) == ("study", True), text.place
    if action == "resume":
        command.folder = target
    settings, named = [], {}
    for word in words:
        if word == "--set":
            settings.append(next(words))
        elif word == "--study":
            command.other = next(words)
        elif word == "--extend":
            command.extend = True
        else:
            if word == "--explain":
                continue
            assert word in ("--cycles", "--order", "--profile"), f"{text.place}: no text is checked with {word}"
            named[word.removeprefix("--")] = next(words)
    command.settings = Changes(settings, **named).settings()
    return command


def whole(study: str) -> str:
    """Return a study with the head that every study needs, where it has none. The lines keep their numbers."""
    missing = (line for key, line in HEAD.items() if not re.search(rf"^(base|{key}):", study, re.MULTILINE))
    return f"{study.rstrip()}\n{''.join(missing)}"


def planned(file: str, settings: list[str]) -> StudyPlan:
    return plan_study(load_study(Path(file), settings, machine=UnknownMachine()))


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Return a function that writes an example's files, prompts and a model into an empty folder: the current one."""
    texts = "".join(f'{{"text": "Prompt number {number}."}}\n' for number in range(64))

    def write(example: Example) -> None:
        files = {"prompts.jsonl": texts, "my-model-folder/config.json": "{}", **example.files}
        for name, text in {**files, "study.yaml": example.study.text}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(whole(text) if name.endswith(".yaml") else text, encoding="utf-8")
        for folder in {(tmp_path / name).parent for name in files}:
            (folder / "prompts.jsonl").write_text(texts, encoding="utf-8")
        for variable in VARIABLE.finditer(example.study.text):
            monkeypatch.delenv(variable["name"], raising=False)
        monkeypatch.chdir(tmp_path)

    return write


class Said:
    """What a text may say of a plan, each kind of line in a form of its own.

    - ``3 experiments × 5 cycles = 15 trials``, with ``(of 6 grid points: 2 excluded, 1 duplicate)`` where not every
      grid point became an experiment. Must be there.
    - ``1  batch_size=1 dtype=float32``: the experiments; all or none, up to ``…``.
    - ``cycle 1: 2 1 3``, or ``order: 1 1 2 2`` where cycles do not follow each other; all or none, up to ``…``.
    - ``2 × excluded: study.yaml:4:5: exclude: …``: why points are left out; all.
    - ``warning: …``; all.
    - ``dtype: float16 (study line 3)``: a value and its origin, as ``--explain`` has them; any of them.
    """

    def __init__(self, plan: StudyPlan) -> None:
        self.count = count_line(plan)
        self.experiments = [
            f"{planned.index + 1}  {summary_text(planned.config_summary)}" for planned in plan.experiments
        ]
        self.cycles = order_lines(plan)
        self.left_out = [f"{len(s.points)} × {s.kind.replace('_', ' ')}: {s.reason}" for s in plan.study.skipped]
        self.warnings = [f"warning: {warning}" for warning in plan.warnings]
        self.values = [f"{v.key}: {shown(v.values)} ({', '.join(v.origins)})" for v in explain(plan)]

    def compare(self, lines: list[str]) -> None:
        assert lines[0] == self.count
        rest = lines[1:]
        for form, have, may_be_left_out in (
            (r"\d+  ", self.experiments, True),
            (r"(cycle \d+|order): [\d ]+$", self.cycles, True),
            (r"\d+ × ", self.left_out, False),
            (r"warning: ", self.warnings, False),
        ):
            rest = self._compare(form, rest, have, may_be_left_out=may_be_left_out)
        strangers = [line for line in rest if line not in self.values]
        assert not strangers, f"{strangers} are none of {self.values}"

    def _compare(self, form: str, lines: list[str], have: list[str], *, may_be_left_out: bool) -> list[str]:
        told = [place for place, line in enumerate(lines) if re.match(form, line)]
        if not told and may_be_left_out:
            return lines
        after = told[-1] + 1 if told else 0
        cut = bool(told) and lines[after : after + 1] == [CUT]
        found = [lines[place] for place in told]
        assert found == (have[: len(found)] if cut else have)
        return [line for place, line in enumerate(lines) if place not in told and not (cut and place == after)]


def count_line(plan: StudyPlan) -> str:
    left_out = Counter()
    for skipped in plan.study.skipped:
        left_out[skipped.kind.replace("_", " ")] += len(skipped.points)
    parts = [f"{number} {kind}" for kind, number in left_out.items()]
    if plan.study.duplicates:
        parts.append(counted(plan.study.duplicates, "duplicate"))
    experiments, cycles = counted(len(plan.experiments), "experiment"), counted(plan.study.cycles, "cycle")
    line = f"{experiments} × {cycles} = {plan.trials:,} trials"
    return line + (f" (of {plan.study.declared:,} grid points: {', '.join(parts)})" if parts else "")


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("s" if number != 1 else "")


def order_lines(plan: StudyPlan) -> list[str]:
    numbers = [str(index + 1) for index in plan.study.sequence]
    if plan.study.order not in CYCLE_AFTER_CYCLE:
        return [f"order: {' '.join(numbers)}"]
    row = len(plan.experiments)
    rows = [numbers[start : start + row] for start in range(0, len(numbers), row)]
    return [f"cycle {cycle}: {' '.join(row)}" for cycle, row in enumerate(rows, start=1)]


def shown(values: tuple) -> str:
    return ", ".join(value if isinstance(value, str) else repr_of(value) for value in values)


def repr_of(value: object) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.study.place)
def test_a_study_of_the_documentation_gives_what_its_page_says(beside, monkeypatch, example):
    beside(example)
    if example.study.info == "fragment":
        planned("study.yaml", [])
        return
    for text in example.texts:
        command = command_of(text)
        with monkeypatch.context() as patched:
            for name, value in command.environ.items():
                patched.setenv(name, value)
            lines = [line for line in text.lines if not line.startswith("$ ")]
            if lines and lines[0].startswith("error: "):
                error = the_error(command)
                told = error.message if isinstance(error, StudyFileError) else str(error)
                assert lines == f"error: {told}".splitlines()
            else:
                Said(planned("study.yaml", command.settings)).compare(lines)


def the_error(command: Command) -> InputError:
    if command.other:
        before, wanted = planned("study.yaml", []), planned(command.other, command.settings)
        diff = compare(before.study, before.experiments, wanted)
        assert diff
        assert diff.obstacles() or not command.extend
        return StudyDiffersError(Path(command.folder), diff, asked_to_extend=command.extend)
    with pytest.raises(InputError) as caught:
        planned("study.yaml", command.settings)
    return caught.value


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.study.place)
def test_every_study_of_the_documentation_says_what_comes_of_it_or_is_marked_as_a_fragment(example):
    assert bool(example.texts) != (example.study.info == "fragment")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_of_yaml_is_overlooked(page):
    text = page.read_text(encoding="utf-8")
    found = [block for block in blocks_of(page) if block.language == "yaml"]
    assert len(found) == len(re.findall(r"^\s*(?:```+|~~~+)\s*ya?ml", text, re.MULTILINE))
    assert {block.info for block in found} <= {"", "fragment"}


def test_the_documentation_has_examples():
    assert len(EXAMPLES) > 40
    assert OUTPUTS


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.place)
def test_the_output_of_a_plan_is_what_the_command_prints(output):
    words = shlex.split(output.lines[0].removeprefix("$ llem "))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    command = [sys.executable, "-m", "llem", *words]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=60)
    printed = [FREE.sub("", line).rstrip() for line in done.stdout.splitlines()]
    place = 0
    for part in in_parts(output.lines[1:]):
        wanted = [FREE.sub("", line).rstrip() for line in part]
        starts = [n for n in range(place, len(printed)) if printed[n : n + len(wanted)] == wanted]
        assert starts, f"{output.place}: these lines do not stand together in what is printed: {wanted}"
        place = starts[0] + len(wanted)


def in_parts(lines: list[str]) -> list[list[str]]:
    """Return the lines between those that say that something is left out."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.strip() == CUT:
            parts.append([])
        else:
            parts[-1].append(line)
    return [part for part in parts if part]
