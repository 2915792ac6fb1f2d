"""Workspaces to read in: with margins, and with proposals that nobody has decided; and what was decided in them."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from fakes import ListSource, make_bench, make_pairs

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.core.config import MarsConfig, ProbeConfig
from mars_engine.core.records import Pair, Turn
from mars_engine.core.review_records import ItemKind, ReviewEvent
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.service.worker_process import WorkspaceService
from mars_engine.store import Store
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store

CONFIG = MarsConfig(probe=ProbeConfig(layers="sentence", reading="response", l2=0.01))
"""Nothing is left to choose, which takes the live probe longer than all else."""
HOSTILE = (
    "<script>window.hacked = 1; alert('script')</script><img src=x onerror=\"window.hacked = 1\">"
    "![picture](http://example.invalid/p.png) $$x^2$$ :smile: **bold** [link](javascript:alert(1)) {{7*7}} ${7*7}"
)


def make_reading(root: Path, *, pairs: int, hostile: bool = False) -> Path:
    """A workspace with margins and with proposals that nobody has decided; what the live probe reads was read."""
    shutil.copytree(_made(pairs, hostile), root)
    return root


def let_live_probe_read(root: Path) -> None:
    """Refit the live probe once, so that a server's worker finds all texts embedded and begins without torch."""
    with open_workspace_store(find_workspace(root)) as store:
        WorkspaceService(root, store).live("proposal")


@cache
def _made(pairs: int, hostile: bool) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mars-reading-"))
    atexit.register(shutil.rmtree, folder)
    workspace = create_workspace(folder / "made", CONFIG)
    bench = make_bench(CONFIG, url=workspace.database_url)
    source = make_pairs(pairs)
    if hostile:
        source = tuple(
            Pair.of(
                [Turn("system", HOSTILE), Turn(HOSTILE[:40], "earlier"), Turn("user", f"{number} {HOSTILE}")],
                f"{pair.chosen} {HOSTILE}",
                f"{pair.rejected} {HOSTILE} {'long ' * 20_000 if number == 0 else ''}",
                subset=HOSTILE,
            )
            for number, pair in enumerate(source)
        )
    import_pairs(
        ListSource(source, name=HOSTILE), bench.store, split="train", clock=bench.clock, progress=bench.progress
    )
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model, round_number=1).plan)
    bench.store.close()
    let_live_probe_read(workspace.root)
    return workspace.root


def events_of(store: Store, name: str, kind: ItemKind = "proposal") -> list[ReviewEvent]:
    """An annotator's events in the order of their acts."""
    found = [event for events in store.reviews.events(kind).values() for event in events if event.annotator == name]
    return sorted(found, key=lambda event: event.sequence)
