"""What a workspace offers about judges of labels."""

import os
from collections.abc import Sequence
from pathlib import Path

from mars_engine.api.checks import at_least
from mars_engine.api.opened import OpenedWorkspace
from mars_engine.api.remedies import speaking_python
from mars_engine.api.settings import Settings
from mars_engine.curate.judging.asking import JudgingForecast, forecast_judging
from mars_engine.curate.judging.deciding import undo_judge_decisions
from mars_engine.jobs import headlines
from mars_engine.workspace.judges import SecondOpinion, open_judge, second_opinion


@speaking_python
class JudgingWorkspace(OpenedWorkspace):
    """A workspace whose labels can be judged a second time."""

    def judge_labels(
        self,
        judge: str = "",
        *,
        every_pair: bool = False,
        limit: int = 0,
        again: bool = False,
        opinions: Sequence[str | os.PathLike[str]] = (),
        dataset: str = "",
        decide: bool = False,
        settings: Settings | None = None,
    ) -> SecondOpinion:
        """Ask a judge which answer of each suspected pair is better; what it said is kept and never asked twice.

        Args:
            judge: "chat", "recorded", or a reward model by its id, label, folder or hub id; as configured where empty.
            every_pair: ask about all training pairs, suspects first.
            limit: ask about so many at most; 0 for all.
            again: ask anew where an answer could not be read.
            opinions: files to take opinions from; then nobody is asked.
            dataset: of which training set the rows of these files are, where they are counted.
            decide: flip or confirm labels where judge and out-of-fold margin agree, as policy:judge.
            settings: see the class.

        Raises:
            ConfigError: no judge is named, or a setting is unknown or out of its range.
            ModelError: there is no such model.
            LoadError: the opinions cannot be read.
            NotReadyError: there are no training pairs, or nothing to decide by.
            GenerationError: nothing can be asked at all.
            MarsError: the limit is out of its range.
        """
        at_least("limit", limit, 0, whole=True)
        with self._working("judge-labels", settings, _named(judge)) as (bench, notes):
            report = second_opinion(
                bench,
                every_pair=every_pair,
                limit=limit,
                ask_again=again,
                opinions=[Path(each) for each in opinions],
                dataset=dataset,
                decide=decide,
            )
            notes.summary |= headlines.of_judging(report.judging, report.decisions)
        return report

    def judge_forecast(
        self,
        judge: str = "",
        *,
        every_pair: bool = False,
        limit: int = 0,
        again: bool = False,
        settings: Settings | None = None,
    ) -> JudgingForecast:
        """Return what `judge_labels` would ask and cost; nothing is asked. The arguments are the same.

        Raises:
            ConfigError: no judge is named that can be asked, or a setting is unknown or out of its range.
            ModelError: there is no such model.
            NotReadyError: there are no training pairs, or no suspects.
        """
        at_least("limit", limit, 0, whole=True)
        with self._looking(settings, _named(judge)) as bench:
            asked = open_judge(bench, bench.config.judge.by)
            return forecast_judging(bench, asked, every_pair=every_pair, limit=limit, ask_again=again)

    def undo_judge(self) -> int:
        """Take back what policy:judge decided last; return about how many labels, 0 where nothing stands.

        Raises:
            StoreError: the workspace is closed.
        """
        with self._working("judge-labels") as (bench, notes):
            taken_back = undo_judge_decisions(bench)
            notes.summary |= {"taken back": taken_back}
        return taken_back


def _named(judge: str) -> Settings:
    return {"judge": {"by": judge}} if judge else {}
