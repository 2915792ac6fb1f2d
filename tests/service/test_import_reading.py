"""Requests to import: their commands, names on the hub, and reading in a process of its own."""

import json
import math

import pytest

from mars_engine.cli.main import mars
from mars_engine.core.errors import JobError, LoadError, MarsError
from mars_engine.core.records import Turn
from mars_engine.jobs.own_process import ask_mars
from mars_engine.service.import_reading import ImportRequest, hub_location, read_preview
from mars_engine.store import open_store
from mars_engine.workspace.workspace import create_workspace, find_workspace

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "name", ["Anthropic/hh-rlhf", "Anthropic/hh-rlhf@train", "owner/na.me_1:config-2@test", "a/b@train.part"]
)
def test_a_name_on_the_hub_is_a_location(name):
    assert hub_location(name) == f"hub:{name}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "owner",
        "../etc",
        "/etc/passwd",
        "./here",
        "owner/../../x",
        "hub:owner/name",
        "owner/na me",
        "ownér/x",
        "a/b\n",
    ],
)
def test_anything_else_is_refused(name):
    with pytest.raises(LoadError, match="does not name a set on the hub"):
        hub_location(name)


@pytest.mark.parametrize(
    ("request_", "command"),
    [
        (ImportRequest("demo"), ["import", "--", "demo"]),
        (ImportRequest("-x.jsonl"), ["import", "--split", "train", "--preference", "better", "--", "-x.jsonl"]),
        (
            ImportRequest("x.csv", "both", 0.25, "trl", "safer"),
            ["import", "--holdout", "0.25", "--format", "trl", "--preference", "safer", "--", "x.csv"],
        ),
    ],
)
def test_a_request_is_a_command_that_the_command_line_understands(request_, command):
    assert request_.command() == command
    assert request_.command(dry_run=True) == ["import", "--dry-run", *command[1:]]
    context = mars.commands["import"].make_context("import", command[1:])
    assert context.params["source"] == request_.location


def test_a_preview_has_report_and_pairs_and_stores_nothing(tmp_path):
    workspace = create_workspace(tmp_path / "work")
    path = tmp_path / "pairs.jsonl"
    row = {"prompt": "line\nbreak", "chosen": "longer é", "rejected": "short", "extra": {"a": [1, None]}}
    path.write_text(json.dumps(row) + "\nnot json\n")
    (preview,) = read_preview(workspace.root, ImportRequest(str(path), "heldout"))
    report = preview.report
    assert (report.name, report.format, report.split, report.rows_read, report.kept) == (
        "pairs",
        "trl",
        "heldout",
        2,
        1,
    )
    assert report.dropped == {"line that is not JSON": 1}
    assert [(each.row, each.reason) for each in report.examples] == [(2, "line that is not JSON")]
    assert math.isclose(report.longer_wins, 1.0)
    assert preview.first[0].prompt == (Turn("user", "line\nbreak"),)
    assert (preview.first[0].chosen, preview.first[0].rejected) == ("longer é", "short")
    store = open_store(find_workspace(workspace.root).database_url)
    assert store.pairs.datasets() == []
    assert store.runs.all() == []
    store.close()


def test_what_a_command_says_is_wrong_comes_back_as_it_says_it(tmp_path):
    workspace = create_workspace(tmp_path / "work")
    with pytest.raises(MarsError) as caught:
        read_preview(workspace.root, ImportRequest(str(tmp_path / "missing.jsonl")))
    assert caught.value.found == f"there is no file {tmp_path / 'missing.jsonl'}"
    assert caught.value.remedy == "check the path"


def test_a_command_that_breaks_says_how(tmp_path):
    workspace = create_workspace(tmp_path / "work")
    with pytest.raises(JobError, match="broke with exit code 2"):
        ask_mars(workspace.root, ["import"])


def test_a_command_that_takes_too_long_is_stopped(tmp_path):
    workspace = create_workspace(tmp_path / "work")
    with pytest.raises(JobError, match="did not finish within 0 s"):
        ask_mars(workspace.root, ["status"], longest_seconds=0.01)
