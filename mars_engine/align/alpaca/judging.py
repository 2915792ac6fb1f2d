"""Judging policies: their answers joined with the baseline's, annotations of the verdicts, which are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mars_engine.align.alpaca.figures import BASELINE_FIRST, FAILURE, NUMBER, POLICY_FIRST, SEES_ORDER
from mars_engine.align.alpaca.formats import Annotation, ModelOutputs, load_annotations, write_annotations
from mars_engine.align.alpaca.judges import AnswerPair, PairwiseJudge, Verdict
from mars_engine.core.errors import LoadError, MarsError
from mars_engine.core.records import Turn, content_id

ANNOTATIONS = "annotations.json"


@dataclass(frozen=True, slots=True)
class JoinedOutputs:
    """Two models' answers to the same prompts, and what has no partner."""

    baseline: ModelOutputs
    policy: ModelOutputs
    numbers: tuple[int, ...]
    """Of the prompts, from 0 in the baseline's order, which is that of the pairs."""
    instructions: tuple[str, ...]
    pairs: tuple[AnswerPair, ...]
    only_baseline: int
    """Prompts that the policy has no answer to."""
    only_policy: int
    """Prompts that the baseline has no answer to."""

    def id(self, judge: PairwiseJudge) -> str:
        """The id of these answers as this judge sees them."""
        answers = [[each.prompt[0].content, each.baseline, each.policy] for each in self.pairs]
        return content_id("alpaca_eval", judge.id, self.baseline.generator, self.policy.generator, answers)


def join_outputs(baseline: ModelOutputs, policy: ModelOutputs) -> JoinedOutputs:
    """Join two models' answers on the exact instruction, in the baseline's order.

    Raises:
        LoadError: they have no instruction in common.
    """
    answers = {row.instruction: row.output for row in policy.rows}
    met = [(number, row) for number, row in enumerate(baseline.rows) if row.instruction in answers]
    if not met:
        raise LoadError(
            f"{policy.generator} and {baseline.generator} have no instruction in common",
            expected="outputs on the same prompts, spelled the same",
            remedy=f"the policy's first instruction is {policy.rows[0].instruction[:60]!r}, the baseline's "
            f"{baseline.rows[0].instruction[:60]!r}",
        )
    return JoinedOutputs(
        baseline=baseline,
        policy=policy,
        numbers=tuple(number for number, _ in met),
        instructions=tuple(row.instruction for _, row in met),
        pairs=tuple(
            AnswerPair((Turn("user", row.instruction),), row.output, answers[row.instruction]) for _, row in met
        ),
        only_baseline=len(baseline.rows) - len(met),
        only_policy=len(policy.rows) - len(met),
    )


def judge_outputs(outputs: JoinedOutputs, judge: PairwiseJudge, folder: Path) -> tuple[Annotation, ...]:
    """Judge every pair, and write the annotations into `folder`; judged without a failure before, they are read.

    Raises:
        GenerationError: a judge model cannot be asked at all.
        WorkspaceError: the annotations cannot be written.
    """
    path = folder / ANNOTATIONS
    kept = _kept_annotations(path)
    if len(kept) == len(outputs.pairs) and all(each.preference is not None for each in kept):
        return kept
    verdicts = judge.judge(outputs.pairs)
    found = tuple(_annotation(outputs, judge, place, verdict) for place, verdict in enumerate(verdicts))
    write_annotations(path, found)
    return found


def _kept_annotations(path: Path) -> tuple[Annotation, ...]:
    try:
        return load_annotations(path)
    except MarsError:  # not there, or damaged: judged anew
        return ()


def _annotation(outputs: JoinedOutputs, judge: PairwiseJudge, place: int, verdict: Verdict) -> Annotation:
    pair, probability = outputs.pairs[place], verdict.probability
    number = outputs.numbers[place]
    columns: dict[str, Any] = {
        NUMBER: number,
        SEES_ORDER: judge.sees_order,
        BASELINE_FIRST: _as_preference(verdict.baseline_first),
        POLICY_FIRST: _as_preference(verdict.policy_first),
    }
    if verdict.failure:
        columns[FAILURE] = verdict.failure
    return Annotation(
        instruction=outputs.instructions[place],
        output_1=pair.baseline,
        generator_1=outputs.baseline.generator,
        output_2=pair.policy,
        generator_2=outputs.policy.generator,
        preference=_as_preference(probability),
        annotator=judge.name,
        dataset=outputs.baseline.rows[number].dataset,
        columns=columns,
    )


def _as_preference(probability: float | None) -> float | None:
    return None if probability is None else 1.0 + probability


def require_different_names(models: Sequence[ModelOutputs]) -> None:
    """Raise MarsError where two models have one name: a table could not tell them apart."""
    names = [each.generator for each in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MarsError(
            f"several of the files are of a model named {twice[0]!r}",
            expected="a name of its own for each policy and for the baseline",
            remedy="give them names: --name, once for each file",
        )
