"""Watching a policy as it is trained: its answers to fixed prompts, what they are worth, and alarms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mars_engine.align.blind.sheets import write_sheet
from mars_engine.align.policies import policy_name
from mars_engine.align.training.guards import Look, alarms, describe_texts, distance_ratio
from mars_engine.align.training.looks import NEWEST_SHEET, REFERENCE_SHEET, load_looks, save_looks
from mars_engine.align.training.policy import Policy
from mars_engine.align.training.rewards import PolicyReward
from mars_engine.align.training.sampling import likelihoods, sample_completions
from mars_engine.align.training.training_distance import TrainingDistance
from mars_engine.core.config import AlignConfig
from mars_engine.core.records import Prompt
from mars_engine.reward_models.workbench import AddPoint, forget_point
from mars_engine.stats.metrics import rank_correlation


@dataclass
class Watcher:
    """Looks at a policy every so many steps; what it saw is kept in a file, so that resumed training has it.

    Args:
        policy: before training.
        prompts: the watched ones.
        reward: what is trained on.
        config: the settings.
        folder: where the looks are kept.
        gold: another reward, which is not trained on; None for none.
        distance: measures how far answers lie from what the reward models were trained on; None where that is not
            known.
        add_point: notes figures.
        say: is told each alarm, once.
    """

    policy: Policy
    prompts: Sequence[Prompt]
    reward: PolicyReward
    config: AlignConfig
    folder: Path
    gold: PolicyReward | None = None
    distance: TrainingDistance | None = None
    add_point: AddPoint = forget_point
    say: Callable[[str], None] = lambda _: None
    looks: list[Look] = field(default_factory=list)
    alarms: dict[str, str] = field(default_factory=dict)
    """What was alarming, by its kind: as it was told last."""
    stopped_for_kl: bool = False
    _texts: list[str] = field(default_factory=list)
    _rewards: list[float] = field(default_factory=list)

    def begin(self, model: Any, step: int) -> None:
        """Take up the looks that were kept until a step, and look at the reference where there is none."""
        self.looks = [look for look in load_looks(self.folder) if look.step <= step]
        if not self.looks:
            self.look(model, 0)

    def saw(self, texts: Sequence[str], rewards: Sequence[float]) -> None:
        """Remember completions that were trained on until the next look."""
        self._texts += texts
        self._rewards += rewards

    def after_step(self, model: Any, step: int) -> bool:
        """Look where it is time to; return whether training is to stop, since the budget of KL is spent."""
        if step % self.config.watch_every == 0 or step == self.config.steps:
            self.look(model, step)
        return self.stopped_for_kl

    def look(self, model: Any, step: int) -> None:
        """Sample answers to the watched prompts, by the same draws each time, and note what they are worth."""
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(self.config.seed)
            answers = sample_completions(self.policy, model, self.prompts, self.config)
            was_training = model.training
            model.eval()
            length, heat = answers.mask.shape[1], self.config.temperature
            own = likelihoods(model, answers.tokens, answers.attention, length, temperature=heat)
            with model.disable_adapter():
                reference = likelihoods(model, answers.tokens, answers.attention, length, temperature=heat)
            model.train(was_training)
        scored = self.reward.score(self.prompts, answers.texts)
        kl = ((own.logprobs - reference.logprobs) * answers.mask).sum(dim=1)
        now = Look(
            step=step,
            texts=answers.texts,
            rewards=scored.rewards,
            kl=kl.double().cpu().numpy(),
            gold=self.gold.score(self.prompts, answers.texts).rewards if self.gold else None,
            distance=self.distance.measure(answers.texts) if self.distance else None,
            disagreement=scored.disagreement,
        )
        self._keep(now)
        self._note(now)

    def _keep(self, now: Look) -> None:
        self.looks = [look for look in self.looks if look.step < now.step] + [now]
        self.folder.mkdir(parents=True, exist_ok=True)
        save_looks(self.folder, self.looks)
        name = policy_name(self.config.policy)
        for file, look, whose in (
            (REFERENCE_SHEET, self.looks[0], name),
            (NEWEST_SHEET, now, f"{name} by {self.config.method}, step {now.step}"),
        ):
            write_sheet(self.folder / file, whose, zip(self.prompts, look.texts, strict=True))

    def _note(self, now: Look) -> None:
        words = describe_texts(now.texts).words
        self.add_point("watched reward", now.step, float(now.rewards.mean()))
        self.add_point("watched KL", now.step, float(now.kl.mean()))
        self.add_point("watched words", now.step, float(words.mean()))
        if now.gold is not None:
            self.add_point("watched gold reward", now.step, float(now.gold.mean()))
        ratio = distance_ratio(self.looks[0], now)
        if ratio is not None:
            self.add_point("distance from training data", now.step, ratio)
        if now.disagreement is not None:
            self.add_point("disagreement", now.step, float(now.disagreement.mean()))
        texts, rewards = self._texts or list(now.texts), self._rewards or now.rewards.tolist()
        relation = rank_correlation(describe_texts(texts).words, np.array(rewards))
        self.add_point("reward against length", now.step, relation)
        for sentence in alarms(self.looks[0], now, self.looks, texts, np.array(rewards)):
            self._alarm(now.step, sentence)
        budget = self.config.kl_budget
        if budget and now.kl.mean() > budget:
            self.stopped_for_kl = True
            self._alarm(
                now.step, f"the budget of KL is spent: {now.kl.mean():.1f} of {budget:g} nats, so training stops"
            )
        self._texts, self._rewards = [], []

    def _alarm(self, step: int, sentence: str) -> None:
        kind = " ".join(sentence.split()[:4])
        if kind not in self.alarms:
            self.say(f"step {step:,}: {sentence}")
        self.alarms[kind] = sentence
