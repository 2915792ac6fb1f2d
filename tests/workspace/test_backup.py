"""Backups: a copy made while another process writes is whole and consistent, and is a workspace again."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from database_content import database_content
from fakes import ListSource, TickingClock, make_bench, make_pairs

from mars_engine.cli.main import mars
from mars_engine.core.config import MarsConfig, ProbeConfig
from mars_engine.core.errors import MarsError, StoreError, WorkspaceError
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.train import train_warm_up
from mars_engine.store import Store, open_store
from mars_engine.workspace.backup import BACKUPS, list_backups, make_backup
from mars_engine.workspace.workspace import CONFIG_FILE, Workspace, create_workspace, find_workspace

WRITING = """
import sys
from datetime import UTC, datetime
from mars_engine.core.review_records import ReviewEvent
from mars_engine.store import open_store
store, number = open_store(sys.argv[1]), 0
print("writing", flush=True)
while True:
    number += 1
    now = datetime.now(UTC)
    store.reviews.append([ReviewEvent("pair", f"{side}{number}", "drop", "ada", number, now) for side in "pq"])
"""
"""Stores two events in each transaction, until it is killed."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with pairs, a comment in its settings, a model's file, and what no backup keeps."""
    made = create_workspace(tmp_path / "work", MarsConfig(probe=ProbeConfig(l2=0.25)))
    config = made.root / CONFIG_FILE
    config.write_text("# A comment of a person.\n" + config.read_text())
    bench = make_bench(url=made.database_url)
    source = ListSource(make_pairs(20))
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    train_warm_up(bench)
    bench.store.close()
    for name in (
        "models/m1/probe.json",
        "models/.m2.99/half",
        "embeddings/cache.sqlite",
        "uploads/x/y.jsonl",
        "rewardbench/e1/m_outputs.jsonl",
        "rewardbench/e2/.rewards/000000.npz",
        "keys.json",
        "probe-features.json",
    ):
        path = made.artifacts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return made


@pytest.fixture
def store(workspace: Workspace) -> Iterator[Store]:
    opened = open_store(workspace.database_url)
    yield opened
    opened.close()


@contextmanager
def somebody_writing(url: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", WRITING, url], stdout=subprocess.PIPE, env=os.environ.copy())
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"writing"
        yield
        assert process.poll() is None, "it wrote all the time"
    finally:
        process.kill()
        process.communicate()


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive; the one folder in it."""
    shutil.unpack_archive(archive, folder)
    (root,) = folder.iterdir()
    return root


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".tar.gz", ".zip"])
def test_a_copy_made_while_another_process_writes_is_consistent(workspace, store, tmp_path, ending):
    made = []
    with somebody_writing(workspace.database_url):
        for number in range(3):
            backup = make_backup(workspace, store, tmp_path / f"copy-{number}{ending}", clock=TickingClock())
            made.append(backup.path)
            time.sleep(0.2)
    counts = []
    for path in made:
        root = unpack(path, tmp_path / f"{path.name}-unpacked")
        restored = open_store(find_workspace(root).database_url)
        events = restored.reviews.events("pair")
        assert all((f"q{item[1:]}" if item[0] == "p" else f"p{item[1:]}") in events for item in events)
        assert restored.pairs.pairs("train") == store.pairs.pairs("train")
        counts.append(len(events))
        restored.close()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0], "the process wrote between the copies"


def test_it_has_settings_database_and_models_and_nothing_that_can_be_made_again(workspace, store, tmp_path):
    (workspace.root / "prompts").mkdir()
    (workspace.root / "prompts" / "judge.txt").write_text("[user]\nWhich?")
    backup = make_backup(workspace, store, tmp_path / "copy.tar.gz", clock=TickingClock())
    root = unpack(backup.path, tmp_path / "unpacked")
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert files == {
        "mars.toml",
        "mars.sqlite",
        "artifacts/models/m1/probe.json",
        "artifacts/rewardbench/e1/m_outputs.jsonl",
        "artifacts/keys.json",
        "artifacts/probe-features.json",
        "prompts/judge.txt",
    }
    assert root.name == "copy"
    assert (root / CONFIG_FILE).read_text() == (workspace.root / CONFIG_FILE).read_text()
    assert find_workspace(root).config == workspace.config
    assert database_content(find_workspace(root).database_url) == database_content(workspace.database_url)


def test_a_copy_never_opens_the_database_it_was_copied_from(workspace, tmp_path):
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"
    config = workspace.root / CONFIG_FILE
    config.write_text(config.read_text().replace('database_url = ""', f'database_url = "{elsewhere}"'))
    named = find_workspace(workspace.root)
    assert named.database_url == elsewhere
    store = open_store(elsewhere)
    backup = make_backup(named, store, tmp_path / "copy.zip", clock=TickingClock())
    store.close()
    root = unpack(backup.path, tmp_path / "unpacked")
    assert find_workspace(root).database_url == f"sqlite:///{root / 'mars.sqlite'}"
    assert "# A comment of a person." in (root / CONFIG_FILE).read_text()


def test_backups_are_listed_the_newest_first(workspace, store):
    clock = TickingClock()
    assert list_backups(workspace) == []
    made = [make_backup(workspace, store, clock=clock) for _ in range(2)]
    for age, backup in enumerate(reversed(made)):
        os.utime(backup.path, (1_000 - age, 1_000 - age))
    (workspace.root / BACKUPS / ".backup-9.tar.gz.1234.part").write_text("half a backup")
    assert [each.path for each in list_backups(workspace)] == [each.path for each in reversed(made)]
    assert all(each.size_bytes > 1000 for each in made)


def test_a_failed_backup_leaves_nothing(workspace, store, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "add", full)
    target = tmp_path / "out" / "copy.tar.gz"
    target.parent.mkdir()
    with pytest.raises(WorkspaceError, match="No space left"):
        make_backup(workspace, store, target, clock=TickingClock())
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["copy.rar", "copy"])
def test_an_unknown_ending_is_refused(workspace, store, tmp_path, name):
    with pytest.raises(MarsError, match="ending"):
        make_backup(workspace, store, tmp_path / name, clock=TickingClock())


def test_an_existing_file_and_a_missing_folder_are_refused(workspace, store, tmp_path):
    (tmp_path / "copy.zip").write_text("mine")
    with pytest.raises(MarsError, match="exists already"):
        make_backup(workspace, store, tmp_path / "copy.zip", clock=TickingClock())
    assert (tmp_path / "copy.zip").read_text() == "mine"
    with pytest.raises(WorkspaceError, match="cannot be written"):
        make_backup(workspace, store, tmp_path / "missing" / "copy.zip", clock=TickingClock())


def test_a_server_is_left_to_pg_dump(workspace, store, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise StoreError("it is a server's", remedy="make the copy by pg_dump")

    monkeypatch.setattr(Store, "copy_to", refuse)
    with pytest.raises(StoreError, match="pg_dump"):
        make_backup(workspace, store, tmp_path / "copy.zip", clock=TickingClock())
    assert not list(tmp_path.glob("*copy*"))


def test_two_at_once_write_two(workspace, store):
    clock = TickingClock()
    threads = [threading.Thread(target=make_backup, args=(workspace, store), kwargs={"clock": clock}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list_backups(workspace)) == 2


def test_the_commands_write_a_backup_and_the_label_history(workspace, tmp_path):
    def run(*arguments: str) -> dict[str, object]:
        result = CliRunner().invoke(mars, ["--workspace", str(workspace.root), *arguments, "--json"])
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    made = run("backup")
    assert [str(each.path) for each in list_backups(workspace)] == [made["path"]]
    run("backup", str(tmp_path / "there.zip"))
    assert zipfile.is_zipfile(tmp_path / "there.zip")
    history = tmp_path / "history.jsonl"
    assert run("history", str(history))["events"] == 0
    assert history.read_text() == ""
    refused = CliRunner().invoke(mars, ["--workspace", str(workspace.root), "history", str(history)])
    assert refused.exit_code == 3
    assert "exists already" in refused.stderr
    run("history", str(tmp_path / "history.csv"))
    assert (tmp_path / "history.csv").read_text().startswith('"at","annotator"')
