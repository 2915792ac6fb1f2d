"""How the demo's acts are told: printed as they happen, and kept, so that a second run can show them again."""

import io
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from mars_engine.advise.advice import Advice
from mars_engine.advise.kept import Outcome
from mars_engine.augment.compose import ComposeReport
from mars_engine.augment.plan import PlanReport
from mars_engine.augment.propose import ProposeReport
from mars_engine.cli import printing
from mars_engine.cli.commands.advise import show_outcomes, show_steps
from mars_engine.cli.printing_judging import show_second_opinion
from mars_engine.core.import_records import ImportReport
from mars_engine.core.records import ModelRecord
from mars_engine.curate.review import ReviewReport
from mars_engine.evaluate.heldout import Comparison, Evaluation
from mars_engine.evaluate.heldout_sections import HeldoutSections
from mars_engine.evaluate.results import say_comparison, say_log_loss
from mars_engine.evaluate.status import Status
from mars_engine.reward_models.score import ScoreReport
from mars_engine.workspace.judges import SecondOpinion

STEPS_SHOWN = 6
"""Of the advice: the best."""


def _show_sentence(console: Console, sentence: object) -> None:
    console.print(str(sentence))


def _show_comparison(console: Console, comparison: Comparison) -> None:
    console.print(f"{say_comparison(comparison)} {say_log_loss(comparison)}")


def _show_sections(console: Console, found: HeldoutSections) -> None:
    names = [section.name for section in found.models[0].sections]
    rows = [
        [model.label, *(f"{100 * section.score:.1f}" for section in model.sections), f"{100 * model.overall:.1f}"]
        for model in found.models
    ]
    title = "In RewardBench's manner, on the demo's held-out pairs (%; not RewardBench itself)"
    printing.table(console, title, ["model", *names, "mean"], rows)


def _show_advice(console: Console, advice: Advice) -> None:
    show_steps(console, advice.steps[:STEPS_SHOWN])
    for step in advice.steps[:1]:
        console.print(f"{step.name}: {step.sentence}")
    console.print()


def _show_outcome(console: Console, outcome: Outcome) -> None:
    show_outcomes(console, [outcome])


SHOWN_BY: Mapping[type, Callable[[Console, Any], None]] = {
    ImportReport: printing.show_import,
    ModelRecord: printing.show_model,
    ScoreReport: printing.show_score,
    PlanReport: printing.show_plan,
    ProposeReport: printing.show_propose,
    ReviewReport: printing.show_review,
    ComposeReport: printing.show_compose,
    SecondOpinion: show_second_opinion,
    Evaluation: printing.show_evaluation,
    HeldoutSections: _show_sections,
    Advice: _show_advice,
    Outcome: _show_outcome,
    Comparison: _show_comparison,
    Status: printing.show_status,
}


class ToldStage:
    """Tells the acts on a console, and remembers what it told.

    Args:
        console: None where nobody listens.
    """

    def __init__(self, console: Console | None) -> None:
        self._kept = io.StringIO()
        copy = Console(file=self._kept, width=printing.PLAIN_WIDTH, highlight=False, emoji=False, markup=False)
        self._consoles = [copy] if console is None else [console, copy]
        self._acts = 0

    @property
    def told(self) -> str:
        return self._kept.getvalue()

    def act(self, title: str, *commands: str) -> None:
        """Begin an act, which these commands would do."""
        self._acts += 1
        for console in self._consoles:
            console.rule(f"{self._acts}  {title}")
            for command in commands:
                console.print(f"  $ {command}" if command.startswith("mars ") else f"  >>> {command}")
            console.print()

    def tell(self, what: object) -> None:
        """Tell a report, or a sentence."""
        show = SHOWN_BY.get(type(what), _show_sentence)
        for console in self._consoles:
            show(console, what)
