"""Advice: what each possible next step is expected to gain, what it costs, and how that is known."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite, nan
from typing import Any, Literal

from mars_engine.core.notebook import ShownAsTable

StepKind = Literal["check", "label", "leave out", "augment", "features", "fine-tune", "stop"]
Prospect = Literal["expected to gain", "may gain, not shown", "not expected to gain", "not known"]


@dataclass(frozen=True, slots=True)
class Step(ShownAsTable):
    """One possible next step. What is not known is NaN."""

    name: str
    """Such as "check 25 labels"."""
    kind: StepKind
    count: int
    """Pairs to read or to label, or new pairs to train on; 0 where that says nothing."""
    sentence: str
    """What to expect of it, in plain words."""
    gain: float
    """Expected gain in accuracy on pairs that were never seen, in points."""
    low: float
    high: float
    """The gain's interval."""
    minutes: float
    """Of a person's reading, or of a machine where nobody reads."""
    cost: str
    """The same in words."""
    how_known: str
    command: str
    """What does it on the command line; empty where nothing is to be done."""

    @property
    def is_known(self) -> bool:
        return isfinite(self.gain)

    @property
    def prospect(self) -> Prospect:
        """What to expect of it, in four words at the most."""
        return prospect_of(self.gain, self.low)

    @property
    def helps(self) -> bool:
        """Whether it is expected to help: the whole interval lies above 0, as it is shown."""
        return self.prospect == "expected to gain"


def prospect_of(gain: float, low: float) -> Prospect:
    """Return what to expect of a gain whose interval begins at `low`, both in points.

    Points are shown to a tenth, so that an interval that begins at +0.0 is not clear of 0.
    """
    if not isfinite(gain):
        return "not known"
    if round(low, 1) > 0:
        return "expected to gain"
    return "may gain, not shown" if gain > 0 else "not expected to gain"


def best_first(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps with the best choice first.

    The larger expected gain comes first, whether it is shown or not, and the cheaper step among equals; what is not
    known comes last. With steps whose interval is clear of 0 before all others, the first choice gained less on draws
    with flipped labels (docs/experiments.md).
    """

    def rank(step: Step) -> tuple[bool, float, float]:
        return not step.is_known, *((-step.gain, step.minutes) if step.is_known else (0.0, 0.0))

    return tuple(sorted(steps, key=rank))


@dataclass(frozen=True, slots=True)
class Standing:
    """What the advice was made of, so that it can be told when it is out of date and what was done since."""

    digest: str
    """Differs whenever pairs, label decisions or accepted proposals do."""
    pairs: int
    """Training pairs."""
    decided: int
    """Pairs about whose label somebody decided, a person or a policy."""
    model_id: str
    """The newest trained model then; empty for none."""
    model_label: str
    by_policy: int = 0
    """Of those decided: by a policy alone."""


@dataclass(frozen=True, slots=True)
class Advice(ShownAsTable):
    """The possible next steps, as `best_first` orders them."""

    steps: tuple[Step, ...]
    pairs: int
    prompts: int
    accuracy: float
    """Cross-validated, on the labels as they are, from 0 to 1."""
    wrong_share: float
    """Share of labels that are estimated to be wrong."""
    wrong_low: float
    wrong_high: float
    level: float
    """Of all intervals."""
    fits: int
    seconds: float
    made_at: datetime
    standing: Standing

    @property
    def first(self) -> Step:
        return self.steps[0]

    def __getitem__(self, name: str) -> Step:
        """Return a step by its name."""
        return next(step for step in self.steps if step.name == name)


def advice_as_json(advice: Advice) -> dict[str, Any]:
    """Return advice as plain JSON; what is not known is null."""
    plain = asdict(advice) | {"made_at": advice.made_at.isoformat()}
    plain["steps"] = [
        {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in step.items()}
        for step in plain["steps"]
    ]
    return plain


def advice_from_json(plain: Mapping[str, Any]) -> Advice:
    """Return the advice that `advice_as_json` was given."""
    read: list[dict[str, Any]] = [
        {name: nan if value is None else value for name, value in each.items()} for each in plain["steps"]
    ]
    steps = tuple(Step(**each) for each in read)
    whole = dict(plain) | {
        "steps": steps,
        "made_at": datetime.fromisoformat(plain["made_at"]),
        "standing": Standing(**plain["standing"]),
    }
    return Advice(**whole)
