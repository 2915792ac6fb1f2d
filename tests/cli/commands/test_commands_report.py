"""`mars report`: the file, its refusals, and what it says where it is too early."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fakes import ListSource, make_bench, make_pairs

from mars_engine.cli.main import BAD_INPUT, NOT_READY, mars
from mars_engine.data.import_pairs import import_pairs
from mars_engine.workspace.workspace import create_workspace


def report(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), "report", *arguments], prog_name="mars")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    bench = make_bench(url=create_workspace(tmp_path / "shop").database_url)
    import_pairs(ListSource(make_pairs(4)), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    bench.store.close()
    return tmp_path / "shop"


def test_it_writes_one_file_and_says_where(workspace, tmp_path):
    path = tmp_path / "report.html"
    result = report(workspace, str(path), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"path": str(path), "bytes": path.stat().st_size}
    assert "Workspace “shop”" in path.read_text(encoding="utf-8")


def test_a_file_that_exists_is_kept_unless_it_is_said(workspace, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    refused = report(workspace, str(path))
    assert refused.exit_code == BAD_INPUT
    assert "exists already" in refused.output
    assert path.read_text() == "mine"
    assert report(workspace, str(path), "--overwrite").exit_code == 0
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_an_empty_workspace_has_nothing_to_report(tmp_path):
    create_workspace(tmp_path / "w")
    result = report(tmp_path / "w", str(tmp_path / "report.html"))
    assert result.exit_code == NOT_READY
    assert not (tmp_path / "report.html").exists()
