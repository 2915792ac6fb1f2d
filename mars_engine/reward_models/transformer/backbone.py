"""Loading a transformer with one output: from a backbone, with a fresh head, or from a checkpoint of ours."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.embeddings.passage_tokens import PassageTokenizer, has_chat_template
from mars_engine.embeddings.pretrained import load_tokenizer, most_positions, quiet_transformers
from mars_engine.reward_models.transformer.collator import Padding
from mars_engine.reward_models.transformer.probe_head import load_pooled, start_model
from mars_engine.reward_models.transformer.probe_start import PassageReading, ProbePairs, ProbeStart
from mars_engine.reward_models.transformer.tokenize import PairTokenizer

PAD_TOKEN = "<|pad|>"  # noqa: S105
RECORDED = "mars"
"""The field of a saved model's config.json with its input format and length limit."""


@dataclass(frozen=True)
class Backbone:
    """A transformer with one output, its tokenizer, and what was done to make a reward model of it."""

    model: Any
    pairs: PairTokenizer | ProbePairs
    new_modules: tuple[str, ...]
    """Modules that had no weights in the checkpoint and got random ones: the head, mostly."""
    pad_token_added: bool

    @property
    def tokenizer(self) -> Any:
        return self.pairs.tokenizer

    @property
    def padding(self) -> Padding:
        with_type_ids = "token_type_ids" in self.tokenizer.model_input_names
        return Padding(int(self.tokenizer.pad_token_id), with_type_ids, with_pooled=isinstance(self.pairs, ProbePairs))


def load_backbone(folder: Path, config: RewardModelConfig) -> Backbone:
    """Load a transformer to train, in fp32 whatever it was saved in; a head that it lacks depends on the seed alone.

    Raises:
        ModelError: there is no model or no tokenizer in the folder, it has other than one output, or cannot be padded.
        ConfigError: the length limit or the input format does not fit it.
    """
    recorded = recorded_settings(folder)
    if reads_pooled(recorded):
        raise ConfigError(
            f"the checkpoint {folder} was trained with head = 'probe', and is to be trained with head = 'default'",
            expected="a backbone, or a checkpoint with the default head",
            remedy="name the backbone that it was trained from",
        )
    if recorded and recorded["input_format"] != config.input_format:
        raise ConfigError(
            f"the checkpoint {folder} was trained on the input format {recorded['input_format']!r}, "
            f"and is to be trained on {config.input_format!r}",
            remedy=f'set input_format = "{recorded["input_format"]}" under [reward_model] in mars.toml',
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model, new_modules = _load_model(folder)
        tokenizer = load_tokenizer(folder)
        pad_token_added = _repair_padding(model, tokenizer, folder)
    _require_positions(model, config.max_tokens, folder)
    pairs = PairTokenizer(tokenizer, config.input_format, config.max_tokens)
    return Backbone(model, pairs, new_modules, pad_token_added)


def load_probe_backbone(folder: Path, start: ProbeStart) -> Backbone:
    """Load an encoder to train with the head 'probe', in fp32: cut above the probe's layers, its solution as the head.

    Raises:
        ModelError: there is no model or no tokenizer in the folder, or it lacks weights.
        ConfigError: it is not built like BERT, or the length limit does not fit it.
    """
    _load_config(folder)
    try:
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            encoder, report = AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # safetensors, torch and transformers raise kinds of their own
        raise ModelError(
            f"{folder} cannot be loaded as an encoder: {error}", remedy="name another folder or hub id"
        ) from error
    model = start_model(encoder, start)
    kept = {name.removeprefix(f"{model.base_model_prefix}.") for name in model.state_dict()}
    missing = sorted(kept & set(report["missing_keys"]))
    if missing:
        raise ModelError(f"{folder} lacks weights of {', '.join(missing)}", remedy="save the model there anew")
    _require_positions(model, start.reading.max_tokens, folder)
    backbone = Backbone(model, _probe_pairs(folder, start.reading), (), pad_token_added=False)
    record_settings(backbone)
    return backbone


def load_trained(folder: Path) -> Backbone:
    """Load a checkpoint of ours: it reads what its config.json says it was trained on.

    Raises:
        ModelError: it is no checkpoint of ours, or incomplete.
    """
    recorded = recorded_settings(folder)
    if not recorded:
        raise ModelError(f"{folder} does not say how its model reads pairs", expected="a model that 'mars train' saved")
    if reads_pooled(recorded):
        reading = PassageReading.from_recorded(recorded)
        pooled = load_pooled(folder, _load_config(folder), reading)
        return Backbone(pooled, _probe_pairs(folder, reading), (), pad_token_added=False)
    model, new_modules = _load_model(folder)
    if new_modules:
        raise ModelError(
            f"the checkpoint {folder} lacks weights of {', '.join(new_modules)}", remedy="run 'mars train' again"
        )
    tokenizer = load_tokenizer(folder)
    pairs = PairTokenizer(tokenizer, recorded["input_format"], int(recorded["max_tokens"]))
    return Backbone(model, pairs, (), pad_token_added=False)


def recorded_settings(folder: Path) -> dict[str, Any]:
    """Return how a checkpoint of ours reads pairs, as its config.json says; empty where it is none of ours."""
    return dict(getattr(_load_config(folder), RECORDED, {}))


def record_settings(backbone: Backbone) -> None:
    """Write how the model reads pairs into the config that is saved with it."""
    pairs = backbone.pairs
    settings = (
        pairs.reading.recorded
        if isinstance(pairs, ProbePairs)
        else {"input_format": pairs.input_format, "max_tokens": pairs.max_tokens}
    )
    setattr(backbone.model.config, RECORDED, settings)


def reads_pooled(recorded: Mapping[str, Any]) -> bool:
    """Whether a model's recorded settings say that it has the head 'probe'."""
    return recorded.get("head") == "probe"


def _probe_pairs(folder: Path, reading: PassageReading) -> ProbePairs:
    tokenizer = load_tokenizer(folder)
    return ProbePairs(PassageTokenizer(tokenizer, reading.max_tokens, has_chat_template(folder)), reading)


def head_modules(model: PreTrainedModel) -> list[str]:
    """Return the names of the modules on top of the base model that have weights: the head, of any architecture."""
    return [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]


def add_lora(backbone: Backbone, config: RewardModelConfig, *, frozen_layers: int = 0) -> Any:
    """Return the model with low-rank adapters on the linear layers of its base; head and new modules train whole.

    Args:
        backbone: the model.
        config: rank, scale and dropout of the adapters.
        frozen_layers: blocks from below that get no adapters, so that no gradient is computed in or below them; what
            stands before the first block gets none either then. 0: adapters on all linear layers.

    Raises:
        ModelError: the base has no linear layer.
        ConfigError: it has no block above the frozen ones.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    model = backbone.model
    fresh = {*head_modules(model), *backbone.new_modules}
    whole = sorted(name for name in fresh if not any(name.startswith(f"{other}.") for other in fresh))
    base = model.base_model_prefix
    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))  # the latter in GPT-2 and its kin
        and name.startswith(f"{base}.")
        and not any(name == each or name.startswith(f"{each}.") for each in whole)
    ]
    if not targets:
        raise ModelError(
            f"the base of {type(model).__name__} has no linear layer that an adapter could go on",
            remedy="train it whole: lora = false under [reward_model] in mars.toml",
        )
    adapters = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=_above(targets, frozen_layers),
        modules_to_save=whole,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    with warnings.catch_warnings():  # peft still asks transformers by a name that it is giving up
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return get_peft_model(model, adapters)


def _above(modules: Sequence[str], frozen_layers: int) -> list[str]:
    """Return those of some modules, given from below to above, that stand above the lowest blocks."""
    if frozen_layers == 0:
        return list(modules)
    blocks = [int(found[1]) if (found := re.search(r"\.(\d+)\.", name)) else -1 for name in modules]
    first = next((place for place, block in enumerate(blocks) if block >= frozen_layers), None)
    if first is None:
        raise ConfigError(
            f"frozen_layers = {frozen_layers}, but the backbone has {max(blocks) + 1} layers, so that nothing of it "
            "would be trained",
            expected=f"a number from 0 to {max(blocks)}",
            remedy="lower frozen_layers under [training] of the plan",
        )
    return list(modules[first:])


# ---------------------------------------------------------------------------------------------------------- loading


def _load_config(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder} has no config.json that can be used: {error}",
            expected="a transformer saved by transformers",
            remedy="name another folder or hub id, or save the model there anew",
        ) from error


def _load_model(folder: Path) -> tuple[PreTrainedModel, tuple[str, ...]]:
    config = _load_config(folder)
    is_classifier = any("ForSequenceClassification" in name for name in config.architectures or ())
    if is_classifier and config.num_labels != 1:
        raise ModelError(
            f"the checkpoint {folder} has {config.num_labels} outputs",
            expected="one output, the reward, or a backbone without a head",
            remedy="name a reward model or the backbone it was made from",
        )
    try:
        with quiet_transformers():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder, num_labels=1, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:  # safetensors, torch and transformers raise kinds of their own
        raise ModelError(
            f"{folder} cannot be loaded as a sequence classifier: {error}",
            expected="an architecture that AutoModelForSequenceClassification knows, with its weights",
            remedy="name another folder or hub id, or save the model there anew",
        ) from error
    missing = sorted({key.rpartition(".")[0] for key in report["missing_keys"]})
    return model, tuple(missing)


def _repair_padding(model: PreTrainedModel, tokenizer: Any, folder: Path) -> bool:
    """See to it that padding can be told from text; return whether a token was added for that.

    A decoder reads its reward at the last token that is not the padding token. Where that is also the end token, the
    reward is read before the end, or wherever the last one stood; so it gets a padding token of its own, with a row of
    zeros as its embedding. An encoder goes by the attention mask.
    """
    reads_last_token = hasattr(model, "score")
    if tokenizer.pad_token_id is not None and not (reads_last_token and _is_end(tokenizer, model)):
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        return False
    if not reads_last_token and model.config.get_text_config().pad_token_id is None:
        raise ModelError(
            f"the tokenizer in {folder} has no padding token",
            expected="a padding token, as every encoder was trained with one",
            remedy="save the tokenizer into the folder anew, with its pad_token",
        )
    tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    embeddings: Any = model.get_input_embeddings()
    if len(tokenizer) > embeddings.num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    embeddings = model.get_input_embeddings()
    with torch.no_grad():
        embeddings.weight[tokenizer.pad_token_id] = 0.0
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return True


def _is_end(tokenizer: Any, model: PreTrainedModel) -> bool:
    ends = model.config.get_text_config().eos_token_id
    known = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    return tokenizer.pad_token_id in known


def _require_positions(model: PreTrainedModel, max_tokens: int, folder: Path) -> None:
    """Raise ConfigError where the length limit exceeds the positions that the model knows."""
    positions = most_positions(model)
    if positions is not None and max_tokens > positions:
        raise ConfigError(
            f"max_tokens = {max_tokens}, but {folder} takes {positions} tokens at most",
            expected=f"a number from 16 to {positions}",
            remedy="lower max_tokens under [reward_model] in mars.toml, or under [training] of a plan",
        )
