"""`mars job`: background work from the command line, as real processes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mars_engine.cli.main import mars
from mars_engine.core.clock import utc_now
from mars_engine.core.shipped import shipped
from mars_engine.jobs.recorded_run import recorded_run
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store

pytestmark = pytest.mark.slow

TRAIN_FILE = str(shipped("data") / "demo-train.jsonl")


@pytest.fixture
def workspace(tmp_path) -> Path:
    return create_workspace(tmp_path / "w").root


def job(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), "--quiet", "job", *arguments])


def started(workspace: Path, *command: str) -> str:
    result = job(workspace, "start", "--json", *command)
    assert result.exit_code == 0, result.output
    return str(json.loads(result.output)["id"])


def test_a_job_is_started_waited_for_and_listed(workspace):
    assert "Nothing has run here yet." in job(workspace, "list").output
    run_id = started(workspace, "import", TRAIN_FILE)
    waited = job(workspace, "wait", run_id[:8])
    assert waited.exit_code == 0, waited.output
    listed = job(workspace, "list").output
    assert run_id[:8] in listed
    assert "finished" in listed
    assert "360 new train pairs kept" in job(workspace, "log", run_id[:8]).output


def test_a_job_that_fails_says_why_and_is_tried_again(workspace):
    run_id = started(workspace, "score")
    waited = job(workspace, "wait", run_id)
    assert waited.exit_code == 5
    assert "is failed" in waited.output
    assert "mars job retry" in waited.output
    again = job(workspace, "retry", run_id)
    assert again.exit_code == 0, again.output
    assert again.output.split()[0] != run_id[:8]
    job(workspace, "wait", again.output.split()[0])
    assert job(workspace, "list", "--json").output.count('"failed"') == 2


def test_what_is_no_command_or_no_work_is_refused_before_it_waits(workspace):
    wrong = [
        (["nonsense"], "no command 'mars nonsense'"),
        (["train", "--nonsense"], "--nonsense"),
        (["app"], "is no work that can run as a job"),
        (["status"], "is no work that can run as a job"),
    ]
    for command, said in wrong:
        refused = job(workspace, "start", *command)
        assert refused.exit_code == 2
        assert said in refused.output
    assert "Nothing has run here yet." in job(workspace, "list").output


def test_a_run_at_work_shows_its_pace_and_its_live_metrics(workspace):
    with open_workspace_store(find_workspace(workspace)) as store, recorded_run(store, "train", {}, utc_now) as notes:
        progress = {"task": "train", "done": 60, "total": 100, "seconds": 20.0, "before": 20}
        store.runs.report_progress(notes.run_id, utc_now(), progress)
        for step, loss in ((59, 0.7), (60, 0.5)):
            notes.add_point("training loss", step, loss)
        notes.add_point("training accuracy", 60, 0.75)
        for said in (job(workspace, "list").output, job(workspace, "log", notes.run_id).output):
            words = " ".join(said.split())
            assert "60 of 100" in words
            assert "(2.0/s, 20 s left)" in words
            assert "loss 0.500, accuracy 0.750" in words


def test_an_id_that_is_none_is_said(workspace):
    result = job(workspace, "cancel", "zz")
    assert result.exit_code == 5
    assert "0 runs have an id that begins with 'zz'" in result.output
