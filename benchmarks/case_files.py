"""What importing the files of a folder comes to, beside what it should come to.

    .venv/bin/python -m benchmarks.case_files ../shared/cases

Prints a line for each file: its name, the outcome, and what case_expectations.toml says that is right. Ends with exit
code 1 where a file came to something else, or has no expectation.
"""

import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mars_engine.core.errors import LoadError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import SPLITS
from mars_engine.data.holdout import HoldoutPart
from mars_engine.data.import_pairs import import_held_out, import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.store import open_store

EXPECTATIONS = Path(__file__).with_name("case_expectations.toml")


@dataclass(frozen=True)
class Outcome:
    """Pairs kept, reasons and notes with their counts; `error` where the file could not be opened at all."""

    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    error: str = ""

    def __str__(self) -> str:
        if self.error:
            return f"refused: {self.error}"
        parts = [f"{self.kept} kept" if self.kept else "refused, none kept"]
        parts += [f"{count} {reason}" for reason, count in (*self.dropped.items(), *self.notes.items())]
        return "; ".join(parts)


def import_file(path: Path, *, holdout: float | None = None) -> Outcome:
    """Import a file into an empty database in memory."""
    store = open_store("sqlite://")
    try:
        source = open_source(str(path))
        now, progress = lambda: datetime.now(UTC), SilentProgress()
        if holdout is None:
            reports = [import_pairs(source, store, split="train", clock=now, progress=progress, may_be_empty=True)]
        else:
            reports = import_held_out(
                [HoldoutPart(source, holdout, split) for split in SPLITS], store, clock=now, progress=progress
            )
    except LoadError as error:
        return Outcome(error=str(error))
    finally:
        store.close()
    dropped = sum((Counter(report.dropped) for report in reports), Counter[str]())
    notes = sum((Counter(report.notes) for report in reports), Counter[str]())
    return Outcome(sum(report.kept for report in reports), dict(dropped), dict(notes))


def expectations() -> dict[str, dict[str, Any]]:
    return tomllib.loads(EXPECTATIONS.read_text(encoding="utf-8"))


def expected_of(stated: Mapping[str, Any]) -> Outcome:
    return Outcome(stated["kept"], stated.get("dropped", {}), stated.get("notes", {}))


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".md")


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    stated, wrong = expectations(), 0
    for path in files_in(folder):
        case = stated.get(path.stem)
        outcome = import_file(path, holdout=case.get("holdout") if case else None)
        right = expected_of(case) if case else None
        wrong += outcome != right
        verdict = "as expected" if outcome == right else "NOT AS EXPECTED"
        click.echo(f"{path.name}\n    outcome:  {outcome}\n    expected: {right or 'nothing is stated'}\n    {verdict}")
    click.echo(f"{len(files_in(folder)) - wrong} of {len(files_in(folder))} files as expected")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
