"""Deleting: confirmed by name, refused while something works, with a backup before decisions go."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.workbench import Workbench
from mars_engine.core.clock import utc_now
from mars_engine.core.errors import JobError, MarsError, StoreError
from mars_engine.core.records import Run
from mars_engine.data.import_pairs import import_pairs
from mars_engine.service.deletion import delete_dataset, delete_everything
from mars_engine.service.uploads import find_upload, save_upload
from mars_engine.store import Store
from mars_engine.workspace.backup import list_backups
from mars_engine.workspace.workspace import Workspace, create_workspace

NAME = "my pairs <b>1</b>"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create_workspace(tmp_path / "work")


@pytest.fixture
def bench(workspace: Workspace) -> Iterator[Workbench]:
    """Two datasets; the first came as an upload."""
    opened = make_bench(url=workspace.database_url)
    upload = save_upload(workspace, "pairs.jsonl", BytesIO(b"{}"))
    for name, location, first in ((NAME, str(upload.path), 0), ("other", "elsewhere", 100)):
        source = replace(ListSource(make_pairs(5, first=first)), name=name, location=location)
        import_pairs(source, opened.store, split="train", clock=opened.clock, progress=opened.progress)
    yield opened
    opened.store.close()


def first(bench: Workbench) -> str:
    return bench.store.pairs.datasets()[0].id


def test_the_name_has_to_be_typed_as_it_stands(workspace, bench):
    for typed in ("", "my pairs", f"{NAME} "):
        with pytest.raises(MarsError, match="to confirm"):
            delete_dataset(workspace, bench.store, first(bench), confirmation=typed, clock=utc_now)
    assert bench.store.pairs.count("train") == 10


def test_without_decisions_it_goes_without_a_backup_and_its_upload_goes_too(workspace, bench):
    (upload,) = (workspace.artifacts / "uploads").glob("*/*")
    deletion = delete_dataset(workspace, bench.store, first(bench), confirmation=NAME, clock=utc_now)
    assert deletion.backup is None
    assert (deletion.removed.pairs, bench.store.pairs.count("train")) == (5, 5)
    assert not upload.exists()
    assert list_backups(workspace) == []


def test_decisions_are_in_a_backup_before_they_go(workspace, bench):
    record_review(bench.store, "pair", make_pairs(5)[0].id, "flip", annotator="ada", clock=bench.clock)
    deletion = delete_dataset(workspace, bench.store, first(bench), confirmation=NAME, clock=utc_now)
    assert [each.path for each in list_backups(workspace)] == [deletion.backup]
    assert deletion.removed.decisions == 1
    assert bench.store.reviews.events("pair") == {}


def test_nothing_goes_where_the_backup_cannot_be_made(workspace, bench, monkeypatch):
    def refuse(*_: object) -> None:
        raise StoreError("it is a server's", remedy="make the copy by pg_dump")

    record_review(bench.store, "pair", make_pairs(5)[0].id, "flip", annotator="ada", clock=bench.clock)
    monkeypatch.setattr(Store, "copy_to", refuse)
    for delete, options in (
        (delete_dataset, {"dataset_id": first(bench), "confirmation": NAME}),
        (delete_everything, {"confirmation": workspace.root.name}),
    ):
        with pytest.raises(StoreError, match="pg_dump"):
            delete(workspace, bench.store, clock=utc_now, **options)
    assert bench.store.pairs.count("train") == 10
    deletion = delete_dataset(
        workspace, bench.store, first(bench), confirmation=NAME, clock=utc_now, copied_elsewhere=True
    )
    assert deletion.backup is None
    assert bench.store.pairs.count("train") == 5


def test_nothing_goes_while_something_works(workspace, bench):
    process = psutil.Process()
    now = utc_now()
    run = Run("r", "train", "running", {}, {}, "", process.pid, process.create_time(), now, now, None)
    bench.store.runs.start(run)
    with pytest.raises(JobError, match="at work"):
        delete_dataset(workspace, bench.store, first(bench), confirmation=NAME, clock=utc_now)
    with pytest.raises(JobError, match="at work"):
        delete_everything(workspace, bench.store, confirmation=workspace.root.name, clock=utc_now)
    assert bench.store.pairs.count("train") == 10


def test_everything_goes_after_a_backup_and_the_workspace_can_be_used_again(workspace, bench):
    key = next((workspace.artifacts / "uploads").glob("*/*")).relative_to(workspace.artifacts / "uploads").as_posix()
    with pytest.raises(MarsError, match="to confirm"):
        delete_everything(workspace, bench.store, confirmation="another", clock=utc_now)
    deletion = delete_everything(workspace, bench.store, confirmation="work", clock=utc_now)
    assert deletion.removed.datasets == 2
    assert deletion.backup is not None
    assert deletion.backup.is_file()
    assert find_upload(workspace, key) is None
    source = ListSource(make_pairs(5))
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    assert bench.store.pairs.count("train") == 5
