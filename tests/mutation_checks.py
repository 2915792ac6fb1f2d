"""What must hold of every mutated file that is read: no other error than a refusal, and no text lost from a pair."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mutated_files import CATEGORIES, Cell, MutatedFile, Row

from mars_engine.core.errors import LoadError
from mars_engine.core.records import Pair
from mars_engine.data.loaders import open_source

USUAL = ("user_prompt", "history", "context", "conversation", "text", "chosen_response", "rejected_response")
"""Names of a prompt or a side beside those of CATEGORIES, which no reading may pass over."""


@dataclass
class Tally:
    """Files refused, and rows kept and dropped, by what was done to the file."""

    files: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lost: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __str__(self) -> str:
        lines = [f"{'done to the file':<22}{'files':>7}{'refused':>9}{'rows kept':>11}{'rows dropped':>14}"]
        for kind, count in self.files.most_common():
            counts = f"{count:>7}{self.refused[kind]:>9}{self.kept[kind]:>11}{self.dropped[kind]:>14}"
            lines.append(f"{kind:<22}{counts}")
        lines += [f"{count:>8}  {reason}" for reason, count in self.reasons.most_common()]
        return "\n".join(lines)


def read_all(files: Iterable[MutatedFile]) -> Tally:
    """Read every file; what is not a LoadError goes through."""
    tally = Tally()
    for file in files:
        kinds = ("all", *file.kinds)
        tally.files.update(kinds)
        try:
            rows = list(open_source(str(file.path)).rows())
        except LoadError:
            tally.refused.update(kinds)
            continue
        file.reached = [parsed.row for parsed in rows]
        for parsed in rows:
            kept, dropped = bool(parsed.pairs), not parsed.pairs
            tally.kept.update(dict.fromkeys(kinds, kept))
            tally.dropped.update(dict.fromkeys(kinds, dropped))
            tally.reasons.update(parsed.dropped)
            if not parsed.pairs or _may_be_cut(file, parsed.row):
                continue
            row = [each for each in file.rows[parsed.row] if not is_named(each, parsed.unused)]
            if found := lost_texts(row, parsed.pairs, encoded=file.kinds):
                tally.lost[f"{file.path.name} ({', '.join(file.kinds)})"].append(f"row {parsed.row}: {found}")
    return tally


def _may_be_cut(file: MutatedFile, number: int) -> bool:
    """Whether a row of separated text was cut in its last cell, which nobody can tell who sees the file alone."""
    return "truncated" in file.kinds and "csv" in file.kinds and number == max(file.reached)


def is_named(cell: Cell, unused: Mapping[str, Any]) -> bool:
    """Whether the report of an import names a column as unused, whose name is none that a prompt or a side has."""
    return cell.name in unused and cell.name.lower() not in CATEGORIES and cell.name not in USUAL


def lost_texts(row: Row, pairs: tuple[Pair, ...], *, encoded: tuple[str, ...] = ()) -> list[str]:
    """Return what a person would call prompt, chosen or rejected in a row, and that no pair of it has there."""
    if "latin-1" in encoded:
        row = [cell for cell in row if all(text.isascii() for text in cell.texts)]
    lost = []
    for cell in row:
        for text in cell.texts:
            if not any(said(text) in said(_place(pair, cell.category)) for pair in pairs):
                lost.append(f"{cell.category} {cell.name}: {text[:60]!r}")
    chosen = said("\n".join(text for cell in row if cell.category == "chosen" for text in cell.texts))
    if chosen and not all(said(pair.chosen) in chosen for pair in pairs):
        lost.append("what was chosen is not the chosen text")
    return lost


def _place(pair: Pair, category: str) -> str:
    """Return where a text of this category may stand: a side's dialogue begins with the prompt."""
    prompt = "\n".join(turn.content for turn in pair.prompt)
    return {"chosen": f"{prompt}\n{pair.chosen}", "rejected": f"{prompt}\n{pair.rejected}"}.get(category, prompt)


def said(text: str) -> str:
    """Return a text without its blanks: turns that were joined or split say the same."""
    return "".join(text.split())
