"""The possible next steps: which there are, what they cost, and what is said of them in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from mars_engine.advise.advice import Step, StepKind, prospect_of
from mars_engine.advise.estimates import Estimates, Gain
from mars_engine.advise.rows import Material
from mars_engine.advise.trials import LEFT_OUT
from mars_engine.core.records import IntArray

COUNTS = (10, 25, 50, 100, 200)
"""Pairs to check or to label."""
MACHINE_MINUTES = 1.0
"""A probe is trained and scored in less."""
BY_TRIALS = "nested cross-validation over prompts"


@dataclass(frozen=True)
class StepMaker:
    """Makes the steps of one advice."""

    material: Material
    estimates: Estimates
    level: float
    seconds: float
    """A person's reading of one pair."""
    seconds_known: str
    """Where that comes from, as a clause."""

    def all(self) -> list[Step]:
        return [*self.checks(), *self.labels(), self.leaving_out(), self.augmenting(), *self.features(), stop()]

    def checks(self) -> list[Step]:
        """Return a step for some numbers of undecided pairs whose out-of-fold margin is negative.

        Triage suspects fewer of them: those whose margin is negative under each draw, and not near 0.
        """
        margins = self.estimates.trials.margins.mean(axis=0)
        rows = self.material.rows
        doubted = np.flatnonzero(rows.open & (margins < 0))
        order: IntArray = doubted[np.argsort(margins[doubted])]
        scale = self.material.pairs / len(rows)
        there = round(len(order) * scale)
        return [self._check(order, count, scale) for count in _up_to(there)]

    def _check(self, order: IntArray, count: int, scale: float) -> Step:
        places = order[: max(1, round(count / scale))]
        wrong, _ = self.estimates.wrong.among(places)
        which = f"of the {count:,} undecided labels with the lowest out-of-fold margins"
        expected = f"{which} about {wrong * scale:,.0f} are wrong"
        return self._step(
            f"check {count:,} labels",
            "check",
            count,
            self.estimates.checking(places, len(self.material.rows)),
            expected,
            minutes=count * self.seconds / 60,
            cost=self._reading(count),
            how_known=f"flips of our own, set right in {BY_TRIALS}; wrong labels by out-of-fold margins",
            command="mars app",
        )

    def labels(self) -> list[Step]:
        return [
            self._step(
                f"label {count:,} new pairs",
                "label",
                count,
                self.estimates.labelling(count),
                f"the learning curve goes on to {self.material.pairs + count:,} pairs, labelled as well as these",
                minutes=count * self.seconds / 60,
                cost=f"{self._reading(count)}, and what it takes to have the answers",
                how_known=f"a power law through {BY_TRIALS} on fewer pairs",
                command="mars import FILE",
            )
            for count in _counts(self.material.pairs)
        ]

    def leaving_out(self) -> Step:
        return self._step(
            "leave the suspects out",
            "leave out",
            0,
            self.estimates.measured(LEFT_OUT),
            "pairs that triage suspects are not trained on, and nobody reads them",
            minutes=MACHINE_MINUTES,
            cost="about a minute of the machine",
            how_known=BY_TRIALS,
            command="mars train --rounds 1 --triage-policy leave_out",
        )

    def augmenting(self) -> Step:
        new = self.material.new
        if new is None:
            name, done = "augment low margins", "no proposal is accepted or passes the gates"
            said = f"Not known until some are written: {done}."
            return Step(
                name, "augment", 0, said, nan, nan, nan, nan, "the writer's time or tokens", "not known", "mars propose"
            )
        best = max(new.laws, key=lambda law: self.estimates.measured(law).points)
        rest = ", ".join(
            f"{law} {self.estimates.measured(law).points:+.1f}" for law in new.laws if law != best
        ).replace("-", "−")
        pairs = round(self.estimates.trials.new_pairs[best] * self.material.pairs / len(self.material.rows))
        accepted = self.material.readiness == "accepted"
        which = "accepted proposals" if accepted else "proposals that pass the gates, unread"
        review = "" if accepted else "mars review --policy gates && "
        return self._step(
            f"augment by the {best} law",
            "augment",
            pairs,
            self.estimates.measured(best),
            f"{pairs:,} new pairs of {self.material.proposals:,} {which} (other laws: {rest})",
            minutes=MACHINE_MINUTES,
            cost="about a minute of the machine; the texts are there",
            how_known=f"{BY_TRIALS}, each law spending its budget inside the training folds",
            command=f"mars propose --allocation-law {best} && {review}mars compose && mars train",
        )

    def features(self) -> list[Step]:
        return [
            self._step(
                f"read {other.name}",
                "features",
                0,
                self.estimates.measured(other.name),
                "the probe reads other hidden states of the same encoder",
                minutes=MACHINE_MINUTES,
                cost="about a minute of the machine",
                how_known=f"{BY_TRIALS}; what stands was chosen by the same pairs, and is a little favoured",
                command=f"mars train --warm-up --probe-layers {_layers(candidate.text.layers)}",
            )
            for other, candidate in zip(self.material.others, self.material.candidates, strict=True)
        ]

    def fine_tuning(self, gain: Gain, minutes: float, held: int) -> Step:
        return self._step(
            "fine-tune the encoder",
            "fine-tune",
            0,
            gain,
            "the encoder's own weights learn",
            minutes=minutes,
            cost=f"about {minutes:,.0f} minutes of the machine",
            how_known=f"trained on four folds of five, scored on the {held:,} pairs of the fifth",
            command="mars train --backbone packaged",
        )

    def fine_tuning_unknown(self) -> Step:
        said = "Not known until it is tried: it takes minutes, so that it is measured only when asked for."
        cost, ask = "minutes of the machine", "mars advise --with fine-tuning"
        return Step("fine-tune the encoder", "fine-tune", 0, said, nan, nan, nan, nan, cost, "not known", ask)

    def _reading(self, count: int) -> str:
        return (
            f"{count * self.seconds / 60:,.0f} minutes of reading at {self.seconds:.0f} s a pair, {self.seconds_known}"
        )

    def _step(
        self,
        name: str,
        kind: StepKind,
        count: int,
        gain: Gain,
        reason: str,
        *,
        minutes: float,
        cost: str,
        how_known: str,
        command: str,
    ) -> Step:
        low, high = gain.interval(self.level)
        words = f"{say_gain(gain.points, low, high)}: {reason}."
        return Step(name, kind, count, words, gain.points, low, high, minutes, cost, how_known, command)


def say_gain(gain: float, low: float, high: float) -> str:
    """Say in plain words whether a step is expected to help, and by how much."""
    points = f"{gain:+.1f} points ({low:+.1f} to {high:+.1f})".replace("-", "−")
    prospect = prospect_of(gain, low)
    if prospect == "may gain, not shown":
        return f"May gain {points}, not shown: the interval reaches down to no gain"
    if high < 0:
        return f"Not expected to gain, but to lose: {points}"
    return f"{prospect.capitalize()}{',' if gain <= 0 else ''} {points}"


def stop() -> Step:
    said = "Nothing more is done: it gains nothing and costs nothing. Steps below it are not expected to gain."
    return Step("stop", "stop", 0, said, 0.0, 0.0, 0.0, 0.0, "nothing", "by definition", "")


def _counts(there: int) -> list[int]:
    """Return how many to check or to label: usual numbers up to what there is."""
    return [count for count in COUNTS if count <= there]


def _up_to(there: int) -> list[int]:
    """Return how many labels to check: usual numbers, and all that there are where these are not many."""
    usual = _counts(there)
    return [*usual, there] if 0 < there < COUNTS[-1] and there not in usual else usual


def _layers(layers: Sequence[int]) -> str:
    return ",".join(map(str, layers)) if layers else "sentence"
