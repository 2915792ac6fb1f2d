"""The desk: everything that the app's pages ask of one workspace, opened once for the whole server."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mars_engine.core.clock import Clock, utc_now
from mars_engine.core.config import MarsConfig
from mars_engine.core.records import Run
from mars_engine.curate.deck_cache import DeckCache
from mars_engine.curate.gain_order import GainOrder
from mars_engine.curate.live import LiveFigures, gain_stamp, live_stamp
from mars_engine.data.pair_index import PairIndex, PairIndexCache
from mars_engine.embeddings.maps import MapShelf
from mars_engine.evaluate.overview import Headline, headline
from mars_engine.evaluate.results import results_revision
from mars_engine.explore.explorer import Explorer
from mars_engine.jobs.jobs import start_job, start_next_job
from mars_engine.jobs.recorded_run import mark_lost_runs
from mars_engine.service.live_watch import LiveWatch
from mars_engine.service.worker import WorkerClient
from mars_engine.store import Store, open_store
from mars_engine.workspace.workspace import Workspace, find_workspace, map_shelf


@dataclass
class Desk:
    """An open workspace, shared by all sessions of the server. It never loads a model.

    Settings are read again where mars.toml has changed.
    """

    root: Path
    store: Store
    index_cache: PairIndexCache
    clock: Clock = utc_now
    worker: WorkerClient = field(init=False)
    """Has the encoder, in a process of its own that the first request starts."""
    live: LiveWatch[LiveFigures] = field(init=False)
    gains: LiveWatch[GainOrder] = field(init=False)
    """In which order the waiting proposals add most, as of the newest decisions that it could take in."""
    deck_cache: DeckCache = field(init=False)
    maps: MapShelf = field(init=False)
    explorer: Explorer = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _settings: tuple[float, Workspace] | None = None
    _headline: tuple[str, Headline] | None = None

    def __post_init__(self) -> None:
        self.deck_cache = DeckCache(self.store)
        self.worker = WorkerClient(self.root)
        self.live = LiveWatch(self.worker.live, lambda: live_stamp(self.store))
        self.gains = LiveWatch(lambda _: self.worker.gain_order(), lambda: gain_stamp(self.store))
        self.maps = map_shelf(self.workspace)
        self.explorer = Explorer(self.store, self.index_cache, self.maps, self.worker.embed)

    @property
    def workspace(self) -> Workspace:
        """The workspace with its settings as they are on the disk now.

        Raises:
            WorkspaceError: the folder is no workspace any more.
            ConfigError: mars.toml has something that cannot be used.
        """
        path = self.root / "mars.toml"
        changed = path.stat().st_mtime if path.exists() else 0.0
        with self._lock:
            if self._settings is None or self._settings[0] != changed:
                self._settings = (changed, find_workspace(self.root))
            return self._settings[1]

    @property
    def config(self) -> MarsConfig:
        return self.workspace.config

    def index(self) -> PairIndex:
        """The columns of all pairs, read again where something has changed."""
        return self.index_cache.current()

    def headline(self) -> Headline:
        """The newest model's figures beside those of the one before, made again where something has changed."""
        evaluate = self.config.evaluate
        revision = f"{results_revision(self.store)} {evaluate.model_dump_json()}"
        known = self._headline
        if known is None or known[0] != revision:
            known = self._headline = (revision, headline(self.store, self.index(), config=evaluate))
        return known[1]

    def running_job(self) -> Run | None:
        """The run that the app shows at work, or None; what waits in the queue begins when its turn has come."""
        return start_next_job(self.workspace, self.store, clock=self.clock)

    def start_job(self, *command: str) -> Run:
        """Start `mars COMMAND…` for the app, in the background, or queue it; see `jobs.start_job`."""
        return start_job(self.workspace, self.store, command, clock=self.clock)

    def close(self) -> None:
        """End the worker and close the database."""
        self.worker.close()
        self.store.close()


def open_desk(root: Path, *, opened: Callable[[str], Store] = open_store) -> Desk:
    """Open a workspace for the app; runs whose process is gone are marked as lost.

    Raises:
        WorkspaceError: the folder is not a workspace.
        ConfigError: its mars.toml has something that cannot be used.
        StoreError: its database cannot be opened.
    """
    workspace = find_workspace(root)
    store = opened(workspace.database_url)
    mark_lost_runs(store, utc_now)
    return Desk(root.resolve(), store, PairIndexCache(store))
