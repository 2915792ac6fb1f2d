"""Settings that a script gives in the place of those in mars.toml."""

from collections.abc import Mapping
from typing import Any

from mars_engine.api.checks import at_least, one_of
from mars_engine.core.config import LAWS

Settings = Mapping[str, Mapping[str, Any]]
"""Settings by section and name, as in mars.toml: {"reward_model": {"backbone": "packaged"}}."""
ORIGIN = "settings"


def planned(law: str | None, budget: int | None) -> Settings:
    """Return a law and a budget that were given as the settings that they are; they go before all others.

    Raises:
        MarsError: the law is unknown, or the budget no whole number from 1.
    """
    if law is not None:
        one_of("law", law, LAWS)
    if budget is not None:
        at_least("budget", budget, 1, whole=True)
    given = {name: value for name, value in (("law", law), ("budget", budget)) if value is not None}
    return {"allocation": given}
