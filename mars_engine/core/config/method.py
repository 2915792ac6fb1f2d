"""Settings of the method's steps: what is suspected, how the budget is shared out, what is composed."""

from typing import Annotated, Literal

from pydantic import Field

from mars_engine.core.config.section import Section

AllocationLaw = Literal["signed", "absolute", "fisher", "uniform"]
LAWS: tuple[AllocationLaw, ...] = ("signed", "absolute", "fisher", "uniform")
MarginScale = Literal["raw", "standard"]
TriagePolicy = Literal["ask", "judge", "keep", "leave_out", "smooth", "flip"]
MarginRule = Literal["suspected", "negative"]
OpinionShown = Literal["after", "before", "never"]
GateRule = Literal["mean", "quantile", "fixed"]


class TriageConfig(Section):
    """Telling suspected mislabels from hard pairs, by margins of models that never saw the pair."""

    policy: TriagePolicy = "ask"
    """What happens to suspected mislabels: 'ask' a person (no budget until decided), ask a 'judge' first and a person
    only where it does not agree with the out-of-fold margin, 'keep' as they are, 'leave_out', 'smooth' the label, or
    'flip' it."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Folds of the out-of-fold margins; pairs of one prompt share a fold."""
    seeds: Annotated[int, Field(ge=1)] = 5
    """How many times the folds are drawn anew."""
    near_zero: Annotated[float, Field(ge=0)] = 0.25
    """A mean margin within this many standard deviations of 0 counts as hard, not as suspected."""
    smoothing: Annotated[float, Field(ge=0, le=0.5)] = 0.3
    """Under 'smooth', the probability given to the other side."""


class JudgeConfig(Section):
    """A judge that gives a second opinion on the labels of source pairs."""

    by: str = ""
    """Who judges: 'chat' (judge_model under [chat]; two requests a pair), 'causal' (the model under [causal], by the
    likelihood of A and B), 'recorded' (opinions taken from a file), or a reward model: its id or label in the
    workspace, a folder, or a hub id. Empty means nobody."""
    shown: OpinionShown = "after"
    """When a card in Check shows what judges say: 'after' one's own decision, so that it sways nobody, 'before' it, or
    'never'."""
    margin: MarginRule = "suspected"
    """When the out-of-fold margin calls a label wrong, for the policy 'judge': where triage has 'suspected' it, or
    where the mean margin is 'negative'."""


class AllocationConfig(Section):
    """How the augmentation budget is spread over the source pairs."""

    law: AllocationLaw = "signed"
    """'signed' softmax(-tau*margin), 'absolute' softmax(-tau*|margin|), 'fisher' p(1-p) with p = sigmoid(margin), or
    'uniform'."""
    tau: Annotated[float, Field(ge=0)] = 0.5
    """Sharpness of the softmax laws; 0 is uniform."""
    scale: MarginScale = "raw"
    """'raw' margins, or 'standard': divided by their standard deviation (tau is not scale-free)."""
    budget: Annotated[int, Field(ge=0)] = 0
    """New pairs in all, B; 0 means budget_per_pair times the number of source pairs."""
    budget_per_pair: Annotated[float, Field(gt=0)] = 5.0
    """New pairs per source pair where budget is 0."""
    cap: Annotated[int, Field(ge=0)] = 0
    """Most new pairs of one source pair, the excess handed on; 0 means no cap."""


class GateConfig(Section):
    """Whether a pair's two answers are far enough apart to be paraphrased as they are."""

    rule: GateRule = "mean"
    """Threshold: the 'mean' distance, a 'quantile' of the distances, or a 'fixed' value."""
    quantile: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Which quantile, under rule 'quantile'."""
    threshold: Annotated[float, Field(ge=0, le=2)] = 0.3
    """Which distance (1 - cosine, 0 to 2), under rule 'fixed'."""


class ComposeConfig(Section):
    """How approved variants become training pairs."""

    cumulative: bool = True
    """Keep the new pairs of earlier rounds (cumulative) or replace them."""
    vary_prompt: bool = True
    """Use the paraphrased prompt of a variant too, not only its answers."""
