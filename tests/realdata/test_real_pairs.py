"""The engine on real preference pairs: accuracy, allocation, and triage of labels that the test flips itself."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fakes import MemoryShelf, TickingClock

from mars_engine.maths.metrics import auc, pairwise_accuracy
from mars_engine.maths.triage import judge_labels
from mars_engine.words.config import AllocationConfig, MarsConfig, ProbeConfig
from mars_engine.words.records import FloatArray, ModelRecord, Pair, TrainingSet
from mars_engine.workflows.evaluate import evaluate
from mars_engine.workflows.import_pairs import import_pairs
from mars_engine.workflows.plan import compare_laws
from mars_engine.workflows.score import ScoreReport, draw_folds, score_pairs
from mars_engine.workflows.sources import load_sources, oriented_margins
from mars_engine.workflows.train import warm_up
from mars_engine.world.loaders import open_source
from mars_engine.world.progress import SilentProgress
from mars_engine.world.reward_models.probe import ProbeTrainer
from mars_engine.world.store import SqlStore, open_store

pytestmark = [pytest.mark.realdata, pytest.mark.model]

PROGRESS = SilentProgress()
CONFIG = MarsConfig(allocation=AllocationConfig(budget=5000))


@dataclass(frozen=True)
class Trained:
    store: SqlStore
    shelf: MemoryShelf
    record: ModelRecord
    report: ScoreReport


def train_on_files(name: str, folder: Path, encoder) -> Trained:
    store, shelf, clock = open_store("sqlite://"), MemoryShelf(), TickingClock()
    for part, split in (("train", "train"), ("test", "heldout")):
        source = open_source(str(folder / f"{name}-{part}.jsonl.gz"))
        report = import_pairs(source, store, split=split, clock=clock, progress=PROGRESS)
        assert report.kept + sum(report.dropped.values()) == report.rows_read
    trainer = ProbeTrainer(CONFIG.probe, encoder)
    record = warm_up(store, trainer, shelf, triage=CONFIG.triage, clock=clock, progress=PROGRESS)
    report = score_pairs(store, trainer, shelf, record, config=CONFIG, progress=PROGRESS)
    return Trained(store, shelf, record, report)


@pytest.fixture(scope="module")
def harmless(real_data, packaged_encoder) -> Trained:
    return train_on_files("hh-harmless", real_data, packaged_encoder)


@pytest.fixture(scope="module")
def alpaca(real_data, packaged_encoder) -> Trained:
    return train_on_files("alpaca-pairs", real_data, packaged_encoder)


@pytest.mark.parametrize(("name", "least"), [("harmless", 0.61), ("alpaca", 0.65)])
def test_heldout_accuracy_is_that_of_the_prototype_and_above_length_alone(name, least, request):
    trained: Trained = request.getfixturevalue(name)
    evaluation = evaluate(trained.store, trained.shelf, [trained.record], config=CONFIG.evaluate, progress=PROGRESS)
    (model,) = evaluation.models
    print(f"{name}: accuracy {model.accuracy}, longer wins {evaluation.longer_wins}")
    assert model.metrics.accuracy >= least
    assert model.metrics.accuracy > evaluation.longer_wins.estimate
    assert model.accuracy.low < model.metrics.accuracy < model.accuracy.high


def test_a_budget_of_5000_is_spent_exactly_under_each_law(harmless):
    sources = load_sources(harmless.store, CONFIG.triage)
    margins = oriented_margins(harmless.store, harmless.record, sources)
    assert margins.std() > 0.01, "the margins are those of a trained model"
    laws = compare_laws(margins, CONFIG.allocation)
    for law, summary in laws.items():
        print(law, summary)
        assert summary.budget == 5000
        assert 1 <= summary.effective_sample_size <= len(sources) + 1e-6
    sizes = [laws[law].effective_sample_size for law in ("signed", "absolute", "fisher")]
    assert len({round(size, 3) for size in sizes}) == 3


SEEDS = 5
FLIPPED_SHARE = 0.25
READ_SHARE = 0.10


@dataclass(frozen=True)
class FlipStudy:
    detection_auc: float
    accuracy_lost: float
    accuracy_won_back: float


def study_flips(trained: Trained, encoder, probe: ProbeConfig) -> FlipStudy:
    """Flip labels, look for them by out-of-fold margins, let a simulated person set right what is among the lowest."""
    trainer = ProbeTrainer(probe, encoder)
    clean, heldout = trained.store.pairs.pairs("train"), trained.store.pairs.pairs("heldout")
    count = len(clean)

    def accuracy(pairs: list[Pair]) -> float:
        model = trainer.train(TrainingSet.plain(pairs), progress=PROGRESS)
        return pairwise_accuracy(model.score(heldout, progress=PROGRESS).margins)

    def margins_of(pairs: list[Pair], seed: int) -> FloatArray:
        folds = draw_folds(pairs, CONFIG.model_copy(update={"seed": seed}))
        found = trainer.out_of_fold_margins(TrainingSet.plain(pairs), folds, progress=PROGRESS)
        return judge_labels(found, near_zero=CONFIG.triage.near_zero).margin_mean

    best = accuracy(clean)
    aucs, lost, won = [], [], []
    for seed in range(SEEDS):
        chosen = np.random.default_rng(seed).permutation(count)[: int(FLIPPED_SHARE * count)]
        is_flipped = np.isin(np.arange(count), chosen)
        noisy = [swap(pair) if flip else pair for pair, flip in zip(clean, is_flipped, strict=True)]
        margins = margins_of(noisy, seed)
        aucs.append(auc(-margins[is_flipped], -margins[~is_flipped]))
        read = set(np.argsort(margins)[: int(READ_SHARE * count)].tolist())
        repaired = [clean[index] if index in read else pair for index, pair in enumerate(noisy)]
        worse = accuracy(noisy)
        lost.append(best - worse)
        won.append(accuracy(repaired) - worse)
    return FlipStudy(float(np.mean(aucs)), float(np.mean(lost)), float(np.mean(won)))


def swap(pair: Pair) -> Pair:
    return Pair.of(pair.prompt, pair.rejected, pair.chosen)


@pytest.mark.parametrize(
    ("name", "least_auc", "l2"),
    [("harmless", 0.62, CONFIG.probe.l2), ("alpaca", 0.70, 0.001)],
)
def test_out_of_fold_margins_find_flipped_labels(name, least_auc, l2, request, packaged_encoder):
    """At a penalty at which flips cost accuracy that can be won back.

    At the default penalty the probe on the alpaca pairs loses next to nothing to a quarter of flipped labels, so that
    there is nothing to win back; docs/experiments.md has the figures over a range of penalties.
    """
    study = study_flips(request.getfixturevalue(name), packaged_encoder, ProbeConfig(l2=l2))
    print(f"{name}, l2 = {l2}: {study}, {study.accuracy_won_back / study.accuracy_lost:.0%} won back")
    assert study.detection_auc >= least_auc
    assert study.accuracy_lost > 0.02
    assert study.accuracy_won_back / study.accuracy_lost >= 0.45
