"""The quality gates of a proposal: small checks, each with a reason that a person can read.

A gate looks at `Evidence` that was gathered before (embeddings, margins, languages), so that it is a pure function. Its
switch and threshold stand in `QualityConfig`, under its own name.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mars_engine.augment.quality.text_facts import (
    changed_names,
    changed_negations,
    changed_numbers,
    code_spans,
    normalized,
    personal_data,
    refusals,
)
from mars_engine.core.config import QualityConfig
from mars_engine.core.records import FloatArray

PROMPT = "prompt"
COPY, NEAR_DUPLICATE = "copy", "near duplicate"
MOST_NAMED = 3
"""Numbers or names that a reason lists."""


@dataclass(frozen=True, slots=True)
class TextChange:
    """What a proposal made of one text of its source."""

    name: str
    """"prompt", "chosen" or "rejected"."""
    source: str
    """The source pair's own text."""
    base: str
    """What was paraphrased: the source's text, or what refining made of it."""
    new: str
    fidelity: float
    """Similarity of the new text to `base`, see `similarity`."""
    source_similarity: float | None = None
    """Similarity of the new text to `source`, see `similarity`."""
    prompt_similarity: tuple[float, float] | None = None
    """Cosine similarity to the source's prompt, of the source's answer and of the new one; None of a prompt."""
    languages: tuple[str | None, str | None] = (None, None)
    """Of the source's text and of the new one; None is undecided."""
    fluency: tuple[float, float] | None = None
    """Mean log-likelihood of a token of the source's text and of the new one, in nats; None where nothing is known."""

    @property
    def is_paraphrased(self) -> bool:
        return normalized(self.new) != normalized(self.base)

    @property
    def is_source(self) -> bool:
        return normalized(self.new) == normalized(self.source)


@dataclass(frozen=True, slots=True)
class OutOfFoldMargins:
    """Margins under models that never saw the source, in reward units; `spread` is the deviation over all pairs."""

    source: float
    proposal: float
    spread: float
    label_confirmed: bool = False
    """Whether a person has said that the source's label is right."""


@dataclass(frozen=True, slots=True)
class Leak:
    """How much of a proposal's question and answer stands in one text of an evaluation."""

    share: float
    where: str
    """Which evaluation."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that the gates look at. What could not be found out is None, and its gate has nothing to say."""

    texts: tuple[TextChange, ...]
    distance_before: float
    distance_after: float
    variant: int = 0
    vectors: tuple[FloatArray, FloatArray] | None = None
    """Unit-length embeddings of the pieces of the chosen and of the rejected text, shape (pieces, d) each."""
    margins: OutOfFoldMargins | None = None
    leak: Leak | None = None
    judged_wrong: bool | None = None
    """Whether a judge prefers the rejected answer in both orders."""

    def text(self, name: str) -> TextChange | None:
        return next((text for text in self.texts if text.name == name), None)

    @property
    def answers(self) -> tuple[TextChange, ...]:
        return tuple(text for text in self.texts if text.name != PROMPT)

    @property
    def measured(self) -> tuple[TextChange, ...]:
        """The new texts of which a language model has said how likely they are."""
        return tuple(text for text in self.texts if text.fluency is not None and not text.is_source)

    @property
    def paraphrased(self) -> tuple[TextChange, ...]:
        """The texts that were paraphrased; an empty one is judged for that alone."""
        return tuple(text for text in self.texts if text.is_paraphrased and text.new.strip())


Findings = Iterator[str]


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate: `name` is its switch in `QualityConfig`, `fault` begins each reason, `kept` says that it passes."""

    name: str
    fault: str
    kept: str
    find: Callable[[Evidence, QualityConfig], Findings] = field(repr=False)
    needs: str = ""
    """What of the evidence it has nothing to say without: None, or no texts at all."""

    def is_on(self, evidence: Evidence, config: QualityConfig) -> bool:
        """Whether the gate judges this: it is switched on, and what it needs is there."""
        return getattr(config, self.name) and (not self.needs or getattr(evidence, self.needs) not in (None, ()))

    def reasons(self, evidence: Evidence, config: QualityConfig) -> tuple[str, ...]:
        """Return why a proposal fails; empty where it passes."""
        return tuple(f"{self.fault}: {finding}" for finding in self.find(evidence, config))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates said of a proposal: the reasons for which it fails, and the names of the gates that judged it."""

    reasons: tuple[str, ...]
    judged: tuple[str, ...]
    fluency: tuple[float, float] | None = None
    """Of the text that reads worst beside its source: the source's figure and its own, see `TextChange`."""


# ---------------------------------------------------------------------------------------------------------- the gates


def find_empty(evidence: Evidence, _config: QualityConfig) -> Findings:
    """A source may have no prompt, but both answers."""
    return (text.name for text in evidence.texts if not text.new.strip() and (text.name != PROMPT or text.base.strip()))


def find_copy(evidence: Evidence, _config: QualityConfig) -> Findings:
    """A pair is as new as its answers: a paraphrased prompt over the source's own answers composes nothing."""
    answers = evidence.answers
    if answers and all(text.is_source for text in answers):
        yield "both answers are the source's"
    if len({normalized(text.new) for text in answers}) < len(answers):
        yield "chosen and rejected are the same"


def find_near_source(evidence: Evidence, config: QualityConfig) -> Findings:
    """The source's own answers are part of its grid; how near other variants are is seen in `judge_variants`."""
    answers = evidence.answers
    similarities = [text.source_similarity for text in answers if text.source_similarity is not None]
    if not answers or len(similarities) < len(answers) or all(text.is_source for text in answers):
        return
    if min(similarities) >= config.max_variant_similarity:
        yield f"both answers resemble the source's, similarity {min(similarities):.3f}"


def find_off_prompt(evidence: Evidence, config: QualityConfig) -> Findings:
    for text in evidence.answers:
        if text.prompt_similarity is None or text.is_source or not text.new.strip():
            continue
        before, after = text.prompt_similarity
        if after < before - config.max_prompt_loss:
            yield f"{text.name}'s similarity to the prompt falls from {before:.2f} to {after:.2f}"


def find_drift(evidence: Evidence, config: QualityConfig) -> Findings:
    for text in evidence.paraphrased:
        if text.fidelity < config.min_fidelity:
            yield f"{text.name}, similarity {text.fidelity:.2f} to what it paraphrases"


def find_changed_numbers(evidence: Evidence, _config: QualityConfig) -> Findings:
    for text in evidence.paraphrased:
        lost, added = changed_numbers(text.base, text.new)
        yield from _lost_and_added(text.name, list(lost), list(added))


def find_changed_names(evidence: Evidence, _config: QualityConfig) -> Findings:
    for text in evidence.paraphrased:
        lost, added = changed_names(text.base, text.new)
        yield from _lost_and_added(text.name, sorted(lost), sorted(added))


def find_changed_negations(evidence: Evidence, _config: QualityConfig) -> Findings:
    for text in evidence.paraphrased:
        changed = changed_negations(text.base, text.new)
        if changed is not None:
            yield f"{text.name}, in a sentence {changed[0]} before and {changed[1]} after"


def find_changed_code(evidence: Evidence, _config: QualityConfig) -> Findings:
    return (text.name for text in evidence.paraphrased if code_spans(text.base) != code_spans(text.new))


def find_lost_contrast(evidence: Evidence, config: QualityConfig) -> Findings:
    before, after = evidence.distance_before, evidence.distance_after
    if after < before - config.max_contrast_loss:
        yield f"distance {before:.2f} to {after:.2f}"


def find_doubtful_label(evidence: Evidence, config: QualityConfig) -> Findings:
    margins = evidence.margins
    if margins is None or margins.label_confirmed:
        return
    least = config.min_label_margin * margins.spread
    if margins.proposal < least:
        yield f"models that never saw its source give it {margins.proposal:+.2f}, below {least:+.2f}"


def find_lost_margin(evidence: Evidence, config: QualityConfig) -> Findings:
    margins = evidence.margins
    if margins is not None and margins.proposal < margins.source - config.max_margin_loss * margins.spread:
        yield f"models that never saw its source give it {margins.proposal:+.2f}, its source {margins.source:+.2f}"


def find_judged_wrong(evidence: Evidence, _config: QualityConfig) -> Findings:
    if evidence.judged_wrong:
        yield "in either order"


def find_leak(evidence: Evidence, config: QualityConfig) -> Findings:
    if evidence.leak is not None and evidence.leak.share >= config.max_leakage:
        yield f"{evidence.leak.share:.0%} of a question with its answer stand in {evidence.leak.where}"


def find_changed_language(evidence: Evidence, _config: QualityConfig) -> Findings:
    for text in evidence.texts:
        before, after = text.languages
        if before is not None and after is not None and before != after:
            yield f"{text.name}, {before} to {after}"


def find_disfluency(evidence: Evidence, config: QualityConfig) -> Findings:
    for text in evidence.measured:
        before, after = text.fluency or (0.0, 0.0)
        if after < before - config.max_fluency_loss:
            yield f"{text.name}, a token's log-likelihood falls from {before:.2f} to {after:.2f}"


def find_refusals(evidence: Evidence, _config: QualityConfig) -> Findings:
    for text in evidence.texts:
        new = set(refusals(text.new)) - set(refusals(text.source))
        if new:
            yield f"{text.name}, {' and '.join(sorted(new))} that its source does not have"


def find_changed_personal_data(evidence: Evidence, _config: QualityConfig) -> Findings:
    """Refining may leave some out, and add none. The reason names the kind alone: no address is copied into it."""
    for text in evidence.texts:
        own, before, after = personal_data(text.source), personal_data(text.base), personal_data(text.new)
        lost = Counter(kind for kind, _ in (before - after).elements())
        added = Counter(kind for kind, _ in (after - own).elements())
        yield from (f"{text.name}, {kind} altered" for kind in sorted(lost & added))
        yield from (f"{text.name}, {kind} lost" for kind in sorted(lost - added))
        yield from (f"{text.name}, {kind} added" for kind in sorted(added - lost))


def _lost_and_added(name: str, lost: Sequence[str], added: Sequence[str]) -> Findings:
    said = [f"{', '.join(some[:MOST_NAMED])} {what}" for some, what in ((lost, "lost"), (added, "added")) if some]
    if said:
        yield f"{name}, {' and '.join(said)}"


GATES = (
    Gate("non_empty", "empty text", "no text is empty", find_empty),
    Gate("not_a_copy", COPY, "it is no copy", find_copy),
    Gate("near_duplicate", NEAR_DUPLICATE, "it says something new", find_near_source),
    Gate("on_prompt", "off the prompt", "answers stay about the prompt", find_off_prompt),
    Gate("fidelity", "drifted", "texts stay close to what they paraphrase", find_drift, needs="paraphrased"),
    Gate("numbers", "number changed", "paraphrasing kept the numbers", find_changed_numbers, needs="paraphrased"),
    Gate("names", "name changed", "paraphrasing kept the names", find_changed_names, needs="paraphrased"),
    Gate("negations", "negation changed", "paraphrasing kept negations", find_changed_negations, needs="paraphrased"),
    Gate("code", "code changed", "paraphrasing kept the code", find_changed_code, needs="paraphrased"),
    Gate("contrast", "contrast lost", "contrast is kept", find_lost_contrast),
    Gate("label", "label in doubt", "label is kept", find_doubtful_label, needs="margins"),
    Gate("margin", "margin lost", "margin is kept", find_lost_margin, needs="margins"),
    Gate(
        "judge", "judge prefers the rejected answer", "judge does not object", find_judged_wrong, needs="judged_wrong"
    ),
    Gate("leakage", "leaked from an evaluation", "nothing leaks from an evaluation", find_leak, needs="leak"),
    Gate("language", "language changed", "no change of language is seen", find_changed_language),
    Gate("fluency", "reads badly", "it reads as its source does", find_disfluency, needs="measured"),
    Gate("refusals", "refusal", "no new refusal", find_refusals),
    Gate("personal_data", "personal data changed", "personal data are as they were", find_changed_personal_data),
)
"""In the order in which their reasons are given."""

BETWEEN_VARIANTS = frozenset({"not_a_copy", "near_duplicate"})
"""Gates that look at the other variants too, if nothing else is wrong with a proposal."""


def judge_proposal(evidence: Evidence, config: QualityConfig) -> Verdict:
    """Return what the gates say of a proposal by itself, its fellow variants aside."""
    gates = [gate for gate in GATES if gate.is_on(evidence, config)]
    reasons = [reason for gate in gates for reason in gate.reasons(evidence, config)]
    figures = [text.fluency for text in evidence.measured if text.fluency is not None]
    fluency = min(figures, key=lambda pair: pair[1] - pair[0], default=None)
    return Verdict(tuple(reasons), tuple(gate.name for gate in gates), fluency)


def judge_variants(variants: Sequence[Evidence], config: QualityConfig, kept: Sequence[Evidence] = ()) -> list[Verdict]:
    """Return what the gates say of the variants of one source, in their order.

    A copy or near duplicate is one of an earlier variant that passes every gate, so that the first good one is kept.

    Args:
        variants: the source's variants.
        config: switches and thresholds.
        kept: variants that passed every gate before.
    """
    passed, verdicts = list(kept), []
    for evidence in variants:
        verdict = judge_proposal(evidence, config)
        if verdict.reasons:
            judged = tuple(name for name in verdict.judged if name not in BETWEEN_VARIANTS)
            verdicts.append(replace(verdict, judged=judged))
            continue
        reasons = tuple(_repeats(evidence, passed, config))
        if not reasons:
            passed.append(evidence)
        verdicts.append(replace(verdict, reasons=reasons))
    return verdicts


def _repeats(evidence: Evidence, earlier: Sequence[Evidence], config: QualityConfig) -> Findings:
    own = [normalized(text.new) for text in evidence.answers]
    for other in earlier:
        if config.not_a_copy and own == [normalized(text.new) for text in other.answers]:
            yield f"{COPY}: both answers are those of variant {other.variant}"
            return
    if not config.near_duplicate or evidence.vectors is None:
        return
    for other in earlier:
        nearness = _similarity(evidence, other)
        if nearness >= config.max_variant_similarity:
            yield f"{NEAR_DUPLICATE}: both answers resemble variant {other.variant}, similarity {nearness:.3f}"
            return


def _similarity(one: Evidence, other: Evidence) -> float:
    """The similarity of the answers in which two variants differ most."""
    if one.vectors is None or other.vectors is None:
        return -1.0
    return min(similarity(a, b) for a, b in zip(one.vectors, other.vectors, strict=True))


def similarity(one: FloatArray, other: FloatArray) -> float:
    """Return how alike two texts are that an encoder read in pieces: by the piece of either that the other lacks most.

    Of texts in one piece each it is the cosine. A piece counts by the piece of the other text that it is nearest to.

    Args:
        one: unit-length embeddings of a text's pieces, shape (pieces, d), or (d,) of one.
        other: those of the other text.
    """
    cosines = np.atleast_2d(one) @ np.atleast_2d(other).T
    return float(min(cosines.max(axis=0).min(), cosines.max(axis=1).min()))
