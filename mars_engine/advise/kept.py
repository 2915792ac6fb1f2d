"""Advice that was kept: the newest, whether it still holds, and what happened after what was advised."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from mars_engine.advise.advice import Advice, Standing, Step, advice_as_json, advice_from_json
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import EvaluationKind, EvaluationRecord, ModelRecord, content_id
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, PairIndex
from mars_engine.evaluate.results import compare_models
from mars_engine.stats.intervals import Interval
from mars_engine.store import Store

KIND: EvaluationKind = "advice"
UNDECIDED = [DECISION_CODES.index(each) for each in ("", "disputed")]


@dataclass(frozen=True, slots=True)
class Outcome(ShownAsTable):
    """What was advised, what was done since, and how the accuracy on held-out pairs moved meanwhile."""

    made_at: datetime
    advised: str
    """The first step."""
    advised_gain: float
    done: str
    """In words; empty where nothing has changed."""
    expected: float
    """Of what was done, by that advice, in points; NaN where it said nothing of it."""
    low: float
    high: float
    before: str
    after: str
    """Labels of the models that are compared; empty where there is no later model, or no held-out pairs."""
    happened: Interval | None
    """Change of the accuracy on held-out pairs, from 0 to 1."""

    @property
    def verdict(self) -> str:
        """Whether the advisor was right, in plain words."""
        if self.happened is None or np.isnan(self.expected):
            return "not known yet"
        low, high = 100 * self.happened.low, 100 * self.happened.high
        if high < self.low:
            return "less than expected"
        return "more than expected" if low > self.high else "as expected, within both intervals"


def standing_of(store: Store, index: PairIndex) -> Standing:
    """Return what advice is made of, as the workspace stands; no text is read."""
    train = index.split == SPLIT_CODES.index("train")
    columns = (index.ids[train], index.decision[train], index.accepted[train], index.pending[train])
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(column).tobytes())
    decided = ~np.isin(index.decision, UNDECIDED) & train
    newest = next(reversed(store.models.all()), None)
    return Standing(
        digest=digest.hexdigest()[:16],
        pairs=int(train.sum()),
        decided=int(decided.sum()),
        model_id=newest.id if newest else "",
        model_label=newest.label if newest else "",
        by_policy=int((decided & index.decided_by_policy).sum()),
    )


def keep_advice(store: Store, advice: Advice) -> None:
    """Keep advice with its date; the same advice on the same pairs takes the place of itself."""
    plain = advice_as_json(advice)
    made_of = {name: plain[name] for name in ("steps", "standing")}
    record = EvaluationRecord(content_id(KIND, made_of), KIND, "", advice.first.name, {}, plain, "", advice.made_at)
    store.evaluations.add(record)


def kept_advice(store: Store) -> list[Advice]:
    """Return all advice that was kept, newest first."""
    return [advice_from_json(record.results) for record in store.evaluations.all(KIND)]


def newest_advice(store: Store) -> Advice | None:
    """Return the newest advice, None where none was kept. It may be out of date: see `why_out_of_date`."""
    return next(iter(kept_advice(store)), None)


def why_out_of_date(advice: Advice, now: Standing) -> str:
    """Return what has changed since the advice, as a clause; empty where it holds."""
    then = advice.standing
    if then.digest == now.digest:
        return ""
    return _changes(then, now) or "decisions or proposals have changed"


def outcomes(store: Store, index: PairIndex, *, config: EvaluateConfig) -> list[Outcome]:
    """Return what came of each advice, newest first: compared with the newest model before the advice after it."""
    advised = kept_advice(store)
    models = {model.id: model for model in store.models.all()}
    now = standing_of(store, index)
    later = [now, *[each.standing for each in advised]]  # what stood when the next advice was given
    return [
        _outcome(store, index, each, after, models, config) for each, after in zip(advised, later[:-1], strict=True)
    ]


def _outcome(
    store: Store,
    index: PairIndex,
    advice: Advice,
    now: Standing,
    models: dict[str, ModelRecord],
    config: EvaluateConfig,
) -> Outcome:
    then = advice.standing
    before, after = models.get(then.model_id), models.get(now.model_id)
    augmented = after is not None and before is not None and after.composition_id not in ("", before.composition_id)
    done = [each for each in (_changes(then, now), "augmented pairs were trained on" if augmented else "") if each]
    expected = _expected(advice, now.decided - then.decided, now.pairs - then.pairs, augmented)
    happened = None
    if before is not None and after is not None and before.id != after.id and (index.split == 1).any():
        compared = compare_models(store, index, [before, after], config=config).comparisons
        happened = (
            _oriented(compared[0].difference, flipped=_is_first_before(compared[0].first, before, after))
            if compared
            else None
        )
    first = advice.first
    shown = happened is not None
    return Outcome(
        advice.made_at,
        first.name,
        first.gain,
        "; ".join(done),
        *expected,
        before.label if before and shown else "",
        after.label if after and shown else "",
        happened,
    )


def _is_first_before(label: str, before: ModelRecord, after: ModelRecord) -> bool:
    return label == before.label and before.label != after.label


def _oriented(difference: Interval, *, flipped: bool) -> Interval:
    if not flipped:
        return difference
    return Interval(-difference.estimate, -difference.high, -difference.low, difference.level)


def _changes(then: Standing, now: Standing) -> str:
    checked, added = now.decided - then.decided, now.pairs - then.pairs
    by_policy = max(0, now.by_policy - then.by_policy)
    who = f", {by_policy:,} of them by a policy alone" if by_policy else ""
    said = [
        f"{checked:,} more labels were decided{who}" if checked > 0 else "",
        f"{-checked:,} decisions were taken back" if checked < 0 else "",
        f"{added:,} training pairs were added" if added > 0 else "",
        f"{-added:,} training pairs were removed" if added < 0 else "",
    ]
    return ", ".join(each for each in said if each)


def _expected(advice: Advice, checked: int, added: int, augmented: bool) -> tuple[float, float, float]:
    """Return what the advice expects of what was done, with its interval; NaN where it says nothing of it."""
    parts = [
        _interpolated([step for step in advice.steps if step.kind == "check"], checked),
        _interpolated([step for step in advice.steps if step.kind == "label"], added),
        _interpolated([step for step in advice.steps if step.kind == "augment" and step.is_known], int(augmented)),
    ]
    known = [part for part in parts if part is not None]
    if not known:
        return (float("nan"),) * 3
    gain = sum(part[0] for part in known)
    below, above = (float(np.sqrt(sum((part[0] - part[side]) ** 2 for part in known))) for side in (1, 2))
    return gain, gain - below, gain + above


def _interpolated(steps: Sequence[Step], count: int) -> tuple[float, float, float] | None:
    if count <= 0 or not steps:
        return None
    if steps[0].kind == "augment":
        return steps[0].gain, steps[0].low, steps[0].high
    steps = sorted(steps, key=lambda step: step.count)
    axis = [0, *[step.count for step in steps]]
    gain, low, high = (
        float(np.interp(count, axis, [0.0, *[getattr(step, name) for step in steps]]))
        for name in ("gain", "low", "high")
    )
    return gain, low, high
