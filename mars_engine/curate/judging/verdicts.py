"""Verdicts: what two orders of asking come to, and what a judge and the out-of-fold margin decide together."""

from typing import Literal

from mars_engine.core.config import MarginRule
from mars_engine.core.judge_records import LabelVerdict, Preference
from mars_engine.core.records import TriageVerdict

LabelSays = Literal["right", "wrong"]
AgreedDecision = Literal["label_right", "flip"]


def merge_orders(chosen_first: Preference, rejected_first: Preference) -> LabelVerdict:
    """Return the verdict of both orders together.

    An answer wins where both orders prefer it. A tie in one order is a tie; each order preferring another answer, as
    where the answer shown first always wins, is inconsistent; one unread order leaves the verdict unread.
    """
    if "unread" in (chosen_first, rejected_first):
        return "unread"
    if chosen_first == rejected_first:
        return chosen_first
    return "tie" if "tie" in (chosen_first, rejected_first) else "inconsistent"


def label_by_verdict(verdict: LabelVerdict) -> LabelSays | None:
    """Return what a judge says of a label; None where it prefers neither answer."""
    return {"chosen": "right", "rejected": "wrong"}.get(verdict)  # type: ignore[return-value]


def label_by_margin(verdict: TriageVerdict, margin: float, *, rule: MarginRule) -> LabelSays | None:
    """Return what out-of-fold margins say of a label; None where they say nothing of it.

    Args:
        verdict: triage's verdict on the pair.
        margin: the mean out-of-fold margin, as labelled.
        rule: "suspected": the label is wrong where triage suspects it, right where it is clear, and a hard pair tells
            nothing; "negative": the sign of the margin decides.
    """
    if verdict == "indistinct":
        return None
    if rule == "suspected" and verdict == "hard":
        return None
    return "wrong" if margin < 0 else "right"


def agreed_decision(judge: LabelSays | None, margin: LabelSays | None) -> AgreedDecision | None:
    """Return what is decided of a label where judge and margin agree; None where they differ or one says nothing."""
    if judge is None or judge != margin:
        return None
    return "flip" if judge == "wrong" else "label_right"
