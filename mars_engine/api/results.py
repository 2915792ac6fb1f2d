"""Results of steps that are more than one report of the engine. The others are the engine's own reports."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from mars_engine.core.import_records import ImportReport
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.review_records import ReviewEvent
from mars_engine.workspace.rounds import RoundReport


@dataclass(frozen=True, slots=True)
class Imported(ShownAsTable):
    """What an import read, kept and dropped, over all its parts."""

    rows_read: int
    kept: int
    """New pairs."""
    already_present: int
    dropped: Mapping[str, int]
    """Rows or pairs that were dropped, by reason."""
    parts: tuple[ImportReport, ...]
    """A report for each split."""

    @classmethod
    def of(cls, reports: Sequence[ImportReport]) -> Self:
        """Return what `ws.import_pairs` gives: its reports' sums. A hold-out reads the same rows for both its parts."""
        dropped: Counter[str] = Counter()
        for report in reports:
            dropped.update(report.dropped)
        return cls(
            rows_read=max(report.rows_read for report in reports),
            kept=sum(report.kept for report in reports),
            already_present=sum(report.already_present for report in reports),
            dropped=dict(dropped.most_common()),
            parts=tuple(reports),
        )

    @property
    def findings(self) -> Mapping[str, Any] | None:
        """What all pairs say against themselves after `ws.import_pairs`, as plain JSON; None where nobody looked."""
        return self.parts[-1].findings


@dataclass(frozen=True, slots=True)
class Checked(ShownAsTable):
    """What was decided about labels."""

    reviewer: str
    decided: Mapping[str, int]
    """Number of pairs by what was decided."""

    @classmethod
    def of(cls, events: Sequence[ReviewEvent], reviewer: str) -> Self:
        return cls(reviewer, dict(Counter(event.action for event in events).most_common()))


@dataclass(frozen=True, slots=True)
class Rounds(ShownAsTable):
    """Whole rounds, one after the other."""

    rounds: tuple[RoundReport, ...]
    wanted: int
    ended: str
    """Why fewer were run than were asked for; empty where all were run."""

    def __len__(self) -> int:
        return len(self.rounds)

    def __getitem__(self, place: int) -> RoundReport:
        return self.rounds[place]
