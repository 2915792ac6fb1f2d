"""The plan of a comparison by policies: reward models × seeds × ways to align, and every setting that counts."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from mars_engine.core.config import AlignConfig, say_complaints
from mars_engine.experiments.plan import DatasetPlan, ExperimentPlan, Matching, Method, MethodsPlan, load_plan

Way = Literal["dpo", "rloo", "grpo", "ppo", "best-of-n"]
BEST_OF_N: Way = "best-of-n"
WAY_NOTES: dict[Way, str] = {
    "dpo": "trained by DPO on the best and the worst of the policy's own completions, by the reward",
    "rloo": "trained by RLOO",
    "grpo": "trained by GRPO",
    "ppo": "trained by PPO",
    "best-of-n": "not trained: of n answers of the reference, the reward model picks the best",
}
WORKSPACE = "the workspace"
EXAMPLE = "data/align/packaged-lm-plan.toml"


class AlignmentPlan(MethodsPlan):
    """Reward models of several methods, trained on a workspace's pairs, and the policies that come of them."""

    judge: Annotated[str, Field(min_length=1)]
    """Who says which answer is better: a reward model of the workspace (id or label), another workspace, whose newest
    model judges, a folder, or a hub id."""
    methods: tuple[Method, ...] = ("none", "uniform", "west_of_n", "mars_signed", "mars_triage")
    """What makes the reward models' training sets."""
    ways: tuple[Way, ...] = ("rloo",)
    """How a policy comes of a reward model: trained by 'dpo', 'rloo', 'grpo' or 'ppo', or untrained by 'best-of-n'."""
    base_pairs: Annotated[int, Field(ge=0)] = 0
    """Training pairs of the workspace that are drawn under each seed; 0: all."""
    matching: Matching = "steps"
    """What is held equal between the methods as heads are trained, as in experiments."""
    prompts: str = ""
    """A file of prompts, beside the plan or as 'mars align --prompts' has it; empty: those of the held-out pairs."""
    n: Annotated[int, Field(ge=2, le=1024)] = 8
    """Under 'best-of-n', answers to each prompt."""
    align: AlignConfig = AlignConfig()
    """Settings of the alignment, as in mars.toml; its method and seed are decided by `ways` and `seeds`."""

    @model_validator(mode="after")
    def _can_be_compared(self) -> Self:
        decided = {"method", "seed"} & self.align.model_fields_set
        if decided:
            raise ValueError(f"align.{' and align.'.join(sorted(decided))}: left to 'ways' and 'seeds', leave it out")
        if "dpo" in self.ways and self.align.dpo_pairs == "training":
            raise ValueError('align.dpo_pairs = "training" asks no reward model, so that none could be compared')
        if BEST_OF_N in self.ways and self.align.template == "plain":
            raise ValueError('ways names "best-of-n", which asks in the chat template: leave out align.template')
        if self.training.takes_lora:
            raise ValueError("training.backbone is named, but the reward models compared are heads: leave it out")
        if "judge" in self.methods:
            raise ValueError('methods names "judge", which needs labels that are known to be wrong: leave it out')
        if "self_training" in self.methods and not self.base_pairs:
            raise ValueError('methods names "self_training", which needs pairs beside the base pairs: name base_pairs')
        for way in set(self.ways) - {BEST_OF_N}:
            try:
                self.align_settings(way, 0)
            except ValidationError as error:
                raise ValueError(f"align, under {way}: {say_complaints(error)}") from error
        return self

    def align_settings(self, way: Way, seed: int) -> AlignConfig:
        """Return the settings of one policy's training."""
        return AlignConfig.model_validate(self.align.model_dump() | {"method": way, "seed": seed})

    def heads(self, pairs: int) -> ExperimentPlan:
        """Return the plan by which an experiment trains these heads on a workspace with so many training pairs."""
        dataset = DatasetPlan(
            name=WORKSPACE, paths=(WORKSPACE,), heldout_paths=(WORKSPACE,), base_pairs=self.base_pairs or pairs
        )
        shared = {name: getattr(self, name) for name in MethodsPlan.model_fields}
        return ExperimentPlan(**shared, datasets=(dataset,), matchings=(self.matching,))


def load_alignment_plan(path: Path) -> AlignmentPlan:
    """Read a plan; see `load_plan`."""
    return load_plan(path, AlignmentPlan, example=EXAMPLE)
