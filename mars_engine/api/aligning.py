"""What a workspace offers about policies: answers picked by its reward models, and policies trained against them."""

import os
from collections.abc import Sequence
from pathlib import Path

from mars_engine.align.sampling import SamplingSettings
from mars_engine.align.training.facts import TrainedPolicy
from mars_engine.api.checks import at_least
from mars_engine.api.opened import OpenedWorkspace
from mars_engine.api.remedies import speaking_python
from mars_engine.api.settings import Settings
from mars_engine.experiments.alignment.alignment import AlignmentReport, align_by_plan
from mars_engine.jobs import headlines
from mars_engine.workspace.aligning import AlignRequest, align_policy
from mars_engine.workspace.best_of_n import BestOfNRequest, BestOfNResult, run_best_of_n

SAMPLING = SamplingSettings()


@speaking_python
class AligningWorkspace(OpenedWorkspace):
    """A workspace whose reward models pick answers and train policies."""

    def best_of_n(
        self,
        *,
        policy: str = "",
        answers: str = "",
        n: int = 8,
        judge: str = "",
        models: Sequence[str] = (),
        prompts: str = "",
        sampling: SamplingSettings = SAMPLING,
        device: str = "auto",
        most_prompts: int = 0,
        include_trained: bool = False,
        download: bool = False,
    ) -> BestOfNResult:
        """Let reward models pick the best of n answers, and judge the picks; no policy is trained.

        Args:
            policy: a language model to draw answers from: "packaged-lm", a folder with a model or adapter, or a hub id.
            answers: a file of recorded answers, in the place of a policy.
            n: answers to each prompt; the curves are over 1, 2, 4, … up to n.
            judge: "recorded", a model's id or label, another workspace, or a reward model's folder or hub id.
            models: ids or labels of the reward models that pick; all where it is empty.
            prompts: a file of prompts; those of the recorded answers, else of the held-out pairs, where it is empty.
            sampling: how a policy's answers are drawn.
            device: where a policy computes: "cpu", "cuda" or "auto".
            most_prompts: ask the first so many prompts; 0 for all.
            include_trained: ask prompts that the reward models were trained on too.
            download: download a policy or a judge from the hub that is not on this machine.

        Raises:
            ConfigError: both or neither of policy and answers are named, or nobody judges.
            NotReadyError: no model is trained, or no prompt is left beside those trained on.
            LoadError, ModelError: a file or a model cannot be used.
            MarsError: n is no whole number from 2, or most_prompts none from 0.
        """
        at_least("n", n, 2, whole=True)
        at_least("most_prompts", most_prompts, 0, whole=True)
        request = BestOfNRequest(
            policy=policy,
            answers=answers,
            prompts=prompts,
            n=n,
            models=tuple(models),
            judge=judge,
            sampling=sampling,
            device=device,
            most_prompts=most_prompts,
            include_trained=include_trained,
            download=download,
        )
        with self._working("best-of-n") as (bench, notes):
            result = run_best_of_n(bench, self.path, request)
            notes.summary |= headlines.of_best_of_n(result.report)
        return result

    def align(
        self,
        *,
        reward_models: Sequence[str] = (),
        gold: Sequence[str] = (),
        prompts: str = "",
        include_trained: bool = False,
        settings: Settings | None = None,
    ) -> TrainedPolicy:
        """Train a policy against reward models, through LoRA; plain peft loads the adapter.

        A policy that was trained so before is there already. Interrupted, the same call goes on from a checkpoint.

        Args:
            reward_models: ids or labels of those to train against, several as an ensemble; the newest where empty.
            gold: reward models that are asked as training goes on and never trained on: ids or labels, other
                workspaces, folders or hub ids.
            prompts: a file of prompts; those of the held-out pairs where it is empty.
            include_trained: take prompts that the reward models were trained on too.
            settings: in the place of those in mars.toml, such as {"align": {"method": "ppo", "steps": 50}}.

        Raises:
            ConfigError: a setting is unknown or out of its range, or TRL is needed and not installed.
            NotReadyError: no reward model is trained, or too few prompts are left.
            LoadError, ModelError: a file or a model cannot be used.
        """
        request = AlignRequest(
            reward_models=tuple(reward_models), gold=tuple(gold), prompts=prompts, include_trained=include_trained
        )
        with self._working("align", settings) as (bench, notes):
            trained = align_policy(bench, self.path, request)
            notes.summary |= headlines.of_policy(trained.facts)
        return trained

    def align_plan(self, plan: str | os.PathLike[str]) -> AlignmentReport:
        """Compare reward models of several methods by the policies that come of them, at equal KL and equal steps.

        What is finished is kept: interrupted, the same call goes on, and trains nothing twice.

        Args:
            plan: a TOML file, as `mars align --plan` takes it.

        Raises:
            ConfigError: the plan cannot be used.
            NotReadyError: too few prompts are left.
            LoadError, ModelError: a file, the judge or the policy cannot be used.
        """
        with self._working("align-plan") as (bench, notes):
            report = align_by_plan(bench, self.path, Path(plan))
            notes.summary |= headlines.of_comparison(report.results)
        return report
