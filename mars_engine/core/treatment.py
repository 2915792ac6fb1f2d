"""What becomes of a source pair: by a person's decision about its label, else by triage's suspicion and the policy."""

from dataclasses import dataclass, replace
from typing import Literal

from mars_engine.core.config import TriagePolicy

LabelDecision = Literal["label_right", "flip", "drop", "ambiguous"]
AMBIGUOUS_CONFIDENCE = 0.5
"""A pair that a person called ambiguous teaches nothing about its order: Bradley–Terry at probability one half."""


@dataclass(frozen=True, slots=True)
class PairTreatment:
    """What becomes of a source pair: whether it is trained on, how sure its label is, whether it may get budget."""

    trained_on: bool = True
    label_confidence: float = 1.0
    gets_budget: bool = True


def treat_pair(
    *,
    suspected: bool,
    indistinct: bool = False,
    policy: TriagePolicy,
    smoothing: float,
    decision: LabelDecision | None,
) -> PairTreatment:
    """Return how a source pair is treated; a person's decision always overrules the policy.

    Whatever is decided, no budget goes to a pair that is indistinct: new pairs made of it would teach nothing.
    """
    treatment = _treat_label(suspected=suspected, policy=policy, smoothing=smoothing, decision=decision)
    return replace(treatment, gets_budget=False) if indistinct else treatment


def _treat_label(
    *,
    suspected: bool,
    policy: TriagePolicy,
    smoothing: float,
    decision: LabelDecision | None,
) -> PairTreatment:
    if decision is not None:
        return {
            "label_right": PairTreatment(),
            "flip": PairTreatment(label_confidence=0.0),
            "drop": PairTreatment(trained_on=False, gets_budget=False),
            "ambiguous": PairTreatment(label_confidence=AMBIGUOUS_CONFIDENCE, gets_budget=False),
        }[decision]
    if not suspected or policy == "keep":
        return PairTreatment()
    return {
        "ask": PairTreatment(gets_budget=False),
        "judge": PairTreatment(gets_budget=False),  # it is left to people, like any that the judge did not settle
        "leave_out": PairTreatment(trained_on=False, gets_budget=False),
        "smooth": PairTreatment(label_confidence=1.0 - smoothing),
        "flip": PairTreatment(label_confidence=0.0),
    }[policy]
