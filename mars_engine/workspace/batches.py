"""Rewrites by a batch service or a cluster of one's own: requests are written to a file, answers are taken in.

Both run the chat generators on a backend that asks nobody. What is answered is used; what is not is collected.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mars_engine.augment.drafting import settings_of_generation
from mars_engine.augment.generators.chat import ASKING, Correspondence
from mars_engine.augment.generators.chat.batch import (
    NO_ANSWER_YET,
    Failed,
    Outbox,
    holds_nothing,
    outcome_of,
    request_line,
    request_of,
    with_outcome,
    written_out,
)
from mars_engine.augment.generators.chat.completions import Completion, UnreadableBody
from mars_engine.augment.generators.chat.dialect import Dialect
from mars_engine.augment.plan import planned_model
from mars_engine.augment.propose import ProposeReport, Retry, make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.chat_records import KeptAnswer
from mars_engine.core.errors import ConfigError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import Plan
from mars_engine.core.whole_file import completed_text, validate_new_file
from mars_engine.workspace.answer_files import AnswerLine, Tally

ENDINGS = (".jsonl",)
CUSTOM_ID = "custom_id"
"""The field that tells a line of a batch from one in the plain form."""


@dataclass(frozen=True, slots=True)
class RequestsReport(ShownAsTable):
    """What was written out for others to answer."""

    path: Path | None
    """None where nothing is left to ask: no file was written."""
    requests: int
    written_before: int
    """How many of them had been written out before, and have no answer yet."""
    purposes: dict[str, int]
    models: dict[str, int]
    """How many requests there are to each model."""
    propose: ProposeReport
    """What came of the answers that are there already."""


@dataclass(frozen=True)
class Collected:
    """A workbench whose chat generators ask nobody, and what they would have asked."""

    bench: Workbench
    outbox: Outbox
    correspondence: Correspondence


def collecting(bench: Workbench) -> Collected:
    """Return the workbench with chat generators, and a judge, that collect their requests.

    Raises:
        ConfigError: no chat model is to write or judge.
    """
    if not any(isinstance(each, ASKING) for each in _asking(bench)):
        raise ConfigError(
            "neither the paraphraser nor the refiner nor a judge is a chat model, so there are no requests",
            expected='"chat" as propose.paraphraser, propose.refiner or quality.judge_by, and a name as chat.model',
            remedy="set them in mars.toml",
        )
    outbox = Outbox()
    correspondence = Correspondence(bench.store.chat, lambda: outbox, bench.config.chat, bench.progress)
    asking_nobody = replace(
        bench,
        paraphraser=_through(correspondence, bench.paraphraser),
        refiner=_through(correspondence, bench.refiner),
        judge=_through(correspondence, bench.judge),
    )
    return Collected(asking_nobody, outbox, correspondence)


def _asking(bench: Workbench) -> list[Any]:
    return [bench.paraphraser, bench.refiner, bench.judge if bench.config.quality.judge else None]


def _through(correspondence: Correspondence, generator: Any) -> Any:
    if isinstance(generator, ASKING):
        return replace(generator, correspondence=correspondence)
    return generator


def propose_collecting(collected: Collected, plan: Plan, retry: Retry = "retryable") -> ProposeReport:
    """Propose for what waits for answers, and for what is new; return the sums over all sources of the plan."""
    bench = collected.bench
    settings_id = settings_of_generation(bench.config.propose, bench.paraphraser, bench.refiner, bench.encoder)
    loaded = bench.shelf.load(planned_model(bench, plan))
    if any(each.retryable or retry == "all" for each in bench.store.proposals.failures(settings_id)):
        make_proposals(bench, plan, retry=retry, loaded=loaded)
    return make_proposals(bench, plan, loaded=loaded)


def write_requests(
    bench: Workbench, plan: Plan, path: Path, *, overwrite: bool = False, retry: Retry = "retryable"
) -> RequestsReport:
    """Write what a plan has still to ask of chat models to a file, a request a line in OpenAI's batch format.

    What is answered already is proposed, and is not asked again. The requests are kept, so that their answers are known
    when they come. Where nothing is left to ask, no file is written.

    Args:
        bench: the workspace.
        plan: the plan.
        path: the file, .jsonl; it appears when it is complete.
        overwrite: whether it may be there.
        retry: "all" to ask anew for answers that could not be used, too.

    Raises:
        ConfigError: no chat model is to write or judge, or none is named.
        MarsError: the file's name is unusable, or it is there.
        WorkspaceError: it cannot be written.
    """
    validate_new_file(path, endings=ENDINGS, overwrite=overwrite)
    collected = collecting(bench)
    proposed = propose_collecting(collected, plan, retry)
    orders = list(collected.outbox.orders.values())
    if orders:
        bench.store.chat.keep_unless_settled([written_out(order, bench.clock()) for order in orders])
        dialect = Dialect(bench.config.chat.structured)
        with completed_text(path, endings=ENDINGS, overwrite=overwrite) as stream:
            for order in orders:
                stream.write(json.dumps(request_line(order, dialect)) + "\n")
    return RequestsReport(
        path=path if orders else None,
        requests=len(orders),
        written_before=sum(_waits(order.earlier) for order in orders),
        purposes=dict(Counter(order.request.purpose for order in orders).most_common()),
        models=dict(Counter(order.request.model for order in orders).most_common()),
        propose=proposed,
    )


def _waits(earlier: KeptAnswer | None) -> bool:
    return earlier is not None and earlier.failure == NO_ANSWER_YET


# --------------------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True, slots=True)
class TakenAnswer:
    """An answer from elsewhere that was kept, and the line that it stood in."""

    line: AnswerLine
    kept: KeptAnswer


_Key = tuple[str, int]
"""A request's id and its asking."""
_Told = tuple[AnswerLine, Completion | Failed]


def keep_answers(bench: Workbench, lines: Sequence[AnswerLine], tally: Tally) -> list[TakenAnswer]:
    """Keep the answers of a batch in one transaction, and return them; what is not kept is told.

    Of several lines that answer the same request an answer comes before a failure, and the first before the others.
    """
    known = _requests_in(bench, lines)
    fresh: dict[_Key, tuple[AnswerLine, KeptAnswer]] = {}
    for key, told in _outcomes(lines, known, tally).items():
        line, outcome = min(told, key=lambda each: isinstance(each[1], Failed))  # the first of the best
        for other, _ in told:
            if other is not line:
                tally.leave_out(other, "twice", f"line {line.number:,} of {line.file} answers the same request")
        before = known[key]
        if before.is_settled or (isinstance(outcome, Failed) and before.failure == outcome.reason):
            tally.leave_out(line, "taken before", before.failure or "the request was answered before")
        else:
            fresh[key] = line, with_outcome(before, outcome, bench.config.chat, bench.clock())
    stored = bench.store.chat.keep_unless_settled([kept for _, kept in fresh.values()])
    taken: list[TakenAnswer] = []
    for key, (line, kept) in fresh.items():
        if key not in stored:
            tally.leave_out(line, "taken before", "the request was answered meanwhile")
        elif kept.answer is None:
            tally.leave_out(line, "failed", kept.failure)
        else:
            taken.append(TakenAnswer(line, kept))
    return taken


def _requests_in(bench: Workbench, lines: Sequence[AnswerLine]) -> dict[_Key, KeptAnswer]:
    """Return the requests that were written out, or sent, and that lines answer."""
    keys = [request_of(str(line.value[CUSTOM_ID])) for line in lines]
    stored = bench.store.chat.askings({request_id for request_id, _ in filter(None, keys)})
    return {(each.request_id, each.asking): each for askings in stored.values() for each in askings}


def _outcomes(lines: Sequence[AnswerLine], known: Mapping[_Key, KeptAnswer], tally: Tally) -> dict[_Key, list[_Told]]:
    """Return what lines say, by the request that they answer; a line that answers none is told."""
    outcomes: dict[_Key, list[_Told]] = {}
    for line in lines:
        custom = str(line.value[CUSTOM_ID])
        key = request_of(custom)
        if key is None or key not in known:
            tally.leave_out(line, "unknown", f"no request with the custom_id {custom[:80]!r} was written out here")
            continue
        try:
            outcome = outcome_of(line.value, known[key])
        except UnreadableBody as error:
            tally.leave_out(line, "unreadable", str(error))
        else:
            outcomes.setdefault(key, []).append((line, outcome))
    return outcomes


def tell_use(collected: Collected, taken: Sequence[TakenAnswer], tally: Tally) -> None:
    """Count the answers that were kept: those that the plan asked for and that can be read, and the others."""
    config = collected.bench.config
    # A small model is asked for one rewrite at a time.
    wanted = (
        1
        if config.chat.is_small
        else min(config.chat.candidates, max(config.propose.variants, config.propose.refine_tries))
    )
    for each in taken:
        if each.kept.request_id not in collected.correspondence.asked_for:
            reason = "kept, but the newest plan under the present settings does not ask for it"
            tally.leave_out(each.line, "not asked for", reason)
        elif fault := holds_nothing(each.kept, wanted):
            tally.leave_out(each.line, "unusable", fault)
        else:
            tally.taken += 1


def count_waiting(collected: Collected) -> int:
    """Return how many requests that were written out have no answer of any kind yet."""
    return sum(_waits(order.earlier) for order in collected.outbox.orders.values())
