"""Which of a model's candidates for a passage are fit to use, and which of the fit ones differ most."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from mars_engine.augment.generators.passages.writing import Written
from mars_engine.augment.quality.text_facts import normalized, repeated_share

Fault = Literal[
    "empty",
    "not finished at the length limit",
    "a copy of the passage",
    "a repetition of the instruction",
    "too short",
    "full of repetitions",
]
MOST_REPEATED = 0.3
"""Share of a candidate's word pairs that may have come before, beyond that of its passage."""
VARIETY = 0.5
"""What difference counts beside likelihood when candidates are chosen."""
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def find_fault(written: Written, passage: str, *, instructions: Sequence[str], min_length_percent: int) -> str | None:
    """Return why a candidate cannot stand for its passage, None where it can: a `Fault`, or why none was written.

    Args:
        written: the candidate.
        passage: what it is to stand for.
        instructions: what the model read before the passage, and may repeat instead of following it.
        min_length_percent: fewest letters and digits, in percent of the passage's.
    """
    if written.failure:
        return written.failure
    words, source = bare_words(written.text), bare_words(passage)
    repeats = any(normalized(written.text).startswith(normalized(each)) for each in instructions if each.strip())
    faults: dict[Fault, bool] = {
        "empty": not words,
        "not finished at the length limit": not written.finished,
        "a copy of the passage": words == source,
        "a repetition of the instruction": repeats,
        "too short": 100 * sum(map(len, words)) < min_length_percent * sum(map(len, source)),
        "full of repetitions": repeated_share(words, 2) > repeated_share(source, 2) + MOST_REPEATED,
    }
    return next((fault for fault, found in faults.items() if found), None)


def bare_words(text: str) -> list[str]:
    """Return the words of a passage or its rewriting in their order, without case and punctuation."""
    return _WORD.findall(text.casefold())


def choose_different(candidates: Sequence[str], passage: str, count: int) -> tuple[str, ...]:
    """Return up to `count` candidates that say the passage in the most different words, likely ones preferred.

    Maximal marginal relevance (Carbonell and Goldstein, 1998): one after the other, the candidate whose rank less its
    greatest similarity to the passage and to those chosen before is highest. Similarity is the share of words in
    common.

    Args:
        candidates: the likeliest first; of several with the same words the first counts.
        passage: what they stand for.
        count: how many to choose.
    """
    by_words: dict[tuple[str, ...], str] = {}
    for text in candidates:
        by_words.setdefault(tuple(bare_words(text)), text)
    left = [(text, Counter(words)) for words, text in by_words.items()]
    relevance = {text: 1 - rank / len(left) for rank, (text, _) in enumerate(left)}
    chosen: list[str] = []
    nearest = {text: _similarity(bag, Counter(bare_words(passage))) for text, bag in left}
    while left and len(chosen) < count:
        best = max(left, key=lambda each: (1 - VARIETY) * relevance[each[0]] - VARIETY * nearest[each[0]])
        left.remove(best)
        chosen.append(best[0])
        for text, bag in left:
            nearest[text] = max(nearest[text], _similarity(bag, best[1]))
    return tuple(chosen)


def _similarity(one: Counter[str], other: Counter[str]) -> float:
    """Return twice the words in common over the words of both (Dice), from 0 to 1."""
    return 2 * (one & other).total() / max(1, one.total() + other.total())
