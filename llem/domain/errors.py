"""The errors of llem: one class per decision that a caller takes.

::

    LlemError                 every error that llem raises on purpose
    ├── InputError            exit 2: mend what you typed or wrote, then try again
    │   └── StudyFileError    … in a study file, with every problem and its place
    ├── EnvironmentNotFitError  exit 3: mend the machine, then try again
    │   ├── StudyError        … the study's folder
    │   ├── JournalError      … the journal is damaged, foreign or too new
    │   └── JournalLockedError  … another session writes this study now
    └── SensorError           a sensor cannot be read; becomes a null with a reason
"""

from collections.abc import Sequence
from dataclasses import dataclass


class LlemError(Exception):
    """An error with the way out of it.

    Args:
        message: What was found, where.
        remedy: What to do about it, as a sentence that a user can follow.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        # What was found is told within other sentences too, and then has no stop of its own.
        stop = "" if self.message.endswith(".") else "."
        return f"{self.message}{stop} {self.remedy}"


class InputError(LlemError):
    """Something that the user typed or wrote cannot be used."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a study file: its place, and what was found and expected there.

    Attributes:
        path: The dotted path of the value, empty for the file as a whole.
        message: What was found and what was expected.
        line: Line in the file, from 1; None where the value comes from no line.
        column: Column in that line, from 1.
        file: The file or option that it stands in, where that is not the study file itself.
    """

    path: str
    message: str
    line: int | None = None
    column: int | None = None
    file: str | None = None

    def describe(self, file: str) -> str:
        """Return ``file:line:column: path: message``, ``file`` being the study file."""
        parts = (self.file or file, self.line, self.column)
        place = ":".join(str(part) for part in parts if part is not None)
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class StudyFileError(InputError):
    """A study file cannot be used. Carries every problem, not only the first."""

    def __init__(self, file: str, problems: Sequence[Problem], *, remedy: str) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.describe(file) for problem in problems), remedy=remedy)

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}"


class EnvironmentNotFitError(LlemError):
    """The machine is not fit for what was asked: no space, no permission, no device."""

    exit_code = 3


class StudyError(EnvironmentNotFitError):
    """A study's folder cannot be created or used."""


class JournalError(EnvironmentNotFitError):
    """A journal is damaged, foreign, or written by a newer llem."""


class JournalLockedError(EnvironmentNotFitError):
    """Another session is writing this study now."""


class SensorError(LlemError):
    """A sensor cannot be read. Its figure is null, with this as the reason."""
