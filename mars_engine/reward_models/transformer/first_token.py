"""Scoring without what the reward does not depend on, in encoders that read it off the first token."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from mars_engine.reward_models.transformer.backbone import RECORDED, reads_pooled

READ_OFF_FIRST_TOKEN = frozenset({"bert", "camembert", "deberta", "deberta-v2", "electra", "roberta", "xlm-roberta"})
"""Model types whose heads take the first token's state, and whose layers add the residual inside the attention block.

The sequence classification heads in transformers: BertPooler, RobertaClassificationHead, ElectraClassificationHead,
ContextPooler."""


@contextmanager
def last_layer_for_first_token(model: torch.nn.Module) -> Iterator[bool]:
    """While it is entered, the last layer's feed-forward part is computed for the first token alone, where only that is
    read: of a layer's products two thirds, and of all of six layers a ninth. Rewards stay what they are.

    Yields:
        Whether the model is of such a kind; others are left as they are.
    """
    attention = _last_attention(model)
    if attention is None:
        yield False
        return
    handle = attention.register_forward_hook(_keep_first_token)
    try:
        yield True
    finally:
        handle.remove()


def _last_attention(model: torch.nn.Module) -> torch.nn.Module | None:
    """Return the attention block of the last layer, None where the reward is not read off the first token."""
    config = getattr(model, "config", None)
    if getattr(config, "model_type", "") not in READ_OFF_FIRST_TOKEN or reads_pooled(getattr(config, RECORDED, {})):
        return None
    body: Any = getattr(model, str(getattr(model, "base_model_prefix", "")), None)
    layers = getattr(getattr(body, "encoder", None), "layer", None)
    return getattr(layers[-1], "attention", None) if layers else None


def _keep_first_token(_module: torch.nn.Module, _given: Any, output: Any) -> Any:
    if isinstance(output, tuple):
        return (output[0][:, :1], *output[1:])
    return output[:, :1]
