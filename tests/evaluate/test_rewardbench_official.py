"""RewardBench by us against the numbers that the official package wrote (docs/rewardbench.md says how)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import make_bench
from made_up_best_of import made_up_best_of_rows
from tiny_chat_models import save_tiny_chat_model

from mars_engine.core.records import EvaluationRecord
from mars_engine.evaluate.benchmark_folder import BenchmarkFolder
from mars_engine.evaluate.benchmark_loader import load_benchmark
from mars_engine.evaluate.rewardbench import run_rewardbench, scores_of
from mars_engine.reward_models.foreign import ForeignModel, load_foreign_model

pytestmark = pytest.mark.model
OFFICIAL = json.loads((Path(__file__).parents[1] / "fixtures" / "rewardbench" / "official.json").read_text())
CLOSE = 1e-4


@pytest.fixture(scope="module", params=["decoder", "encoder"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def foreign(kind, tmp_path_factory) -> ForeignModel:
    folder = save_tiny_chat_model(tmp_path_factory.mktemp("models") / kind, kind, seed=OFFICIAL["seed"])
    return load_foreign_model(str(folder), max_tokens=4096, batch_tokens=8192, device="cpu")


def evaluate(foreign: ForeignModel, source: Path, folder: Path, *, label: str) -> tuple[EvaluationRecord, list[Any]]:
    bench = make_bench()
    record = run_rewardbench(
        bench,
        load_benchmark([str(source)]),
        foreign.model,
        BenchmarkFolder(folder, "out"),
        label=label,
        settings={},
        text=foreign.text,
    )
    bench.store.close()
    lines = (folder / "out" / f"{label}_outputs.jsonl").read_text().splitlines()
    return record, [json.loads(line) for line in lines]


@pytest.mark.realdata
def test_version_1_gives_the_official_scores_figures_and_files(foreign, kind, real_data, tmp_path):
    official = OFFICIAL[kind]["version 1"]
    source = real_data / "rewardbench-llmbar-natural.jsonl.gz"
    record, outputs = evaluate(foreign, source, tmp_path, label=kind)
    assert list(outputs[0]) == official["output_columns"]
    for name in ("id", "subset", "results"):
        assert [row[name] for row in outputs] == [row[name] for row in official["rows"]]
    for name in ("scores_chosen", "scores_rejected"):
        ours, theirs = ([row[name] for row in rows] for rows in (outputs, official["rows"]))
        assert np.ptp(theirs) > 0.1, "the tiny model tells answers apart"
        assert ours == pytest.approx(theirs, abs=CLOSE)
    metadata = json.loads((tmp_path / "out" / f"{kind}.json").read_text())
    assert metadata | {"chat_template": None} == official["metadata"], "the command names no template of a tokenizer"
    scores = scores_of(record)
    for section in scores.sections[:4]:
        assert (section.score or 0.0) == pytest.approx(official["sections"][section.name], abs=CLOSE)
    assert scores.accuracy == pytest.approx(official["metadata"]["accuracy"], abs=CLOSE)
    assert scores.ties == 0


def test_version_2_gives_the_official_scores_and_figures(foreign, kind, tmp_path):
    official = OFFICIAL[kind]["version 2"]
    source = tmp_path / "best-of.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in made_up_best_of_rows(seed=OFFICIAL["seed"])))
    record, outputs = evaluate(foreign, source, tmp_path, label=kind)
    for ours, theirs in zip(outputs, official["rows"], strict=True):
        assert (ours["id"], ours["subset"]) == (theirs["id"], theirs["subset"])
        assert ours["scores"] == pytest.approx(np.ravel(theirs["scores"]).tolist(), abs=CLOSE)
    found = {subset.name: subset.score for subset in scores_of(record).subsets}
    assert found == pytest.approx(official["figures"], abs=CLOSE)
