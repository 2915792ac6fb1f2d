"""Quality: gather what the gates look at, for many proposals at once, and judge proposals, new ones or stored ones."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mars_engine.augment.quality.gates import (
    GATES,
    PROMPT,
    Evidence,
    Gate,
    Leak,
    OutOfFoldMargins,
    TextChange,
    Verdict,
    judge_variants,
    similarity,
)
from mars_engine.augment.quality.languages import PackagedLanguageDetector
from mars_engine.augment.quality.long_texts import EmbeddedTexts, embed_texts
from mars_engine.augment.quality.protocols import FluencyModel, Judge, JudgeRequest
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import QualityConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.progress import Progress
from mars_engine.core.records import FloatArray, IntArray, Pair, Prompt, Proposal, content_id
from mars_engine.core.review_state import proposal_states
from mars_engine.data.near_copies import ShingleIndex
from mars_engine.data.sources import load_sources, training_set
from mars_engine.embeddings.protocols import Encoder
from mars_engine.reward_models.protocols import FoldModels
from mars_engine.reward_models.score import draw_folds
from mars_engine.store import Store

GATES_NOTE = "gates"
"""Where among a proposal's notes on its making stands by which settings and which gates it was judged."""
HELD_OUT = "a held-out pair"
SOURCES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed pair that is to be judged."""

    source_id: str
    original: Pair
    """The source, oriented as the proposal was written for it."""
    base: Pair
    """What was paraphrased: the original, or what refining made of it."""
    new: Pair
    variant: int
    distance_before: float
    distance_after: float
    judge_again: bool = False
    """Whether a judge whose answer could not be read is asked anew."""


@dataclass(frozen=True, slots=True)
class JudgeFailure:
    """A proposal of which a judge could not say whether its answers are the right way round."""

    source_id: str
    judge: str
    reason: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class LeakIndex:
    """The questions with their answers that evaluations ask about."""

    index: ShingleIndex
    owners: tuple[str, ...]
    """Which evaluation each text of the index belongs to."""

    def leak(self, pair: Pair) -> Leak:
        """Return for the leakage gate how near a side of the pair, with the last turn, comes to an evaluation."""
        found = max((self.index.overlap(text) for text in exchanges(pair)), key=lambda overlap: overlap.share)
        return Leak(found.share, self.owners[found.place] if found.place >= 0 else "")


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Asks models that never saw a pair's source."""

    models: FoldModels
    fold_of_prompt: Mapping[str, IntArray]
    """By prompt id, the fold of its pairs under each draw, shape (draws,)."""
    spread: float
    confirmed: frozenset[str]
    """Sources of which a person has said that the label is right, or flipped it."""

    def margins(self, pairs: Sequence[Pair], sources: Sequence[Pair], *, progress: Progress) -> FloatArray:
        """Return for the gates the pairs' margins under models that never saw their sources, shape (n,).

        Each is the mean over the draws.
        """
        # A source that is not trained on was seen by no model, so that any will do.
        any_fold = next(iter(self.fold_of_prompt.values()))
        folds = np.stack([self.fold_of_prompt.get(source.prompt_id, any_fold) for source in sources], axis=1)
        margins: FloatArray = self.models.margins(pairs, folds, progress=progress).mean(axis=0)
        return margins


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """Judges candidates by the configured gates, whole batches at a time."""

    config: QualityConfig
    encoder: Encoder
    languages: PackagedLanguageDetector | None
    out_of_fold: OutOfFold | None
    leaks: LeakIndex | None
    asked_judge: Judge | None
    fluency: FluencyModel | None
    progress: Progress
    _judge_failures: list[JudgeFailure] = field(default_factory=list)

    def take_judge_failures(self) -> list[JudgeFailure]:
        """Return the proposals that the gates' judge could not judge since this was asked last."""
        taken = list(self._judge_failures)
        self._judge_failures.clear()
        return taken

    def evidence(self, candidates: Sequence[Candidate]) -> list[Evidence]:
        """Return what the gates look at, for each candidate. No judge is asked: that costs money."""
        if not candidates:
            return []
        compared = [texts for candidate in candidates for texts in _texts_by_name(candidate).values()]
        embedded = embed_texts(self.encoder, compared, progress=self.progress)
        margins = self._margins(candidates)
        fluency = self._fluency(candidates)
        return [
            Evidence(
                texts=self._changes(candidate, embedded, fluency),
                distance_before=candidate.distance_before,
                distance_after=candidate.distance_after,
                variant=candidate.variant,
                vectors=(embedded.pieces(candidate.new.chosen), embedded.pieces(candidate.new.rejected)),
                margins=margins[place] if margins else None,
                leak=self.leaks.leak(candidate.new) if self.leaks else None,
            )
            for place, candidate in enumerate(candidates)
        ]

    def judge(self, candidates: Sequence[Candidate], kept: Sequence[Candidate] = ()) -> list[Verdict]:
        """Return the verdicts on candidates, in their order; those of one source are compared with each other.

        Args:
            candidates: proposed pairs; of two that are near copies, the earlier is kept.
            kept: pairs that passed before, with which those of the same source are compared too.
        """
        evidence = self.evidence(candidates)
        passed: dict[str, list[Evidence]] = {}
        for candidate, found in zip(kept, self.evidence(kept), strict=True):
            passed.setdefault(candidate.original.id, []).append(found)
        verdicts = self._verdicts(candidates, evidence, passed)
        asked: set[int] = set()
        # What the judge stops makes way for a near copy of it, of which it is asked then.
        while self.asked_judge and (places := _places_that_pass(verdicts) - asked):
            in_turn = sorted(places)
            said = self._judged_wrong([candidates[place] for place in in_turn])
            for place, is_wrong in zip(in_turn, said, strict=True):
                evidence[place] = replace(evidence[place], judged_wrong=is_wrong)
            asked |= places
            verdicts = self._verdicts(candidates, evidence, passed)
        return verdicts

    def _verdicts(
        self, candidates: Sequence[Candidate], evidence: Sequence[Evidence], passed: Mapping[str, Sequence[Evidence]]
    ) -> list[Verdict]:
        """Return the verdicts by what is known; `passed` is what passed before, by the id of the original."""
        places: dict[str, list[int]] = {}
        for place, candidate in enumerate(candidates):
            places.setdefault(candidate.original.id, []).append(place)
        verdicts: dict[int, Verdict] = {}
        for original_id, own in places.items():
            judged = judge_variants([evidence[place] for place in own], self.config, passed.get(original_id, ()))
            verdicts.update(zip(own, judged, strict=True))
        return [verdicts[place] for place in range(len(candidates))]

    def _fluency(self, candidates: Sequence[Candidate]) -> Mapping[tuple[Prompt, str], float]:
        """Return how likely each text of the originals and of the new pairs is in its place, where it can be said."""
        if self.fluency is None:
            return {}
        placed = dict.fromkeys(
            _placed(pair, name, text)
            for candidate in candidates
            for pair in (candidate.original, candidate.new)
            for name, text in ((PROMPT, last_turn(pair)), ("chosen", pair.chosen), ("rejected", pair.rejected))
        )
        figures = self.fluency.measure(list(placed))
        return {place: float(figure) for place, figure in zip(placed, figures, strict=True) if np.isfinite(figure)}

    def _changes(
        self, candidate: Candidate, embedded: EmbeddedTexts, fluency: Mapping[tuple[Prompt, str], float]
    ) -> tuple[TextChange, ...]:
        question = last_turn(candidate.original)
        whole, pieces = embedded.whole, embedded.pieces
        return tuple(
            TextChange(
                name=name,
                source=source,
                base=base,
                new=new,
                fidelity=similarity(pieces(base), pieces(new)),
                source_similarity=similarity(pieces(source), pieces(new)),
                prompt_similarity=None
                if name == PROMPT or not question
                else (
                    float(whole[source] @ whole[question]),
                    float(whole[new] @ whole[question]),
                ),
                languages=self._languages_of(source, new),
                fluency=_both(
                    fluency.get(_placed(candidate.original, name, source)),
                    fluency.get(_placed(candidate.new, name, new)),
                ),
            )
            for name, (source, base, new) in _texts_by_name(candidate).items()
        )

    def _languages_of(self, source: str, new: str) -> tuple[str | None, str | None]:
        if self.languages is None or not self.config.language or source == new:
            return (None, None)
        return self.languages.language(source), self.languages.language(new)

    def _margins(self, candidates: Sequence[Candidate]) -> list[OutOfFoldMargins]:
        if self.out_of_fold is None:
            return []
        sources = [candidate.original for candidate in candidates]
        own = self.out_of_fold.margins(sources, sources, progress=self.progress)
        new = self.out_of_fold.margins([candidate.new for candidate in candidates], sources, progress=self.progress)
        return [
            OutOfFoldMargins(
                source=float(own[place]),
                proposal=float(new[place]),
                spread=self.out_of_fold.spread,
                label_confirmed=candidate.source_id in self.out_of_fold.confirmed,
            )
            for place, candidate in enumerate(candidates)
        ]

    def _judged_wrong(self, candidates: Sequence[Candidate]) -> list[bool | None]:
        """Whether the judge prefers the rejected answer in both orders; None where it did not tell."""
        if self.asked_judge is None or not candidates:
            return []
        asked = [both_orders(each.new, source_id=each.source_id, ask_again=each.judge_again) for each in candidates]
        said = iter(self.asked_judge.judge([request for both in asked for request in both]))
        wrong: list[bool | None] = []
        for candidate, one, other in zip(candidates, said, said, strict=True):
            reason = one.failure or other.failure
            wrong.append(None if reason else one.prefers == "second" and other.prefers == "first")
            if reason:
                retryable = one.retryable or other.retryable
                self._judge_failures.append(
                    JudgeFailure(candidate.source_id, self.asked_judge.card.name, reason, retryable)
                )
        return wrong


def _placed(pair: Pair, name: str, text: str) -> tuple[Prompt, str]:
    """Return a text with what it answers: an answer the whole prompt, the prompt's last turn the turns before it."""
    return (pair.prompt[:-1] if name == PROMPT else pair.prompt), text


def _both(before: float | None, after: float | None) -> tuple[float, float] | None:
    return None if before is None or after is None else (before, after)


def _texts_by_name(candidate: Candidate) -> dict[str, tuple[str, str, str]]:
    """Return the texts of the original, of what is paraphrased, and of the new pair, by name."""
    pairs = (candidate.original, candidate.base, candidate.new)
    return {
        PROMPT: (last_turn(pairs[0]), last_turn(pairs[1]), last_turn(pairs[2])),
        "chosen": (pairs[0].chosen, pairs[1].chosen, pairs[2].chosen),
        "rejected": (pairs[0].rejected, pairs[1].rejected, pairs[2].rejected),
    }


def _places_that_pass(verdicts: Sequence[Verdict]) -> set[int]:
    return {place for place, verdict in enumerate(verdicts) if not verdict.reasons}


def both_orders(pair: Pair, *, source_id: str = "", ask_again: bool = False) -> tuple[JudgeRequest, JudgeRequest]:
    """Return both requests to a judge about a pair, for a gate or a label check: each answer stands first once."""
    return (
        JudgeRequest(
            f"{pair.id}/forward", pair.prompt, pair.chosen, pair.rejected, source_id=source_id, ask_again=ask_again
        ),
        JudgeRequest(
            f"{pair.id}/backward", pair.prompt, pair.rejected, pair.chosen, source_id=source_id, ask_again=ask_again
        ),
    )


# ------------------------------------------------------------------------------------------------------- the keeper


def make_gatekeeper(bench: Workbench) -> Gatekeeper:
    """Return what judges proposals of the training pairs by the gates that are on; one without its tool is silent.

    The out-of-fold models are those of triage: probes, whatever model is trained.
    """
    quality = bench.config.quality
    wants_margins = quality.label or quality.margin
    return Gatekeeper(
        config=quality,
        encoder=bench.encoder,
        languages=bench.languages if quality.language else None,
        out_of_fold=_out_of_fold(bench) if wants_margins else None,
        leaks=leak_index(bench.store.pairs.pairs("heldout"), bench.benchmark_texts()) if quality.leakage else None,
        asked_judge=bench.judge if quality.judge else None,
        fluency=bench.fluency if quality.fluency else None,
        progress=bench.progress,
    )


def _out_of_fold(bench: Workbench) -> OutOfFold | None:
    """Return the models, None where all pairs share one prompt and nothing can be trained without it."""
    sources = load_sources(bench.store, bench.config.triage, policy="keep")
    examples = training_set(sources)
    pairs = list(examples.pairs)
    folds = draw_folds(pairs, bench.config)
    try:
        models = bench.probe_trainer.fold_models(examples, folds, progress=bench.progress)
    except NotReadyError:
        return None
    return OutOfFold(
        models=models,
        fold_of_prompt={pair.prompt_id: folds[:, place] for place, pair in enumerate(pairs)},
        spread=float(models.own_margins.std()),
        confirmed=frozenset(source.pair.id for source in sources if source.decided and source.treatment.gets_budget),
    )


def leak_index(held_out: Sequence[Pair], benchmarks: Mapping[str, Sequence[str]]) -> LeakIndex | None:
    """Return the leakage gate's index of held-out pairs and benchmarks' texts; None where there are none."""
    owned = [(text, HELD_OUT) for pair in held_out for text in exchanges(pair)]
    owned += [(text, name) for name, texts in benchmarks.items() for text in dict.fromkeys(texts)]
    if not owned:
        return None
    return LeakIndex(ShingleIndex.of(text for text, _ in owned), tuple(owner for _, owner in owned))


def exchanges(pair: Pair) -> tuple[str, str]:
    """Return the last turn of the prompt with each answer, which the leakage gate looks for in evaluations."""
    question = last_turn(pair)
    return f"{question}\n{pair.chosen}", f"{question}\n{pair.rejected}"


def last_turn(pair: Pair) -> str:
    return pair.prompt[-1].content if pair.prompt else ""


def settings_of_gates(config: QualityConfig) -> str:
    """Return a digest of the gates' settings, by which a verdict tells whether they have changed since."""
    return content_id(config.model_dump())


def with_verdict(proposal: Proposal, verdict: Verdict, config: QualityConfig) -> Proposal:
    """Return a proposal with what the gates said of it, and under which settings."""
    note: dict[str, Any] = {"settings": settings_of_gates(config), "judged": list(verdict.judged)}
    if verdict.fluency is not None:
        note["fluency"] = list(verdict.fluency)
    return replace(proposal, flags=verdict.reasons, generators={**proposal.generators, GATES_NOTE: note})


def cards_of_writers(proposal: Proposal) -> dict[str, Mapping[str, Any]]:
    """Return the cards of the generators that wrote a proposal, by task; the quality gates' note is not among them."""
    return {
        task: card for task, card in proposal.generators.items() if task != GATES_NOTE and isinstance(card, Mapping)
    }


def judged_by(proposal: Proposal) -> str:
    """Return the digest of the settings under which a proposal was judged; empty where it is not known."""
    note = proposal.generators.get(GATES_NOTE)
    return str(note["settings"]) if isinstance(note, Mapping) else ""


def fluency_of(proposal: Proposal) -> tuple[float, float] | None:
    """Return how likely a language model found the source's text and the proposal's, where the gate measured it."""
    note = proposal.generators.get(GATES_NOTE)
    found = note.get("fluency") if isinstance(note, Mapping) else None
    return None if found is None else (float(found[0]), float(found[1]))


def gates_that_judged(proposal: Proposal) -> list[Gate]:
    """Return the gates that judged a proposal; none where it is not known."""
    note = proposal.generators.get(GATES_NOTE)
    judged = note["judged"] if isinstance(note, Mapping) else ()
    return [gate for gate in GATES if gate.name in judged]


def count_faults(proposals: Sequence[Proposal]) -> dict[str, int]:
    """Return how many proposals fail each gate, by its name for failing, the most frequent first."""
    faults = Counter(fault for each in proposals for fault in {flag.partition(":")[0] for flag in each.flags})
    return dict(faults.most_common())


# ------------------------------------------------------------------------------------------------------- judging anew


@dataclass(frozen=True, slots=True)
class RegateReport:
    """What judging the stored proposals anew changed."""

    proposals: int
    passed_before: int
    passed_now: int
    newly_failed: int
    newly_passed: int
    decided: int
    """Of those whose verdict is another now, the ones that people or a policy had decided about; that stands."""
    faults: dict[str, int]
    """How many proposals fail each gate now."""
    unjudged: dict[str, int] = field(default_factory=dict)
    """How many a judge could not judge, by reason."""


def regate(bench: Workbench) -> RegateReport:
    """Judge all stored proposals by the gates as they are configured now; nothing is generated, no decision changes.

    Done twice, it changes nothing the second time. Of near copies, one that had passed keeps its place.

    Raises:
        NotReadyError: there are no proposals.
    """
    store = bench.store
    before = store.proposals.proposals()
    if not before:
        raise NotReadyError("there are no proposals to judge", remedy="run 'mars propose' first")
    keeper = make_gatekeeper(bench)
    pairs = store.pairs.by_id({proposal.source_id for proposal in before})
    after: dict[str, Proposal] = {}
    with bench.progress.task("judge proposals", len(before)) as task:
        for group in _by_sources(before):
            judged = _judge_stored(keeper, group, pairs)
            store.proposals.replace_verdicts(judged)
            after.update((proposal.id, proposal) for proposal in judged)
            task.advance(len(group))
    unjudged = Counter(failure.reason for failure in keeper.take_judge_failures())
    return replace(_regate_report(store, before, after), unjudged=dict(unjudged.most_common()))


def _by_sources(proposals: Sequence[Proposal]) -> Iterator[list[Proposal]]:
    """Yield the proposals of some sources at a time, all of a source together."""
    by_source: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        by_source.setdefault(proposal.source_id, []).append(proposal)
    groups = list(by_source.values())
    for start in range(0, len(groups), SOURCES_AT_ONCE):
        yield [proposal for group in groups[start : start + SOURCES_AT_ONCE] for proposal in group]


def _judge_stored(keeper: Gatekeeper, proposals: Sequence[Proposal], pairs: Mapping[str, Pair]) -> list[Proposal]:
    refined = {(each.oriented_id, each.settings_id): each.as_pair() for each in proposals if each.method == "refined"}
    in_turn = sorted(proposals, key=lambda each: (bool(each.flags), each.variant))
    candidates = [stored_candidate(each, pairs[each.source_id], refined) for each in in_turn]
    verdicts = keeper.judge(candidates)
    return [with_verdict(proposal, verdict, keeper.config) for proposal, verdict in zip(in_turn, verdicts, strict=True)]


def stored_candidate(
    proposal: Proposal, source: Pair, refined: Mapping[tuple[str, str], Pair] | None = None
) -> Candidate:
    """Return a stored proposal as what is to be judged.

    Args:
        proposal: the proposal.
        source: its source pair as it was imported.
        refined: refined pairs by oriented id and settings; a paraphrase of one of them was written from it.
    """
    original = source if proposal.oriented_id == source.id else source.exchanged
    base = original
    if proposal.method != "paraphrase":
        base = (refined or {}).get((proposal.oriented_id, proposal.settings_id), original)
    return Candidate(
        source_id=proposal.source_id,
        original=original,
        base=base,
        new=proposal.as_pair(),
        variant=proposal.variant,
        distance_before=proposal.distance_before,
        distance_after=proposal.distance_after,
    )


def _regate_report(store: Store, before: Sequence[Proposal], after: Mapping[str, Proposal]) -> RegateReport:
    states = proposal_states(before, store.reviews.events("proposal"))
    changed = [each for each in before if bool(each.flags) != bool(after[each.id].flags)]
    return RegateReport(
        proposals=len(before),
        passed_before=sum(not each.flags for each in before),
        passed_now=sum(not each.flags for each in after.values()),
        newly_failed=sum(not each.flags for each in changed),
        newly_passed=sum(bool(each.flags) for each in changed),
        decided=sum(states[each.id].status != "pending" for each in changed),
        faults=count_faults(list(after.values())),
    )
