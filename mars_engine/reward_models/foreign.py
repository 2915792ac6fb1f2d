"""Reward models that others trained: any `AutoModelForSequenceClassification` with one output and its weights whole.

A checkpoint whose tokenizer has a chat template reads the template's text as the official RewardBench tool reads it:
tokenized like any text, with the special tokens that the tokenizer adds, and one begin token where both write one.
Training with a template, in contrast, adds none (see tokenize.py), as TRL does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mars_engine.core.config import InputFormat, RewardModelConfig
from mars_engine.core.errors import ModelError
from mars_engine.core.records import Prompt
from mars_engine.embeddings.devices import find_device
from mars_engine.embeddings.model_folder import find_model_folder, fingerprint_folder
from mars_engine.embeddings.pretrained import most_positions
from mars_engine.reward_models.answer_text import AnswerText, PlainText, TemplateText
from mars_engine.reward_models.features import Reading
from mars_engine.reward_models.transformer.backbone import load_backbone, recorded_settings
from mars_engine.reward_models.transformer.model import TransformerRewardModel, load_reward_model
from mars_engine.reward_models.transformer.tokenize import PairTokenizer, _Tokens

SHORTEST = 16
"""Tokens; what every model takes, asked for until it is known how many this one takes."""


@dataclass(frozen=True)
class ForeignModel:
    """A reward model from a folder or the hub, and how it reads."""

    model: TransformerRewardModel
    text: AnswerText
    input_format: InputFormat | Reading
    max_tokens: int
    pad_token_added: bool
    """Whether it padded with its end token and was given a padding token of its own."""


def load_foreign_model(
    name: str,
    *,
    max_tokens: int,
    batch_tokens: int,
    device: str,
    input_format: InputFormat | None = None,
) -> ForeignModel:
    """Load a reward model from a folder or the hub, to score with; one that `mars train` saved reads as it records.

    Args:
        name: a folder or a hub id.
        max_tokens: longest prompt and response in tokens; less where it takes fewer.
        batch_tokens: token budget of one batch.
        device: "cpu", "cuda" or "auto".
        input_format: how it reads prompt and response; None for its chat template, or as a text pair where it has none.

    Raises:
        ModelError: there is no such model, it has other than one output, lacks weights, or has no chat template
            where that is asked for.
    """
    folder = find_model_folder(
        name,
        purpose="reward model",
        expected="the id of a model of the workspace, a folder with a checkpoint, or a hub id such as owner/name",
        setting="--model",
    )
    if recorded_settings(folder):
        own = load_reward_model(fingerprint_folder(folder), folder, device=device, batch_tokens=batch_tokens)
        pairs = own.backbone.pairs
        return ForeignModel(own, answer_text(own), pairs.input_format, pairs.max_tokens, pad_token_added=False)
    backbone = load_backbone(folder, RewardModelConfig(input_format="pair", max_tokens=SHORTEST))
    if backbone.new_modules:
        raise ModelError(
            f"{name} is no reward model: it has no weights of {', '.join(backbone.new_modules)}",
            expected="a checkpoint with a trained head of one output",
            remedy="name a reward model, or train one on it by 'mars train --backbone'",
        )
    input_format = input_format or ("chat" if backbone.tokenizer.chat_template else "pair")
    max_tokens = min(max_tokens, most_positions(backbone.model) or max_tokens)
    pairs = _reader(backbone.tokenizer, input_format, max_tokens)
    backbone.model.to(find_device(device, section="reward_model"))
    model = TransformerRewardModel(
        id=fingerprint_folder(folder, beside=f"{input_format}:{max_tokens}"),
        backbone=replace(backbone, pairs=pairs),
        batch_tokens=batch_tokens,
    )
    return ForeignModel(model, answer_text(model), input_format, max_tokens, backbone.pad_token_added)


def answer_text(model: TransformerRewardModel) -> AnswerText:
    """Return what writes a dialogue as a transformer reads it."""
    pairs = model.backbone.pairs
    return TemplateText(pairs.tokenizer) if pairs.input_format == "chat" else PlainText(pairs.input_format)


def _reader(tokenizer: Any, input_format: InputFormat, max_tokens: int) -> PairTokenizer:
    if input_format != "chat":
        return PairTokenizer(tokenizer, input_format, max_tokens)
    if not tokenizer.chat_template:
        raise ModelError(
            "the checkpoint's tokenizer has no chat template",
            expected="--format pair or --format concat",
            remedy="choose the one that the model was trained on",
        )
    return TemplateReader(tokenizer, "chat", max_tokens)


class TemplateReader(PairTokenizer):
    """Reads the text of the chat template with the tokenizer's special tokens around it."""

    def _tokens(self, texts: Sequence[tuple[Prompt, str]]) -> list[_Tokens]:
        begin = self.tokenizer.bos_token
        writes_begin = bool(begin) and self.tokenizer("").input_ids[:1] == [self.tokenizer.bos_token_id]
        written = [self._chat(*text) for text in texts]
        if writes_begin:
            written = [_without(begin, *each) for each in written]
        return self._joined_tokens(written, add_special_tokens=True)


def _without(beginning: str, text: str, start: int, end: int) -> tuple[str, int, int]:
    """Return a text without its beginning, and where the response then stands."""
    if not text.startswith(beginning):
        return text, start, end
    return text[len(beginning) :], start - len(beginning), end - len(beginning)
