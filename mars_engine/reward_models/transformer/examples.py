"""From a training set to the examples that are trained on and those that early stopping looks at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.errors import ModelError, NotReadyError
from mars_engine.core.records import TrainingSet
from mars_engine.reward_models.transformer.collator import Example
from mars_engine.reward_models.transformer.tokenize import TokenizedPair


@dataclass(frozen=True, slots=True)
class Examples:
    """What is trained on, and what is set aside; both in the order of the training set."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    base: tuple[TokenizedPair, ...]
    """The base pairs, whose margins are kept epoch by epoch; the sides of flipped ones are exchanged, as they are
    trained on."""


def make_examples(
    training_set: TrainingSet, rows: Sequence[TokenizedPair], *, validation_percent: int, seed: int
) -> Examples:
    """Return the examples of a training set.

    With `validation_percent` above 0, that share of the prompts is set aside: their base pairs are for validation, and
    the variants of these are neither trained on nor looked at.

    Raises:
        ModelError: a weight is no number or below 0, or all are 0.
        NotReadyError: there are not two prompts, so that nothing can be set aside.
    """
    _validate_weights(training_set)
    source_of = training_set.source_of or (-1,) * len(rows)
    paraphrased = training_set.paraphrased or ((True, True),) * len(rows)
    weights = training_set.weights / training_set.weights.mean()
    examples = [
        Example(
            pair=row,
            weight=float(weights[index]),
            label_confidence=float(training_set.label_confidence[index]),
            source=None if source < 0 else _right_way_round(training_set, rows, source),
            paraphrased=paraphrased[index],
        )
        for index, (row, source) in enumerate(zip(rows, source_of, strict=True))
    ]
    base = tuple(_right_way_round(training_set, rows, place) for place, source in enumerate(source_of) if source < 0)
    if validation_percent == 0:
        return Examples(tuple(examples), (), base)
    aside = rows_aside(training_set, validation_percent, seed)
    return Examples(
        train=tuple(each for each, is_aside in zip(examples, aside, strict=True) if not is_aside),
        validation=tuple(
            each for each, is_aside in zip(examples, aside, strict=True) if is_aside and each.source is None
        ),
        base=base,
    )


def rows_aside(training_set: TrainingSet, percent: int, seed: int) -> list[bool]:
    """Return which pairs are set aside with their prompts, variants with their sources.

    Raises:
        NotReadyError: there are not two prompts, so that nothing can be set aside.
    """
    source_of = training_set.source_of or (-1,) * len(training_set.pairs)
    prompts = [training_set.pairs[source if source >= 0 else index].prompt_id for index, source in enumerate(source_of)]
    aside = _prompts_aside(prompts, percent, seed)
    return [prompt in aside for prompt in prompts]


def without_aside(training_set: TrainingSet, percent: int, seed: int) -> TrainingSet:
    """Return the part of a training set that is trained on where prompts are set aside, without its lineage."""
    kept = np.flatnonzero(~np.array(rows_aside(training_set, percent, seed)))
    return TrainingSet(
        tuple(training_set.pairs[index] for index in kept),
        training_set.weights[kept],
        training_set.label_confidence[kept],
    )


def _validate_weights(training_set: TrainingSet) -> None:
    weights = training_set.weights
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ModelError(
            f"{len(wrong):,} of {len(weights):,} pairs have a weight that cannot be trained with, the first "
            f"{training_set.pairs[wrong[0]].id} with {weights[wrong[0]]}",
            expected="finite weights, 0 or more",
        )
    if not weights.any():
        raise ModelError(f"all {len(weights):,} pairs have the weight 0", expected="a weight above 0 for some pair")


def _right_way_round(training_set: TrainingSet, rows: Sequence[TokenizedPair], place: int) -> TokenizedPair:
    row = rows[place]
    return TokenizedPair(row.id, row.rejected, row.chosen) if training_set.label_confidence[place] == 0 else row


def _prompts_aside(prompts: Sequence[str], percent: int, seed: int) -> set[str]:
    different = sorted(set(prompts))
    if len(different) < 2:
        raise NotReadyError(
            "all pairs share one prompt, so that none can be set aside for early stopping",
            remedy="import more pairs, or set early_stopping_patience = 0 under [reward_model] in mars.toml",
        )
    count = min(len(different) - 1, max(1, round(len(different) * percent / 100)))
    return set(np.random.default_rng(seed).permutation(np.array(different))[:count].tolist())
