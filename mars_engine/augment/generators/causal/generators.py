"""A small instruct model as paraphraser and as refiner. Nothing heavy is loaded before they write."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mars_engine.augment.generators.named_model import causal_model
from mars_engine.augment.generators.seq2seq.rewriting import Rules, Wanted, rewrite
from mars_engine.augment.generators.seq2seq.writing import PassageWriter, Search
from mars_engine.core.config import CausalConfig
from mars_engine.core.errors import ConfigError
from mars_engine.core.protocols import Generation, ParaphraseRequest, Progress, RefineRequest
from mars_engine.core.records import GeneratorCard, JsonValue

COMMON = (
    "instructions",
    "spare",
    "temperature",
    "top_p",
    "max_tokens",
    "list_items",
    "min_length_percent",
    "precision",
)
"""Settings that texts depend on; batch_tokens and device are none of them."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class CausalGenerator:
    """What both generators share: the model, loaded when it is needed, and how texts are rewritten by it.

    Guarantees: nothing of a text is cut; code, formulas, addresses, list marks, tables, quoted lines, headings and the
    space between paragraphs stay to the letter; the same request gets the same answer, whatever else is asked.

    Args:
        config: the model, and how it decodes.
        progress: shows how far the work has come.
        may_download: whether a model of the hub may be downloaded.
    """

    def __init__(self, config: CausalConfig, *, progress: Progress, may_download: bool = True) -> None:
        self._config, self._progress = config, progress
        self._model = causal_model(config, progress=progress, may_download=may_download)

    def _rewrite(self, wanted: Sequence[Wanted], search: Callable[[int], Search], work: str) -> list[Generation]:
        if not wanted:
            return []
        config = self._config
        rules = Rules(
            most_tokens=config.max_tokens,
            list_items=config.list_items,
            min_length_percent=config.min_length_percent,
            instructions=echoes_of(config.instruction_lines),
            search=search,
            work=work,
        )
        return rewrite(wanted, self._load(), rules, progress=self._progress)

    def _load(self) -> PassageWriter:
        from mars_engine.augment.generators.causal.writer import load_writer

        config = self._config
        writer = load_writer(
            self._model.folder,
            instructions=config.instruction_lines,
            device=config.device,
            precision=config.precision,
            batch_tokens=config.batch_tokens,
        )
        needed = writer.positions_for(config.max_tokens)
        if writer.most_tokens is not None and needed > writer.most_tokens:
            raise ConfigError(
                f"causal.max_tokens = {config.max_tokens} takes {needed:,} tokens with the instruction and the answer, "
                f"but {config.model} takes {writer.most_tokens:,} at most",
                expected="a passage, an instruction and an answer that fit together",
                remedy="lower max_tokens under [causal] in mars.toml",
            )
        return writer

    def _settings(self, *own: str) -> Mapping[str, JsonValue]:
        settings: dict[str, Any] = {"model": self._model.short_name, "weights": self._model.fingerprint}
        return settings | {name: getattr(self._config, name) for name in (*COMMON, *own)}


class CausalParaphraser(CausalGenerator):
    """Paraphrases with a small instruct model: of several samples of each passage, fit ones that differ are kept."""

    @property
    def card(self) -> GeneratorCard:
        return GeneratorCard(
            name="causal-paraphraser",
            version="1",
            settings=self._settings(),
            stand_in=False,
            note="a small instruct model that rewrites passages; it knows neither the prompt nor the other answer, "
            "may answer a text instead of rewriting it, and keeps code, lists, tables and headings as they are",
        )

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        """Answer each request, in order; a text of which nothing can be rewritten gives a failure."""
        wanted = [Wanted(each.key, each.text, each.count, each.seed, str) for each in requests]
        return self._rewrite(wanted, lambda count: paraphrase_search(self._config, count), "paraphrase")


class CausalRefiner(CausalGenerator):
    """Rewrites one side of a pair with a small instruct model, drawn bolder at every try.

    The model sees the passage alone, and what it offers differs from the other answer by chance. It cannot tell which
    answer is the better one: that it stays so is for the gates and for people to see.
    """

    @property
    def card(self) -> GeneratorCard:
        return GeneratorCard(
            name="causal-refiner",
            version="1",
            settings=self._settings("refiner_temperature"),
            stand_in=False,
            note="a small instruct model that rewrites one answer, drawn bolder at every try; it sees neither the "
            "prompt nor the other answer, and cannot tell which is the better one",
        )

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        """Answer each request, in order: the tries of the lowest temperature first."""
        wanted = [
            Wanted(each.key, each.chosen if each.side == "chosen" else each.rejected, each.count, each.seed, str)
            for each in requests
        ]
        return self._rewrite(wanted, lambda count: refine_search(self._config, count), "refine")


def echoes_of(instructions: Sequence[str]) -> tuple[str, ...]:
    """Return with what an answer begins that repeats an instruction: the whole of it, or any sentence of it."""
    return tuple(dict.fromkeys(part for each in instructions for part in (each, *_SENTENCE_END.split(each)) if part))


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
