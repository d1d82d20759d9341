"""The locks of GPUs: who is refused, who is not, and what in their folder is not trusted."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from llem.domain.errors import EnvironmentNotFitError
from llem.study.device_locks import FOLDER, DeviceHolder, DeviceLocking, DeviceLocks, may_use_gpus

GPU, OTHER, THIRD = "GPU-1111", "GPU-2222", "amd:0000:03:00.0"
NOBODY = 65534
HOLD = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from llem.study.device_locks import DeviceLocks\n"
    "locks = DeviceLocks(sys.argv[3:], Path(sys.argv[2]), [Path(sys.argv[1])])\n"
    "print('held', flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture
def place():
    """Return a folder that every user may write in, below one that every user can reach."""
    made = Path(tempfile.mkdtemp(prefix="llem-test-"))
    made.chmod(0o1777)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def held(place):
    """Return another session that holds one GPU."""
    command = [sys.executable, "-c", HOLD, str(place), "/studies/other", GPU]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def take(place, *devices, study="/studies/ours"):
    return DeviceLocks(devices, Path(study), [place])


def is_free(place, device):
    try:
        take(place, device).release()
    except EnvironmentNotFitError:
        return False
    return True


def test_a_second_study_is_refused_and_told_which_gpu_who_holds_it_and_the_way_out(place, held):
    with pytest.raises(EnvironmentNotFitError) as refused:
        take(place, GPU)
    told = str(refused.value)
    assert refused.value.exit_code == 3
    assert f"{GPU} is in use by another study: /studies/other (process {held.pid} on {os.uname().nodename}" in told
    written = DeviceHolder.model_validate_json((place / FOLDER / f"{GPU}.lock").read_bytes())
    assert written.started_at in told
    assert "CUDA_VISIBLE_DEVICES" in told
    assert "--no-lock" in told
    assert (written.study, written.pid) == ("/studies/other", held.pid)


def test_who_is_refused_one_gpu_holds_none_and_the_others_stay_free(place, held):
    with pytest.raises(EnvironmentNotFitError):
        take(place, "GPU-0000", GPU, OTHER)
    assert is_free(place, "GPU-0000")
    with take(place, OTHER, THIRD):
        assert not is_free(place, OTHER)
        assert not is_free(place, THIRD)
    assert is_free(place, OTHER)
    assert is_free(place, THIRD)


def test_the_kernel_releases_the_gpu_of_a_session_that_is_killed(place, held):
    assert not is_free(place, GPU)
    held.send_signal(signal.SIGKILL)
    held.wait()
    assert is_free(place, GPU)


def test_a_child_of_the_session_does_not_keep_the_gpu(place):
    locks = take(place, GPU)
    child = subprocess.Popen(
        [sys.executable, "-c", "print('here', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )
    try:
        assert child.stdout.readline() == b"here\n"
        locks.release()
        assert is_free(place, GPU)
    finally:
        child.communicate(b"\n")


def test_every_user_can_open_a_lock_whatever_the_umask_of_the_first(place):
    before = os.umask(0o077)
    try:
        take(place, GPU).release()
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    folder = place / FOLDER
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert stat.S_IMODE((folder / f"{GPU}.lock").stat().st_mode) == 0o666


@pytest.mark.parametrize("root_holds", [True, False])
def test_another_user_is_refused_while_it_is_held_and_served_afterwards(place, root_holds):
    def as_another_user():
        """Return what another user finds: b"free" or b"held"; without the right to become one, we ask ourselves."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            if os.geteuid() == 0:
                os.setuid(NOBODY)
            os.write(writer, b"free" if is_free(place, GPU) else b"held")
            os._exit(0)
        os.close(writer)
        found = os.read(reader, 10)
        os.close(reader)
        os.waitpid(child, 0)
        return found

    if not root_holds:
        assert as_another_user() == b"free"  # it makes folder and file, and we find them
    with take(place, GPU):
        assert as_another_user() == b"held"
    assert as_another_user() == b"free"


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"pid": 1}', b"\xff", b"x" * 100_000])
def test_a_lock_whose_holder_left_no_name_is_still_a_lock(place, content):
    with take(place, GPU):
        (place / FOLDER / f"{GPU}.lock").write_bytes(content)
        with pytest.raises(EnvironmentNotFitError, match="a study that left no name"):
            take(place, GPU)


class TestTrap:
    """What another user may have laid where the locks are."""

    @pytest.fixture
    def treasure(self, tmp_path):
        treasure = tmp_path / "treasure"
        treasure.write_text("precious")
        yield treasure
        assert treasure.read_text() == "precious"

    @pytest.fixture
    def folder(self, place):
        take(place, OTHER).release()
        return place / FOLDER

    def refused(self, place):
        with pytest.raises(EnvironmentNotFitError, match=r"cannot be had: .*--no-lock") as refused:
            take(place, GPU)
        return str(refused.value)

    def test_a_link_in_the_place_of_a_lock_is_not_followed(self, place, folder, treasure):
        (folder / f"{GPU}.lock").symlink_to(treasure)
        assert f"{GPU}.lock" in self.refused(place)

    def test_a_second_name_of_somebodys_file_is_not_written(self, place, folder):
        treasure = place / "treasure"
        treasure.write_text("precious")
        os.link(treasure, folder / f"{GPU}.lock")
        self.refused(place)
        assert treasure.read_text() == "precious"

    def test_a_pipe_is_not_waited_for(self, place, folder):
        os.mkfifo(folder / f"{GPU}.lock")
        self.refused(place)

    def test_a_link_in_the_place_of_their_folder_is_not_followed(self, place, tmp_path):
        (place / FOLDER).symlink_to(tmp_path)
        self.refused(place)
        assert list(tmp_path.iterdir()) == []


def test_the_first_place_in_which_all_users_may_write_has_the_locks(place, tmp_path):
    private = tmp_path / "private"
    private.mkdir(0o755)
    with DeviceLocks([GPU], tmp_path, [tmp_path / "missing", private, place]):
        assert not is_free(place, GPU)
    assert list(private.iterdir()) == []
    (private / FOLDER).mkdir()  # an administrator has laid it out for all
    with DeviceLocks([GPU], tmp_path, [private, place]):
        assert is_free(place, GPU)


def test_without_a_gpu_no_file_is_touched(place):
    DeviceLocking(find=lambda: (), places=[place]).hold(Path("/studies/ours")).release()
    assert list(place.iterdir()) == []


def test_a_study_that_stays_on_the_processor_wants_no_gpu(make):
    on_cpu = make.config(engine_options={"device": "cpu"})
    assert not may_use_gpus([on_cpu, on_cpu])
    assert may_use_gpus([on_cpu, make.config(engine_options={"device": "auto"})])
    assert may_use_gpus([make.config(engine_options={"device": "cuda:1"})])
