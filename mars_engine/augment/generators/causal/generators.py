"""A small instruct model as paraphraser and as refiner. Nothing heavy is loaded before they write."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mars_engine.augment.generators.causal.manner import (
    MANNER,
    paraphrase_search,
    paraphrases_wanted,
    refine_search,
    refinements_wanted,
    rules_of,
)
from mars_engine.augment.generators.generator_model import GeneratorModel
from mars_engine.augment.generators.passages.rewriting import Wanted, rewrite
from mars_engine.augment.generators.passages.writing import PassageWriter, Search
from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest, RefineRequest
from mars_engine.core.config import CausalConfig
from mars_engine.core.errors import ConfigError
from mars_engine.core.progress import Progress
from mars_engine.core.records import GeneratorCard, JsonValue
from mars_engine.embeddings.model_folder import PACKAGED
from mars_engine.embeddings.packaged_lm import PACKAGED_LM


def causal_model(config: CausalConfig, *, progress: Progress, may_download: bool) -> GeneratorModel:
    """Return the causal language model that [causal] names, for whoever writes with it or reads with it."""
    return GeneratorModel(
        PACKAGED_LM if config.model == PACKAGED else config.model,
        kind="causal language model",
        setting="'model' under [causal] in mars.toml",
        progress=progress,
        may_download=may_download,
    )


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

    def _rewrite(
        self, wanted: Sequence[Wanted], search: Callable[[CausalConfig, int], Search], work: str
    ) -> list[Generation]:
        if not wanted:
            return []
        return rewrite(wanted, self._load(), rules_of(self._config, search, work), progress=self._progress)

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
        return settings | {name: getattr(self._config, name) for name in (*MANNER, "precision", *own)}


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
        """Answer each request by the causal model, in order; a text with nothing to rewrite gives a failure."""
        return self._rewrite(paraphrases_wanted(requests), paraphrase_search, "paraphrase")


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
        """Answer each request by the causal model, in order: the tries of the lowest temperature first."""
        return self._rewrite(refinements_wanted(requests), refine_search, "refine")
