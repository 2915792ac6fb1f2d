"""Cards: what a person is shown of a source pair or a proposal, with its figures and why it is up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mars_engine.augment.quality.gatekeeper import cards_of_writers, fluency_of, gates_that_judged, judged_by
from mars_engine.core.judge_records import JUDGE_PREFIX, VERDICT_WORDS, LabelOpinion, LabelVerdict
from mars_engine.core.records import Pair, Prompt, Proposal, RefineTry, Side, Turn
from mars_engine.core.review_records import Presentation, ReviewAction, ReviewEvent
from mars_engine.core.review_state import ProposalStatus
from mars_engine.data.pair_index import SPLIT_CODES, VERDICT_CODES, Column, PairIndex


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a card; a source pair has only `before`. None is not known."""

    label: str
    before: float | None
    after: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a card says of one quality gate."""

    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class TryShown:
    """A rewrite that was tried to sharpen the contrast; see RefineTry."""

    side: Side
    text: str | None
    distance: float | None
    verdict: str
    generator: str


@dataclass(frozen=True, slots=True)
class OpinionOnCard:
    """What a judge says of a source pair's label."""

    judge: str
    words: str
    agrees_with: Literal["label_right", "flip"] | None
    """The decision that says the same; None where it prefers neither answer."""


@dataclass(frozen=True, slots=True)
class Answers:
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class ProposedTexts:
    """The texts of a proposal on its card; `prompt` is None where it is the source's."""

    prompt: Prompt | None
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class DecisionOnCard:
    """What the annotator did to the item of a card, in an act on `items` items."""

    action: ReviewAction
    sequence: int
    note: str
    prompt: str | None
    """The edited last turn of the user."""
    chosen: str | None
    rejected: str | None
    presented: Presentation
    items: int


@dataclass(frozen=True, slots=True)
class PairCard:
    id: str
    prompt: Prompt
    chosen: str
    rejected: str
    why: str
    figures: tuple[Figure, ...]
    subset: str
    dataset: str
    swapped: bool = False
    """Whether blind mode shows the sides exchanged."""
    skipped: bool = False
    seen: bool = False
    """Whether the annotator knows its labels from what he or she did before: then it is never shown blind."""
    opinions: tuple[OpinionOnCard, ...] = ()
    """Of judges; the card shows them once the annotator has decided, or before that where `opinions_first`."""
    opinions_first: bool = False
    kind: Literal["pair"] = "pair"


@dataclass(frozen=True, slots=True)
class ProposalCard:
    id: str
    source_id: str
    prompt: Prompt
    source: Answers
    """The source's answers in the orientation for which the proposal was written."""
    proposal: ProposedTexts
    unchanged_sides: tuple[str, ...]
    method: str
    generators: tuple[str, ...]
    why: str
    figures: tuple[Figure, ...]
    gates: tuple[GateResult, ...]
    trail: tuple[TryShown, ...]
    """How its contrast was sharpened, or was not; empty where the gate did not ask for it."""
    status: ProposalStatus
    """Pending until the annotator has decided, whatever others did."""
    swapped: bool = False
    skipped: bool = False
    seen: bool = False
    """Whether the annotator knows its labels from what he or she did before: then it is never shown blind."""
    kind: Literal["proposal"] = "proposal"


Card = PairCard | ProposalCard


class Ranking:
    """Ranks a card's margin among those of the training pairs, as far as they are known."""

    def __init__(self, index: PairIndex) -> None:
        in_training = index.split == SPLIT_CODES.index("train")
        self.margins = _known_ones(index.margin[in_training])
        self.out_of_fold = _known_ones(index.out_of_fold_margin[in_training])


def _known_ones(values: Column) -> Column:
    return values[~np.isnan(values)]


def pair_card(
    pair: Pair,
    index: PairIndex,
    place: int,
    ranking: Ranking,
    *,
    contradicted: bool = False,
    opinions: Sequence[LabelOpinion] = (),
    opinions_first: bool = False,
) -> PairCard:
    """Return the card of a source pair, given its place in the index; `contradicted` where another says the reverse."""
    figures = (
        Figure("score margin", _known(index.margin[place]), None, "reward units"),
        Figure("out-of-fold margin", _known(index.out_of_fold_margin[place]), None, "reward units"),
        Figure("semantic distance", _known(index.distance[place]), None, "1 − cosine"),
    )
    return PairCard(
        id=pair.id,
        prompt=pair.prompt,
        chosen=pair.chosen,
        rejected=pair.rejected,
        why=f"{CONTRADICTED * contradicted}{_why_pair(index, place, ranking)}",
        figures=tuple(figure for figure in figures if figure.before is not None),
        subset=pair.subset,
        dataset=index.dataset_names[index.dataset[place]],
        opinions=tuple(_opinion_on_card(each) for each in opinions),
        opinions_first=opinions_first,
    )


def _opinion_on_card(opinion: LabelOpinion) -> OpinionOnCard:
    decisions: Mapping[LabelVerdict, Literal["label_right", "flip"]] = {"chosen": "label_right", "rejected": "flip"}
    note = f" ({opinion.note})" if opinion.note else ""
    return OpinionOnCard(
        f"{JUDGE_PREFIX}{opinion.judge}", f"{VERDICT_WORDS[opinion.verdict]}{note}", decisions.get(opinion.verdict)
    )


def proposal_card(
    proposal: Proposal,
    source: Pair,
    index: PairIndex,
    ranking: Ranking,
    *,
    status: ProposalStatus,
    gates: str,
    tries: Sequence[RefineTry] = (),
) -> ProposalCard:
    """Return the card of a proposal; `gates` is the digest of the gates' present settings, `tries` its trail."""
    is_flipped = proposal.oriented_id != proposal.source_id
    own = Answers(source.rejected, source.chosen) if is_flipped else Answers(source.chosen, source.rejected)
    return ProposalCard(
        id=proposal.id,
        source_id=proposal.source_id,
        prompt=source.prompt,
        source=own,
        proposal=ProposedTexts(
            None if proposal.prompt == source.prompt else proposal.prompt, proposal.chosen, proposal.rejected
        ),
        unchanged_sides=proposal.unchanged_sides,
        method=proposal.method,
        generators=_generators(proposal),
        why=_why_proposal(proposal, index, ranking, gates),
        figures=(
            Figure("score margin", proposal.margin_before, proposal.margin_after, "reward units"),
            Figure("semantic distance", proposal.distance_before, proposal.distance_after, "1 − cosine"),
            Figure("information gain, alone", None, proposal.information_gain, "nats"),
            *(Figure("fluency", *both, "log-likelihood a token, nats") for both in (fluency_of(proposal),) if both),
        ),
        gates=gate_results(proposal),
        trail=tuple(TryShown(each.side, each.text, each.distance, each.verdict, each.generator) for each in tries),
        status=status,
    )


def decision_of(event: ReviewEvent, *, items: int) -> DecisionOnCard:
    """Return what an event says, for its card."""
    place = None if event.edited_prompt is None else last_user_turn(event.edited_prompt)
    return DecisionOnCard(
        action=event.action,
        sequence=event.sequence,
        note=event.note,
        prompt=None if event.edited_prompt is None or place is None else event.edited_prompt[place].content,
        chosen=event.edited_chosen,
        rejected=event.edited_rejected,
        presented=event.presented,
        items=items,
    )


def last_user_turn(prompt: Prompt) -> int | None:
    """Return the place of the turn that a card lets people edit, the user's last, else the last; None without turns."""
    theirs = [place for place, turn in enumerate(prompt) if turn.role == "user"]
    return theirs[-1] if theirs else len(prompt) - 1 if prompt else None


def with_last_user_turn(prompt: Prompt, text: str) -> Prompt | None:
    """Return the prompt with the user's last turn as an annotator edited it; None where it has no turns."""
    place = last_user_turn(prompt)
    if place is None:
        return None
    return (*prompt[:place], Turn(prompt[place].role, text), *prompt[place + 1 :])


def card_size(card: Card) -> int:
    """Return about how many bytes of texts a card sends to the browser."""
    texts = [turn.content for turn in card.prompt]
    if isinstance(card, PairCard):
        texts += [card.chosen, card.rejected]
    else:
        texts += [card.source.chosen, card.source.rejected, card.proposal.chosen, card.proposal.rejected]
        texts += [turn.content for turn in card.proposal.prompt or ()]
        texts += [each.text for each in card.trail if each.text is not None]
    return CARD_OVERHEAD + sum(len(text) for text in texts)


CARD_OVERHEAD = 1_500
"""Bytes of a card beside its texts, about."""


# ---------------------------------------------------------------------------------------------------- what it says


def _known(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(value)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _rank(value: float, margins: Column) -> str:
    """The rank of a card's margin among those of the training pairs, from the lowest."""
    rank = int((margins < np.float32(value)).sum()) + 1
    if rank == 1:
        return f"the lowest of {len(margins):,} training pairs"
    teens = 10 <= rank % 100 <= 20
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"the {rank:,}{ending} lowest of {len(margins):,} training pairs"


def _pairs(count: int) -> str:
    return f"{count:,} new pair" if count == 1 else f"{count:,} new pairs"


CONTRADICTED = "Another pair says the reverse: of one of the two the label is wrong, or neither is better. "


def _why_pair(index: PairIndex, place: int, ranking: Ranking) -> str:
    margin, out_of_fold = _known(index.margin[place]), _known(index.out_of_fold_margin[place])
    parts = []
    if VERDICT_CODES[index.verdict[place]] == "suspected" and out_of_fold is not None:
        deviation = _known(index.out_of_fold_std[place])
        spread = "" if deviation is None else f" (± {deviation:.2f} over the draws)"
        rank = _rank(out_of_fold, ranking.out_of_fold)
        parts.append(f"Suspected mislabel: models that never saw it give it {_signed(out_of_fold)}{spread}, {rank}")
    if margin is not None:
        parts.append(f"{'score' if parts else 'Score'} margin {_signed(margin)}, {_rank(margin, ranking.margins)}")
    if index.budget[place]:
        parts.append(f"the plan gives it {_pairs(int(index.budget[place]))}")
    return ("; ".join(parts) or "No model has scored it yet") + "."


def _why_proposal(proposal: Proposal, index: PairIndex, ranking: Ranking, gates: str) -> str:
    parts = [f"Its source has a score margin of {_signed(proposal.margin_before)}"]
    if len(ranking.margins):
        parts[0] += f", {_rank(proposal.margin_before, ranking.margins)}"
    places = index.positions([proposal.source_id])
    budget = int(index.budget[places[0]]) if len(places) else 0
    if budget:
        parts.append(f"the plan gives it {_pairs(budget)}")
    parts.append(_gate_words(proposal))
    if proposal.information_gain is None:
        parts.append(
            "a transformer scored it, which cannot tell its information gain: the order by that asks the live probe"
        )
    failed = len({flag.partition(":")[0] for flag in proposal.flags})
    parts.append("it passes every quality gate" if not failed else f"it fails {failed} of the quality gates")
    if judged_by(proposal) != gates:
        parts.append("the gates have other settings now, and 'mars regate' judges anew")
    return "; ".join(parts) + "."


def _gate_words(proposal: Proposal) -> str:
    distance = f"distance {proposal.distance_before:.2f}"
    if proposal.method != "paraphrase":
        return f"its answers were too close ({distance}), so their contrast was sharpened first"
    if "refine" in proposal.generators:
        return f"its answers are too close ({distance}), but no rewrite sharpened their contrast"
    return f"its answers are far enough apart ({distance}) to be paraphrased as they are"


def _generators(proposal: Proposal) -> tuple[str, ...]:
    return tuple(
        f"{card['name']}{' (stand-in)' if card.get('stand_in') else ''}: {task}"
        for task, card in sorted(cards_of_writers(proposal).items())
    )


def gate_results(proposal: Proposal) -> tuple[GateResult, ...]:
    """Return what a proposal's card says of each quality gate that judged it, those that failed first."""
    failed = [GateResult(False, flag) for flag in proposal.flags]
    faults = {flag.partition(":")[0] for flag in proposal.flags}
    judged = gates_that_judged(proposal)
    return (*failed, *(GateResult(True, gate.kept) for gate in judged if gate.fault not in faults))
