"""Training a policy, from the settings to the adapter that is kept, in reading order."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from mars_engine.align.training.best_and_worst import best_and_worst
from mars_engine.align.training.card import CARD_FILE, render_card
from mars_engine.align.training.facts import FACTS_FILE, PolicyFacts, TrainedPolicy, is_whole_policy, read_policy
from mars_engine.align.training.looks import LOOKS_FILE, NEWEST_SHEET, REFERENCE_SHEET
from mars_engine.align.training.policy import (
    Policy,
    fitting_pairs,
    fitting_prompts,
    load_policy,
    name_base,
    tolerated_warnings,
)
from mars_engine.align.training.ppo import PpoTraining
from mars_engine.align.training.rewards import PolicyReward
from mars_engine.align.training.share import share_training
from mars_engine.align.training.training_distance import TrainingDistance
from mars_engine.align.training.trl_methods import PlaceOfWork, require_trl, train_on_pairs, train_online
from mars_engine.align.training.watch import Watcher
from mars_engine.core.config import AlignConfig
from mars_engine.core.errors import ConfigError, NotReadyError
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import Pair, Prompt, content_id, prompt_id
from mars_engine.core.whole_folder import plain_write_errors, write_whole_folder
from mars_engine.embeddings.devices import trains_in_bf16
from mars_engine.embeddings.model_folder import fingerprint_folder
from mars_engine.embeddings.pretrained import quiet_transformers
from mars_engine.embeddings.protocols import Encoder
from mars_engine.reward_models.transformer.checkpoints import (
    STATE_FILE,
    checkpoint_at,
    last_whole_checkpoint,
    step_of,
)
from mars_engine.reward_models.transformer.processes import broadcast, process_count
from mars_engine.reward_models.transformer.trainer import CHECKPOINTS_KEPT, graceful_interrupt
from mars_engine.reward_models.workbench import AddPoint, forget_point

PPO_FILE = "ppo.pt"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PAIRS_FILE = "pairs.json"
CHANGES_NOTHING = {"device", "checkpoint_every", "watch_every"}
"""Settings that change no weight; where the KL is limited, the looks decide when training stops."""


@dataclass(frozen=True)
class PolicyTask:
    """What a policy is trained on and against."""

    prompts: Sequence[Prompt]
    reward: PolicyReward
    gold: PolicyReward | None = None
    pairs: Sequence[Pair] = ()
    """For DPO on the workspace's own pairs."""
    trained_on: Sequence[str] = ()
    """Responses that the reward models were trained on; none where that is not known."""
    encoder: Encoder | None = None
    """Tells how far answers lie from these."""


def train_policy(
    config: AlignConfig,
    task: PolicyTask,
    *,
    policies: Path,
    checkpoints: Path,
    progress: Progress,
    add_point: AddPoint = forget_point,
    say: Callable[[str], None] = lambda _: None,
) -> TrainedPolicy:
    """Train a policy and save its adapter, or the merged policy, under its id; one that is there is not trained again.

    Interrupted and started again, it goes on from its newest checkpoint and ends with the same weights.

    Args:
        config: the settings.
        task: prompts and rewards.
        policies: where trained policies are kept.
        checkpoints: where those in training are.
        progress: shows how far it has come.
        add_point: notes figures.
        say: is told of alarms and of what was left out.

    Raises:
        ConfigError: a setting does not fit, or a package is missing.
        NotReadyError: there are too few prompts, or they are all too long.
        ModelError: the policy or a reward cannot be used.
    """
    _require_usable(config)
    policy = load_policy(config)
    policy_id = _policy_id(config, task, Path(policy.model.name_or_path))
    target = policies / policy_id
    if is_whole_policy(target):
        return read_policy(target)
    fitting = fitting_prompts(policy, task.prompts, config)
    if fitting.too_long:
        say(f"{fitting.too_long:,} prompts have more than {fitting.limit:,} tokens and are left out")
    if len(fitting.kept) <= config.watched_prompts:
        raise NotReadyError(
            f"there are {len(fitting.kept):,} prompts, and {config.watched_prompts:,} are kept to be watched",
            expected="more prompts than are watched",
            remedy="import more, name a file of prompts, or lower watched_prompts under [align] in mars.toml",
        )
    watched, prompts = fitting.kept[: config.watched_prompts], fitting.kept[config.watched_prompts :]
    own = checkpoints / f"policy-{policy_id}"
    distance = (
        TrainingDistance.of(task.encoder, task.trained_on, progress=progress)
        if task.encoder and task.trained_on
        else None
    )
    watcher = Watcher(policy, watched, task.reward, config, own, task.gold, distance, add_point, say)
    resumed = last_whole_checkpoint(own) if own.is_dir() else None
    with graceful_interrupt() as interruption, progress.task("align", config.steps) as bar, quiet_transformers():
        in_bf16 = trains_in_bf16(config.precision, policy.device)
        work = PlaceOfWork(own, resumed, watcher, bar, interruption, in_bf16)
        with tolerated_warnings():
            model, remarks = _train(policy, prompts, task, config, work)
    facts = _facts(policy_id, config, task, watcher, remarks)
    facts = replace(facts, prompts=len(prompts), prompts_too_long=fitting.too_long)
    _save(target, policy, model, watcher, facts, config)
    shutil.rmtree(own, ignore_errors=True)
    return TrainedPolicy(target, facts)


def _require_usable(config: AlignConfig) -> None:
    if config.method != "ppo":
        require_trl()
    elif process_count() > 1:
        raise ConfigError(
            f"{process_count()} processes were launched, and 'ppo' trains a policy in one",
            remedy="choose --method rloo, grpo or dpo, or run 'mars align' without accelerate launch",
        )


def _policy_id(config: AlignConfig, task: PolicyTask, folder: Path) -> str:
    settings = config.model_dump(mode="json", exclude=CHANGES_NOTHING if not config.kl_budget else {"device"})
    return content_id(
        settings,
        fingerprint_folder(folder),
        [[source.label, source.model.id] for source in task.reward.sources],
        [source.model.id for source in task.gold.sources] if task.gold else [],
        [prompt_id(prompt) for prompt in task.prompts],
        [pair.id for pair in task.pairs],
    )


def _train(
    policy: Policy, prompts: Sequence[Prompt], task: PolicyTask, config: AlignConfig, work: PlaceOfWork
) -> tuple[Any, list[str]]:
    if config.method == "ppo":
        return _train_by_ppo(policy, prompts, task.reward, config, work), []
    shared = {"config": config, "checkpoints": work.checkpoints, "resumed": work.resumed}
    if config.method != "dpo":
        broadcast(share_training, **shared, prompts=prompts)
        return train_online(policy, prompts, task.reward, config, work), []
    if config.dpo_pairs == "training":
        fitting = fitting_pairs(policy, task.pairs, config)
        remarks = [f"{fitting.too_long:,} pairs are too long and were left out"] if fitting.too_long else []
        broadcast(share_training, **shared, pairs=fitting.kept)
        return train_on_pairs(policy, fitting.kept, config, work), remarks
    found = best_and_worst(
        policy, prompts, task.reward, config, kept=work.checkpoints / PAIRS_FILE, progress=SilentProgress()
    )
    remarks = [f"{found.without:,} prompts gave no pair: their completions got one reward"] if found.without else []
    broadcast(share_training, **shared, pairs=found.pairs)
    return train_on_pairs(policy, found.pairs, config, work), remarks


# ------------------------------------------------------------------------------------------------- PPO's own loop


def _train_by_ppo(
    policy: Policy, prompts: Sequence[Prompt], reward: PolicyReward, config: AlignConfig, work: PlaceOfWork
) -> Any:
    from peft import set_peft_model_state_dict

    training = PpoTraining(policy, prompts, reward, config, work.in_bf16)
    begun = 0
    if work.resumed is not None:
        begun = step_of(work.resumed)
        set_peft_model_state_dict(training.model, load_file(work.resumed / ADAPTER_WEIGHTS))
        training.load_state(torch.load(work.resumed / PPO_FILE, map_location=policy.device, weights_only=True))
    work.task.resume(begun)
    work.watcher.begin(training.model, begun)
    for step in range(begun + 1, config.steps + 1):
        figures, rollout = training.take_step(step)
        work.task.advance()
        for name, value in figures.items():
            work.watcher.add_point(name, step, value)
        work.watcher.saw(rollout.completions.texts, rollout.raw_rewards.tolist())
        is_over = work.watcher.after_step(training.model, step)
        if step % config.checkpoint_every == 0 or work.interruption.asked:
            _save_checkpoint(training, work.checkpoints, step)
        if work.interruption.asked:
            raise KeyboardInterrupt
        if is_over:
            break
    return training.model


def _save_checkpoint(training: PpoTraining, folder: Path, step: int) -> None:
    def write(unfinished: Path) -> None:
        training.model.save_pretrained(unfinished)
        torch.save(training.state(), unfinished / PPO_FILE)
        (unfinished / STATE_FILE).write_text(json.dumps({"global_step": step}), encoding="utf-8")

    write_whole_folder(checkpoint_at(folder, step), write, is_whole=lambda _: False)
    for older in sorted(folder.glob("checkpoint-*"), key=step_of)[:-CHECKPOINTS_KEPT]:
        shutil.rmtree(older)


# ------------------------------------------------------------------------------------------------ what is kept of it


def _facts(
    policy_id: str, config: AlignConfig, task: PolicyTask, watcher: Watcher, remarks: Sequence[str]
) -> PolicyFacts:
    first, last = watcher.looks[0], watcher.looks[-1]
    golds = {look.step: float(look.gold.mean()) for look in watcher.looks if look.gold is not None}
    return PolicyFacts(
        id=policy_id,
        method=config.method,
        policy=config.policy,
        rewards=tuple(source.label for source in task.reward.sources),
        gold=tuple(source.label for source in task.gold.sources) if task.gold else (),
        steps=last.step,
        prompts=0,
        prompts_too_long=0,
        watched=len(watcher.prompts),
        reward_before=float(first.rewards.mean()),
        reward_after=float(last.rewards.mean()),
        gold_before=golds.get(first.step),
        gold_after=golds.get(last.step),
        gold_peak_step=max(golds, key=golds.__getitem__) if golds else None,
        kl=float(last.kl.mean()),
        alarms=tuple(watcher.alarms.values()),
        remarks=tuple(remarks),
        merged=config.merge,
    )


def _save(target: Path, policy: Policy, model: Any, watcher: Watcher, facts: PolicyFacts, config: AlignConfig) -> None:
    def write(folder: Path) -> None:
        name_base(model, policy)
        kept = model.merge_and_unload() if config.merge else model
        kept.save_pretrained(folder)
        policy.tokenizer.save_pretrained(folder)
        for file in (LOOKS_FILE, REFERENCE_SHEET, NEWEST_SHEET):
            shutil.copyfile(watcher.folder / file, folder / file)
        card = render_card(facts, config, watcher.prompts, watcher.looks)
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
        (folder / FACTS_FILE).write_text(json.dumps(asdict(facts), ensure_ascii=False, indent=1), encoding="utf-8")

    with plain_write_errors(target), tolerated_warnings():
        write_whole_folder(target, write, is_whole=is_whole_policy)
