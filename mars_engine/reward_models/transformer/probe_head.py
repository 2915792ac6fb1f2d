"""The head 'probe': a linear reward on the mean of the tokens' hidden states at a lower layer, layers above cut away.

In a saved model the encoder's weights have the names that transformers gives them, so that `AutoModel` loads them; the
head stands beside them as `reward_head.weight`. No class of transformers has such a head.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.reward_models.transformer.probe_start import PassageReading, ProbeStart

WEIGHTS_FILE = "model.safetensors"


class PooledRewardModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """An encoder up to some layer, and a linear head on pooled hidden states.

    Args:
        encoder: a transformer whose layers stand in `encoder.layer`; it is cut and becomes a part of this model.
        layers: the hidden layers that the head looks at, side by side; those above the highest are cut away.
    """

    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # whichever the encoder chose for itself

    def __init__(self, encoder: PreTrainedModel, layers: tuple[int, ...]) -> None:
        super().__init__(encoder.config)
        cut_above(encoder, layers[-1])
        self.base_model_prefix = encoder.base_model_prefix  # so that AutoModel knows the encoder's weights
        setattr(self, self.base_model_prefix, encoder)
        width = encoder.config.hidden_size * len(layers)
        self.reward_head = nn.Linear(width, 1, bias=False)
        self._layers = layers
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Leave all weights as they are: the encoder's were loaded, the head's come from the probe."""

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pooled: Tensor, **_unused: Any
    ) -> SequenceClassifierOutput:
        """Return rewards as logits, shape (n, 1).

        Args:
            input_ids: token ids, shape (n, length).
            attention_mask: 1 for tokens, 0 for padding.
            pooled: 1 for the tokens whose states are averaged, else 0.
        """
        encoder: Any = getattr(self, self.base_model_prefix)
        states = encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True).hidden_states
        weights = pooled.to(states[0].dtype)
        count = weights.sum(dim=1, keepdim=True).clamp(min=1.0)
        means = [torch.einsum("nld,nl->nd", states[layer], weights) / count for layer in self._layers]
        return SequenceClassifierOutput(logits=self.reward_head(torch.cat(means, dim=1)))


def cut_above(encoder: PreTrainedModel, highest: int) -> None:
    """Cut the layers of a transformer to fine-tune above the highest that its probe head reads, and its pooler.

    Raises:
        ConfigError: its layers do not stand where those of BERT and its kin do, or there are fewer.
    """
    stack: Any = getattr(encoder, "encoder", None)
    layers = getattr(stack, "layer", None)
    count = encoder.config.num_hidden_layers
    if not isinstance(layers, nn.ModuleList) or len(layers) != count or getattr(encoder.config, "is_decoder", False):
        raise ConfigError(
            f"head = 'probe' cannot cut a {type(encoder).__name__}",
            expected="an encoder built like BERT: BERT, RoBERTa, XLM-RoBERTa, ELECTRA, DeBERTa, MPNet",
            remedy="name another backbone, or set head = 'default' under [reward_model] in mars.toml",
        )
    if highest > count:
        raise ConfigError(f"the head looks at layer {highest}, and the encoder has {count}")
    stack.layer = layers[:highest]
    encoder.config.num_hidden_layers = highest
    if getattr(encoder, "pooler", None) is not None:
        encoder.register_module("pooler", None)


def start_model(encoder: PreTrainedModel, start: ProbeStart) -> PooledRewardModel:
    """Return an encoder with the probe's solution as its head."""
    model = PooledRewardModel(encoder, start.reading.text.layers)
    with torch.no_grad():
        model.reward_head.weight.copy_(torch.from_numpy(start.weights)[None])
    return model


def load_pooled(folder: Path, config: Any, reading: PassageReading) -> PooledRewardModel:
    """Load a saved model, to the bit.

    Raises:
        ModelError: weights are missing, damaged or of other shapes.
    """
    with torch.random.fork_rng(devices=[]):
        encoder = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
        model = PooledRewardModel(encoder, reading.text.layers)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the weights in {folder} cannot be loaded: {error}", remedy="run 'mars train' to train the model again"
        ) from error
    return model
