"""Deleting a dataset or a workspace's content, confirmed by its name, with a backup before decisions go."""

from dataclasses import dataclass
from pathlib import Path

from mars_engine.core.clock import Clock
from mars_engine.core.errors import JobError, MarsError
from mars_engine.core.records import RemovedContent
from mars_engine.jobs.jobs import running_run
from mars_engine.service.uploads import forget_upload, forget_uploads
from mars_engine.store import Store
from mars_engine.workspace.backup import make_backup
from mars_engine.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Deletion:
    """What was deleted, and the backup that was made before; None where there was nothing that people did."""

    removed: RemovedContent
    backup: Path | None


def delete_dataset(
    workspace: Workspace,
    store: Store,
    dataset_id: str,
    *,
    confirmation: str,
    clock: Clock,
    copied_elsewhere: bool = False,
) -> Deletion:
    """Delete a dataset, its pairs and all that is about them, and the file it was uploaded as.

    Where anything was decided about its pairs or their proposals, a backup is made first. Models that were trained on
    its pairs stay as they are until they are trained again.

    Args:
        workspace: whose dataset it is.
        store: its open store.
        dataset_id: which.
        confirmation: the dataset's name, as a person typed it.
        clock: tells the time.
        copied_elsewhere: a copy was made by other means, so no backup is wanted: the only way on PostgreSQL.

    Raises:
        MarsError: the confirmation is not its name.
        JobError: something is at work in the workspace.
        StoreError: there is no such dataset, or its database is PostgreSQL's and no copy was made. Nothing is deleted.
    """
    outlook = store.removal.outlook(dataset_id)
    dataset = next(each for each in store.pairs.datasets() if each.id == dataset_id)
    _require_confirmation(confirmation, dataset.name)
    _require_rest(store, clock)
    backup = None
    if outlook.decisions and not copied_elsewhere:
        backup = make_backup(workspace, store, clock=clock).path
    removed = store.removal.remove_dataset(dataset_id)
    if all(each.location != dataset.location for each in store.pairs.datasets()):
        forget_upload(workspace, Path(dataset.location))
    return Deletion(removed, backup)


def delete_everything(
    workspace: Workspace, store: Store, *, confirmation: str, clock: Clock, copied_elsewhere: bool = False
) -> Deletion:
    """Delete all content of a workspace's database and all uploaded files, after a backup.

    Settings, backups, exports, logs and the files of models stay in the folder.

    Args:
        workspace: whose content.
        store: its open store.
        confirmation: the name of the workspace's folder, as a person typed it.
        clock: tells the time.
        copied_elsewhere: a copy was made by other means, so no backup is wanted: the only way on PostgreSQL.

    Raises:
        MarsError: the confirmation is not the folder's name.
        JobError: something is at work in the workspace.
        StoreError: the database is PostgreSQL's and no copy was made. Nothing is deleted.
    """
    _require_confirmation(confirmation, workspace.root.resolve().name)
    _require_rest(store, clock)
    backup = None if copied_elsewhere else make_backup(workspace, store, clock=clock).path
    removed = store.removal.remove_everything()
    forget_uploads(workspace)
    return Deletion(removed, backup)


def _require_confirmation(given: str, name: str) -> None:
    if given != name:
        raise MarsError(
            f"{given!r} was typed to confirm the deletion", expected=f"the name {name!r}", remedy="type it as it stands"
        )


def _require_rest(store: Store, clock: Clock) -> None:
    busy = running_run(store, clock=clock)
    if busy is not None:
        raise JobError(
            f"the run {busy.kind!r} is at work, and would write about what is deleted",
            remedy="wait until it has finished, or cancel it, and delete then",
        )
