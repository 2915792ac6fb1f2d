"""Setting up a blind comparison: two policies' answers to the same prompts, and on which side each is shown."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mars_engine.align.alpaca.formats import ModelOutputs
from mars_engine.core.clock import Clock
from mars_engine.core.errors import ConfigError, LoadError
from mars_engine.core.records import Prompt, Turn, content_id, prompt_id, same_text
from mars_engine.core.review_records import ComparedAnswers, Comparison
from mars_engine.store import Store

SAME_ANSWER = "both gave the same answer"
EMPTY_ANSWER = "one gave an empty answer"
NO_PARTNER = "only one of them answered it"
NOT_DRAWN = "more prompts than were asked for"


@dataclass(frozen=True, slots=True)
class AnswerSheet:
    """One policy's answers, one to each prompt."""

    name: str
    answers: Mapping[Prompt, str]


def sheet_of(outputs: ModelOutputs) -> AnswerSheet:
    """Return outputs in AlpacaEval's format as a sheet to compare blind; each instruction is a prompt of one turn."""
    return AnswerSheet(outputs.generator, {(Turn("user", row.instruction),): row.output for row in outputs.rows})


def begin_comparison(
    store: Store,
    first: AnswerSheet,
    second: AnswerSheet,
    *,
    source: str,
    seed: int,
    made_by: str,
    clock: Clock,
    most_prompts: int = 0,
) -> Comparison:
    """Store a comparison of two policies; the same answers by the same seed are the same comparison, with its votes.

    Prompts to which only one of them has an answer, or both the same, are left out and counted.

    Args:
        store: keeps it.
        first: the baseline's answers.
        second: the policy's.
        source: where the answers come from, in words.
        seed: draws the prompts, and decides on which side each answer is shown.
        made_by: who asks.
        clock: tells the time.
        most_prompts: compare so many, drawn by the seed; 0: all.

    Raises:
        ConfigError: both have one name.
        LoadError: no prompt is left to compare.
    """
    if first.name == second.name:
        raise ConfigError(
            f"both policies are called {first.name!r}",
            expected="two names, so that the result can say which is better",
            remedy="give one of the files another 'generator'",
        )
    left_out: Counter[str] = Counter()
    both = _shared(first, second, left_out)
    if not both:
        reasons = "; ".join(f"{count:,} × {reason}" for reason, count in left_out.items()) or "there are none"
        raise LoadError(
            f"{first.name} and {second.name} have no prompt to compare: {reasons}",
            expected="different answers of both to the same prompts",
            remedy="name answers to the same prompts",
        )
    order = np.random.default_rng(seed).permutation(len(both))[: most_prompts or None]
    if len(order) < len(both):
        left_out[NOT_DRAWN] = len(both) - len(order)
    drawn = [both[place] for place in order]
    answers = [ComparedAnswers(number, *each) for number, each in enumerate(drawn)]
    key = content_id(
        "comparison",
        first.name,
        second.name,
        seed,
        [[prompt_id(each.prompt), each.first, each.second] for each in answers],
    )
    comparison = Comparison(key, first.name, second.name, source, seed, dict(left_out), made_by, clock())
    store.comparisons.add(comparison, answers)
    return comparison


def _shared(first: AnswerSheet, second: AnswerSheet, left_out: Counter[str]) -> list[tuple[Prompt, str, str]]:
    found = []
    for prompt, one in first.answers.items():
        other = second.answers.get(prompt)
        if other is None:
            left_out[NO_PARTNER] += 1
        elif not one.strip() or not other.strip():
            left_out[EMPTY_ANSWER] += 1
        elif same_text(one) == same_text(other):
            left_out[SAME_ANSWER] += 1
        else:
            found.append((prompt, one, other))
    only_second = sum(prompt not in first.answers for prompt in second.answers)
    if only_second:
        left_out[NO_PARTNER] += only_second
    return found


def first_is_left(comparison: Comparison, number: int, annotator: str) -> bool:
    """Whether the first policy's answer stands on the left; it depends on the seed, the prompt and the reader alone."""
    said = f"{comparison.seed}:{comparison.id}:{number}:{annotator}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(said).digest()[0] % 2 == 0
