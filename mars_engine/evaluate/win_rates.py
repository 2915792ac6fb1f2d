"""Win rates of policies that are kept: by judges in AlpacaEval's manner, of plans, and by people in blind tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mars_engine.align.blind.votes import comparison_result
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.records import EvaluationRecord
from mars_engine.core.review_records import Comparison
from mars_engine.store import Store

PEOPLE = "people, blind"
WHOLE = 100.0


@dataclass(frozen=True, slots=True)
class KeptWinRate:
    """How often a policy beats a baseline, in percent, with all that must stand beside it."""

    policy: str
    baseline: str
    judge: str
    prompts: str
    """Where they come from."""
    judged: int
    """Prompts that the figure is a mean over."""
    missing: int
    """Prompts that nobody judged, or whose judgement failed."""
    win_rate: float
    low: float
    high: float

    @property
    def reversed(self) -> "KeptWinRate":
        """The same of the baseline against the policy."""
        ends = (WHOLE - self.high, WHOLE - self.low)
        return KeptWinRate(
            self.baseline,
            self.policy,
            self.judge,
            self.prompts,
            self.judged,
            self.missing,
            WHOLE - self.win_rate,
            *ends,
        )


@dataclass(frozen=True, slots=True)
class WinRateMatrix:
    """Policies against each other by one judge: how often the one of a row beats the one of a column."""

    judge: str
    policies: tuple[str, ...]
    cells: dict[tuple[str, str], KeptWinRate]
    """By row and column; those that nobody compared are not there."""

    @property
    def prompts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.prompts for cell in self.cells.values()))

    @property
    def missing(self) -> int:
        """Prompts for which the table of kept win rates lacks a judgement, each comparison counted once."""
        return sum(cell.missing for cell in self.cells.values()) // 2


def kept_win_rates(store: Store, *, config: EvaluateConfig) -> tuple[KeptWinRate, ...]:
    """Return all win rates that are kept, the newest first; those of people once one of them has ended a comparison."""
    by_judges = [_of_evaluation(record) for record in store.evaluations.all("alpaca_eval")]
    by_plans = [
        KeptWinRate(**row) for record in store.evaluations.all("alignment") for row in record.results["win_rates"]
    ]
    by_people = [_of_comparison(store, each, config) for each in store.comparisons.all()]
    return tuple(found for found in (*by_judges, *by_plans, *by_people) if found is not None)


def win_rate_matrices(found: Sequence[KeptWinRate]) -> tuple[WinRateMatrix, ...]:
    """Return a matrix for each judge; of two figures about the same two policies the newest counts."""
    matrices = []
    for judge in dict.fromkeys(each.judge for each in found):
        cells: dict[tuple[str, str], KeptWinRate] = {}
        for each in found:
            if each.judge == judge and (each.policy, each.baseline) not in cells:
                cells[each.policy, each.baseline] = each
                cells[each.baseline, each.policy] = each.reversed
        matrices.append(WinRateMatrix(judge, tuple(dict.fromkeys(name for pair in cells for name in pair)), cells))
    return tuple(matrices)


def _of_evaluation(record: EvaluationRecord) -> KeptWinRate | None:
    figures: Any = record.results
    wins = figures["wins"]
    if wins["win_rate"] is None:
        return None
    return KeptWinRate(
        policy=figures["policy"],
        baseline=figures["baseline"],
        judge=figures["judge"],
        prompts=figures["prompts"],
        judged=wins["n_total"],
        missing=wins["n_failed"],
        win_rate=wins["win_rate"],
        low=wins["interval"]["low"],
        high=wins["interval"]["high"],
    )


def _of_comparison(store: Store, comparison: Comparison, config: EvaluateConfig) -> KeptWinRate | None:
    votes = store.comparisons.votes(comparison.id)
    if not any(vote.vote == "reveal" for vote in votes):
        return None
    prompts = len(store.comparisons.answers(comparison.id))
    result = comparison_result(comparison, votes, prompts, config=config)
    if not result.wins.n_total:
        return None
    return KeptWinRate(
        policy=comparison.second,
        baseline=comparison.first,
        judge=PEOPLE,
        prompts=comparison.source,
        judged=result.wins.n_total,
        missing=prompts - result.wins.n_total,
        win_rate=result.wins.win_rate,
        low=result.wins.interval.low,
        high=result.wins.interval.high,
    )
