"""Findings: what the imported pairs say against themselves, looked for once and kept until they change."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mars_engine.core.clock import Clock
from mars_engine.core.progress import Progress
from mars_engine.core.records import BoolArray, EvaluationKind, EvaluationRecord, Pair, PairSet, Split, content_id
from mars_engine.data.set_faults import BANDS, PairKeys, band_keys, candidates_across, shared_part, text_key
from mars_engine.stats.metrics import pairwise_accuracy
from mars_engine.store import Store

KIND: EvaluationKind = "findings"
MOST_AT_IMPORT = 150_000
"""With more pairs than these, an import does not look for findings by itself: it would take minutes."""
EXAMPLES = 3
EXCERPT = 160
MOST_CHARACTERS = 20_000
"""A text that is longer, about 5,000 tokens, no usual reward model reads to its end."""
NEAR = 0.8
"""Share of shingles that near copies have in common."""
TELLING = 0.6
"""A share of pairs that length alone ranks right from which on it is a shortcut, also to one side below 1 − this."""
SET_NAMES = {
    "contradictions": "say the reverse of another pair",
    "across": "contradict a pair of the other split",
    "repeated": "held out and trained on alike",
    "near": "held out, nearly as a training pair",
    "ties": "sides differ in case or blanks alone",
    "empty": "empty texts",
    "long": "very long texts",
    "length": "length alone tells the label",
}
"""Kinds of findings whose pairs are kept as a set, by the set's name."""
FINDER = "set check"
"""Who made these sets."""


@dataclass(frozen=True, slots=True)
class Example:
    """A pair of a finding: its id, and the beginning of its prompt and of both answers."""

    pair_id: str
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that pairs say against themselves: how many do, some of them, and the set that has them all."""

    kind: str
    count: int
    words: str
    examples: tuple[Example, ...] = ()
    set_id: str = ""
    """The set of pairs to open in Explore and Check; empty where nothing was found, or no pairs belong to it."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings about the pairs as they were at a revision."""

    pairs: int
    revision: int
    all: tuple[Finding, ...]

    def count(self, kind: str) -> int:
        return next((each.count for each in self.all if each.kind == kind), 0)


def set_of_finding(kind: str) -> str:
    """Return the id of the set that has a finding's pairs."""
    return content_id("finding", kind)


def newest_findings(store: Store) -> Findings | None:
    """Return what was found last; None where nobody has looked. It may be of earlier pairs: see `is_current`."""
    records = store.evaluations.all(KIND)
    return read_findings(records[0].results) if records else None


def is_current(store: Store, findings: Findings) -> bool:
    """Whether the pairs are those that were looked through."""
    return store.browse.revisions().get("pairs", 0) == findings.revision


def read_findings(plain: Mapping[str, object]) -> Findings:
    """Return findings as they were stored."""
    whole: dict[str, object] = dict(plain)
    rows: Sequence[Mapping[str, object]] = whole.pop("all")  # type: ignore[assignment]
    read = [{**row, "examples": tuple(Example(**each) for each in row["examples"])} for row in rows]  # type: ignore[attr-defined]
    return Findings(**whole, all=tuple(Finding(**row) for row in read))  # type: ignore[arg-type]


def look_for_findings(store: Store, *, clock: Clock, progress: Progress) -> Findings:
    """Look through all pairs for what they say against themselves, and keep it, with a set of the pairs of each kind.

    It takes one reading of all pairs, a few hundred bytes of memory for each, and a comparison of held-out pairs with
    the few training pairs that share parts of them.
    """
    revision = store.browse.revisions().get("pairs", 0)
    found = _Reading(store, progress)
    masks = found.masks()
    rows = [_finding(store, found, kind, mask, words) for kind, (mask, words) in masks.items()]
    rows += _findings_of_imports(store)
    findings = Findings(len(found.ids), revision, tuple(rows))
    for kind, (mask, _) in masks.items():
        _keep_set(store, kind, found.ids_of(mask), clock)
    record_id = content_id(KIND)  # the newest takes the place of the one before
    store.evaluations.add(EvaluationRecord(record_id, KIND, "", "", {}, asdict(findings), "", clock()))
    return findings


class _Reading:
    """Goes through all pairs once and keeps what is compared of them."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self.store, self.progress = store, progress
        self.ids: list[str] = []
        keys: list[tuple[int, int, int, int]] = []
        lengths: list[tuple[int, int, int, int]] = []
        splits: list[bool] = []
        bands: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []
        counts: dict[Split, int] = {split: store.pairs.count(split) for split in ("train", "heldout")}
        with progress.task("look for what the pairs say against themselves", sum(counts.values())) as task:
            for split in counts:
                for pair in store.pairs.stream(split):
                    self.ids.append(pair.id)
                    keys.append(_keys(pair))
                    lengths.append(_lengths(pair))
                    splits.append(split == "heldout")
                    if all(counts.values()):
                        bands.append(band_keys(_whole_text(pair)))
                    task.advance()
        columns = np.array(keys, dtype=np.uint64).reshape(-1, 4)
        forward, backward, chosen, rejected = columns.T
        self.keys = PairKeys(forward, backward, chosen, rejected, np.array(splits, dtype=bool))
        self.lengths = np.array(lengths, dtype=np.int64).reshape(-1, 4)
        self.bands = np.array(bands, dtype=np.uint64).reshape(-1, BANDS)

    def ids_of(self, mask: BoolArray) -> list[str]:
        return [self.ids[place] for place in np.flatnonzero(mask).tolist()]

    def masks(self) -> dict[str, tuple[BoolArray, str]]:
        """Return which pairs each kind of finding is about, and the finding in words."""
        keys, chosen, rejected = self.keys, self.lengths[:, 0], self.lengths[:, 1]
        contradicting, across = keys.contradicts(), keys.contradicts_across()
        repeated = keys.is_repeated_across()
        near = self._near_across(repeated)
        accuracy = pairwise_accuracy((chosen - rejected).astype(np.float64))
        by_length, length_words = _length_finding(accuracy, chosen - rejected)
        return {
            "contradictions": (contradicting, "a pair says the reverse of another: A over B, and B over A"),
            "across": (
                across,
                "one of these contradicts a pair of the other split, so that an evaluation contradicts the training",
            ),
            "repeated": (repeated, "a held-out pair stands among the training pairs too, but for case and blanks"),
            "near": (near, f"a held-out pair shares {NEAR:.0%} or more of its text with a training pair"),
            "ties": (keys.is_tie(), "a pair has two sides that differ in nothing but case and blanks"),
            "empty": (self.lengths[:, 2] == 0, "a pair has an empty prompt, or an answer without a letter or digit"),
            "long": (
                self.lengths[:, 3] > MOST_CHARACTERS,
                f"a pair has a text of more than {MOST_CHARACTERS:,} characters",
            ),
            "length": (by_length, length_words),
        }

    def _near_across(self, repeated: BoolArray) -> BoolArray:
        """Compare the texts of those that share a band."""
        near = np.zeros(len(self.ids), dtype=bool)
        if not len(self.bands):
            return near
        with self.progress.task("compare held-out pairs with training pairs", int(self.keys.heldout.sum())) as task:
            for place, others in candidates_across(self.bands, self.keys.heldout & ~repeated):
                wanted = [self.ids[each] for each in (place, *others.tolist())]
                own, *candidates = (_whole_text(pair) for pair in self.store.pairs.by_id(wanted).values())
                near[place] = any(shared_part(own, each) >= NEAR for each in candidates)
                task.advance()
        return near


def _keys(pair: Pair) -> tuple[int, int, int, int]:
    prompt = [part for turn in pair.prompt for part in (turn.role, turn.content)]
    chosen, rejected = text_key(pair.chosen), text_key(pair.rejected)
    forward, backward = (*prompt, pair.chosen, pair.rejected), (*prompt, pair.rejected, pair.chosen)
    return text_key(*forward), text_key(*backward), chosen, rejected


def _lengths(pair: Pair) -> tuple[int, int, int, int]:
    """Return the answers' lengths, the least of all texts' letters and digits as 0 or 1, and the longest text's."""
    prompt = "".join(turn.content for turn in pair.prompt)
    has_all = all(any(map(str.isalnum, text)) for text in (prompt, pair.chosen, pair.rejected))
    longest = max(len(prompt), len(pair.chosen), len(pair.rejected))
    return len(pair.chosen), len(pair.rejected), int(has_all), longest


def _length_finding(accuracy: float, differences: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[BoolArray, str]:
    """Which pairs length alone ranks right, where it does so for so many that it is a shortcut; else none."""
    longer = not accuracy < 1 - TELLING
    side = "longer" if longer else "shorter"
    right: BoolArray = differences > 0 if longer else differences < 0
    share = accuracy if longer else 1 - accuracy
    if np.isnan(share) or share < TELLING:
        words = f"length tells little: “the {side} is better” is right on {share:.1%}"
        return np.zeros(len(differences), dtype=bool), words
    return right, f"a pair has the {side} answer as the better one, {share:.1%} of all: length alone tells the label"


def _whole_text(pair: Pair) -> str:
    return "\n".join((*(turn.content for turn in pair.prompt), pair.chosen, pair.rejected))


def _finding(store: Store, found: _Reading, kind: str, mask: BoolArray, words: str) -> Finding:
    ids = found.ids_of(mask)
    examples = store.pairs.by_id(ids[:EXAMPLES]).values()
    return Finding(
        kind=kind,
        count=len(ids),
        words=words,
        examples=tuple(
            Example(pair.id, _begin(pair.prompt[-1].content if pair.prompt else ""), *map(_begin, sides))
            for pair in examples
            for sides in [(pair.chosen, pair.rejected)]
        ),
        set_id=set_of_finding(kind) if ids else "",
    )


def _begin(text: str) -> str:
    line = " ".join(text[: 4 * EXCERPT].split())
    return line if len(line) <= EXCERPT else f"{line[:EXCERPT]}…"


def _findings_of_imports(store: Store) -> list[Finding]:
    """What reading the rows found odd, such as scores that say the reverse of the label: kept with each dataset."""
    notes: Counter[str] = Counter()
    for dataset in store.pairs.datasets():
        notes.update(dataset.report.get("notes", {}))
    return [Finding("note", count, f"a row, when read: {note}") for note, count in notes.most_common()]


def _keep_set(store: Store, kind: str, ids: Sequence[str], clock: Clock) -> None:
    set_id = set_of_finding(kind)
    store.pair_sets.remove(set_id)
    if ids:
        store.pair_sets.add(PairSet(set_id, SET_NAMES[kind], FINDER, clock(), len(ids)), ids)
