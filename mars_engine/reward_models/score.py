"""Score: margins of every pair under a trained model, and triage of the base pairs by out-of-fold margins."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.config import MarsConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import (
    SPLITS,
    FloatArray,
    IntArray,
    ModelRecord,
    Pair,
    Rewards,
    Split,
    TriageRow,
    TriageVerdict,
)
from mars_engine.data.pair_index import SPLIT_CODES, PairIndex, positions_of
from mars_engine.data.sources import Source, load_sources, training_set
from mars_engine.embeddings.distances import store_distances
from mars_engine.reward_models.triage import assign_folds, judge_labels
from mars_engine.reward_models.workbench import ModelWorkbench
from mars_engine.stats.metrics import MarginMetrics, summarize_margins
from mars_engine.store import Store

VERDICTS: tuple[TriageVerdict, ...] = ("clear", "hard", "suspected", "indistinct")


@dataclass(frozen=True, slots=True)
class ScoreReport(ShownAsTable):
    """What scoring found: metrics of the training pairs (in-sample) and the held-out pairs, and triage's verdicts."""

    model_label: str
    train: MarginMetrics
    heldout: MarginMetrics
    verdicts: dict[TriageVerdict, int]


def score_model(bench: ModelWorkbench, model: ModelRecord, *, triage_again: bool = True) -> ScoreReport:
    """Store the rewards of all training and held-out pairs under a model, and the triage of the training pairs.

    Triage belongs to the base pairs, not to a round. It comes first, so that pairs with scores have been triaged.
    The semantic distances of pairs that have none under this encoder are stored too.

    Args:
        bench: the workspace.
        model: whose rewards are asked for.
        triage_again: false where the caller knows that nothing has changed since the triage that is stored.

    Raises:
        NotReadyError: there is no warm-up model, or there are no training pairs.
    """
    store = bench.store
    base_model = store.models.latest(warm_up=True)
    if base_model is None:
        raise NotReadyError("there is no warm-up model", remedy="run 'mars train' first")
    if triage_again:
        triage_labels(bench, base_model)
    verdicts = Counter(row.verdict for row in store.models.triage(base_model.id))
    pairs = {split: store.pairs.pairs(split) for split in SPLITS}
    metrics = {split: _score_split(bench, model, pairs[split]) for split in SPLITS}
    store_distances(store, bench.encoder, [*pairs["train"], *pairs["heldout"]], progress=bench.progress)
    counts = {verdict: verdicts[verdict] for verdict in VERDICTS}
    return ScoreReport(model.label, metrics["train"], metrics["heldout"], counts)


def oriented_margins(store: Store, model: ModelRecord, sources: Sequence[Source]) -> FloatArray:
    """Return the sources' margins under a trained model, with flipped sources' sides exchanged.

    Raises:
        NotReadyError: the model has not scored all of them.
    """
    rewards = store.models.scores(model.id)
    missing = sum(source.pair.id not in rewards for source in sources)
    if missing:
        raise NotReadyError(
            f"the model {model.label} has not scored {missing} of the {len(sources)} training pairs",
            remedy="run 'mars score'",
        )
    margins = [rewards[source.pair.id][0] - rewards[source.pair.id][1] for source in sources]
    signs = [-1.0 if source.flipped else 1.0 for source in sources]
    oriented: FloatArray = np.array(margins, dtype=np.float64) * np.array(signs, dtype=np.float64)
    return oriented


def _score_split(bench: ModelWorkbench, model: ModelRecord, pairs: list[Pair]) -> MarginMetrics:
    """Score the pairs that have no rewards yet; where all have some, the model is not even loaded."""
    models = bench.store.models
    known = models.scores(model.id)
    unscored = [pair for pair in pairs if pair.id not in known]
    if unscored:
        rewards = bench.shelf.load(model).score(unscored, progress=bench.progress)
        models.save_scores(model.id, [pair.id for pair in unscored], rewards)
        known = models.scores(model.id)
    chosen = np.array([known[pair.id][0] for pair in pairs], dtype=np.float64)
    rejected = np.array([known[pair.id][1] for pair in pairs], dtype=np.float64)
    return summarize_margins(chosen, rejected, bins=bench.config.evaluate.calibration_bins)


def draw_folds(pairs: list[Pair], config: MarsConfig) -> IntArray:
    """Return the fold of each pair under each draw, shape (draws, n); pairs of one prompt share a fold."""
    groups = [pair.prompt_id for pair in pairs]
    draws = np.random.default_rng(config.seed).spawn(config.triage.seeds)
    return np.stack([assign_folds(groups, config.triage.folds, rng) for rng in draws])


def triage_labels(bench: ModelWorkbench, warm_up: ModelRecord) -> None:
    """Store triage's verdict on each base pair's label.

    It is done anew each time, since pairs, settings or people's decisions may have changed.
    """
    config = bench.config
    examples = training_set(load_sources(bench.store, config.triage, policy="keep"))
    pairs = list(examples.pairs)
    margins = bench.probe_trainer.out_of_fold_margins(examples, draw_folds(pairs, config), progress=bench.progress)
    judgement = judge_labels(margins, near_zero=config.triage.near_zero)
    rows = [
        TriageRow(
            pair_id=pair.id,
            margin_mean=float(judgement.margin_mean[index]),
            margin_std=float(judgement.margin_std[index]),
            negative_share=float(judgement.negative_share[index]),
            verdict=judgement.verdicts[index],
        )
        for index, pair in enumerate(pairs)
    ]
    bench.store.models.save_triage(warm_up.id, rows)


def stored_rewards(store: Store, index: PairIndex, model_id: str, split: Split) -> Rewards:
    """Return a model's rewards of a split's pairs, in the order of their import; NaN where it has not scored them."""
    columns = store.browse.rewards(model_id, split)
    places = positions_of(index.ids, index.id_order, columns.pair_ids)
    chosen, rejected = np.full(len(index), np.nan), np.full(len(index), np.nan)
    # What was imported since the index was read is not in it.
    chosen[places[places >= 0]] = columns.chosen[places >= 0]
    rejected[places[places >= 0]] = columns.rejected[places >= 0]
    is_wanted = index.split == SPLIT_CODES.index(split)
    return Rewards(chosen[is_wanted], rejected[is_wanted])
