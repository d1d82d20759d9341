"""What ``--help`` says: kept apart from the commands, so that no help text loads what a command needs."""

from typing import NamedTuple


class Help(NamedTuple):
    """The words of one command: what it does, and examples that can be typed."""

    text: str
    examples: str

    @property
    def epilogue(self) -> str:
        """Return what stands below the options."""
        return f"Examples:\n{self.examples}\n{EXIT_CODES}"


EXIT_CODES = """\
Exit codes:
  0    every trial completed
  1    the study ended with failed or skipped trials, or was stopped
  2    bad input or usage
  3    the machine is not fit: no space, study or GPU in use, journal damaged
  130  interrupted (129, 143 by SIGHUP, SIGTERM): go on with `llem study resume`
"""

LLEM = Help(
    "Measure the energy, speed and memory of LLM inference.",
    """\
  llem study run examples/quickstart.yaml
  llem init
  llem doctor
""",
)

STUDY = Help(
    "Run, resume and inspect studies.",
    """\
  llem study run study.yaml
  llem study status studies/quickstart_2026-11-22T10-00-00
""",
)

PLAN = Help(
    """\
Show what a study would run, in which order, and what it would take.

From the grid points that the file declares to the trials that would run:
what is skipped and why, duplicates, the order of the trials, the method's
values, and an estimate of time, energy and disk. Nothing is run or written.
""",
    """\
  llem study plan study.yaml
  llem study plan study.yaml --explain
  llem study plan study.yaml --profile publish --set batch_size=4
  llem study plan study.yaml --from studies/quickstart_2026-11-22T10-00-00
  llem study plan study.yaml --json | jq .funnel
""",
)

RUN = Help(
    """\
Measure every experiment of a study, each in its own worker process.

The study's folder holds the journal (every event), manifest.json (where
each trial stands), results.json (what the study found), results/ (every
figure), samples/ (what the sensors said) and logs/. Ctrl-C stops at once;
`llem study resume` goes on.
""",
    """\
  llem study run examples/quickstart.yaml
  llem study run study.yaml --dry-run
  llem study run study.yaml --profile quick --set 'generation.output_tokens=32'
  llem study run study.yaml --output /data/studies
  llem study run study.yaml --json > events.jsonl
""",
)

RESUME = Help(
    """\
Go on with a study that stopped, however it stopped.

The journal is all that this needs. Completed trials are kept if their
files still have their recorded hashes; interrupted, failed, skipped and
pending ones run.

With --study the study must be what that file says; what differs is shown.
--extend adds the experiments and cycles that only the file has. Give --set
and the like as `llem study run` was given them. --limit needs no file.
""",
    """\
  llem study resume
  llem study resume studies/quickstart_2026-11-22T10-00-00
  llem study resume --no-retry-failed
  llem study resume --limit study_s=28800 --limit load_s=7200
  llem study resume studies/quickstart_2026-11-22T10-00-00 --study study.yaml --extend
""",
)

LOG = Help(
    """\
Show and audit every event of a study, also while it runs.

--verify checks every event's number, hash and form, the journal's head
against manifest.json and the result files, and every result and samples
file against its recorded hash. It names each event and file that is not
as it was recorded, and the trials that can still be trusted; exit code 3
where it finds something. A damaged journal is read as far as it can be.
""",
    """\
  llem study log studies/quickstart_2026-11-22T10-00-00
  llem study log studies/quickstart_2026-11-22T10-00-00 --follow
  llem study log studies/quickstart_2026-11-22T10-00-00 --json --trial 700676db_c1
  llem study log studies/quickstart_2026-11-22T10-00-00 --verify
""",
)

STATUS = Help(
    "Show where a study stands, from its journal alone, also while it runs.",
    """\
  llem study status studies/quickstart_2026-11-22T10-00-00
  llem study status studies/quickstart_2026-11-22T10-00-00 --json
""",
)

VERIFY = Help(
    """\
Recompute every figure of a study from its raw readings, and audit it.

First all that `llem study log --verify` checks. Then the figures of every
completed trial are computed again from samples/, and compared bit by bit
with its result file and the journal; manifest.json and results.json with
what the journal gives. Exit code 3 where something differs: which value,
what stands there, what was recomputed.
Nothing is written; it works while a study runs, and from a read-only copy.
""",
    """\
  llem study verify studies/quickstart_2026-11-22T10-00-00
  llem study verify studies/quickstart_2026-11-22T10-00-00 --json | jq .findings
""",
)

RECOVER = Help(
    """\
Make a study whole again whose journal is damaged or has lost its end.

The longest sound part of the journal goes into a new one, with an event
that says what was lost. The old journal is kept in damaged/, and with it
the files of the study that only lost events named. Trials that lost their
events are pending again; `llem study resume` runs them.

Where nothing is wrong nothing is changed. Exit code 3 where not even the
plan is sound, or a session runs the study.
""",
    """\
  llem study recover studies/quickstart_2026-11-22T10-00-00 --dry-run
  llem study recover studies/quickstart_2026-11-22T10-00-00
  llem study recover studies/quickstart_2026-11-22T10-00-00 --json
""",
)

DOCTOR = Help(
    """\
Show what can be measured on this machine, and what would mend the rest.

What spoils comparisons is named with the command that mends it: MIG,
persistence mode, other processes on a GPU, the processors' governor, other
users' load, a full disk.

Exit code 3 where no energy can be measured (a model is no measurement).
""",
    """\
  llem doctor
  llem doctor --json
""",
)

INIT = Help(
    """\
Write a commented study to start from.

It runs as it stands, on any machine, without network: a small Llama with
random weights. Its comments say what to change for a study of your own.
""",
    """\
  llem init
  llem init mine.yaml --model ./my-llama
  llem init mine.yaml --model HuggingFaceTB/SmolLM2-135M --force
  llem init - | less
""",
)

SCHEMA = Help(
    """\
Print the JSON Schema of study files, for editors.

An editor with a YAML language server completes, explains and checks a
study whose first line names the schema, relative to the study:
# yaml-language-server: $schema=study.schema.json
""",
    """\
  llem schema > study.schema.json
""",
)
