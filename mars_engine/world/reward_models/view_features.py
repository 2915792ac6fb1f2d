"""Features of dropout views: several Δφ of one pair, from views of its two responses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.maths.composition import ORIGINAL, spread_cells
from mars_engine.words.config import ProbeConfig
from mars_engine.words.protocols import Encoder, Progress
from mars_engine.words.records import FloatArray, Pair
from mars_engine.world.reward_models.features import pair_features


@dataclass(frozen=True)
class DropoutViewFeatures:
    """Pairs up views of a pair's two responses. The encoder's rows are a passage's views side by side."""

    config: ProbeConfig
    encoder: Encoder
    views: int

    @property
    def most(self) -> int:
        """How many different differences a pair has: each view of one side with each of the other."""
        return self.views**2

    def feature_differences(self, pairs: Sequence[Pair], count: int, *, progress: Progress) -> FloatArray:
        """Return `count` differences of each pair, at most `most`, spread over the views: shape (n, count, d)."""
        features = pair_features(self.encoder, pairs, self.config.features, progress=progress)
        chosen, rejected = self._by_view(features.chosen), self._by_view(features.rejected)
        cells = [ORIGINAL, *spread_cells(self.views - 1, self.views - 1)][:count]
        return np.stack([chosen[:, first] - rejected[:, second] for first, second in cells], axis=1)

    def _by_view(self, rows: FloatArray) -> FloatArray:
        """Return features by view, shape (n, views, d), from rows whose kinds of features stand side by side."""
        kinds = 2 if self.config.features == "both" else 1
        by_kind = rows.reshape(len(rows), kinds, self.views, -1)
        return np.moveaxis(by_kind, 1, 2).reshape(len(rows), self.views, -1)
