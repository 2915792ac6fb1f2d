"""Choosing a probe's features and penalty by the training pairs: cross-validation over prompts, from a short list.

Candidates are compared by the log-loss of their out-of-fold margins, a proper score: what wins tells pairs apart and
has margins that mean what they say, log-odds. The default layers stay unless others are better by more than the
standard error of the difference: of a few hundred pairs the list's best is best by chance as often as not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mars_engine.core.config import AUTO_LAYERS, SENTENCE_LAYERS, ProbeConfig
from mars_engine.core.errors import ModelError
from mars_engine.core.progress import Progress, ProgressTask
from mars_engine.core.records import BradleyTerryFit, FloatArray, IntArray, Pair, TrainingSet, content_id
from mars_engine.embeddings.protocols import Encoder
from mars_engine.reward_models.bradley_terry import basis_of_span, refit_bradley_terry
from mars_engine.reward_models.features import ProbeFeatures, Reading, TextStates, fit_scale
from mars_engine.reward_models.triage import assign_folds

PENALTIES = (0.1, 0.03, 0.01, 0.003, 0.001)
FOLDS = 5
MOST_PAIRS = 1_000
"""More are a matter of minutes, and change a choice from a short list hardly ever."""
MOST_PAIRS_IN_CONTEXT = 200
"""The context costs a pass of its own over longer texts."""
FEWEST_PAIRS = 40
"""Of fewer, cross-validation is a toss of a coin."""
DEFAULT_DEPTHS = (1 / 3, 2 / 3)
"""By the three sets of docs/experiments.md, cross-validated on their training pairs: of six layers 2 and 4."""
DEFAULT_PENALTY = 0.005
"""Where the pairs are too few to choose by."""
DEPTHS = ((1 / 6,), (1 / 2,), (2 / 3,), (1 / 6, 1 / 2), (1 / 3, 2 / 3), (1 / 2, 5 / 6))
"""The layers that are tried, as shares of the encoder's depth: of six layers 1, 3, 4, 1+3, 2+4 and 3+5."""
SEED = 0
FOLD_DRAWS = 3
"""Under how many draws of the folds the leading candidates are compared: one draw decides by chance among equals."""
MOST_LEADING = 8
COARSE = 1e-5
"""Tolerance of the fits whose margins are only compared."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was tried, and how well it told out-of-fold pairs apart."""

    text: TextStates
    l2: float
    log_loss: float
    """Mean −log σ(Δ) of the out-of-fold margins, in nats."""
    accuracy: float
    """Share of the out-of-fold margins on the label's side, ties 0.5."""
    pairs: int


@dataclass(frozen=True, eq=False)
class FeatureChoice:
    """The features and the penalty of a probe, and what they were chosen from."""

    features: ProbeFeatures
    l2: float
    made_for: str
    """Id of the settings and the encoder."""
    made_of: str
    """Id of these and of the pairs."""
    reason: str
    """A clause that says how it was chosen."""
    candidates: tuple[Candidate, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Plain JSON that, with the encoder, determines the features and the penalty."""
        return {**self.features.settings, "l2": self.l2}


def choose_features(
    encoder: Encoder, config: ProbeConfig, examples: TrainingSet, *, progress: Progress
) -> FeatureChoice:
    """Return the features and the penalty for these pairs; what the settings fix is not tried.

    The same pairs, settings and encoder give the same choice. No more than `MOST_PAIRS` pairs are looked at: those
    whose ids come first, which are digests of content.

    Raises:
        ModelError: the settings ask for a layer that the encoder does not have.
    """
    base = _sample(_base_of(examples), MOST_PAIRS)
    made_for = choice_key(config, encoder)
    made_of = content_id(made_for, examples.fingerprint)
    readings = _readings(config, base.pairs)
    texts = _layer_sets(config, encoder)
    penalties = (config.l2,) if config.l2 else PENALTIES
    first = [TextStates(readings[0], config.pooling, layers) for layers in texts]
    folds = _folds(base.pairs)
    if folds is None or len(first) * len(penalties) * len(readings) == 1:
        fixed = TextStates(readings[0], config.pooling, _default_layers(config, encoder))
        reason = (
            "as the settings fix them" if folds is not None else "by default, since the pairs are too few to choose"
        )
        features = _scaled(encoder, fixed, base.pairs, progress)
        return FeatureChoice(features, config.l2 or DEFAULT_PENALTY, made_for, made_of, reason)
    tried = best_of = _try_all(encoder, first, penalties, base, folds, progress)
    if len(readings) > 1:
        layered = [text for text in first if text.layers] or first
        in_context = [TextStates("context", config.pooling, text.layers) for text in layered]
        few = _sample(base, MOST_PAIRS_IN_CONTEXT)
        few_folds = folds if len(few.pairs) == len(base.pairs) else _folds(few.pairs)
        if few_folds is not None:
            alone = tried if few_folds is folds else _try_all(encoder, layered, penalties, few, few_folds, progress)
            inside = _try_all(encoder, in_context, penalties, few, few_folds, progress)
            if _is_better(inside, alone):
                best_of = (
                    inside if few_folds is folds else _try_all(encoder, in_context, penalties, base, folds, progress)
                )
            tried = _each_once([*tried, *alone, *inside, *best_of])
    best = _try_again(encoder, best_of, _default_layers(config, encoder), base, progress)
    features = _scaled(encoder, best.text, base.pairs, progress)
    prompts = len({pair.prompt_id for pair in base.pairs})
    reason = f"chosen by {FOLDS}-fold cross-validation over {prompts:,} prompts of {len(base.pairs):,} training pairs"
    return FeatureChoice(features, best.l2, made_for, made_of, reason, tuple(trial.candidate for trial in tried))


def choice_key(config: ProbeConfig, encoder: Encoder) -> str:
    """Return what changes whenever another choice may be due: the settings and the encoder."""
    return content_id("probe features", config.model_dump(), encoder.fingerprint)


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    candidate: Candidate
    losses: FloatArray
    """Of each pair, shape (n,)."""


def _try_again(
    encoder: Encoder, trials: Sequence[_Trial], default: tuple[int, ...], base: TrainingSet, progress: Progress
) -> Candidate:
    """Return the best candidate by the mean of several draws of the folds, for which the leading ones are tried again;
    the best with the default layers, where no other is better by more than the standard error of the difference."""
    ranked = sorted(trials, key=lambda trial: trial.candidate.log_loss)
    by_default = [trial for trial in ranked if trial.candidate.text.layers == default]
    leading = list({trial.candidate: trial for trial in [*ranked[:MOST_LEADING], *by_default[:2]]}.values())
    losses = {trial.candidate: [trial.losses] for trial in leading}
    for seed in range(SEED + 1, SEED + FOLD_DRAWS):
        folds = _folds(base.pairs, seed)
        for text in dict.fromkeys(candidate.text for candidate in losses):
            mine = {candidate.l2: candidate for candidate in losses if candidate.text == text}
            again = (
                _try_all(encoder, [text], sorted(mine, reverse=True), base, folds, progress)
                if folds is not None
                else []
            )
            for trial in again:
                losses[mine[trial.candidate.l2]].append(trial.losses)
    means = {candidate: np.mean(drawn, axis=0) for candidate, drawn in losses.items()}

    def best_of(candidates: Sequence[Candidate]) -> Candidate:
        return min(candidates, key=lambda candidate: (round(float(means[candidate].mean()), 6), -candidate.l2))

    best = best_of(list(means))
    plain = [candidate for candidate in means if candidate.text.layers == default]
    if not plain or best in plain:
        return best
    gains = means[best_of(plain)] - means[best]
    return best if gains.mean() > gains.std() / np.sqrt(len(gains)) else best_of(plain)


def _is_better(inside: Sequence[_Trial], alone: Sequence[_Trial]) -> bool:
    """Whether the best reading in context beats the best one of responses alone, on the same pairs, by more than the
    standard error of the difference: it costs every text a pass of its own."""
    best = [min(trials, key=lambda trial: trial.candidate.log_loss) for trials in (inside, alone)]
    gains = best[1].losses - best[0].losses
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)))


def _each_once(trials: Sequence[_Trial]) -> list[_Trial]:
    return list({trial.candidate: trial for trial in trials}.values())


def _try_all(
    encoder: Encoder,
    texts: Sequence[TextStates],
    penalties: Sequence[float],
    base: TrainingSet,
    folds: IntArray,
    progress: Progress,
) -> list[_Trial]:
    """Return a trial of each text under each penalty; the hidden layers of all are read in one pass."""
    layers = tuple(sorted({layer for text in texts for layer in text.layers}))
    by_layer: dict[int, FloatArray] = {}
    if layers:
        every = TextStates(texts[0].reading, texts[0].pooling, layers)
        read = every.of(encoder, base.pairs, progress=progress).differences
        by_layer = dict(zip(layers, np.split(read, len(layers), axis=1), strict=True))
    trials: list[_Trial] = []
    with progress.task("choose the probe's features", len(texts) * FOLDS) as task, threadpool_limits(1, "blas"):
        for text in texts:
            if text.layers:
                raw = np.hstack([by_layer[layer] for layer in text.layers])
            else:
                raw = text.of(encoder, base.pairs, progress=progress).differences
            differences = raw / (fit_scale(raw) * np.sqrt(raw.shape[1]))
            margins = _out_of_fold(differences, base, folds, penalties, task)
            trials += [_judge(text, l2, margins[place], base.label_confidence) for place, l2 in enumerate(penalties)]
    return trials


def _out_of_fold(
    differences: FloatArray, base: TrainingSet, folds: IntArray, penalties: Sequence[float], task: ProgressTask
) -> FloatArray:
    """Return the margins under fits that did not see the pair, shape (penalties, n); one fit begins at the last."""
    margins = np.zeros((len(penalties), len(differences)))
    for fold in range(FOLDS):
        held = folds == fold
        basis = basis_of_span(differences[~held])
        rows = differences if basis is None else differences @ basis
        before: BradleyTerryFit | None = None
        for place, l2 in enumerate(penalties):
            before = refit_bradley_terry(
                rows[~held], base.weights[~held], base.label_confidence[~held], l2=l2, before=before, tolerance=COARSE
            )
            margins[place, held] = rows[held] @ before.weights
        task.advance()
    return margins


def _judge(text: TextStates, l2: float, margins: FloatArray, confidence: FloatArray) -> _Trial:
    losses = -confidence * _log_sigmoid(margins) - (1 - confidence) * _log_sigmoid(-margins)
    labelled = np.where(confidence >= 0.5, margins, -margins)
    accuracy = float(((labelled > 0) + 0.5 * (labelled == 0)).mean())
    return _Trial(Candidate(text, l2, float(losses.mean()), accuracy, len(margins)), losses)


def _log_sigmoid(values: FloatArray) -> FloatArray:
    return np.asarray(-np.logaddexp(0.0, -values), dtype=np.float64)


def _scaled(encoder: Encoder, text: TextStates, pairs: Sequence[Pair], progress: Progress) -> ProbeFeatures:
    return ProbeFeatures(text, fit_scale(text.of(encoder, pairs, progress=progress).differences))


def _base_of(examples: TrainingSet) -> TrainingSet:
    """Return the pairs that are nobody's variants."""
    if not examples.source_of:
        return examples
    return _part_of(examples, [index for index, source in enumerate(examples.source_of) if source < 0])


def _sample(examples: TrainingSet, most: int) -> TrainingSet:
    if len(examples.pairs) <= most:
        return examples
    by_id = sorted(range(len(examples.pairs)), key=lambda index: examples.pairs[index].id)
    return _part_of(examples, sorted(by_id[:most]))


def _part_of(examples: TrainingSet, kept: Sequence[int]) -> TrainingSet:
    places = np.array(kept, dtype=np.int64)
    return TrainingSet(
        tuple(examples.pairs[index] for index in kept), examples.weights[places], examples.label_confidence[places]
    )


def _folds(pairs: Sequence[Pair], seed: int = SEED) -> IntArray | None:
    """Return each pair's fold, None where the pairs or their prompts are too few."""
    prompts = [pair.prompt_id for pair in pairs]
    if len(pairs) < FEWEST_PAIRS or len(set(prompts)) < 2 * FOLDS:
        return None
    return assign_folds(prompts, FOLDS, np.random.default_rng(seed))


def _readings(config: ProbeConfig, pairs: Sequence[Pair]) -> tuple[Reading, ...]:
    if config.reading != "auto":
        return (config.reading,)
    return ("response", "context") if any(pair.prompt for pair in pairs) else ("response",)


def _layer_sets(config: ProbeConfig, encoder: Encoder) -> list[tuple[int, ...]]:
    """Return the sets of layers to try; none in a set stands for the sentence embedding."""
    if config.layers != AUTO_LAYERS:
        return [_default_layers(config, encoder)]
    sentence: list[tuple[int, ...]] = (
        [()] if config.reading in ("auto", "response") and config.pooling == "mean" else []
    )
    if not encoder.depth:
        return sentence or [()]
    return [*dict.fromkeys(_at_depths(encoder, depths) for depths in DEPTHS), *sentence]


def _default_layers(config: ProbeConfig, encoder: Encoder) -> tuple[int, ...]:
    if config.layers == SENTENCE_LAYERS or (config.layers == AUTO_LAYERS and not encoder.depth):
        return ()
    if config.layers == AUTO_LAYERS:
        return _at_depths(encoder, DEFAULT_DEPTHS)
    layers = tuple(sorted({int(layer) for layer in config.layers.split(",")}))
    if layers[-1] > encoder.depth:
        raise ModelError(
            f"[probe] layers = {config.layers!r} asks for layer {layers[-1]}, and the encoder has {encoder.depth}",
            expected=f"numbers from 0 to {encoder.depth}, 'sentence' or 'auto'",
            remedy="correct 'layers' under [probe] in mars.toml",
        )
    return layers


def _at_depths(encoder: Encoder, depths: Sequence[float]) -> tuple[int, ...]:
    return tuple(sorted({max(1, round(share * encoder.depth)) for share in depths}))
