"""The checks of this project: `nox` runs `tests` and `lint`; `nox -s wheel docs accuracy bench faults` the others.

Every install takes its versions from constraints.txt.
"""

import sys
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["tests", "lint"]

HERE = Path(__file__).parent
CONSTRAINTS = f"--constraint={HERE / 'constraints.txt'}"
SHARED = HERE / ".nox" / "shared"
BENCH = HERE / ".nox" / "bench"
FAULTS = HERE / ".nox" / "faults"
HEAVY = ("accelerate", "codecarbon", "nvidia-ml-py", "tokenizers", "torch", "transformers")

# The benchmarks, each with the settings of a short look: those of the figures, then those of speed.
BENCHMARKS = {
    "accuracy": ("--trials", "50", "--device-trials", "50"),
    "interval_coverage": ("--studies", "50"),
    "worker_start": ("--turns", "3"),
    "scale": (),
    "journal": (),
    "exports": (),
    "startup": ("--turns", "5"),
    "parent_cost": (),
    "measuring_cost": ("--turns", "60", "--seconds", "0.5"),
    "recorder_cost": ("--seconds", "10"),
    "planning": (),
}

# Run outside the checkout, by the environment that the wheel was installed into.
OPEN_A_JOURNAL = """
import sys
from pathlib import Path

import llem
from llem.journal.journal import Journal
from llem.journal.reader import open_reader

checkout, path = Path(sys.argv[1]), Path(sys.argv[2])
assert checkout not in Path(llem.__file__).parents, f"{llem.__file__} is the checkout, not the wheel"
Journal(path).close()
with open_reader(path) as journal:
    assert list(journal.rows()) == []
print(f"created and opened a journal with {llem.__file__}")
"""


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the tests; what follows `--` goes to pytest."""
    programs = shared_environment(session)
    session.run(str(programs / "pytest"), *session.posargs)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Check style, types and the direction of imports; what follows `--` goes to ruff."""
    programs = shared_environment(session)
    session.run(str(programs / "ruff"), "check", *session.posargs)
    session.run(str(programs / "ruff"), "format", "--check", *session.posargs)
    session.run(str(programs / "mypy"))
    session.run(str(programs / "lint-imports"))


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it elsewhere, and open a journal with it: `migrations/` must be inside."""
    session.install(CONSTRAINTS, "build", "setuptools")
    with tempfile.TemporaryDirectory(prefix="llem-wheel-") as spare:
        elsewhere = Path(spare)
        # The source archive first, then the wheel from it: nothing is taken from the checkout by accident.
        session.run("python", "-m", "build", "--no-isolation", "--outdir", spare, *session.posargs)
        (built,) = elsewhere.glob("*.whl")
        session.run("python", "-m", "venv", str(elsewhere / "venv"))
        programs = elsewhere / "venv" / "bin"
        python = str(programs / "python")
        session.run(python, "-m", "pip", "install", "-q", CONSTRAINTS, *light_dependencies(), external=True)
        session.run(python, "-m", "pip", "install", "-q", "--no-deps", str(built), external=True)
        session.chdir(elsewhere)
        session.run(str(programs / "llem"), "--version", external=True)
        script = ("-P", "-c", OPEN_A_JOURNAL, str(HERE), str(elsewhere / "journal.db"))
        session.run(python, *script, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install(CONSTRAINTS, *light_dependencies(), *extra("docs"))
    session.install("--no-deps", "-e", ".")
    session.run("sphinx-build", "-W", "--keep-going", *session.posargs, "docs", "docs/_build/html")


@nox.session
def accuracy(session: nox.Session) -> None:
    """Print how far llem's estimators and other tools are from a known truth; after `--`: the script's options."""
    session.install(CONSTRAINTS, "codecarbon", "nvidia-ml-py", "pydantic", "zeus")
    session.run("python", "benchmarks/accuracy.py", *session.posargs, env={"PYTHONPATH": str(HERE)})


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Run the benchmarks; after `--`: one of them, then its own options.

    Each prints its table and writes it as JSON into `.nox/bench/`; at the end the tables of speed come as one page.
    One that fails does not keep the others from running.
    """
    programs = shared_environment(session)
    session.run(str(programs / "python"), "-m", "pip", "install", "-q", CONSTRAINTS, *extra("bench"))
    BENCH.mkdir(parents=True, exist_ok=True)
    name, *options = session.posargs or [""]
    chosen = {name: options} if name else BENCHMARKS
    failed = []
    for benchmark, settings in chosen.items():
        table = BENCH / f"{benchmark}.json"
        table.unlink(missing_ok=True)
        arguments = (f"benchmarks/{benchmark}.py", "--json", str(table), *settings)
        try:
            session.run(str(programs / "python"), *arguments, env={"PYTHONPATH": str(HERE)})
        except nox.command.CommandFailed:
            failed.append(benchmark)
    session.run(str(programs / "python"), "benchmarks/performance.py", str(BENCH))
    if failed:
        session.error(f"missed a bar or broke: {', '.join(failed)}")


@nox.session(venv_backend="none")
def faults(session: nox.Session) -> None:
    """Run the fault matrix and print its counts; after `--`: `long` for its many rounds, then pytest's options."""
    programs = shared_environment(session)
    long = session.posargs[:1] == ["long"]
    options = session.posargs[1:] if long else session.posargs
    for kept in FAULTS.glob("*.json"):
        kept.unlink()
    settings = {"LLEM_FAULTS": "long" if long else "short", "LLEM_FAULTS_TALLY": str(FAULTS)}
    try:
        # Test by test to whoever is free, not by file: that of the kills alone takes as long as all the others.
        session.run(str(programs / "pytest"), "tests/faults", "--dist", "worksteal", *options, env=settings)
    finally:
        page = [str(programs / "python"), "tests/faults/page.py", str(FAULTS)]
        session.run(*page, *(["docs/reliability.md"] if long else []))


def shared_environment(session: nox.Session) -> Path:
    """Return the programs of the environment of `tests` and `lint`: one with torch is 0.9 GB, so they share it."""
    programs = SHARED / "bin"
    if not (programs / "python").exists():
        session.run(sys.executable, "-m", "venv", str(SHARED))
    session.run(str(programs / "python"), "-m", "pip", "install", "-q", CONSTRAINTS, "-e", ".[test,lint]")
    return programs


def light_dependencies() -> list[str]:
    """Return what llem needs, without what only workers and the recorder load."""
    dependencies = nox.project.load_toml("pyproject.toml")["project"]["dependencies"]
    return [dependency for dependency in dependencies if not dependency.startswith(HEAVY)]


def extra(name: str) -> list[str]:
    """Return the dependencies of one of the project's extras."""
    return list(nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"][name])
