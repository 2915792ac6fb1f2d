"""Training a policy in a workspace: which prompts, which reward models, and where the adapter goes."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mars_engine.align.prompts import (
    PromptSet,
    heldout_prompts,
    leave_out_trained,
    load_prompts,
    trained_pairs,
    trained_prompts,
)
from mars_engine.align.training.facts import TrainedPolicy
from mars_engine.align.training.rewards import PolicyReward, RewardSource
from mars_engine.align.training.training_distance import draw_responses
from mars_engine.augment.workbench import Workbench
from mars_engine.core.records import ModelRecord, Pair, prompt_id
from mars_engine.data.sources import load_sources, standing_pairs, training_set
from mars_engine.reward_models.model_labels import with_distinct_labels
from mars_engine.store import Store
from mars_engine.workspace.named_models import NamedModel, chosen_models, newest_model, open_named_model, scale_of
from mars_engine.workspace.workspace import ARTIFACTS, CHECKPOINTS

POLICIES_FOLDER = f"{ARTIFACTS}/align/policies"


@dataclass(frozen=True, slots=True)
class AlignRequest:
    """What a policy is trained on and against, beside the settings of [align]."""

    reward_models: tuple[str, ...] = ()
    """Ids or labels; empty: the newest."""
    gold: tuple[str, ...] = ()
    """Reward models that are asked and not trained on: ids or labels, other workspaces, folders or hub ids."""
    prompts: str = ""
    """A file of prompts; empty: those of the held-out pairs."""
    include_trained: bool = False


def align_policy(
    bench: Workbench, root: Path, request: AlignRequest, *, say: Callable[[str], None] = lambda _: None
) -> TrainedPolicy:
    """Train the policy of the settings; see `train_policy`.

    Raises:
        NotReadyError: there is no reward model, or no prompt is left.
        LoadError: the file of prompts cannot be read.
        MarsError: as `train_policy`.
    """
    from mars_engine.align.training.train import PolicyTask, train_policy  # torch and transformers take seconds

    config = bench.config.align
    records = chosen_models(bench, request.reward_models) if request.reward_models else [newest_model(bench)]
    prompts = _prompts(bench.store, request, records)
    for reason, count in prompts.left_out.items():
        say(f"left out: {count:,} × {reason}")
    is_on_pairs = config.method == "dpo" and config.dpo_pairs == "training"
    with ExitStack() as stack:
        gold = [stack.enter_context(open_named_model(bench, name, role="gold model")) for name in request.gold]
        asked = [prompt_id(prompt) for prompt in prompts.prompts]
        for remark in (each for model in gold for each in model.prompts_seen(asked, role="gold model")):
            say(remark)
        task = PolicyTask(
            prompts=prompts.prompts,
            reward=PolicyReward(_sources(bench, records), config.reward),
            gold=_together(gold),
            pairs=_training_pairs(bench, records[-1]) if is_on_pairs else (),
            trained_on=draw_responses(trained_pairs(bench.store, records), seed=config.seed),
            encoder=bench.encoder,
        )
        return train_policy(
            config,
            task,
            policies=root / POLICIES_FOLDER,
            checkpoints=root / ARTIFACTS / CHECKPOINTS,
            progress=bench.progress,
            add_point=bench.add_point,
            say=say,
        )


def _together(gold: Sequence[NamedModel]) -> PolicyReward | None:
    scales = [model.read_scale() if len(gold) > 1 else (0.0, 1.0) for model in gold]
    sources = [RewardSource(model.label, model.model, *scale) for model, scale in zip(gold, scales, strict=True)]
    return PolicyReward(tuple(sources), "mean") if sources else None


def _prompts(store: Store, request: AlignRequest, records: Sequence[ModelRecord]) -> PromptSet:
    prompts = load_prompts(request.prompts) if request.prompts else heldout_prompts(store)
    return prompts if request.include_trained else leave_out_trained(prompts, trained_prompts(store, records))


def _sources(bench: Workbench, records: Sequence[ModelRecord]) -> tuple[RewardSource, ...]:
    """Load reward models; several are brought to one scale, by their rewards of the workspace's own pairs."""
    return tuple(
        RewardSource(
            named.label,
            bench.shelf.load(record),
            *(scale_of(bench.store, record) if len(records) > 1 else (0.0, 1.0)),
        )
        for record, named in zip(records, with_distinct_labels(records), strict=True)
    )


def _training_pairs(bench: Workbench, record: ModelRecord) -> tuple[Pair, ...]:
    """Return what the reward model was trained on, composed pairs among it, each with its likelier side as chosen."""
    sources = load_sources(bench.store, bench.config.triage)
    composed = standing_pairs(bench.store, record.composition_id, sources) if record.composition_id else []
    examples = training_set(sources, composed)
    return tuple(
        pair if sure >= 0.5 else pair.exchanged
        for pair, sure in zip(examples.pairs, examples.label_confidence, strict=True)
    )
