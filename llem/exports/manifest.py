"""``manifest.json``: the manifest, for people and programs that do not read the journal."""

import time
from collections.abc import Callable
from pathlib import Path

from llem.journal.durable import write_durably
from llem.projections.manifest import ManifestFold

EXPORT_EVERY_S = 0.9


def export_manifest(fold: ManifestFold, path: Path) -> None:
    """Write the manifest of ``fold`` to ``path``, whole or not at all.

    Raises:
        OSError: It could not be written; an older one is still there.
    """
    manifest = fold.manifest()
    if manifest is not None:
        write_durably(path, manifest.model_dump_json(indent=2).encode() + b"\n")


class ManifestExporter:
    """Keeps ``manifest.json`` current within about a second, however many events come.

    A failed export is a warning: the journal has it all, and the next export tries again.

    Args:
        path: The file.
        warn: Told of the first of any failures in a row.
        clock: Monotonic seconds.
    """

    def __init__(self, path: Path, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._warn = warn
        self._clock = clock
        self._last = float("-inf")
        self._stale: ManifestFold | None = None
        self._failing = False

    def update(self, fold: ManifestFold) -> None:
        """Take note that ``fold`` changed; export unless that was done within the last second."""
        self._stale = fold
        self.tick()

    def tick(self) -> None:
        """Export what has changed since, if a second has passed."""
        if self._stale is not None and self._clock() - self._last >= EXPORT_EVERY_S:
            self.export_now(self._stale)

    def export_now(self, fold: ManifestFold) -> None:
        """Export at once."""
        self._last = self._clock()
        self._stale = None
        try:
            export_manifest(fold, self._path)
            self._failing = False
        except OSError as error:
            if not self._failing:
                self._warn(f"{self._path.name} could not be written ({error.strerror}); the journal has it all")
            self._failing = True
            self._stale = fold
