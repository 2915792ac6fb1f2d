"""What every method of a workspace works in: its folder, its open database, and the runs that are recorded there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from mars_engine.api.settings import ORIGIN, Settings
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config.overrides import override_config
from mars_engine.core.errors import StoreError
from mars_engine.core.progress import Progress, progress_for
from mars_engine.data.pair_index import PairIndex, PairIndexCache
from mars_engine.embeddings.maps import MapShelf
from mars_engine.jobs.recorded_run import RunNotes
from mars_engine.jobs.recorded_work import recorded_work
from mars_engine.store import Store, open_store
from mars_engine.workspace.workspace import Workspace as Folder
from mars_engine.workspace.workspace import find_workspace, map_shelf, open_workbench


class OpenedWorkspace:
    """A workspace's folder with its database open. `Workspace` adds what can be done there."""

    def __init__(self, folder: Folder, *, progress: bool = True) -> None:
        """Open the database; `mars.open` and `mars.create` call this.

        Args:
            folder: the workspace's folder and settings.
            progress: whether long steps say how far they have come, on standard error.
        """
        self.path = folder.root
        self.progress = progress
        self._store: Store | None = open_store(folder.database_url)
        self._index = PairIndexCache(self._store)

    @property
    def _open(self) -> Store:
        """The database; a workspace that was closed says so, here and in all below."""
        if self._store is None:
            remedy = f"open it again: mars.open({str(self.path)!r})"
            raise StoreError(f"the workspace {self.path} is closed", remedy=remedy)
        return self._store

    def _current(self) -> PairIndex:
        _ = self._open
        return self._index.current()

    def _folder(self) -> Folder:
        """Return the folder with the settings as they stand in mars.toml now."""
        _ = self._open
        return find_workspace(self.path)

    def _maps(self) -> MapShelf:
        return map_shelf(self._folder())

    def _said(self) -> Progress:
        """Return where steps say how far they have come."""
        return progress_for(sys.stderr, quiet=not self.progress)

    def _with(self, *settings: Settings | None) -> Folder:
        """Return the folder with some settings in the place of those in mars.toml; the last ones hold."""
        folder = self._folder()
        for each in settings:
            folder = replace(folder, config=override_config(folder.config, each or {}, origin=ORIGIN))
        return folder

    @contextmanager
    def _working(self, kind: str, *settings: Settings | None) -> Iterator[tuple[Workbench, RunNotes]]:
        with recorded_work(self._with(*settings), kind, self._said()) as (bench, notes):
            yield bench, notes

    @contextmanager
    def _looking(self, *settings: Settings | None) -> Iterator[Workbench]:
        with open_workbench(self._with(*settings), self._said()) as bench:
            yield bench
