"""Taking in rewrites that were made elsewhere, and proposing with them, by the same gates as any others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mars_engine.augment.generators.given import GivenParaphraser, GivenRefiner, Writer
from mars_engine.augment.propose import ProposeReport, make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import Plan
from mars_engine.workspace.answer_files import Tally, UnusedAnswer, read_answer_lines
from mars_engine.workspace.batches import (
    CUSTOM_ID,
    collecting,
    count_waiting,
    keep_answers,
    propose_collecting,
    tell_use,
)
from mars_engine.workspace.given_rewrites import keep_given, tell_given_use
from mars_engine.workspace.named_models import newest_model
from mars_engine.workspace.rounds import plan_next_round


@dataclass(frozen=True, slots=True)
class AnswersReport(ShownAsTable):
    """What became of answers that were written elsewhere: `given` is `taken` and the unused ones together."""

    given: int
    """Answers in the files: lines of a batch, rewrites in the plain form, and lines that are neither."""
    taken: int
    """Kept now, and used."""
    left_out: dict[str, int]
    """How many were not used, by why; see `unused`."""
    missing: int
    """Requests that were written out and that no line answers yet; of the newest plan, under the present settings."""
    to_ask: int
    """Requests that 'mars propose --requests' would write now, the missing ones included."""
    proposed: dict[str, ProposeReport]
    """What was proposed, by who wrote: the chat model, or the writers of the plain form."""
    unused: tuple[UnusedAnswer, ...]
    """Each answer that was not used, with its file, line and reason."""


def take_answers(bench: Workbench, plan: Plan, files: Sequence[Path], *, writer: str = "") -> AnswersReport:
    """Keep what files answer, and propose with it for a plan. Nobody is asked to write; what is missing stays open.

    Taken in twice, a file adds nothing.

    Args:
        bench: the workspace.
        plan: the plan.
        files: in OpenAI's batch format, in the plain form, or both; see docs/generators.md.
        writer: who wrote the rewrites in the plain form that do not say it.

    Raises:
        LoadError: a file cannot be read, or has no answers; nothing was kept.
        ConfigError: there are answers of a batch, and no chat model is to write or judge.
    """
    tally = Tally()
    lines = read_answer_lines(files, tally)
    of_batch = [line for line in lines if CUSTOM_ID in line.value]
    plain = [line for line in lines if CUSTOM_ID not in line.value]
    proposed: dict[str, ProposeReport] = {}
    missing = to_ask = 0
    if of_batch:
        collected = collecting(bench)
        answers = keep_answers(bench, of_batch, tally)
        proposed[f"the chat model {bench.config.chat.model}"] = propose_collecting(collected, plan)
        tell_use(collected, answers, tally)
        missing, to_ask = count_waiting(collected), len(collected.outbox.orders)
    if plain:
        found = keep_given(bench, plain, tally, writer=writer)
        for author, sources in found.sources.items():
            paraphraser = GivenParaphraser(bench.store.chat, author)
            refiner = GivenRefiner(bench.store.chat, author)
            writing = replace(bench, paraphraser=paraphraser, refiner=refiner)
            proposed[author] = make_proposals(writing, plan, only=sources)
            tell_given_use(found, paraphraser, refiner, author, tally)
    return AnswersReport(
        given=tally.given,
        taken=tally.taken,
        left_out=tally.by_fate(),
        missing=missing,
        to_ask=to_ask,
        proposed=proposed,
        unused=tally.in_order(files),
    )


def with_writer(bench: Workbench, write: Writer, name: str = "") -> Workbench:
    """Return the workspace's workbench with a function as paraphraser, under a name that stands in each proposal.

    What it wrote under that name is kept, and it is not handed the same text again.
    """
    named = name.strip() or getattr(write, "__name__", type(write).__name__)
    return replace(bench, paraphraser=GivenParaphraser(bench.store.chat, named, write, bench.clock))


def open_plan(bench: Workbench) -> Plan:
    """Return the plan that rewrites made elsewhere are taken in for: the newest model's, drawn now where it has none.

    Raises:
        NotReadyError: no model is trained, or the pairs were not scored yet.
    """
    model = newest_model(bench)
    plan = bench.store.proposals.latest_plan()
    if plan is not None and plan.model_id == model.id:
        return plan
    return plan_next_round(bench).plan
