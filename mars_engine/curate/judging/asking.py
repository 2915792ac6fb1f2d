"""Asking a judge about the labels of source pairs, suspects first; what it said is kept, and never asked twice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mars_engine.augment.workbench import Workbench
from mars_engine.core.chat_records import GenerationEstimate, Spending
from mars_engine.core.clock import Clock
from mars_engine.core.errors import NotReadyError
from mars_engine.core.judge_records import LabelOpinion, LabelVerdict
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import Pair, TriageRow
from mars_engine.core.review_state import label_decisions
from mars_engine.curate.judging.judges import LabelJudge, Said
from mars_engine.curate.judging.verdicts import merge_orders
from mars_engine.store import Store

PAIRS_AT_ONCE = 64
"""Pairs whose opinions are kept together: what is lost at most where the work is killed."""


@dataclass(frozen=True, slots=True)
class JudgingReport(ShownAsTable):
    """What a judge said of the labels in question, now and before."""

    judge: str
    remarks: tuple[str, ...]
    in_question: int
    """Pairs that it was to judge."""
    judged_now: int
    known_before: int
    left: int
    """Pairs in question that it was not asked about, since no more were wanted."""
    suspects_judged: int
    """Suspected pairs among those of which it has an opinion."""
    verdicts: Mapping[LabelVerdict, int]
    """How many of the pairs in question it gave each verdict."""
    reasons: Mapping[str, int]
    """Why verdicts are unread."""


@dataclass(frozen=True, slots=True)
class JudgingForecast(ShownAsTable):
    """What asking a judge would take; nothing was asked."""

    judge: str
    remarks: tuple[str, ...]
    in_question: int
    to_judge: int
    suspects_to_judge: int
    known_before: int
    estimate: GenerationEstimate | None
    """Of a chat model; None where asking costs nothing but time."""
    spent: Spending


@dataclass(frozen=True, slots=True)
class _Question:
    """The pairs in question in the order in which they are judged, and what is known of them."""

    pairs: list[Pair]
    suspected: frozenset[str]
    known: dict[str, LabelOpinion]
    to_judge: list[Pair]


def judge_labels(
    bench: Workbench, judge: LabelJudge, *, every_pair: bool = False, limit: int = 0, ask_again: bool = False
) -> JudgingReport:
    """Ask a judge about the labels of training pairs and keep what it says.

    Interrupted, it goes on where it stopped. What failed because a server was away is asked again.

    Args:
        bench: the workspace.
        judge: who is asked.
        every_pair: ask about all training pairs, suspects first, and not about suspects alone.
        limit: ask about so many pairs at most; 0 for all.
        ask_again: ask anew where an answer could not be read.

    Raises:
        NotReadyError: there are no training pairs, or nothing was triaged and suspects alone are asked about.
        GenerationError: nothing can be asked at all.
    """
    question = _question(bench.store, judge, every_pair=every_pair, limit=limit, ask_again=ask_again)
    with bench.progress.task("judge labels", len(question.to_judge)) as task:
        for start in range(0, len(question.to_judge), PAIRS_AT_ONCE):
            pairs = question.to_judge[start : start + PAIRS_AT_ONCE]
            said = judge.judge(pairs, again=ask_again)
            opinions = [_opinion(judge.name, pair, each, bench.clock) for pair, each in zip(pairs, said, strict=True)]
            bench.store.opinions.keep(opinions)
            task.advance(len(pairs))
    return _report(bench.store, judge, question)


def forecast_judging(
    bench: Workbench, judge: LabelJudge, *, every_pair: bool = False, limit: int = 0, ask_again: bool = False
) -> JudgingForecast:
    """Return what `judge_labels` would ask and cost; nothing is asked. The arguments are the same."""
    question = _question(bench.store, judge, every_pair=every_pair, limit=limit, ask_again=ask_again)
    return JudgingForecast(
        judge=judge.name,
        remarks=judge.remarks,
        in_question=len(question.pairs),
        to_judge=len(question.to_judge),
        suspects_to_judge=sum(pair.id in question.suspected for pair in question.to_judge),
        known_before=len(question.known),
        estimate=judge.estimate(question.to_judge),
        spent=bench.store.chat.spent(),
    )


def newest_triage(store: Store) -> dict[str, TriageRow]:
    """Return the newest triage, which judges' opinions are set beside, by pair id; empty where nothing was triaged."""
    model = store.browse.newest_triaged_model()
    return {} if model is None else {row.pair_id: row for row in store.models.triage(model.id)}


def _question(store: Store, judge: LabelJudge, *, every_pair: bool, limit: int, ask_again: bool) -> _Question:
    pairs = store.pairs.pairs("train")
    if not pairs:
        raise NotReadyError("there are no training pairs to judge", remedy="run 'mars import FILE' first")
    triage = newest_triage(store)
    if not triage and not every_pair:
        raise NotReadyError(
            "no label is suspected yet, since nothing was triaged",
            remedy="run 'mars train' and 'mars score' first, or judge all pairs by --all",
        )
    suspected = frozenset(pair_id for pair_id, row in triage.items() if row.verdict == "suspected")
    decided = label_decisions(pairs, store.reviews.events("pair"))
    ordered = _suspects_first(pairs, triage, suspected, frozenset(decided))
    in_question = ordered if every_pair else [pair for pair in ordered if pair.id in suspected]
    ids = {pair.id for pair in in_question}
    kept = {pair_id: each for pair_id, each in store.opinions.of_judge(judge.name).items() if pair_id in ids}
    known = {pair_id: each for pair_id, each in kept.items() if not _asks_again(each, ask_again)}
    to_judge = [pair for pair in in_question if pair.id not in known]
    return _Question(in_question, suspected, known, to_judge[:limit] if limit else to_judge)


def _asks_again(opinion: LabelOpinion, ask_again: bool) -> bool:
    return opinion.verdict == "unread" and (opinion.retryable or ask_again)


def _suspects_first(
    pairs: Sequence[Pair], triage: Mapping[str, TriageRow], suspected: frozenset[str], decided: frozenset[str]
) -> list[Pair]:
    """Return the pairs as they are judged: suspects first, undecided before decided, the lowest margins first."""

    def place(pair: Pair) -> tuple[bool, bool, float]:
        margin = triage[pair.id].margin_mean if pair.id in triage else float("inf")
        return pair.id not in suspected, pair.id in decided, margin

    return sorted(pairs, key=place)


def _opinion(judge: str, pair: Pair, said: Said, clock: Clock) -> LabelOpinion:
    return LabelOpinion(
        judge=judge,
        pair_id=pair.id,
        verdict=merge_orders(said.chosen_first, said.rejected_first),
        chosen_first=said.chosen_first,
        rejected_first=said.rejected_first,
        note=said.note,
        retryable=said.retryable,
        at=clock(),
    )


def _report(store: Store, judge: LabelJudge, question: _Question) -> JudgingReport:
    said = store.opinions.of_judge(judge.name)
    found = [said[pair.id] for pair in question.pairs if pair.id in said]
    return JudgingReport(
        judge=judge.name,
        remarks=judge.remarks,
        in_question=len(question.pairs),
        judged_now=len(question.to_judge),
        known_before=len(question.known),
        left=len(question.pairs) - len(question.known) - len(question.to_judge),
        suspects_judged=sum(each.pair_id in question.suspected for each in found),
        verdicts=dict(Counter(each.verdict for each in found).most_common()),
        reasons=dict(Counter(each.note for each in found if each.verdict == "unread").most_common()),
    )
