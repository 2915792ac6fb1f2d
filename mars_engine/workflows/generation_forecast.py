"""What proposing would ask of generators that cost something, told before it is started; nothing is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from mars_engine.words.chat_records import GenerationEstimate, Spending
from mars_engine.words.protocols import Estimating
from mars_engine.words.records import Pair, PlanRow, Side
from mars_engine.workflows.drafting import (
    REFINE_ORDER,
    paraphrase_requests,
    refine_requests,
    settings_of_generation,
    texts_of,
)
from mars_engine.workflows.propose import done_mark
from mars_engine.workflows.sources import load_sources
from mars_engine.workflows.workbench import Workbench


@dataclass(frozen=True, slots=True)
class GenerationForecast:
    """What proposing for the sources that are not done yet would take. Tokens and money are approximate."""

    sources: int
    at_least: GenerationEstimate
    """Where refining the rejected side helps every pair that is too close."""
    at_most: GenerationEstimate
    """Where it helps none, so that the chosen side is tried too."""
    judged_at_most: int
    """Requests to a judge, where one is asked: two for each proposal that no other gate stops."""
    spent: Spending
    """In this workspace so far."""


def forecast_generation(bench: Workbench, rows: Sequence[PlanRow]) -> GenerationForecast | None:
    """Return what proposing for a plan's rows would take, None where the generators cost nothing."""
    if not isinstance(bench.paraphraser, Estimating) and not isinstance(bench.refiner, Estimating):
        return None
    waiting = _not_done(bench, rows)
    low = [(row, pair) for row, pair in waiting if row.gate == "low"]
    refining = [_refining(bench, low, side) for side in REFINE_ORDER]
    # What a refined pair's texts will be is not known yet; they are about as long as those they are made of.
    texts = [text for row, pair in waiting for text in texts_of(row.pair_id, pair)]
    paraphrasing = GenerationEstimate()
    if isinstance(bench.paraphraser, Estimating):
        paraphrasing = bench.paraphraser.estimate(paraphrase_requests(bench.config.propose, texts))
    at_least = refining[0] + paraphrasing
    proposals = len(waiting) * bench.config.propose.variants + len(low)
    return GenerationForecast(
        sources=len(waiting),
        at_least=at_least,
        at_most=at_least + refining[1],
        judged_at_most=2 * proposals if bench.judge is not None and bench.config.quality.judge else 0,
        spent=bench.store.chat.spent(),
    )


def _not_done(bench: Workbench, rows: Sequence[PlanRow]) -> list[tuple[PlanRow, Pair]]:
    """Return the rows with a budget whose sources have no proposals yet, with the pairs as they are oriented."""
    settings_id = settings_of_generation(bench.config.propose, bench.paraphraser, bench.refiner, bench.encoder)
    done = bench.store.proposals.sources_done(settings_id)
    oriented = {source.pair.id: source.oriented for source in load_sources(bench.store, bench.config.triage)}
    wanted = [(row, oriented[row.pair_id]) for row in rows if row.budget > 0]
    return [(row, pair) for row, pair in wanted if done_mark(row, pair) not in done]


def _refining(bench: Workbench, low: Sequence[tuple[PlanRow, Pair]], side: Side) -> GenerationEstimate:
    if not isinstance(bench.refiner, Estimating):
        return GenerationEstimate()
    return bench.refiner.estimate(refine_requests(bench.config.propose, low, side))
