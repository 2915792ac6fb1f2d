"""A workspace from Python beside the commands: the same steps are recorded with the same words, and fail alike."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from lamp_pairs import QUICK, some_pairs
from scripted_chat import Answer, serving

import mars_engine as mars
from mars_engine.cli.main import mars as cli
from mars_engine.core.errors import GenerationError
from mars_engine.core.records import Run
from mars_engine.workspace.workspace import find_workspace, open_workspace_store

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("one_thread")]

CHAT = {"propose": {"paraphraser": "chat"}, "chat": {"model": "tiny", "base_url": "http://127.0.0.1:1/v1"}}


def filled(root: Path) -> mars.Workspace:
    workspace = mars.create(root, settings=QUICK, progress=False)
    workspace.import_pairs(some_pairs(8), name="lamps")
    workspace.import_pairs(some_pairs(4, of="chair"), name="chairs", split="heldout")
    return workspace


def command(root: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, ["--workspace", str(root), "--quiet", *arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def as_options(settings: dict[str, dict[str, object]]) -> list[str]:
    named = [(section, name, value) for section, given in settings.items() for name, value in given.items()]
    return [f"--{section}-{name.replace('_', '-')}={value}" for section, name, value in named]


def runs_of(root: Path) -> list[Run]:
    """Return all runs, oldest first."""
    with open_workspace_store(find_workspace(root)) as store:
        return store.runs.all()[::-1]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[mars.Workspace]:
    with filled(tmp_path / "w") as opened:
        yield opened


def test_both_record_the_same_summary_with_a_step(tmp_path, workspace):
    beside = tmp_path / "beside"
    filled(beside).close()
    written = tmp_path / "rewrites.jsonl"
    rewrite = {**some_pairs(1).iloc[0], "side": "rejected", "rewrite": "No idea. Perhaps it is red."}
    written.write_text(json.dumps(rewrite), encoding="utf-8")

    workspace.open_round()
    workspace.review(policy="accept-all")
    workspace.close_round()
    workspace.write_requests(tmp_path / "by-python.jsonl", settings=CHAT)
    workspace.take_answers(written, writer="Ada")
    workspace.rounds(1, policy="accept-all")

    command(beside, "open-round")
    command(beside, "review", "--policy", "accept-all")
    command(beside, "close-round")
    command(beside, "propose", "--requests", str(tmp_path / "by-command.jsonl"), *as_options(CHAT))
    command(beside, "propose", "--answers", str(written), "--writer", "Ada")
    command(beside, "train", "--rounds", "1", "--policy", "accept-all")

    by_python, by_command = ([(run.kind, run.summary) for run in runs_of(root)] for root in (workspace.path, beside))
    assert by_python == by_command
    said = {name for _, summary in by_python for name in summary}
    assert {"models compared", "requests written", "best on held-out pairs", "new pairs", "round", "answers"} <= said


def test_both_fail_where_a_retry_generates_nothing(workspace):
    with serving(lambda _: Answer("down", status=500)) as server:
        down = {
            "propose": {"paraphraser": "chat", "refiner": "chat"},
            "chat": {"model": "tiny", "base_url": server.base_url, "retries": 0, "breaker": 1000},
        }
        workspace.train()
        workspace.score()
        with pytest.raises(GenerationError, match="nothing could be generated"):
            workspace.propose(settings=down)
        said = command(workspace.path, "propose", "--retry-failed", *as_options(down), code=5)
        assert "nothing could be generated" in said
        with pytest.raises(GenerationError, match=r"nothing could be generated.*workspace\.retry\(\)"):
            workspace.retry(settings=down)
    by_command, by_python = runs_of(workspace.path)[-2:]
    assert by_command.state == by_python.state == "failed"
    assert by_command.summary == by_python.summary
