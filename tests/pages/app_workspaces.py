"""Workspaces of every kind that the app may be opened in, made quickly and without models."""

import atexit
import os
import shutil
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from fakes import ListSource, make_bench, make_pairs
from reading_workspaces import let_live_probe_read
from streamlit.testing.v1 import AppTest

from mars_engine.augment.workbench import Workbench
from mars_engine.core.records import ModelRecord, Run
from mars_engine.core.shipped import shipped
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.rounds import run_rounds
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store

PAGES = (
    "overview",
    "explore",
    "check",
    "review",
    "people",
    "train",
    "align",
    "results",
    "data",
    "settings",
    "present",
    "pair",
)
KINDS = ("empty", "without a model", "without proposals", "failed job", "complete")
FAILED = Run(
    id="f" * 32,
    kind="train",
    state="failed",
    settings={},
    summary={},
    error="ModelError: the weights <b>are</b> $missing$.",
    process_id=os.getpid(),
    process_started=0.0,
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    heartbeat_at=datetime(2026, 1, 1, tzinfo=UTC),
    ended_at=datetime(2026, 1, 1, tzinfo=UTC),
    command=("train",),
)


def _import(bench: Workbench, count: int) -> None:
    for split, first in (("train", 0), ("heldout", 1000)):
        source = ListSource(make_pairs(count, first=first, seed=first), name=f"<b>{split}</b>")
        import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)


def make_workspace(root: Path, kind: str) -> Path:
    """Make a workspace of one of KINDS; its folder."""
    shutil.copytree(_made(kind), root)
    return root


@cache
def _made(kind: str) -> Path:
    """A workspace of a kind, which is copied for each test that wants one."""
    folder = Path(tempfile.mkdtemp(prefix="mars-workspace-"))
    atexit.register(shutil.rmtree, folder)
    workspace = create_workspace(folder / "made")
    bench = make_bench(url=workspace.database_url)
    if kind != "empty":
        _import(bench, 20)
    if kind == "without proposals":
        score_model(bench, train_warm_up(bench))
    if kind == "complete":
        (report,) = run_rounds(bench, 1, policy="gates")
        score_model(bench, report.model)
    if kind == "failed job":
        bench.store.runs.start(FAILED)
        bench.store.runs.finish(FAILED.id, "failed", FAILED.started_at, summary={}, error=FAILED.error)
    bench.store.close()
    if kind in {"without proposals", "complete"}:
        let_live_probe_read(workspace.root)
    return workspace.root


def open_results(root: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    """Open the Results page of a workspace, by an address with these parameters."""
    monkeypatch.setenv("MARS_WORKSPACE", str(root))
    app = AppTest.from_file(str(shipped("app.py")), default_timeout=60)
    app.run()
    app.switch_page("pages/results.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def keep_trajectories(root: Path, *, epochs: int = 4) -> ModelRecord:
    """Give a complete workspace's newest model margins after each epoch, from pairs never learned to steady ones."""
    with open_workspace_store(find_workspace(root)) as store:
        model = store.models.all()[-1]
        pairs = store.pairs.pairs("train")
        for epoch in range(epochs):
            # Each fifth pair is never learned, each fifth is forgotten in every second epoch, the others are steady.
            signs = [-1 if place % 5 == 0 or (place % 5 == 1 and epoch % 2) else 1 for place in range(len(pairs))]
            margins = {pair.id: sign * (0.5 + epoch) for pair, sign in zip(pairs, signs, strict=True)}
            store.models.save_epoch(model.id, epoch + 1, margins)
        return model
