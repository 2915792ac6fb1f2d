"""What proposing would ask of generators that cost something, told before it is started; nothing is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from mars_engine.augment.drafting import (
    REFINE_ORDER,
    paraphrase_requests,
    refine_requests,
    settings_of_generation,
    texts_of,
)
from mars_engine.augment.generators.protocols import Estimating
from mars_engine.augment.propose import Retry, Work, find_work, rows_in_question
from mars_engine.augment.quality.gatekeeper import both_orders
from mars_engine.augment.quality.protocols import Judge
from mars_engine.augment.workbench import Workbench
from mars_engine.core.chat_records import GenerationEstimate, Spending
from mars_engine.core.records import Pair, Plan, PlanRow, Side
from mars_engine.data.sources import load_sources, triage_of_plan

PROPOSE_SECTIONS = ("triage", "allocation", "gate", "propose", "chat", "seq2seq", "causal", "quality")
"""Of the configuration, on which proposing depends: 'mars propose' takes their settings as options."""


@dataclass(frozen=True, slots=True)
class GenerationForecast:
    """What proposing for the sources that are not done yet would take. Tokens and money are approximate."""

    sources: int
    at_least: GenerationEstimate
    """Where refining the rejected side helps every pair that is too close."""
    at_most: GenerationEstimate
    """Where it helps none, so that the chosen side is tried too."""
    judging_at_most: GenerationEstimate
    """Of a judge, where one is asked: two requests for each proposal, if no other gate stops any."""
    spent: Spending
    """In this workspace so far."""


def forecast_generation(
    bench: Workbench, plan: Plan, rows: Sequence[PlanRow], *, retry: Retry | None = None
) -> GenerationForecast | None:
    """Return what proposing by a plan would take, None where neither generators nor a judge cost anything.

    Args:
        bench: the workspace.
        plan: the plan, stored or not.
        rows: of the plan.
        retry: which failures are tried again; what is new is proposed for where it is None.
    """
    if not any(isinstance(each, Estimating) for each in (bench.paraphraser, bench.refiner, _judge(bench))):
        return None
    work = _find_work(bench, plan, rows, retry)
    low = [(row, pair) for row, pair in work.pairs if row.gate == "low"]
    refining = [_refining(bench, low, side, work) for side in REFINE_ORDER]
    # What a refined pair's texts will be is not known yet; they are about as long as those they are made of.
    texts = [text for row, pair in work.pairs for text in texts_of(row.pair_id, pair)]
    paraphrasing = GenerationEstimate()
    if isinstance(bench.paraphraser, Estimating):
        paraphrasing = bench.paraphraser.estimate(paraphrase_requests(bench.config.propose, texts, work.ask_again))
    at_least = refining[0] + paraphrasing
    every = [pair for _, pair in work.pairs]
    judging = _judging(bench, every) * bench.config.propose.variants + _judging(bench, [pair for _, pair in low])
    return GenerationForecast(
        sources=len(work.pairs),
        at_least=at_least,
        at_most=at_least + refining[1],
        judging_at_most=judging,
        spent=bench.store.chat.spent(),
    )


def _judge(bench: Workbench) -> Judge | None:
    return bench.judge if bench.config.quality.judge else None


def _find_work(bench: Workbench, plan: Plan, rows: Sequence[PlanRow], retry: Retry | None) -> Work:
    settings_id = settings_of_generation(bench.config.propose, bench.paraphraser, bench.refiner, bench.encoder)
    oriented = {source.pair.id: source.oriented for source in load_sources(bench.store, triage_of_plan(plan))}
    return find_work(bench.store, settings_id, rows_in_question(bench.store, plan, rows), oriented, retry=retry)


def _refining(bench: Workbench, low: Sequence[tuple[PlanRow, Pair]], side: Side, work: Work) -> GenerationEstimate:
    if not isinstance(bench.refiner, Estimating):
        return GenerationEstimate()
    return bench.refiner.estimate(refine_requests(bench.config.propose, low, side, work.ask_again))


def _judging(bench: Workbench, pairs: Sequence[Pair]) -> GenerationEstimate:
    """Return what judging one proposal of each pair takes: its texts are about as long as the pair's own."""
    judge = _judge(bench)
    if not isinstance(judge, Estimating):
        return GenerationEstimate()
    return judge.estimate([request for pair in pairs for request in both_orders(pair)])
