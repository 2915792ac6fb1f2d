"""Features of dropout views: several Δφ of one pair, from views of its two responses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.augment.composition import ORIGINAL, spread_cells
from mars_engine.core.progress import Progress
from mars_engine.core.records import FloatArray, Pair
from mars_engine.embeddings.protocols import Encoder
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.protocols import LinearTrainer


@dataclass(frozen=True)
class DropoutViewFeatures:
    """Pairs up views of a pair's two responses. The encoder's rows are a passage's views side by side."""

    encoder: Encoder
    views: int

    @property
    def most(self) -> int:
        """How many different differences a pair has: each view of one side with each of the other."""
        return self.views**2

    def feature_differences(
        self, pairs: Sequence[Pair], count: int, *, like: LinearTrainer, progress: Progress
    ) -> FloatArray:
        """Return `count` differences of each pair, at most `most`, spread over the views: shape (n, count, d).

        Raises:
            TypeError: the features that they are to be like are not a probe's.
            NotReadyError: no features were chosen yet.
        """
        if not isinstance(like, ProbeTrainer):
            raise TypeError(f"dropout views have the features of a probe, not of {type(like).__name__}")
        features = like.features
        raw = features.text.of(self.encoder, pairs, progress=progress)
        blocks = max(1, len(features.text.layers))
        chosen, rejected = (self._by_view(rows, blocks) for rows in (raw.chosen, raw.rejected))
        cells = [ORIGINAL, *spread_cells(self.views - 1, self.views - 1)][:count]
        differences = np.stack([chosen[:, first] - rejected[:, second] for first, second in cells], axis=1)
        return np.asarray(differences / (features.scale * np.sqrt(features.width)), dtype=np.float64)

    def _by_view(self, rows: FloatArray, blocks: int) -> FloatArray:
        """Return vectors by view, shape (n, views, d), from rows of layers, each layer with its views side by side."""
        by_layer = rows.reshape(len(rows), blocks, self.views, -1)
        return np.moveaxis(by_layer, 1, 2).reshape(len(rows), self.views, -1)
