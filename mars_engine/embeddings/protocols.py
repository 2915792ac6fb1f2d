"""What a sentence encoder promises: the packaged one, one by name, or the fake of a test."""

from collections.abc import Sequence
from typing import Protocol

from mars_engine.core.progress import Progress
from mars_engine.core.records import Embeddings, HiddenState, Passage, Prompt


class Encoder(Protocol):
    """Turns passages into sentence embeddings, and into hidden states of its lower layers."""

    @property
    def fingerprint(self) -> str:
        """Identifies weights, pooling and length limit: equal fingerprints give equal embeddings."""
        ...

    @property
    def depth(self) -> int:
        """The number of the last hidden layer, 0 where hidden layers cannot be read."""
        ...

    def encode(self, passages: Sequence[Passage], *, progress: Progress) -> Embeddings:
        """Return one sentence embedding of unit length for each passage, in order.

        Batching never changes a value by more than 1e-6.
        """
        ...

    def hidden_states(
        self, passages: Sequence[Passage], states: Sequence[HiddenState], *, progress: Progress
    ) -> Embeddings:
        """Return the hidden states of each passage side by side, one row for each passage, shape (n, len(states)·d).

        They are kept as float16, so that a value is exact to a 2,048th of itself.

        Raises:
            ModelError: the encoder has no such layer.
        """
        ...

    def context_of(self, prompt: Prompt) -> str:
        """Return a prompt as the text before a response, in the model's own chat template where it has one."""
        ...
