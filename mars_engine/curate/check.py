"""Check: what is at stake while suspected mislabels are unchecked, and what checking has found so far."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mars_engine.augment.plan import spend
from mars_engine.core.config import MarsConfig
from mars_engine.core.records import BoolArray
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex
from mars_engine.stats.intervals import Interval, wilson_interval

LABELS = ("label_right", "flip", "drop", "ambiguous")
MISLABELLED = ("flip", "drop")
"""What a person says of a pair whose label would have done harm: its sides are exchanged, or it is of no use."""


@dataclass(frozen=True, slots=True)
class CheckFigures:
    """What the Check page tells. Budgets are the coming budget's, as configured, under the newest model's margins."""

    suspects: int
    """Training pairs that triage suspects."""
    open: int
    """Suspects that nobody has decided about, or people differ on."""
    outcomes: Mapping[str, int]
    """How many suspects turned out "label_right", "flip", "drop" and "ambiguous"."""
    mislabel_rate: Interval | None
    """Share of the decided suspects that were flipped or dropped, with its Wilson interval; None before the first.

    The worst are read first, so that it rather falls from there on."""
    budget: int
    open_share: float | None
    """Share of the budget that open suspects would get if they were treated like any other pair; None without margins.
    """
    new_pairs_at_risk: int
    """New pairs that, at the mislabel rate, would be made of mislabelled sources among the open suspects."""
    new_pairs_saved: int
    """New pairs that would have been made of what was flipped or dropped, had nobody looked."""


def check_figures(index: PairIndex, config: MarsConfig) -> CheckFigures:
    """Return the figures of checking; quick enough to be asked for after every decision."""
    training = index.split == SPLIT_CODES.index("train")
    suspected = training & (index.verdict == VERDICT_CODES.index("suspected"))
    decided = {label: suspected & (index.decision == DECISION_CODES.index(label)) for label in LABELS}
    is_open = suspected & ~np.any(list(decided.values()), axis=0)
    outcomes = {label: int(mask.sum()) for label, mask in decided.items()}
    wrong, total = sum(outcomes[label] for label in MISLABELLED), sum(outcomes.values())
    rate = wilson_interval(wrong, total) if total else None
    budget = config.allocation.budget or round(config.allocation.budget_per_pair * int(training.sum()))
    shares = _shares(index, config, training & ~np.isnan(index.margin), is_open, decided["flip"] | decided["drop"])
    return CheckFigures(
        suspects=int(suspected.sum()),
        open=int(is_open.sum()),
        outcomes=outcomes,
        mislabel_rate=rate,
        budget=budget,
        open_share=shares.open if shares else None,
        new_pairs_at_risk=round(budget * shares.open * rate.estimate) if shares and rate else 0,
        new_pairs_saved=round(budget * shares.wrong_before) if shares else 0,
    )


@dataclass(frozen=True, slots=True)
class _Shares:
    open: float
    """Of the open suspects, as things stand now."""
    wrong_before: float
    """Of what was found mislabelled, as it would have been without any decision."""


def _shares(
    index: PairIndex, config: MarsConfig, scored: BoolArray, is_open: BoolArray, wrong: BoolArray
) -> _Shares | None:
    """Shares of the budget, where open suspects are treated like any other pair; None without scored pairs."""
    if not scored.any():
        return None
    law = config.allocation.law
    margins = index.margin[scored].astype(np.float64)
    decision = index.decision[scored]
    flipped = decision == DECISION_CODES.index("flip")
    useless = np.isin(decision, [DECISION_CODES.index(label) for label in ("drop", "ambiguous")])
    useless |= index.verdict[scored] == VERDICT_CODES.index("indistinct")
    now = spend(np.where(flipped, -margins, margins), config.allocation, law=law, eligible=~useless)
    before = spend(margins, config.allocation, law=law)
    return _Shares(
        open=float(now.probabilities[is_open[scored]].sum()),
        wrong_before=float(before.probabilities[wrong[scored]].sum()),
    )
