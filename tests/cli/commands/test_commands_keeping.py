"""`mars trajectories`: the file, the model that is meant, and what it says where no training kept its margins."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fakes import ListSource, make_bench, make_pairs

from mars_engine.cli.main import BAD_INPUT, NOT_READY, mars
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.workspace import create_workspace

MARGINS = {0: (-1.0, -2.0), 1: (1.0, -1.0), 2: (-1.0, 1.0), 3: (1.0, 2.0)}


def trajectories(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), "trajectories", *arguments], prog_name="mars")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One with a model whose training kept the margins of four pairs after two epochs."""
    bench = make_bench(url=create_workspace(tmp_path / "w").database_url)
    pairs = make_pairs(len(MARGINS))
    import_pairs(ListSource(pairs), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    model = train_warm_up(bench)
    for epoch in (1, 2):
        margins = {pairs[place].id: after[epoch - 1] for place, after in MARGINS.items()}
        bench.store.models.save_epoch(model.id, epoch, margins)
    bench.store.close()
    return tmp_path / "w"


def test_it_writes_a_row_a_pair_and_says_what_they_were(workspace, tmp_path):
    path = tmp_path / "map.csv"
    result = trajectories(workspace, str(path), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["path"], report["model_label"], report["epochs"], report["pairs"]) == (str(path), "warm-up", 2, 4)
    assert (report["never_learned"], report["forgotten"], report["ambiguous"]) == (1, 1, 2)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["pair_id"] == make_pairs(4)[0].id
    assert [row["never_learned"] for row in rows] == ["True", "False", "False", "False"]
    assert [float(rows[0][f"score_margin_after_epoch_{epoch}"]) for epoch in (1, 2)] == [-1.0, -2.0]
    told = trajectories(workspace, str(path), "--overwrite", "--model", report["model_id"])
    assert told.exit_code == 0, told.output
    assert "1 never learned, 1 forgotten at least once, 2 ambiguous" in " ".join(told.output.split())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["map.parquet"], BAD_INPUT, "no ending that is known"),
        (["there.csv"], BAD_INPUT, "exists already"),
        (["map.csv", "--model", "none"], NOT_READY, "the training of no model 'none' has kept its margins"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(arguments, code, says, workspace, tmp_path):
    (tmp_path / "there.csv").write_text("mine")
    result = trajectories(workspace, str(tmp_path / arguments[0]), *arguments[1:])
    assert result.exit_code == code
    assert says in result.output
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["there.csv"]
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_where_no_training_kept_its_margins_it_says_how_to_have_them(tmp_path):
    create_workspace(tmp_path / "w")
    result = trajectories(tmp_path / "w", str(tmp_path / "map.csv"))
    assert result.exit_code == NOT_READY
    assert "no training has kept its margins after each epoch" in result.output
    assert "--reward-model-trajectory" in result.output
    assert not (tmp_path / "map.csv").exists()
