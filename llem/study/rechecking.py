"""A recorded sensor check against its raw edges."""

from llem.domain.decoding import typed_event
from llem.domain.errors import SensorError
from llem.domain.events import SensorsChecked
from llem.domain.row import Row
from llem.sensors.samples import read_samples
from llem.study.checking import recomputed
from llem.study.folder import StudyFolder
from llem.study.integrity import file_problem
from llem.study.recompute import NO_FIGURES, Discrepancy, differing


def recheck(folder: StudyFolder, row: Row) -> list[Discrepancy]:
    """Return what differs between the check that an event holds and what its raw edges give, bit by bit.

    Args:
        folder: The study's folder.
        row: A ``sensors_checked`` event; of any other kind, there is nothing to find.
    """
    event = typed_event(row)
    if not isinstance(event, SensorsChecked):
        return []
    path = folder.samples / event.samples_file
    where = f"{folder.samples.name}/{event.samples_file}"
    problem = file_problem(path, event.samples_sha256)
    if problem is not None:
        return [Discrepancy(where=where, found=problem)]
    try:
        again = recomputed(event, read_samples(path))
    except SensorError as error:
        return [Discrepancy(where=where, found=error.message)]
    except NO_FIGURES as error:
        found = f"no sensor check can be made of its raw edges: {type(error).__name__}: {error}"
        return [Discrepancy(where=f"event {row.seq}", found=found)]
    stands, expected = event.check.model_dump(mode="json"), again.model_dump(mode="json")
    return differing(f"event {row.seq}", "recomputed", {"check": stands}, {"check": expected})
