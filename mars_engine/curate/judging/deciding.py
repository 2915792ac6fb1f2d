"""The policy "judge": it decides about labels where a judge and the out-of-fold margin agree, and leaves the rest.

Each decision is an event by `policy:judge`, which whatever a person decides overrules, and which can be taken back.
"""

from collections import Counter
from dataclasses import dataclass

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarginRule
from mars_engine.core.errors import NotReadyError
from mars_engine.core.judge_records import JUDGE_PREFIX, LabelOpinion
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import TriageRow
from mars_engine.core.review_records import ReviewEvent
from mars_engine.core.review_state import POLICY_PREFIX, effective_events
from mars_engine.curate.judging.asking import newest_triage
from mars_engine.curate.judging.verdicts import AgreedDecision, agreed_decision, label_by_margin, label_by_verdict
from mars_engine.curate.review import next_sequence

JUDGE_POLICY = f"{POLICY_PREFIX}judge"


@dataclass(frozen=True, slots=True)
class JudgeDecisions(ShownAsTable):
    """What the policy decided now, and what it left to people."""

    judge: str
    flipped: int
    confirmed: int
    """Labels called right by both."""
    disagreed: int
    """Left: the judge and the margin say different things."""
    undecided_judge: int
    """Left: the judge prefers neither answer, contradicts itself, or could not be read."""
    undecided_margin: int
    """Left: the margin tells nothing of the label."""
    decided_before: int
    """Pairs with an opinion about which people, or a policy, had decided already."""


def decide_by_judge(bench: Workbench, judge: str) -> JudgeDecisions:
    """Decide about the labels of undecided training pairs on which a judge and the out-of-fold margin agree.

    All of it is one act, which `undo_judge_decisions` takes back at once.

    Args:
        bench: the workspace; when a margin calls a label wrong is its setting `judge.margin`.
        judge: the judge whose opinions count, by the name under which they are kept.

    Raises:
        NotReadyError: the judge has said nothing yet, or nothing was triaged.
    """
    store, rule = bench.store, bench.config.judge.margin
    opinions, triage = store.opinions.of_judge(judge), newest_triage(store)
    if not opinions:
        raise NotReadyError(f"the judge {judge!r} has said nothing yet", remedy="run 'mars judge-labels' first")
    if not triage:
        raise NotReadyError("nothing was triaged, so no margin can agree", remedy="run 'mars score' first")
    events = store.reviews.events("pair", opinions)
    counts: Counter[str] = Counter()
    decided: dict[str, tuple[AgreedDecision, str]] = {}
    for pair_id, opinion in opinions.items():
        outcome, decision = _outcome(opinion, triage.get(pair_id), rule)
        if effective_events(events.get(pair_id, ())):
            counts["decided_before"] += 1
            continue
        counts[outcome] += 1
        if decision is not None:
            decided[pair_id] = decision, _note(opinion, triage[pair_id])
    _record(bench, decided)
    return JudgeDecisions(
        judge=judge,
        flipped=sum(decision == "flip" for decision, _ in decided.values()),
        confirmed=sum(decision == "label_right" for decision, _ in decided.values()),
        disagreed=counts["disagreed"],
        undecided_judge=counts["undecided_judge"],
        undecided_margin=counts["undecided_margin"],
        decided_before=counts["decided_before"],
    )


def undo_judge_decisions(bench: Workbench) -> int:
    """Take back the policy's newest act that stands; return on how many pairs, 0 where none stands."""
    now = bench.clock()
    sequence = next_sequence(bench.store, JUDGE_POLICY, now)
    undo = ReviewEvent("pair", "", "undo", JUDGE_POLICY, sequence, now)
    (recorded,) = bench.store.reviews.append_acts("pair", JUDGE_POLICY, [[undo]])
    return len(recorded.items) if recorded.outcome == "stored" else 0


def _outcome(opinion: LabelOpinion, row: TriageRow | None, rule: MarginRule) -> tuple[str, AgreedDecision | None]:
    judge = label_by_verdict(opinion.verdict)
    margin = None if row is None else label_by_margin(row.verdict, row.margin_mean, rule=rule)
    if judge is None:
        return "undecided_judge", None
    if margin is None:
        return "undecided_margin", None
    decision = agreed_decision(judge, margin)
    return ("disagreed" if decision is None else "agreed"), decision


def _note(opinion: LabelOpinion, row: TriageRow) -> str:
    """Return why it was decided, for the history of the label."""
    margin = f"{row.margin_mean:+.2f}".replace("-", "−")
    return f"{JUDGE_PREFIX}{opinion.judge} prefers the {opinion.verdict} answer; out-of-fold margin {margin}"


def _record(bench: Workbench, decided: dict[str, tuple[AgreedDecision, str]]) -> None:
    at = bench.clock()
    sequence = next_sequence(bench.store, JUDGE_POLICY, at)
    bench.store.reviews.append(
        [
            ReviewEvent("pair", pair_id, decision, JUDGE_POLICY, sequence, at, note=note)
            for pair_id, (decision, note) in decided.items()
        ]
    )
