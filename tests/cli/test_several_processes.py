"""`accelerate launch … mars`: two processes share training and scoring, and come to what one process comes to."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from forked_mars import ForkedMars, begin_two
from tiny_transformers import save_tiny_backbone

from mars_engine.cli.main import BAD_INPUT, mars
from mars_engine.core.shipped import shipped
from mars_engine.workspace.workspace import DATABASE_FILE

pytestmark = pytest.mark.model

PAIRS = 12
SETTINGS = {
    "reward-model-max-tokens": 32,
    "reward-model-epochs": 2,
    "reward-model-batch-size": 4,
    "reward-model-learning-rate": 1e-3,
    "reward-model-device": "cpu",
    "reward-model-precision": "fp32",  # whole batches and halves of them round otherwise in bf16
    "allocation-budget": PAIRS,  # so that the last step of an epoch is full too, with 24 pairs
    "propose-variants": 1,
    "triage-policy": "keep",
    "triage-seeds": 1,
}
TRAIN = ("train", "--rounds", "1", "--policy", "accept-all")
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
LAUNCH = [*ACCELERATE, "--main_process_port", "0", "-m", "mars_engine.cli.main"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    """A backbone without dropout, which two processes would draw differently."""
    texts = (shipped("data") / "demo-train.jsonl").read_text().splitlines()[:PAIRS]
    folder = save_tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny", "roberta", texts)
    config = json.loads((folder / "config.json").read_text())
    config |= {name: 0.0 for name in config if "dropout" in name and name != "classifier_dropout"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def make_workspace(root: Path, backbone: Path, **settings: Any) -> Path:
    lines = (shipped("data") / "demo-train.jsonl").read_text().splitlines(keepends=True)[:PAIRS]
    (root / "train.jsonl").write_text("".join(lines))
    workspace = root / "workspace"
    options = [f"--{name}={value}" for name, value in (SETTINGS | settings).items()]
    for arguments in (["init", f"--reward-model-backbone={backbone}", *options], ["import", str(root / "train.jsonl")]):
        result = CliRunner().invoke(mars, ["--workspace", str(workspace), "--quiet", *arguments])
        assert result.exit_code == 0, result.output
    return workspace


def train_alone(workspace: Path) -> None:
    """Train in one process."""
    process = ForkedMars(workspace, *TRAIN, environment=os.environ)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def launch(workspace: Path) -> None:
    """Train in two processes that `accelerate launch` starts."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*LAUNCH, "--workspace", str(workspace), "--quiet", *TRAIN],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def train_in_two(workspace: Path) -> None:
    """Train in two processes that were forked, which takes no time to start."""
    for process in begin_two(workspace, *TRAIN):
        _, errors = process.communicate()
        assert process.returncode == 0, errors


def query(workspace: Path, statement: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(workspace / DATABASE_FILE)
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()


FROM_THE_PROBE = {
    "reward-model-head": "probe",
    "encoder-max-tokens": 64,
    "probe-layers": "1",
    "probe-reading": "response",
}


@pytest.mark.parametrize(
    ("head", "train_together"),
    [({}, launch), (FROM_THE_PROBE, train_in_two)],
    ids=["default head", "head of the probe"],
)
def test_a_round_of_two_processes_is_the_round_of_one(head, train_together, backbone, tmp_path):
    settings = {**head, "encoder-name": backbone} if head else {}
    one, two = make_workspace(tmp_path, backbone, **settings), tmp_path / "together"
    shutil.copytree(one, two)
    train_alone(one)
    train_together(two)

    losses = "SELECT step, value FROM run_points WHERE metric = 'training loss' ORDER BY step"
    first, last = query(one, losses)[0], query(one, losses)[-1]
    assert [step for step, _ in (first, last)] == [1, 6 + 12]
    found = dict(query(two, losses))
    # Points behind the first are means over the steps of half a second, which depend on the machine's speed.
    assert found[first[0]] == pytest.approx(first[1], abs=1e-4)
    assert last[0] in found
    kinds = "SELECT id, kind, round FROM reward_models ORDER BY ordinal"
    assert query(two, kinds) == query(one, kinds)
    assert len(query(one, kinds)) == 2
    # Margins, not weights: the loss does not see the head's bias, whose way is rounding alone.
    margins = "SELECT margin FROM scores ORDER BY model_id, pair_id"
    assert len(query(one, margins)) == 2 * PAIRS
    np.testing.assert_allclose(query(two, margins), query(one, margins), atol=1e-4)
    assert query(two, "SELECT state, count(*) FROM runs WHERE kind = 'rounds'") == [("finished", 1)]


def test_what_two_processes_cannot_share_is_said_once_and_in_plain_words(backbone, tmp_path):
    workspace = make_workspace(tmp_path, backbone, **{"reward-model-batch-size": 3})
    first, second = begin_two(workspace, "train", "--warm-up")
    _, errors = first.communicate()
    assert first.returncode == BAD_INPUT
    second.strike(signal.SIGTERM)  # as the launcher does
    errors += second.communicate()[1]
    assert errors.count("2 processes cannot evenly share 1 passes of 3 pairs") == 1
    assert query(workspace, "SELECT state FROM runs ORDER BY ordinal DESC LIMIT 1") == [("failed",)]
