"""`mars map` on the command line; what it does with pairs is tested beside the maps."""

import json

import pytest
from click.testing import CliRunner, Result
from fakes import ListSource, make_pairs

from mars_engine.cli.main import NOT_READY, mars
from mars_engine.core.clock import utc_now
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import MAP_KINDS
from mars_engine.data.import_pairs import import_pairs
from mars_engine.embeddings.maps import MapShelf
from mars_engine.workspace.workspace import create_workspace, open_workspace_store


def run(*arguments: str) -> Result:
    return CliRunner().invoke(mars, list(arguments), prog_name="mars")


def test_without_pairs_it_says_how_many_are_needed(tmp_path):
    workspace = create_workspace(tmp_path / "w")
    result = run("--workspace", str(workspace.root), "map")
    assert result.exit_code == NOT_READY
    assert "0 pairs to map" in result.output
    assert "15 or more" in result.output
    assert MapShelf(workspace.artifacts / "maps").kinds() == ()


def test_a_kind_that_there_is_not_is_refused_with_those_there_are(tmp_path):
    result = run("--workspace", str(tmp_path), "map", "--of", "margin")
    assert result.exit_code == 2
    assert all(kind in result.output for kind in MAP_KINDS)


@pytest.mark.model
def test_maps_are_made_and_their_settings_are_options(tmp_path):
    workspace = create_workspace(tmp_path / "w")
    with open_workspace_store(workspace) as store:
        import_pairs(ListSource(make_pairs(24)), store, split="train", clock=utc_now, progress=SilentProgress())
    command = ["--workspace", str(workspace.root), "map", "--of", "chosen", "--of", "prompt", "--map-neighbours", "5"]
    result = run(*command, "--json")
    assert result.exit_code == 0, result.output
    reports = json.loads(result.stdout)
    assert [(report["kind"], report["pairs"], report["fitted_anew"]) for report in reports] == [
        ("chosen", 24, True),
        ("prompt", 24, True),
    ]
    shelf = MapShelf(workspace.artifacts / "maps")
    assert shelf.kinds() == ("prompt", "chosen")
    assert shelf.load("chosen").settings["neighbours"] == 5
    assert "24 pairs, 0 pairs placed now" in run(*command).stdout
