"""What one person reads: which items of a kind, and in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mars_engine.core.errors import MarsError
from mars_engine.core.review_records import ItemKind

ORDERS: Mapping[ItemKind, tuple[str, ...]] = {
    "pair": ("plan", "margin", "random"),
    "proposal": ("plan", "margin", "gain", "distance", "random"),
}
"""What may be read first. For pairs, "plan" is suspected mislabels and then lowest margins. For proposals, "plan" is as
the plan spends (most budget, then lowest margin), "gain" is most expected information as a gain order says; what is in
none, by the information that it would have added alone when it was proposed; and where a model could not tell that, as
the plan spends. "distance" is greatest loss of contrast.
"""

ALL, UNREAD = "all", "unread"
"""Sources beside sets: what nobody has decided, or what no person has, policies aside."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one person reads."""

    kind: ItemKind
    """"pair" for Check, "proposal" for Review."""
    annotator: str
    """May be empty where `read_only`."""
    order: str = "plan"
    """One of ORDERS."""
    source: str | Sequence[str] = ALL
    """ALL, UNREAD, the id of a pair set, or ids of source pairs. Where it is not ALL, what only a policy decided is
    read too."""
    overlap_percent: int | None = None
    """Share of the items that two people decide; as configured where None."""
    read_only: bool = False
    """Nothing is leased, and nobody is asked for a name."""

    def overlap(self, configured: int) -> int:
        """Return the share of the items that two people decide, in percent."""
        return configured if self.overlap_percent is None else self.overlap_percent

    def validate(self) -> None:
        """Check what is read in which order.

        Raises:
            MarsError: the order or the share is none.
        """
        if self.order not in ORDERS[self.kind]:
            raise MarsError(f"{self.order!r} is no order of reading", expected=f"one of {', '.join(ORDERS[self.kind])}")
        if self.overlap_percent is not None and not 0 <= self.overlap_percent <= 100:
            raise MarsError(f"{self.overlap_percent} is no share in percent", expected="a number from 0 to 100")
