"""`mars train --backbone …`: a round on the packaged backbone; and training that is cancelled, killed and goes on."""

import json
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from forked_mars import ForkedMars
from safetensors.numpy import load_file
from tiny_transformers import save_tiny_backbone

from mars_engine.cli.main import INTERRUPTED, NOT_READY, UNUSABLE, mars
from mars_engine.core.shipped import shipped
from mars_engine.workspace.workspace import DATABASE_FILE

pytestmark = pytest.mark.model

SETTINGS = {
    "reward-model-max-tokens": 32,
    "reward-model-epochs": 2,
    "reward-model-batch-size": 4,
    "reward-model-learning-rate": 1e-4,
    "reward-model-checkpoint-every": 8,
    "allocation-budget-per-pair": 0.5,
    "propose-variants": 1,
    "triage-policy": "keep",
    "triage-seeds": 1,
}
PAIRS = 12
WARM_UP_STEPS = 6


def run(workspace: Path, *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(mars, ["--workspace", str(workspace), "--quiet", *arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A workspace with 12 training pairs and 5 held-out ones."""
    root = tmp_path_factory.mktemp("transformer")
    for name, count in (("train", PAIRS), ("test", 5)):
        lines = (shipped("data") / f"demo-{name}.jsonl").read_text().splitlines(keepends=True)[:count]
        (root / f"{name}.jsonl").write_text("".join(lines))
    workspace = root / "start"
    run(workspace, "init", "--reward-model-trajectory", *[f"--{name}={value}" for name, value in SETTINGS.items()])
    run(workspace, "import", str(root / "train.jsonl"))
    run(workspace, "import", "--split", "heldout", str(root / "test.jsonl"))
    return workspace


@pytest.fixture(scope="module")
def quiet_run(start, tmp_path_factory) -> Path:
    workspace = tmp_path_factory.mktemp("quiet") / "workspace"
    shutil.copytree(start, workspace)
    run(workspace, "train", "--backbone", "packaged", "--rounds", "1", "--policy", "accept-all")
    return workspace


def query(workspace: Path, statement: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(workspace / DATABASE_FILE)
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()


def models(workspace: Path) -> dict[str, dict[str, np.ndarray]]:
    folders = (workspace / "artifacts" / "models").glob("[!.]*")
    return {folder.name: load_file(folder / "model.safetensors") for folder in folders}


def run_apart(workspace: Path, *arguments: str, environment: dict[str, str]) -> None:
    """Run a command to its end in a process of its own, whose arithmetic is that of one that is struck."""
    process = ForkedMars(workspace, *arguments, environment=environment)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def strike_after(process: ForkedMars, workspace: Path, step: int, how: signal.Signals) -> str:
    """Send a signal once the training has noted a step; return what the process said."""
    deadline = time.monotonic() + 300
    statement = "SELECT max(step) FROM run_points WHERE metric = 'training margin'"
    while (query(workspace, statement)[0][0] or 0) < step:
        assert process.returncode is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.strike(how)
    return process.communicate()[1]


def test_a_round_leaves_models_scores_curves_and_trajectories(quiet_run):
    kinds = query(quiet_run, "SELECT kind, round FROM reward_models ORDER BY ordinal")
    assert kinds == [("transformer", 0), ("transformer", 1)]
    metrics = {name for (name,) in query(quiet_run, "SELECT DISTINCT metric FROM run_points")}
    assert metrics >= {"training loss", "training accuracy", "training margin", "held-out accuracy"}
    steps = [step for (step,) in query(quiet_run, "SELECT step FROM run_points WHERE metric = 'training loss'")]
    assert min(steps) == 1
    assert WARM_UP_STEPS in steps
    assert max(steps) > WARM_UP_STEPS  # the curve of the round follows that of the warm-up
    scored = query(quiet_run, "SELECT count(*) FROM scores GROUP BY model_id")
    assert scored == [(PAIRS + 5,)] * 2
    epochs = query(quiet_run, "SELECT model_id, epoch, count(*) FROM trajectories GROUP BY 1, 2")
    assert [(epoch, pairs) for _, epoch, pairs in epochs] == [(1, PAIRS), (2, PAIRS)] * 2
    assert query(quiet_run, "SELECT count(*) FROM proposals WHERE information_gain IS NOT NULL") == [(0,)]
    assert list((quiet_run / "artifacts" / "checkpoints").iterdir()) == []
    for folder in (quiet_run / "artifacts" / "models").iterdir():
        assert json.loads((folder / "config.json").read_text())["mars"] == {"input_format": "pair", "max_tokens": 32}
    shown = run(quiet_run, "evaluate").output
    assert "signed round 1" in shown
    assert "warm-up" in run(quiet_run, "status").output or shown


def test_cancelled_and_killed_it_goes_on_exactly(start, tmp_path, quiet_environment):
    """Killed while it starts, cancelled, and killed in the training: the database stays whole, and no run goes on."""
    texts = (start.parent / "train.jsonl").read_text().splitlines()
    backbone = save_tiny_backbone(tmp_path / "backbone", "modernbert", texts)
    command = ["train", "--backbone", str(backbone), "--reward-model-epochs", "40"]
    quiet, workspace = tmp_path / "quiet", tmp_path / "workspace"
    for each in (quiet, workspace):
        shutil.copytree(start, each)
    run_apart(quiet, *command, environment=quiet_environment)

    def is_whole_and_no_run_seems_to_go_on() -> bool:
        run(workspace, "job", "list")
        running = query(workspace, "SELECT count(*) FROM runs WHERE state = 'running'")
        return query(workspace, "PRAGMA integrity_check") == [("ok",)] and running == [(0,)]

    process = ForkedMars(workspace, *command, environment=quiet_environment)
    while not query(workspace, "SELECT * FROM runs WHERE kind = 'train'"):
        assert process.returncode is None, process.communicate()
        time.sleep(0.01)
    process.strike(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert is_whole_and_no_run_seems_to_go_on()

    process = ForkedMars(workspace, *command, environment=quiet_environment)
    said = strike_after(process, workspace, 10, signal.SIGINT)
    assert process.returncode == INTERRUPTED, said
    assert "Traceback" not in said
    assert query(workspace, "SELECT state FROM runs ORDER BY ordinal DESC LIMIT 1") == [("cancelled",)]
    reached = query(workspace, "SELECT max(step) FROM run_points WHERE metric = 'training loss'")[0][0]
    (training,) = (workspace / "artifacts" / "checkpoints").iterdir()
    assert (training / f"checkpoint-{reached}" / "trainer_state.json").is_file()

    process = ForkedMars(workspace, *command, environment=quiet_environment)
    strike_after(process, workspace, reached + 20, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert is_whole_and_no_run_seems_to_go_on()
    assert query(workspace, "SELECT count(*) FROM reward_models") == [(0,)]
    run_apart(workspace, *command, environment=quiet_environment)
    states = [state for (state,) in query(workspace, "SELECT state FROM runs WHERE kind = 'train' ORDER BY ordinal")]
    assert states == ["lost", "cancelled", "lost", "finished"]
    found, expected = models(workspace), models(quiet)
    assert found.keys() == expected.keys()
    (model_id,) = expected
    for name, weight in expected[model_id].items():
        np.testing.assert_allclose(found[model_id][name], weight, atol=1e-6, rtol=0)
    kept = "SELECT * FROM trajectories ORDER BY 1, 2, 3"
    ours, theirs = query(workspace, kept), query(quiet, kept)
    assert len(theirs) == 40 * PAIRS
    np.testing.assert_allclose([row[3] for row in ours], [row[3] for row in theirs], atol=1e-5)


def test_what_cannot_be_trained_is_said_in_plain_words(start, tmp_path):
    workspace = tmp_path / "workspace"
    shutil.copytree(start, workspace)
    said = run(workspace, "train", "--backbone", str(tmp_path), code=UNUSABLE).output
    assert "no config.json that can be used" in said
    assert "What to do" in said
    one = tmp_path / "one"
    run(one, "init")
    (tmp_path / "one.jsonl").write_text((shipped("data") / "demo-train.jsonl").read_text().splitlines(keepends=True)[0])
    run(one, "import", str(tmp_path / "one.jsonl"))
    said = run(one, "train", "--backbone", "packaged", code=NOT_READY).output
    assert "there is only one pair to train on" in said
