"""The package alpaca_eval, where it is installed, on the files that we write, against the judge of the fixture."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from mars_engine.align.alpaca import package
from mars_engine.align.alpaca.evaluation import leaderboard_row
from mars_engine.align.alpaca.figures import figures_of
from mars_engine.align.alpaca.formats import (
    Annotation,
    ModelOutputs,
    Output,
    load_outputs,
    write_annotations,
    write_leaderboard,
)
from mars_engine.align.alpaca.tables import load_tables
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import GenerationError, NotReadyError

CONFIG = EvaluateConfig(resamples=100)
JUDGE = "weighted_alpaca_eval_gpt4_turbo"
ONE = ModelOutputs("one", (Output("Say hello.", "Hello."),))
REVISION = "0" * 40

needs_package = pytest.mark.skipif(find_spec("alpaca_eval") is None, reason="alpaca_eval is not installed")


@pytest.fixture
def judge(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The fixture's judge on a free port of loopback, which prefers the longer answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = real_data / "alpaca-eval" / "fake_judge.py"
    process = subprocess.Popen([sys.executable, script, str(port)])
    try:
        while process.poll() is None:
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OPENAI_API_BASE", f"http://127.0.0.1:{port}/v1")
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no way to the hub itself; returns where the set's files belong."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    dataset = tmp_path / "hf" / "hub" / "datasets--tatsu-lab--alpaca_eval"
    snapshot = dataset / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (dataset / "refs").mkdir()
    (dataset / "refs" / "main").write_text(REVISION)
    return snapshot


@needs_package
@pytest.mark.realdata
@pytest.mark.usefixtures("judge")
@pytest.mark.parametrize("has_tables", [True, False])
def test_our_files_run_through_the_packages_command(real_data, offline_hub, tmp_path, has_tables):
    source = real_data / "alpaca-eval"
    if has_tables:
        for table in source.glob("*.csv"):
            shutil.copy(table, offline_hub)

    report = package.run_package(
        load_outputs(source / "model_outputs.json"),
        load_outputs(source / "reference_outputs.json"),
        annotators_config=JUDGE,
        folder=tmp_path / "run",
        prompts="made-up tasks",
        config=CONFIG,
        tables=load_tables(source),
    )

    wins, controlled = report.figures.wins, report.figures.length_controlled
    assert report.version == package.CHECKED_VERSION
    assert round(wins.win_rate, 2) == 58.83
    assert controlled is not None
    assert round(controlled.win_rate, 2) == 51.99
    assert report.official["win_rate"] == pytest.approx(wins.win_rate, abs=1e-6)
    assert report.official["standard_error"] == pytest.approx(wins.standard_error, abs=1e-6)
    assert report.has_length_control == has_tables
    if has_tables:
        assert report.official["length_controlled_winrate"] == pytest.approx(controlled.win_rate, abs=1e-6)
    assert (tmp_path / "run" / "verdicts.json").exists()


@needs_package
@pytest.mark.usefixtures("offline_hub")
def test_a_judge_that_cannot_be_reached_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with pytest.raises(GenerationError, match=r"alpaca_eval .* failed: "):
        package.run_package(
            ONE, ONE, annotators_config="no_such_annotator", folder=tmp_path, prompts="one", config=CONFIG
        )


def test_where_the_package_is_absent_it_says_how_to_get_it(monkeypatch, tmp_path):
    def absent(_name: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(package.metadata, "version", absent)

    with pytest.raises(NotReadyError, match=r"not installed.*mars-engine\[alpaca\]"):
        package.run_package(ONE, ONE, annotators_config="any", folder=tmp_path, prompts="one", config=CONFIG)
    assert not list(tmp_path.iterdir())


READ_BY_THE_PACKAGE = """
import json, sys
import pandas as pd
from alpaca_eval import metrics, utils
board = utils.load_or_convert_to_dataframe(sys.argv[2])
found = metrics.get_winrate(pd.read_json(sys.argv[1]))
print(json.dumps([board.to_dict(orient="index"), found], default=float))
"""


@needs_package
def test_the_package_reads_the_annotations_and_the_leaderboard_that_we_write(tmp_path):
    rows = [
        Annotation(f"Task {n}?", "a", "base", "bb", "policy", preference, "judge")
        for n, preference in enumerate([2.0, 1.75, 1.5, None, 1.0])
    ]
    write_annotations(tmp_path / "annotations.json", rows)
    figures = figures_of(rows, prompts="five", config=CONFIG)
    write_leaderboard(tmp_path / "leaderboard.csv", {"policy": leaderboard_row(figures)})

    command = [sys.executable, "-c", READ_BY_THE_PACKAGE, tmp_path / "annotations.json", tmp_path / "leaderboard.csv"]
    board, found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert board["policy"]["win_rate"] == found["win_rate"] == figures.wins.win_rate
    assert board["policy"]["standard_error"] == pytest.approx(found["standard_error"])
    assert (found["n_wins"], found["n_draws"], found["n_total"]) == (2, 1, 4)
