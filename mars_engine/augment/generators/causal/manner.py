"""How small instruct models are asked, whoever runs them: a passage a request, several samples, plain text."""

import re
from collections.abc import Callable, Sequence

from mars_engine.augment.generators.passages.rewriting import Rules, Wanted
from mars_engine.augment.generators.passages.writing import Origin, Search
from mars_engine.augment.generators.protocols import ParaphraseRequest, RefineRequest
from mars_engine.core.config import CausalConfig
from mars_engine.core.records import Prompt, Turn

MANNER = ("instructions", "spare", "temperature", "top_p", "max_tokens", "list_items", "min_length_percent")
"""Settings under [causal] that texts depend on, whoever runs the model."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_LEAD_IN = re.compile(r"\A(?:sure|certainly|here(?:'s| is| are))\b[^\n:]{0,120}:\s+", re.IGNORECASE)


def messages_of(instruction: str, passage: str) -> Prompt:
    """Return what asks for one rewriting of a passage: the instruction as system prompt, and nothing else beside."""
    return (Turn("system", instruction), Turn("user", passage))


def paraphrases_wanted(requests: Sequence[ParaphraseRequest]) -> list[Wanted]:
    """Return the texts for a small instruct model to paraphrase; it reads each passage as it is."""
    return [
        Wanted(each.key, each.text, each.count, each.seed, str, Origin("paraphrase", each.source_id))
        for each in requests
    ]


def refinements_wanted(requests: Sequence[RefineRequest]) -> list[Wanted]:
    """Return the sides for a small instruct model to refine; it reads each passage as it is."""
    return [
        Wanted(
            each.key,
            each.chosen if each.side == "chosen" else each.rejected,
            each.count,
            each.seed,
            str,
            Origin(f"refine {each.side}", each.source_id),
        )
        for each in requests
    ]


def rules_of(config: CausalConfig, search: Callable[[CausalConfig, int], Search], work: str) -> Rules:
    """Return by what rules texts are rewritten: with which search, and as what the progress shows it."""
    return Rules(
        most_tokens=config.max_tokens,
        list_items=config.list_items,
        min_length_percent=config.min_length_percent,
        instructions=echoes_of(config.instruction_lines),
        search=lambda count: search(config, count),
        work=work,
    )


def paraphrase_search(config: CausalConfig, count: int) -> Search:
    """Return how so many paraphrases are drawn."""
    return _sample(config, (config.temperature,) * (count + config.spare))


def refine_search(config: CausalConfig, count: int) -> Search:
    """Return how so many tries of refining are drawn: at temperatures that rise evenly from the first to the last."""
    last = max(1, count + config.spare - 1)
    rise = config.refiner_temperature - config.temperature
    return _sample(config, tuple(config.temperature + rise * place / last for place in range(last + 1)))


def _sample(config: CausalConfig, temperatures: tuple[float, ...]) -> Search:
    """Return a search that draws. No run of tokens is forbidden, since those of the passage would count as well."""
    return Search(
        decoding="sample", temperatures=temperatures, top_p=config.top_p, diversity_penalty=0.0, no_repeat_ngram=0
    )


def echoes_of(instructions: Sequence[str]) -> tuple[str, ...]:
    """Return with what an answer begins that repeats an instruction: the whole of it, or any sentence of it."""
    return tuple(dict.fromkeys(part for each in instructions for part in (each, *_SENTENCE_END.split(each)) if part))


def plain_rewriting(answer: str) -> str:
    """Return the rewriting that an answer is: on one line, without an announcement and quotes around the rest.

    An announcement is, for example, "Here is a more concise version:".
    """
    line = " ".join(answer.split())
    rest = _LEAD_IN.sub("", line)
    if rest == line:
        return line
    return rest[1:-1] if len(rest) > 2 and rest[0] == rest[-1] == '"' and rest.count('"') == 2 else rest
