"""What a workspace offers about its next step."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mars_engine.advise.advice import Advice
from mars_engine.advise.kept import Outcome, newest_advice, outcomes, standing_of, why_out_of_date
from mars_engine.api.opened import OpenedWorkspace
from mars_engine.api.remedies import speaking_python
from mars_engine.api.settings import Settings
from mars_engine.core.errors import NotReadyError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.jobs import headlines
from mars_engine.workspace.advising import advise_on

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Advised(ShownAsTable):
    """Advice, whether it still holds, and what came of it and of earlier advice."""

    advice: Advice
    out_of_date: str
    """What has changed since, as a clause; empty where the advice holds."""
    outcomes: tuple[Outcome, ...]
    """Newest first."""

    @property
    def frame(self) -> "pd.DataFrame":
        """The steps, best first, a row each; see Step."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self.advice.steps])


@speaking_python
class AdvisingWorkspace(OpenedWorkspace):
    """A workspace that can be asked where the next hour pays."""

    def advise(self, *, fine_tuning: bool = False, settings: Settings | None = None) -> Advised:
        """Return what each possible next step is expected to gain, from the training pairs alone, and keep it.

        Args:
            fine_tuning: measure fine-tuning too, which takes minutes.
            settings: see the class.

        Raises:
            NotReadyError: there are too few training pairs or prompts.
            ConfigError: a setting is unknown or out of its range.
            ModelError: the backbone to fine-tune cannot be used.
        """
        with self._working("advise", settings) as (bench, notes):
            advice = advise_on(bench, fine_tuning=fine_tuning)
            notes.summary |= headlines.of_advice(advice)
        return self.advised()

    def advised(self) -> Advised:
        """Return the newest advice that was kept, and what came of all advice; nothing is computed.

        Raises:
            NotReadyError: no advice was kept yet.
        """
        store, index = self._open, self._current()
        advice = newest_advice(store)
        if advice is None:
            raise NotReadyError("no advice was asked for yet", remedy="run 'mars advise'")
        past = tuple(outcomes(store, index, config=self._folder().config.evaluate))
        return Advised(advice, why_out_of_date(advice, standing_of(store, index)), past)
