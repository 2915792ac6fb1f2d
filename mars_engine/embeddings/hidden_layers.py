"""Hidden states of a transformer's layers, pooled over a text's tokens while the model runs, no further than needed.

Hooks read each layer's output as it comes, whatever the architecture: nothing but the pooled vectors is kept. Where no
later layer is asked for, the pass ends there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mars_engine.core.records import Float32Array, HiddenState

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class _DeepEnough(Exception):  # noqa: N818 (it tells of no error)
    """Ends a forward pass whose later layers nobody needs."""


def find_layers(model: "nn.Module") -> "nn.ModuleList | None":
    """Return a transformer's hidden layers in order, None where it has none that can be told."""
    from torch import nn

    config: Any = getattr(model, "config", None)
    count = getattr(config, "num_hidden_layers", None)
    lists = [each for each in model.modules() if isinstance(each, nn.ModuleList) and len(each) == count]
    return lists[0] if lists else None


class LayerReader:
    """Pools hidden states during one forward pass.

    Args:
        layers: the model's hidden layers.
        states: what is wanted.
        masks: of each kind of tokens, which of a row's tokens count, shape (n, length), 1 or 0 each.
        stop: whether the pass ends after the last layer that is wanted.
    """

    def __init__(
        self,
        layers: "nn.ModuleList",
        states: Sequence[HiddenState],
        masks: "dict[str, Tensor]",
        *,
        stop: bool,
    ) -> None:
        self._layers = layers
        self._states = states
        self._masks = masks
        self._stop = stop
        self._highest = max(state.layer for state in states)
        self.pooled: dict[HiddenState, Tensor] = {}

    @contextmanager
    def reading(self) -> "Iterator[None]":
        """Read while the model runs inside this context."""
        handles = []
        for layer in sorted({state.layer for state in self._states}):
            if layer == 0:
                handles.append(self._layers[0].register_forward_pre_hook(self._read_input, with_kwargs=True))
            else:
                handles.append(self._layers[layer - 1].register_forward_hook(self._read_output(layer)))
        try:
            yield
        except _DeepEnough:
            pass
        finally:
            for handle in handles:
                handle.remove()

    def _read_input(self, _module: "nn.Module", given: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._take(0, given[0] if given else named["hidden_states"])

    def _read_output(self, layer: int) -> Any:
        def read(_module: "nn.Module", _given: Any, output: Any) -> None:
            self._take(layer, output[0] if isinstance(output, tuple) else output)

        return read

    def _take(self, layer: int, hidden: "torch.Tensor") -> None:
        for state in self._states:
            if state.layer == layer:
                self.pooled[state] = _pool(hidden, self._masks[state.tokens], state)
        if self._stop and layer == self._highest:
            raise _DeepEnough

    def rows(self, state: HiddenState) -> Float32Array:
        """Return a state of each row, shape (n, d)."""
        vectors: Float32Array = self.pooled[state].float().cpu().numpy()
        return vectors


def _pool(hidden: "torch.Tensor", mask: "torch.Tensor", state: HiddenState) -> "torch.Tensor":
    import torch

    if state.pooling == "last":
        places = torch.arange(mask.shape[1], device=mask.device)
        last = (mask * places).argmax(dim=1)
        return hidden[torch.arange(len(hidden), device=hidden.device), last] * mask.any(dim=1, keepdim=True)
    weights = mask.to(hidden.dtype)
    summed = torch.einsum("nld,nl->nd", hidden, weights)
    return summed / weights.sum(dim=1, keepdim=True).clamp(min=1.0)
