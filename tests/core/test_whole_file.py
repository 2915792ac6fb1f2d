"""Files and folders that appear whole or not at all: through errors, kills and losses of power."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mars_engine.core.whole_file import completed_file, file_sha256, put_in_place
from mars_engine.core.whole_folder import write_whole_folder

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from mars_engine.core.whole_file import completed_file

setattr(*({"fsync": os, "replace": Path}[sys.argv[2]], sys.argv[2]), lambda *_: os.kill(os.getpid(), signal.SIGKILL))
with completed_file(Path(sys.argv[1])) as part:
    part.write_text("new")
"""


def write(path: Path, text: str) -> None:
    with completed_file(path) as part:
        part.write_text(text)


def path_of(number: int) -> Path:
    return Path(f"/proc/self/fd/{number}").readlink()


def test_a_file_appears_where_none_was_and_in_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write(path, "old")
    assert path.read_text() == "old"
    write(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ValueError("a bad row"), KeyboardInterrupt()]
)
def test_an_error_while_writing_leaves_the_earlier_file_alone(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    write(path, "old")

    def fail_half_way() -> None:
        with completed_file(path) as part:
            part.write_text("half of the ne")
            raise error

    with pytest.raises(type(error)):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_between_writing_and_renaming_leaves_the_earlier_file(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "a.txt"
    write(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED_AT, str(path), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    hidden = [each for each in tmp_path.iterdir() if each != path]
    assert [each.read_text() for each in hidden] == ["new"], "it was killed after the file was written"
    assert all(each.name.startswith(".") for each in hidden)
    write(path, "newer")
    assert path.read_text() == "newer"


def test_a_disk_that_is_full_when_the_file_is_made_safe_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_keeps_the_permissions_of_the_one_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "with-a-password.toml"
    path.write_text("old")
    path.chmod(0o600)
    write(path, "new")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_file_has_the_permissions_that_any_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("by hand")
    write(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def order_on_disk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return the list that the steps of a write are noted in, in their order."""
    steps: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(number: int) -> None:
        steps.append(("sync", path_of(number).name))
        fsync(number)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append(("rename", target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return steps


def test_a_file_is_safe_before_it_has_its_name_and_its_name_on_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = order_on_disk(monkeypatch)
    with completed_file(tmp_path / "a.txt") as part:
        part.write_text("whole")
    assert steps == [("sync", part.name), ("rename", "a.txt"), ("sync", tmp_path.name)]


def test_all_of_a_folder_is_safe_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = tmp_path / "draft"
    (draft / "inner").mkdir(parents=True)
    (draft / "a.txt").write_text("a")
    (draft / "inner" / "b.txt").write_text("b")
    steps = order_on_disk(monkeypatch)
    put_in_place(draft, tmp_path / "model")
    assert sorted(steps[:-2]) == [("sync", "a.txt"), ("sync", "b.txt"), ("sync", "draft"), ("sync", "inner")]
    assert steps[-2:] == [("rename", "model"), ("sync", tmp_path.name)]
    assert (tmp_path / "model" / "inner" / "b.txt").read_text() == "b"


def test_a_file_system_that_syncs_no_folders_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def only_files(number: int) -> None:
        if path_of(number).is_dir():
            raise OSError(22, "Invalid argument")
        fsync(number)

    monkeypatch.setattr(os, "fsync", only_files)
    write(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_folder_is_written_once_and_a_damaged_one_again(tmp_path: Path) -> None:
    target = tmp_path / "model"

    def is_whole(folder: Path) -> bool:
        return (folder / "weights").read_text() == "whole"

    def write_text(text: str) -> None:
        write_whole_folder(target, lambda folder: (folder / "weights").write_text(text) and None, is_whole=is_whole)

    write_text("whole")
    write_text("another")
    assert (target / "weights").read_text() == "whole"
    (target / "weights").write_text("who")
    write_text("whole")
    assert (target / "weights").read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_did_not_change_is_read_once_for_its_digest(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    found = file_sha256(path)
    assert found == hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was read again"))
    assert file_sha256(path) == found
