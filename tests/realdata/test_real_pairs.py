"""The engine on real preference pairs: accuracy, allocation, and triage of labels that the test flips itself."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fakes import ListSource, make_bench

from benchmarks.label_flips import load_pairs, study_flips
from mars_engine.augment.plan import compare_laws
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import AllocationConfig, MarsConfig, ProbeConfig
from mars_engine.core.records import ModelRecord
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.data.sources import load_sources
from mars_engine.evaluate.heldout import evaluate
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.score import ScoreReport, oriented_margins, score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.store import Store

pytestmark = [pytest.mark.realdata, pytest.mark.model]

SOME = {"train": 600, "heldout": 300}
"""Of each set: reading all answers takes minutes; docs/experiments.md has figures of the whole."""
FLIP_SEEDS = 2
"""Draws of flips; one of them alone lies up to two points of AUC from their mean."""
CONFIG = MarsConfig(allocation=AllocationConfig(budget=5000))


@dataclass(frozen=True)
class Trained:
    bench: Workbench
    record: ModelRecord
    report: ScoreReport


def train_on_files(name: str, folder: Path, encoder) -> Trained:
    trainer = ProbeTrainer(CONFIG.probe, encoder)
    bench = replace(make_bench(CONFIG), encoder=encoder, trainer=trainer, probe_trainer=trainer)
    for part, split in (("train", "train"), ("test", "heldout")):
        path = folder / f"{name}-{part}.jsonl.gz"
        source = ListSource(tuple(load_pairs(path)[: SOME[split]]))
        import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
    record = train_warm_up(bench)
    return Trained(bench, record, score_model(bench, record))


@pytest.fixture(scope="module")
def harmless(real_data, packaged_encoder) -> Trained:
    return train_on_files("hh-harmless", real_data, packaged_encoder)


@pytest.fixture(scope="module")
def alpaca(real_data, packaged_encoder) -> Trained:
    return train_on_files("alpaca-pairs", real_data, packaged_encoder)


@pytest.mark.parametrize("name", ["hh-harmless", "alpaca-pairs"])
def test_every_row_of_a_file_is_kept_or_counted_as_dropped(name, real_data):
    bench = make_bench(CONFIG)
    for part, split in (("train", "train"), ("test", "heldout")):
        source = open_source(str(real_data / f"{name}-{part}.jsonl.gz"))
        report = import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
        assert report.kept + sum(report.dropped.values()) == report.rows_read
        assert report.kept > 0.99 * report.rows_read


@pytest.mark.parametrize(("name", "least"), [("harmless", 0.61), ("alpaca", 0.69)])
def test_heldout_accuracy_is_that_of_the_prototype_and_above_length_alone(name, least, request):
    trained: Trained = request.getfixturevalue(name)
    evaluation = evaluate(trained.bench, [trained.record])
    (model,) = evaluation.models
    print(f"{name}: accuracy {model.accuracy}, longer wins {evaluation.longer_wins}")
    assert model.metrics.accuracy >= least
    assert model.metrics.accuracy > evaluation.longer_wins.estimate
    assert model.accuracy.low < model.metrics.accuracy < model.accuracy.high


def test_a_budget_of_5000_is_spent_exactly_under_each_law(harmless):
    sources = load_sources(harmless.bench.store, CONFIG.triage)
    margins = oriented_margins(harmless.bench.store, harmless.record, sources)
    assert margins.std() > 0.01, "the margins are those of a trained model"
    laws = compare_laws(margins, CONFIG.allocation)
    for law, summary in laws.items():
        print(law, summary)
        assert summary.budget == 5000
        assert 1 <= summary.effective_sample_size <= len(sources) + 1e-6
    sizes = [laws[law].effective_sample_size for law in ("signed", "absolute", "fisher")]
    assert len({round(size, 3) for size in sizes}) == 3


@pytest.mark.parametrize(("name", "least_auc", "most_lost"), [("harmless", 0.66, 0.03), ("alpaca", 0.77, 0.05)])
def test_out_of_fold_margins_find_flipped_labels(name, least_auc, most_lost, request, packaged_encoder):
    """A quarter of flipped labels costs the probe next to nothing, so that there is little to win back by reading;
    docs/experiments.md has what it was with sentence embeddings."""
    store: Store = request.getfixturevalue(name).bench.store
    train, heldout = store.pairs.pairs("train"), store.pairs.pairs("heldout")
    study = study_flips(train, heldout, packaged_encoder, ProbeConfig(reading="response"), seeds=FLIP_SEEDS)
    print(f"{name}: {study}")
    assert study.detection_auc >= least_auc
    assert study.accuracy_lost < most_lost
    assert study.accuracy_won_back >= -0.005
