"""The policies of a comparison: each is trained, or picks among n answers, and is judged against its reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mars_engine.align.answers import AnsweredPrompt
from mars_engine.align.best_of_estimator import best_of, doubling_sizes, kl_bound
from mars_engine.align.best_of_n import GoldRewards, rewards_of
from mars_engine.align.blind.sheets import load_sheet
from mars_engine.align.policies import load_policy
from mars_engine.align.sampling import SamplingSettings
from mars_engine.align.training.guards import Look, describe_texts
from mars_engine.align.training.looks import REFERENCE_SHEET, load_looks
from mars_engine.align.training.rewards import PolicyReward, RewardSource
from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import NotReadyError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import FloatArray, Prompt, prompt_id
from mars_engine.experiments.alignment.curves import PolicyCurve
from mars_engine.experiments.alignment.plan import BEST_OF_N, AlignmentPlan, Way
from mars_engine.workspace.aligning import POLICIES_FOLDER
from mars_engine.workspace.best_of_n import ANSWERS_FOLDER
from mars_engine.workspace.workspace import ARTIFACTS, CHECKPOINTS


@dataclass(frozen=True)
class PolicyMaker:
    """Makes policies of reward models in a workspace, and judges them on the watched prompts."""

    plan: AlignmentPlan
    bench: Workbench
    root: Path
    prompts: Sequence[Prompt]
    judge: GoldRewards
    say: Callable[[str], None]

    def curve(self, way: Way, seed: int, source: RewardSource) -> PolicyCurve:
        """Return how a policy fares that comes of a reward model; what was trained or drawn before is taken up.

        Raises:
            MarsError: as `train_policy` and `SampledPolicy.answer`.
        """
        return self._best_of_n(seed, source) if way == BEST_OF_N else self._trained(way, seed, source)

    def _trained(self, way: Way, seed: int, source: RewardSource) -> PolicyCurve:
        from mars_engine.align.training.train import PolicyTask, train_policy  # torch and transformers take seconds

        config = self.plan.align_settings(way, seed)
        trained = train_policy(
            config,
            PolicyTask(self.prompts, PolicyReward((source,))),
            policies=self.root / POLICIES_FOLDER,
            checkpoints=self.root / ARTIFACTS / CHECKPOINTS,
            progress=self.bench.progress,
            say=lambda text: self.say(f"{source.label}, {config.method}: {text}"),
        )
        watched = tuple(load_sheet(trained.folder / REFERENCE_SHEET).answers)
        return judged_looks(load_looks(trained.folder), watched, self.judge)

    def _best_of_n(self, seed: int, source: RewardSource) -> PolicyCurve:
        config = self.plan.align
        sampling = SamplingSettings(temperature=config.temperature, max_new_tokens=config.max_new_tokens, seed=seed)
        policy = load_policy(
            config.policy,
            sampling,
            self.root / ANSWERS_FOLDER,
            device=config.device,
            precision=config.precision,
        )
        asked = [each for each in self.prompts if not policy.sampler.why_not(each, sampling)][: config.watched_prompts]
        answered = policy.answer(asked, self.plan.n, progress=self.bench.progress)
        for reason, count in answered.left_out.items():
            self.say(f"seed {seed}, best-of-n: left out: {count:,} × {reason}")
        if not answered.rows:
            raise NotReadyError(
                f"not one of {len(asked):,} watched prompts got {self.plan.n} answers",
                expected="a policy that writes something before its end token",
                remedy="lower n in the plan, or name another policy under [align]",
            )
        return judged_picks(answered.rows, source, self.judge)


def judged_looks(looks: Sequence[Look], prompts: Sequence[Prompt], judge: GoldRewards) -> PolicyCurve:
    """Return a trained policy's curve: at each look its answers against those of the first, the reference's."""
    texts = [text for look in looks for text in look.texts]
    gold = _judged(judge, list(prompts) * len(looks), texts).reshape(len(looks), len(prompts))
    wins = _preferred(gold, gold[0])
    return PolicyCurve(
        prompts=tuple(map(prompt_id, prompts)),
        steps=tuple(look.step for look in looks),
        kl=(0.0, *(float(look.kl.mean()) for look in looks[1:])),
        wins=tuple(tuple(row) for row in wins.tolist()),
        words=tuple(float(describe_texts(look.texts).words.mean()) for look in looks),
    )


def judged_picks(rows: Sequence[AnsweredPrompt], source: RewardSource, judge: GoldRewards) -> PolicyCurve:
    """Return the curve of picking the best of n: the expected win of the pick against an answer drawn at random."""
    rewards = rewards_of(source.model, rows, name=source.label, progress=SilentProgress())
    texts = [answer.text for row in rows for answer in row.answers]
    gold = _judged(judge, [row.prompt for row in rows for _ in row.answers], texts).reshape(rewards.shape)
    wins = _preferred(gold[:, :, None], gold[:, None, :]).mean(axis=2)
    words = describe_texts(texts).words.reshape(rewards.shape)
    sizes = doubling_sizes(rewards.shape[1])
    return PolicyCurve(
        prompts=tuple(row.prompt_id for row in rows),
        steps=sizes,
        kl=tuple(kl_bound(n) for n in sizes),
        wins=tuple(tuple(best_of(rewards, wins, n).tolist()) for n in sizes),
        words=tuple(float(best_of(rewards, words, n).mean()) for n in sizes),
    )


def _judged(judge: GoldRewards, prompts: Sequence[Prompt], texts: Sequence[str]) -> FloatArray:
    """Return the judge's rewards, shape (n,). An answer that comes again is asked once: equal answers are a tie."""
    asked = list(dict.fromkeys(zip(prompts, texts, strict=True)))
    reward = PolicyReward((RewardSource(judge.name, judge.model),))
    scored = reward.score([prompt for prompt, _ in asked], [text for _, text in asked])
    known = dict(zip(asked, scored.rewards.tolist(), strict=True))
    return np.array([known[each] for each in zip(prompts, texts, strict=True)])


def _preferred(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return 1 where the first is preferred, 0.5 for a tie, or 0."""
    return (1.0 + np.sign(one - other)) / 2
