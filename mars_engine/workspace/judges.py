"""Judges of labels by the names that settings and commands give them, and the policy that asks one and decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mars_engine.augment.quality.protocols import Judge
from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import ConfigError, MarsError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import ModelRecord
from mars_engine.curate.judging.agreement import JudgeAgreement, judge_agreement
from mars_engine.curate.judging.asking import JudgingReport, judge_labels
from mars_engine.curate.judging.deciding import JudgeDecisions, decide_by_judge
from mars_engine.curate.judging.judges import AskedJudge, LabelJudge, LikelihoodJudge, ScoringJudge
from mars_engine.curate.judging.recorded import RECORDED, RecordedOpinions, take_recorded_opinions
from mars_engine.workspace.named_models import load_from_elsewhere, stored_model

CHAT, CAUSAL = "chat", "causal"
SEEN = (
    "It was trained on the labels of these pairs, so it rather repeats them: the opinion of a model that has not seen "
    "them is worth more."
)
SHORT = 8
"""Characters of a digest in a judge's name."""


def open_judge(bench: Workbench, name: str) -> LabelJudge:
    """Return the judge of a name: "chat", "causal", or a reward model by its id, label, folder or hub id.

    The judge's own name holds its settings, so that with another model or prompt it is another judge.

    Raises:
        ConfigError: no judge is named, or "recorded", which cannot be asked.
        ModelError: there is no such model.
    """
    if name == RECORDED:
        raise ConfigError(
            "the judge 'recorded' cannot be asked: its opinions are taken from files",
            remedy="give files by --opinions, or name another judge",
        )
    _require_name(name)
    if name == CHAT:
        return _asked_judge(name, bench.label_judge)
    if name == CAUSAL:
        return _asked_judge(name, LikelihoodJudge(bench.fluency) if bench.fluency else None)
    record = stored_model(bench, name)
    return _foreign_judge(bench, name) if record is None else _own_judge(bench, record)


@dataclass(frozen=True, slots=True)
class SecondOpinion(ShownAsTable):
    """What the workspace's judge said of labels, what was decided by it, and how far it agrees with others.

    What is None was not asked for.
    """

    recorded: RecordedOpinions | None
    judging: JudgingReport | None
    decisions: JudgeDecisions | None
    agreement: JudgeAgreement


def second_opinion(
    bench: Workbench,
    *,
    every_pair: bool = False,
    limit: int = 0,
    ask_again: bool = False,
    opinions: Sequence[Path] = (),
    dataset: str = "",
    decide: bool = False,
) -> SecondOpinion:
    """Ask the configured judge about labels, or take recorded opinions; then decide by it where that is wanted.

    Args:
        bench: the workspace.
        every_pair: see `judge_labels`, as `limit` and `ask_again`.
        limit: so many labels at most; 0 for all.
        ask_again: ask anew where an answer could not be read.
        opinions: files to take opinions from; then nobody is asked.
        dataset: see `take_recorded_opinions`.
        decide: whether the policy "judge" decides where judge and out-of-fold margin agree.

    Raises:
        ConfigError: no judge is named.
        ModelError: there is no such model.
        LoadError: the opinions cannot be read.
        NotReadyError: there are no training pairs, or nothing to decide by.
        GenerationError: nothing can be asked at all.
    """
    recorded = take_recorded_opinions(bench.store, opinions, clock=bench.clock, dataset=dataset) if opinions else None
    name, judged = RECORDED, None
    if not opinions and bench.config.judge.by != RECORDED:
        judge = open_judge(bench, bench.config.judge.by)
        name, judged = judge.name, judge_labels(bench, judge, every_pair=every_pair, limit=limit, ask_again=ask_again)
    has_said_nothing = judged is not None and not judged.verdicts  # there is no suspect, so nothing was in question
    decisions = decide_by_judge(bench, name) if decide and not has_said_nothing else None
    return SecondOpinion(recorded, judged, decisions, judge_agreement(bench.store, config=bench.config.evaluate))


def settle_suspects(bench: Workbench) -> None:
    """Do what the policy for suspects says before a budget is planned: under "judge", one is asked and decides."""
    if bench.config.triage.policy == "judge":
        second_opinion(bench, decide=True)


def _require_name(name: str) -> None:
    if not name:
        raise ConfigError(
            "no judge is named",
            expected="'chat', 'causal', 'recorded', or a reward model by its id or label in the workspace, its folder, "
            "or its hub id",
            remedy="name one by --judge, or set judge.by in mars.toml",
        )


def _asked_judge(name: str, model: Judge | None) -> AskedJudge:
    if model is None:
        raise MarsError(f"this workspace has no {name} model to judge", remedy="name another judge")
    card = model.card
    return AskedJudge(f"{name} {card.settings.get('model') or 'not named'} {card.fingerprint[:SHORT]}", model)


def _own_judge(bench: Workbench, record: ModelRecord) -> ScoringJudge:
    return ScoringJudge(f"{record.label} {record.id[:SHORT]}", bench.shelf.load(record), bench.progress, (SEEN,))


def _foreign_judge(bench: Workbench, name: str) -> ScoringJudge:
    label, loaded = load_from_elsewhere(bench, name)
    return ScoringJudge(f"{label} {loaded.model.id[:SHORT]}", loaded.model, bench.progress)
