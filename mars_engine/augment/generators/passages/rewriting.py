"""Rewriting whole texts with a model that writes passages: lay out, write, sort out, put together again."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mars_engine.augment.generators.passages.fitness import choose_different, find_fault
from mars_engine.augment.generators.passages.layout import Layout, lay_out, with_ending, with_line_breaks
from mars_engine.augment.generators.passages.writing import NO_ORIGIN, Asked, Origin, PassageWriter, Search, Written
from mars_engine.augment.generators.protocols import Generation
from mars_engine.augment.quality.text_facts import normalized
from mars_engine.core.progress import Progress
from mars_engine.core.records import JsonValue

LEAST_REWRITTEN = 0.5
"""Share of the letters of all passages in passages for which something fit was written."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text of which up to `count` rewritings are wanted."""

    key: str
    text: str
    count: int
    seed: int
    fill: Callable[[str], str]
    """Returns all that the model is to read for a passage of the text."""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all texts that are rewritten."""

    most_tokens: int
    """That the model reads at once."""
    list_items: bool
    min_length_percent: int
    instructions: tuple[str, ...]
    """What the model reads before a passage, and any of which it may repeat instead of following it."""
    search: Callable[[int], Search]
    """Returns how to decode where so many rewritings are wanted."""
    work: str
    """What the work is called where its progress shows."""


@dataclass(frozen=True, slots=True)
class Options:
    """What may stand for a passage, and why the other candidates may not."""

    passage: str
    texts: tuple[str, ...]
    faults: Counter[str]


@dataclass
class FillingReader:
    """Tells what fits the model when it is filled into what the model is to read; asks about each passage once."""

    writer: PassageWriter
    fill: Callable[[str], str]
    most_tokens: int
    _fits: dict[str, bool] = field(default_factory=dict)

    def fits(self, passage: str) -> bool:
        if passage not in self._fits:
            self._fits[passage] = self.writer.count_tokens(self.fill(passage)) <= self.most_tokens
        return self._fits[passage]

    def knows(self, text: str) -> bool:
        return self.writer.knows(text)


def rewrite(wanted: Sequence[Wanted], writer: PassageWriter, rules: Rules, *, progress: Progress) -> list[Generation]:
    """Answer each wish, in order.

    The k-th rewriting of a text is put together from the k-th of its passages' candidates. A passage for which nothing
    fit was written stays as it is, as long as most of the text is rewritten; what was kept, and what was refused and
    why, is told in the answer's provenance. A passage that is wanted several times is written once. Where asking once
    more may help, the answer says so as its failure, whatever was written.
    """
    layouts = [layout_of(each, writer, rules) for each in wanted]
    written = _write(wanted, layouts, writer, rules, progress)
    return [_answer(each, layout, written, rules) for each, layout in zip(wanted, layouts, strict=True)]


def layout_of(wanted: Wanted, writer: PassageWriter, rules: Rules) -> Layout | None:
    """Return the layout of a text, None where what stands around its passages leaves no room for any."""
    reader = FillingReader(writer, wanted.fill, rules.most_tokens)
    return lay_out(wanted.text, reader, list_items=rules.list_items) if reader.fits("") else None


Answers = dict[tuple[int, Asked], tuple[Written, ...]]
"""Candidates by how many rewritings are wanted and what was asked."""


def _write(
    wanted: Sequence[Wanted],
    layouts: Sequence[Layout | None],
    writer: PassageWriter,
    rules: Rules,
    progress: Progress,
) -> Answers:
    asked: dict[int, dict[Asked, None]] = defaultdict(dict)
    for each, layout in zip(wanted, layouts, strict=True):
        for passage in layout.passages if layout else ():
            asked[each.count].setdefault(Asked(each.fill(passage), each.seed, each.origin))
    answers: Answers = {}
    for count, some in asked.items():
        found = writer.write(list(some), rules.search(count), name=rules.work, progress=progress)
        answers |= {(count, one): candidates for one, candidates in zip(some, found, strict=True)}
    return answers


def _answer(wanted: Wanted, layout: Layout | None, answers: Answers, rules: Rules) -> Generation:
    if layout is None:
        return Generation(
            wanted.key, (), failure=f"what surrounds the passage leaves it no room in {rules.most_tokens:,} tokens"
        )
    written = [answers[wanted.count, Asked(wanted.fill(passage), wanted.seed)] for passage in layout.passages]
    options = [
        _options(passage, candidates, wanted.count, rules)
        for passage, candidates in zip(layout.passages, written, strict=True)
    ]
    faults = sum((each.faults for each in options), Counter[str]())
    provenance: dict[str, JsonValue] = {
        "passages": len(options),
        "passages left as they were": sum(not each.texts for each in options),
        "sentences cut between words": layout.cut_sentences,
        "kept": dict(layout.kept),
        "refused": dict(faults.most_common()),
    }
    every = [candidate for candidates in written for candidate in candidates]
    if kept := [candidate.answer_id for candidate in every if candidate.answer_id]:
        provenance["answers"] = kept
    passing = next((candidate.failure for candidate in every if candidate.retryable), "")
    failure = _why_none(wanted, layout, options, faults)
    texts = () if failure else _put_together(wanted, layout, options)
    if not failure and len(texts) < wanted.count:
        failure = f"only {len(texts)} of {wanted.count} different rewritings were fit to use"
    return Generation(wanted.key, texts, failure=passing or failure, retryable=bool(passing), provenance=provenance)


def _options(passage: str, candidates: Sequence[Written], count: int, rules: Rules) -> Options:
    fit: dict[str, None] = {}
    faults: Counter[str] = Counter()
    for candidate in candidates:
        fault = find_fault(
            candidate, passage, instructions=rules.instructions, min_length_percent=rules.min_length_percent
        )
        text = with_line_breaks(with_ending(candidate.text, passage), passage)
        if fault is not None or text is None:
            faults[fault or "too short for the line breaks"] += 1
        else:
            fit[text] = None
    ranked = rules.search(count).ranks
    texts = choose_different(list(fit), passage, count) if ranked else tuple(fit)[:count]
    return Options(passage, texts, faults)


def _why_none(wanted: Wanted, layout: Layout, options: Sequence[Options], faults: Counter[str]) -> str:
    """Return why a text has no rewriting, or nothing."""
    if not wanted.text.strip():
        return "the text is empty"
    if not options:
        kept = " and ".join(sorted(layout.kept))
        hint = "; list_items = true rewrites list items" if "list items" in layout.kept else ""
        return f"nothing to rewrite: the text is {kept} alone, which is kept as it is{hint}"
    letters = sum(len(each.passage) for each in options)
    rewritten = sum(len(each.passage) for each in options if each.texts)
    if rewritten >= LEAST_REWRITTEN * letters and rewritten:
        return ""
    why = faults.most_common(1)[0][0]
    return f"nothing fit was written for {'the' if not rewritten else 'most of the'} text; most candidates were {why}"


def _put_together(wanted: Wanted, layout: Layout, options: Sequence[Options]) -> tuple[str, ...]:
    """Return the rewritings that differ from the text and from each other.

    A passage with fewer options than others gives its own again, from the first on.
    """
    texts: dict[str, str] = {}
    for number in range(max(len(each.texts) for each in options)):
        passages = [each.texts[number % len(each.texts)] if each.texts else each.passage for each in options]
        text = layout.with_passages(passages)
        if normalized(text) != normalized(wanted.text):
            texts.setdefault(normalized(text), text)
    return tuple(texts.values())
