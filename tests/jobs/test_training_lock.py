"""One training at a time in a workspace, whoever started it and however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from mars_engine.cli.main import NOT_READY, mars
from mars_engine.core.clock import utc_now
from mars_engine.core.errors import NotReadyError
from mars_engine.jobs.recorded_run import recorded_run
from mars_engine.jobs.training_lock import only_training
from mars_engine.workspace.workspace import Workspace, create_workspace, open_workspace_store

HOLDER = """
import sys, time
from pathlib import Path
from mars_engine.core.clock import utc_now
from mars_engine.jobs.recorded_run import recorded_run
from mars_engine.jobs.training_lock import only_training
from mars_engine.workspace.workspace import find_workspace, open_workspace_store
workspace = find_workspace(Path(sys.argv[1]))
with open_workspace_store(workspace) as store, only_training(workspace, store, "train", clock=utc_now):
    with recorded_run(store, "train", {}, utc_now):
        print("training", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return create_workspace(tmp_path / "w")


@contextmanager
def another_training(root: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "training\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_what_would_train_is_refused_beside_a_training_and_told_what_to_do(workspace):
    with another_training(workspace.root) as process, open_workspace_store(workspace) as store:
        (run,) = store.runs.all()
        for command in (["train"], ["train", "--rounds", "2"], ["open-round"], ["close-round"]):
            refused = CliRunner().invoke(mars, ["--workspace", str(workspace.root), *command])
            assert refused.exit_code == NOT_READY
            said = " ".join(refused.output.split())
            assert f"the run {run.id[:8]} (train) is training in this workspace since 20" in said
            assert f"'mars job wait {run.id[:8]}'" in said
            assert f"'mars job start {' '.join(command[:2])} …'" in said
        assert len(store.runs.all()) == 1, "what was refused did not begin"
        other = CliRunner().invoke(mars, ["--workspace", str(workspace.root), "status"])
        assert other.exit_code == 0
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with only_training(workspace, store, "train", clock=utc_now):
            pass  # a killed process holds nothing


def test_a_training_that_has_ended_lets_the_next_begin(workspace):
    with open_workspace_store(workspace) as store:
        for _ in range(2):
            with (
                only_training(workspace, store, "rounds", clock=utc_now),
                recorded_run(store, "rounds", {}, utc_now),
                pytest.raises(NotReadyError, match=r"\(rounds\) is training"),
                only_training(workspace, store, "train", clock=utc_now),
            ):
                pass
