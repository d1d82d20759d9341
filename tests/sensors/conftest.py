import os
import tempfile
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def readable_by_none():
    """Return a powercap tree whose counter may not be read, even where the tests run as root."""
    with tempfile.TemporaryDirectory() as name:  # tmp_path lies below a folder that is closed to others
        Path(name).chmod(0o755)
        zone = Path(name) / "intel-rapl:0"
        zone.mkdir()
        (zone / "name").write_text("package-0\n")
        (zone / "max_energy_range_uj").write_text("262143328850\n")
        (zone / "energy_uj").write_text("1\n")
        (zone / "energy_uj").chmod(0o000)
        was_root = os.geteuid() == 0
        if was_root:
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            if was_root:
                os.seteuid(0)
