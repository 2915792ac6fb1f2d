"""The advisor: what each possible next step is expected to gain, from the training pairs alone."""

import time
from statistics import median

import numpy as np

from mars_engine.advise.advice import Advice, Step, best_first
from mars_engine.advise.estimates import Estimates, Gain, drawn_to_nothing
from mars_engine.advise.kept import keep_advice, standing_of
from mars_engine.advise.rows import gather_material
from mars_engine.advise.steps import StepMaker
from mars_engine.advise.trials import FOLDS, repeats_for, run_trials
from mars_engine.advise.wrong_labels import estimate_wrong_labels
from mars_engine.augment.workbench import Workbench
from mars_engine.core.records import TrainingSet
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.reward_models.protocols import RewardModelTrainer
from mars_engine.reward_models.triage import assign_folds
from mars_engine.stats.intervals import paired_difference
from mars_engine.stats.metrics import correctness
from mars_engine.store import Store

DEFAULT_SECONDS = 30.0
"""Of reading a pair and deciding about its label, where nobody has decided here yet."""
FEWEST_DECISIONS = 5


def advise(bench: Workbench, *, fine_tuner: RewardModelTrainer | None = None) -> Advice:
    """Return what each possible next step is expected to gain, best first, and keep it with its date.

    Held-out pairs are never looked at. With an encoder's states cached, 1,000 pairs take seconds.

    Args:
        bench: the workspace.
        fine_tuner: trains a reward model whose encoder learns; then that step is measured too, in minutes.

    Raises:
        NotReadyError: there are too few training pairs or prompts.
    """
    started = time.perf_counter()
    standing = standing_of(bench.store, PairIndexCache(bench.store).current())
    material = gather_material(bench)
    rng = np.random.default_rng(bench.config.seed)
    trials = run_trials(
        material.rows,
        new=material.new,
        others=material.others,
        repeats=repeats_for(len(material.rows)),
        rng=rng,
        progress=bench.progress,
    )
    wrong = estimate_wrong_labels(trials.margins.mean(axis=0))
    estimates = Estimates(trials, material.rows.prompts, wrong, material.pairs)
    level = bench.config.evaluate.confidence
    seconds, known = seconds_a_decision(bench.store)
    maker = StepMaker(material, estimates, level, seconds, known)
    tuned = maker.fine_tuning_unknown() if fine_tuner is None else _try_fine_tuning(bench, maker, fine_tuner)
    advice = Advice(
        steps=best_first([*maker.all(), tuned]),
        pairs=material.pairs,
        prompts=len(set(material.rows.prompts)),
        accuracy=float(correctness(trials.margins).mean()),
        wrong_share=wrong.share,
        wrong_low=wrong.low,
        wrong_high=wrong.high,
        level=level,
        fits=trials.fits,
        seconds=time.perf_counter() - started,
        made_at=bench.clock(),
        standing=standing,
    )
    keep_advice(bench.store, advice)
    return advice


def seconds_a_decision(store: Store) -> tuple[float, str]:
    """Return the seconds that people here take for a decision about a label, and where that is known from."""
    events = [event for told in store.reviews.events("pair").values() for event in told]
    spent = [event.seconds for event in events if event.seconds > 0 and event.action not in ("skip", "undo")]
    if len(spent) < FEWEST_DECISIONS:
        return DEFAULT_SECONDS, "by default"
    return float(median(spent)), f"the median of {len(spent):,} decisions here"


def _try_fine_tuning(bench: Workbench, maker: StepMaker, trainer: RewardModelTrainer) -> Step:
    """Train on four folds of five, with the probe beside it, and compare both on the fifth."""
    examples, rows = maker.material.examples, maker.material.rows
    held = assign_folds(rows.prompts, FOLDS, np.random.default_rng(bench.config.seed)) == 0
    kept = np.flatnonzero(~held)
    training = TrainingSet(
        tuple(examples.pairs[place] for place in kept), examples.weights[kept], examples.label_confidence[kept]
    )
    scored = [place for place in np.flatnonzero(held).tolist() if examples.label_confidence[place] != 0.5]
    pairs = [examples.pairs[place] for place in scored]
    signs = np.where(examples.label_confidence[scored] < 0.5, -1.0, 1.0)
    started = time.perf_counter()
    tuned = trainer.train(training, progress=bench.progress).score(pairs, progress=bench.progress).margins * signs
    minutes = (time.perf_counter() - started) / 60 * len(held) / len(kept)
    weights = bench.probe_trainer.fit(
        bench.probe_trainer.feature_differences(training.pairs, progress=bench.progress),
        training.weights,
        training.label_confidence,
    )
    probe = bench.probe_trainer.feature_differences(pairs, progress=bench.progress) @ weights * signs
    difference = paired_difference(
        correctness(tuned),
        correctness(probe),
        rng=np.random.default_rng(bench.config.seed),
        groups=[rows.prompts[place] for place in scored],
    )
    stretch = 100 * maker.estimates.stretch
    error = (difference.high - difference.low) / (2 * 1.96)
    gain = drawn_to_nothing(Gain(stretch * difference.estimate, stretch * error))
    return maker.fine_tuning(gain, minutes, len(pairs))
