"""Rewrites in the plain form: a line names a pair, and has rewrites of its texts and who wrote them.

A line has a rewrite by `side`, or columns for the sides. Its pair is named by id, by its texts, or by the row of the
data that it came in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mars_engine.augment.generators.given import (
    GivenParaphraser,
    GivenRefiner,
    Wanted,
    kept_rewrite,
    to_paraphrase,
    to_refine,
    why_unusable,
)
from mars_engine.augment.quality.gatekeeper import last_turn
from mars_engine.augment.workbench import Workbench
from mars_engine.core.chat_records import KeptAnswer
from mars_engine.core.records import Pair, Side
from mars_engine.data.loaders.formats import formats_under
from mars_engine.data.loaders.options import ReadingOptions
from mars_engine.store import Store
from mars_engine.store.database import storable
from mars_engine.workspace.answer_files import AnswerLine, Tally

IDS = ("id", "pair_id")
ROW = "i"
"""The pair's row in the file that it was imported from, counted from 0."""
TEXTS = ("prompt", "chosen", "rejected")
COLUMNS = {
    "prompt_p": ("prompt", "paraphrase"),
    "chosen_p": ("chosen", "paraphrase"),
    "rejected_p": ("rejected", "paraphrase"),
    "chosen_refined": ("chosen", "refined"),
    "rejected_refined": ("rejected", "refined"),
}
"""Side and kind of the rewrites that a column has."""
KINDS = ("paraphrase", "refined")
FORMS = "a pair (id, or prompt, chosen and rejected, or i), then side, rewrite and writer, or the columns " + ", ".join(
    COLUMNS
)


@dataclass(frozen=True, slots=True)
class GivenRewrite:
    """A rewrite that was kept, the line that it stood in, and what it is a rewrite of."""

    line: AnswerLine
    wanted: Wanted
    place: int
    """Which of the writer's rewrites of the same it is, from 0."""
    is_new: bool


@dataclass
class GivenRewrites:
    """What was taken in, by writer."""

    sources: dict[str, set[str]] = field(default_factory=dict)
    """The source pairs that each writer has rewritten, those included that were taken in before."""
    rewrites: list[GivenRewrite] = field(default_factory=list)


class BadLine(Exception):  # noqa: N818 (a value for the caller, which tells of the line)
    """A line that says too little, or nothing that can be used."""


@dataclass(frozen=True, slots=True)
class _Said:
    """A rewrite as its line says it."""

    side: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Told:
    """A rewrite, the line that it stands in, and what it is a rewrite of."""

    line: AnswerLine
    side: str
    text: str
    wanted: Wanted


def keep_given(bench: Workbench, lines: Sequence[AnswerLine], tally: Tally, *, writer: str = "") -> GivenRewrites:
    """Keep the rewrites of lines in the plain form in one transaction; what is not kept is told.

    Args:
        bench: the workspace.
        lines: the lines.
        tally: counts them.
        writer: who wrote the rewrites of lines that do not say it.
    """
    found = GivenRewrites()
    told = _rewrites_in(bench.store, lines, tally, found, writer)
    kept = bench.store.chat.askings([each.wanted.request.id for each in told])
    texts_of = {request_id: [each.answer for each in askings] for request_id, askings in kept.items()}
    seen: dict[tuple[str, str], int] = {}
    fresh: list[KeptAnswer] = []
    for each in told:
        request_id, text = each.wanted.request.id, each.text
        texts = texts_of.setdefault(request_id, [])
        if (request_id, text) in seen:
            tally.leave_out(each.line, "twice", f"line {seen[request_id, text]:,} has the same rewrite")
            continue
        seen[request_id, text] = each.line.number
        if fault := why_unusable(each.wanted, text):
            tally.leave_out(each.line, "unusable", f"{each.side}: {fault}")
        elif text in texts:
            found.rewrites.append(GivenRewrite(each.line, each.wanted, texts.index(text), is_new=False))
        else:
            found.rewrites.append(GivenRewrite(each.line, each.wanted, len(texts), is_new=True))
            fresh.append(kept_rewrite(each.wanted, text, len(texts), bench.clock()))
            texts.append(text)
    bench.store.chat.keep(fresh)
    return found


def _rewrites_in(
    store: Store, lines: Sequence[AnswerLine], tally: Tally, found: GivenRewrites, writer: str
) -> list[_Told]:
    """Return all rewrites in some lines, and note whose they are; a line that has none is told."""
    told: list[_Told] = []
    pairs = _Pairs(store, lines)
    for line in lines:
        try:
            source_id, pair = pairs.of(line)
            author = _writer_of(line, writer)
            said = list(_said(line.value))
        except BadLine as fault:
            tally.leave_out(line, "unreadable", str(fault))
        except LookupError as fault:
            tally.leave_out(line, "unknown", str(fault.args[0]))
        else:
            told += [_Told(line, each.side, each.text.strip(), _wanted(author, source_id, pair, each)) for each in said]
            found.sources.setdefault(author, set()).add(source_id)
    return told


def tell_given_use(
    found: GivenRewrites, paraphraser: GivenParaphraser, refiner: GivenRefiner, writer: str, tally: Tally
) -> None:
    """Count what was kept of a writer's: what the plan asked for, what was there before, and what is left over."""
    counts = paraphraser.offered | refiner.offered
    for each in found.rewrites:
        request = each.wanted.request
        if request.model != writer:
            continue
        if not each.is_new:
            tally.leave_out(each.line, "taken before", f"{writer}'s rewrite was taken in before")
        elif request.id not in counts:
            reason = (
                f"kept, but the newest plan asks for no {request.purpose} of this text: the pair has no budget, needs "
                "no refining, or is to be paraphrased as it was refined"
            )
            tally.leave_out(each.line, "not asked for", reason)
        elif each.place >= counts[request.id]:
            reason = f"kept, but only {counts[request.id]:,} rewrites of a text are asked for (propose.variants, "
            tally.leave_out(each.line, "not asked for", reason + "propose.refine_tries)")
        else:
            tally.taken += 1


def _writer_of(line: AnswerLine, default: str) -> str:
    said = line.value.get("writer", default)
    if not isinstance(said, str) or not said.strip():
        raise BadLine("it names no writer; expected a field 'writer', or --writer NAME for all lines")
    return storable(said.strip())


def _said(value: Mapping[str, Any]) -> Iterator[_Said]:
    """Yield the rewrites of a line.

    Raises:
        BadLine: it has none, or something else in their place.
    """
    columns = [name for name in COLUMNS if value.get(name) is not None]
    if "rewrite" in value:
        side, kind = value.get("side"), value.get("kind", "paraphrase")
        if side not in TEXTS:
            raise BadLine(f"its 'side' is {side!r}; expected one of {', '.join(TEXTS)}")
        if kind not in KINDS or (kind, side) == ("refined", "prompt"):
            raise BadLine(f"its 'kind' is {kind!r}; expected paraphrase, or refined for chosen or rejected")
        for text in _texts(value["rewrite"], "rewrite"):
            yield _Said(side, kind, text)
    elif not columns:
        raise BadLine(f"it has no rewrite; expected {FORMS}")
    for name in columns:
        side, kind = COLUMNS[name]
        for text in _texts(value[name], name):
            yield _Said(side, kind, text)


def _texts(value: Any, name: str) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadLine(f"its {name!r} is no text and no list of texts")
    return texts


def _wanted(writer: str, source_id: str, pair: Pair, said: _Said) -> Wanted:
    if said.kind == "refined":
        side: Side = "chosen" if said.side == "chosen" else "rejected"
        return to_refine(writer, side, pair.prompt, pair.chosen, pair.rejected, source_id)
    texts = {"prompt": last_turn(pair), "chosen": pair.chosen, "rejected": pair.rejected}
    return to_paraphrase(writer, texts[said.side], source_id)


class _Pairs:
    """Finds the pairs that lines name: source pairs, and refined ones by their texts.

    Args:
        store: has them.
        lines: that will be asked about.
    """

    def __init__(self, store: Store, lines: Sequence[AnswerLine]) -> None:
        self._store = store
        self._rows: dict[int, str] | None = None
        ids = {_id_in(line.value) for line in lines}
        by_texts = (_pair_of_texts(line) for line in lines if _has_texts(line.value))
        ids |= {pair.id for pair in by_texts if pair is not None}
        self._pairs = store.pairs.by_id(ids)
        self._refined: dict[str, tuple[str, Pair]] = {}
        if any(_has_texts(line.value) for line in lines):
            refined = [each for each in store.proposals.proposals() if each.method == "refined"]
            self._refined = {(pair := each.as_pair()).id: (each.source_id, pair) for each in refined}

    def of(self, line: AnswerLine) -> tuple[str, Pair]:
        """Return the source pair's id, and the pair whose texts were rewritten.

        Raises:
            BadLine: the line names no pair.
            LookupError: it names one that is not here.
        """
        value = line.value
        if pair_id := _id_in(value):
            return self._known(pair_id, f"no pair has the id {pair_id[:80]!r}")
        if _has_texts(value):
            pair = _pair_of_texts(line)
            if pair is None:
                raise BadLine(
                    "its prompt, chosen and rejected are no pair: expected texts, or turns with role and content"
                )
            return self._refined.get(pair.id) or self._known(pair.id, "no pair has these texts")
        if isinstance(value.get(ROW), int):
            return self._known(self._row(value[ROW]), f"the data have no pair in row {value[ROW]:,}, counted from 0")
        raise BadLine(f"it names no pair; expected {FORMS}")

    def _known(self, pair_id: str, otherwise: str) -> tuple[str, Pair]:
        if pair_id not in self._pairs:
            self._pairs |= self._store.pairs.by_id([pair_id])
        if pair_id not in self._pairs:
            raise LookupError(otherwise)
        return pair_id, self._pairs[pair_id]

    def _row(self, number: int) -> str:
        if self._rows is None:
            datasets = [each for each in self._store.pairs.datasets() if each.split == "train"]
            if len(datasets) != 1:
                raise BadLine(
                    f"it names its pair by the row 'i', and there are {len(datasets):,} imports of training pairs; "
                    "expected one import, or the pair's id"
                )
            self._rows = self._store.pairs.ids_by_row(datasets[0].id)
        return self._rows.get(number + 1, "")


def _id_in(value: Mapping[str, Any]) -> str:
    """Return the pair's id that a line names; empty where it names none."""
    return next((storable(str(value[name])) for name in IDS if value.get(name) is not None), "")


def _has_texts(value: Mapping[str, Any]) -> bool:
    return all(name in value for name in TEXTS)


def _pair_of_texts(line: AnswerLine) -> Pair | None:
    """Return the pair that a line's texts are, read as an import reads them."""
    row = {name: line.value[name] for name in TEXTS}
    layouts = [each for each in formats_under(ReadingOptions()) if each.name == "trl" and each.recognises(row)]
    pairs = layouts[0].parsed(line.number, row).pairs if layouts else ()
    return pairs[0] if pairs else None
