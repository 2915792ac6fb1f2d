"""A sequence-to-sequence model as paraphraser and as refiner. Nothing heavy is loaded before they write."""

from collections.abc import Mapping, Sequence
from typing import Any

from mars_engine.augment.generators.generator_model import GeneratorModel
from mars_engine.augment.generators.passages.rewriting import Rules, Wanted, rewrite
from mars_engine.augment.generators.passages.writing import PassageWriter, Search
from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest, RefineRequest
from mars_engine.core.config import Seq2SeqConfig
from mars_engine.core.errors import ConfigError
from mars_engine.core.progress import Progress
from mars_engine.core.records import GeneratorCard, JsonValue, as_paragraphs

PARAPHRASING = ("prefix", "decoding", "beams", "spare", "max_tokens")
SEARCHING = {
    "diverse": ("diversity_penalty",),
    "beam": (),
    "sample": ("temperature", "top_p"),
}
REFINING = ("spare", "temperature", "refiner_temperature", "top_p")
COMMON = ("no_repeat_ngram", "list_items", "min_length_percent", "precision")
"""Settings that texts depend on; batch_tokens and device are none of them."""


class Seq2SeqModel(GeneratorModel):
    """A sequence-to-sequence model that is named by a setting, and the model itself once it is needed.

    Args:
        name: its folder or hub id.
        setting: where it is named, as errors say it.
        config: how and where it runs.
        progress: shows a download.
        may_download: whether a hub id may be downloaded.

    Raises:
        ModelError: at first use, when there is no such model, or it is no sequence-to-sequence model.
    """

    def __init__(
        self, name: str, *, setting: str, config: Seq2SeqConfig, progress: Progress, may_download: bool
    ) -> None:
        super().__init__(
            name,
            kind="sequence-to-sequence model",
            setting=f"{setting!r} under [seq2seq] in mars.toml",
            progress=progress,
            may_download=may_download,
        )
        self._config = config

    def load(self, most_tokens: int, *, limit_setting: str) -> PassageWriter:
        """Return the sequence-to-sequence model, loaded.

        Raises:
            ConfigError: it cannot read so many tokens at once as the setting says.
        """
        from mars_engine.augment.generators.seq2seq.model import load_writer

        config = self._config
        writer = load_writer(
            self.folder, device=config.device, precision=config.precision, batch_tokens=config.batch_tokens
        )
        if writer.most_tokens is not None and most_tokens > writer.most_tokens:
            raise ConfigError(
                f"seq2seq.{limit_setting} = {most_tokens}, but {self.name} reads {writer.most_tokens} tokens at most",
                expected=f"a number from 16 to {writer.most_tokens}",
                remedy=f"lower {limit_setting} under [seq2seq] in mars.toml",
            )
        return writer


class Seq2SeqParaphraser:
    """Paraphrases with a sequence-to-sequence model, passage by passage.

    Guarantees: nothing of a text is cut; code, formulas, addresses, list marks, tables, quoted lines, headings and the
    space between paragraphs stay to the letter; the same request gets the same answer in any batch.

    Args:
        config: the model, and how it decodes.
        progress: shows how far the work has come.
        may_download: whether a model of the hub may be downloaded.
    """

    def __init__(self, config: Seq2SeqConfig, *, progress: Progress, may_download: bool = True) -> None:
        self._config, self._progress = config, progress
        self._model = Seq2SeqModel(
            config.model, setting="model", config=config, progress=progress, may_download=may_download
        )

    @property
    def card(self) -> GeneratorCard:
        names = (*PARAPHRASING, *SEARCHING[self._config.decoding], *COMMON)
        return GeneratorCard(
            name="seq2seq-paraphraser",
            version="1",
            settings=_settings(self._model, self._config, names),
            stand_in=False,
            note="a sequence-to-sequence model that rewrites sentences; it knows neither the prompt nor the other "
            "answer, and keeps code, lists, tables and headings as they are",
        )

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        """Answer each request by a sequence-to-sequence model, in order; one with nothing to rewrite is a failure."""
        if not requests:
            return []
        config = self._config
        writer = self._model.load(config.max_tokens, limit_setting="max_tokens")
        wanted = [
            Wanted(each.key, each.text, each.count, each.seed, lambda passage: f"{config.prefix}{passage}")
            for each in requests
        ]
        rules = Rules(
            most_tokens=config.max_tokens,
            list_items=config.list_items,
            min_length_percent=config.min_length_percent,
            instructions=(config.prefix,),
            search=lambda count: paraphrase_search(config, count),
            work="paraphrase",
        )
        return rewrite(wanted, writer, rules, progress=self._progress)


class Seq2SeqRefiner:
    """Rewrites one side of a pair with a sequence-to-sequence model, bolder at every try.

    Without a template the model is asked for a paraphrase: it sees the passage alone, and what it offers differs from
    the other answer by chance, the more the higher the temperature. With a template the model is told of the prompt and
    of the other answer; whether it heeds them is the model's affair. Neither can tell which answer is the better one:
    that it stays so is for the gates and for people to see.

    Args:
        config: the model, its template, and how it decodes.
        progress: shows how far the work has come.
        may_download: whether a model of the hub may be downloaded.
    """

    def __init__(self, config: Seq2SeqConfig, *, progress: Progress, may_download: bool = True) -> None:
        self._config, self._progress = config, progress
        name, setting = (config.refiner_model, "refiner_model") if config.refiner_model else (config.model, "model")
        self._model = Seq2SeqModel(name, setting=setting, config=config, progress=progress, may_download=may_download)

    @property
    def card(self) -> GeneratorCard:
        template = self._config.refiner_template
        names = ("refiner_template", "refiner_max_tokens") if template else ("prefix", "max_tokens")
        seen = (
            "it is told of the prompt and the other answer as its template says, and may not heed them"
            if template
            else "it sees neither the prompt nor the other answer, and differs from it by chance"
        )
        return GeneratorCard(
            name="seq2seq-refiner",
            version="1",
            settings=_settings(self._model, self._config, (*names, *REFINING, *COMMON)),
            stand_in=False,
            note=f"a sequence-to-sequence model that rewrites one answer, drawn bolder at every try; {seen}. It cannot "
            "tell which answer is the better one",
        )

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        """Answer each request by a sequence-to-sequence model, in order: the tries of the lowest temperature first."""
        if not requests:
            return []
        config = self._config
        limit = "refiner_max_tokens" if config.refiner_template else "max_tokens"
        most_tokens = config.refiner_max_tokens if config.refiner_template else config.max_tokens
        writer = self._model.load(most_tokens, limit_setting=limit)
        template = config.refiner_template or f"{_escaped(config.prefix)}{{answer}}"
        rules = Rules(
            most_tokens=most_tokens,
            list_items=config.list_items,
            min_length_percent=config.min_length_percent,
            instructions=(config.refiner_template.split("{")[0] or config.prefix,),
            search=lambda count: refine_search(config, count),
            work="refine",
        )
        return rewrite([_wanted(each, template) for each in requests], writer, rules, progress=self._progress)


def paraphrase_search(config: Seq2SeqConfig, count: int) -> Search:
    """Return how so many paraphrases are looked for."""
    candidates = max(config.beams, count + config.spare)
    return Search(
        decoding=config.decoding,
        temperatures=(config.temperature,) * candidates,
        top_p=config.top_p,
        diversity_penalty=config.diversity_penalty,
        no_repeat_ngram=config.no_repeat_ngram,
    )


def refine_search(config: Seq2SeqConfig, count: int) -> Search:
    """Return how so many tries of refining are drawn: at temperatures that rise evenly from the first to the last."""
    last = max(1, count + config.spare - 1)
    rise = config.refiner_temperature - config.temperature
    return Search(
        decoding="sample",
        temperatures=tuple(config.temperature + rise * place / last for place in range(last + 1)),
        top_p=config.top_p,
        diversity_penalty=config.diversity_penalty,
        no_repeat_ngram=config.no_repeat_ngram,
    )


def _wanted(request: RefineRequest, template: str) -> Wanted:
    answer, other = (
        (request.chosen, request.rejected) if request.side == "chosen" else (request.rejected, request.chosen)
    )
    prompt = as_paragraphs(request.prompt)
    return Wanted(
        request.key,
        answer,
        request.count,
        request.seed,
        lambda passage: template.format(prompt=prompt, answer=passage, other=other),
    )


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _settings(model: Seq2SeqModel, config: Seq2SeqConfig, names: Sequence[str]) -> Mapping[str, JsonValue]:
    settings: dict[str, Any] = {"model": model.short_name, "weights": model.fingerprint}
    return settings | {name: getattr(config, name) for name in names}
