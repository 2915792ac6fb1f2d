"""What generators could not do, grouped by what and why, for people to read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mars_engine.core.records import ProposalFailure


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one generator for one reason."""

    generator: str
    target: str
    reason: str
    retryable: bool
    count: int


def group_failures(failures: Sequence[ProposalFailure]) -> list[FailureGroup]:
    """Return failures by generator, target and reason, the most frequent first."""
    counts = Counter((each.generator, each.target, each.reason, each.retryable) for each in failures)
    return [FailureGroup(*what, count=count) for what, count in counts.most_common()]
