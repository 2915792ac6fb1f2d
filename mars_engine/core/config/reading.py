"""Settings of what people read and look at: the order of review, comparisons of models, the map."""

from typing import Annotated, Literal

from pydantic import Field

from mars_engine.core.config.section import Section

ReviewOrder = Literal["plan", "margin", "gain", "distance", "random"]


class ReviewConfig(Section):
    """How people share the reading of pairs and proposals."""

    order: ReviewOrder = "plan"
    """What is read first: as the 'plan' spends the budget (most first, suspects first in Check); by lowest 'margin'; by
    most expected information ('gain': what a proposal adds to the live probe's curvature beside what is accepted,
    weighed by how likely its kind is accepted); by most contrast lost ('distance'); or by chance ('random'). Check
    knows plan, margin and random. In a simulation on real pairs no order, not even gain, was shown to train a more
    accurate probe than chance at equal numbers of accepted proposals."""
    overlap_percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Share of the items that two people read, in percent, to measure agreement."""
    lease_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 10
    """How long an item is kept for the person who reads it, in minutes."""


class EvaluateConfig(Section):
    """How reward models are compared on held-out pairs."""

    resamples: Annotated[int, Field(ge=100)] = 10_000
    """Resamples of the bootstrap intervals."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Level of the intervals."""
    calibration_bins: Annotated[int, Field(ge=2)] = 10
    """Equal-width bins of the expected calibration error."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the resampling."""


class MapConfig(Section):
    """The semantic map: where pairs lie by what they say, made once and kept."""

    neighbours: Annotated[int, Field(ge=2, le=200)] = 15
    """Neighbours UMAP looks at: few show small groups, many show the whole."""
    min_dist: Annotated[float, Field(ge=0, le=0.99)] = 0.1
    """How close UMAP may put two points; small makes dense groups."""
    fit_pairs: Annotated[int, Field(ge=15)] = 20_000
    """Most pairs that a map is fitted on; the others are placed into it."""
    clusters: Annotated[int, Field(ge=1, le=100)] = 12
    """Most clusters that are named on a map."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Seed of the sample, of UMAP and of the clusters."""
