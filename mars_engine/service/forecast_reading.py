"""What proposing would ask and cost, found out in a process of its own: it needs the encoder and the generators."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mars_engine.augment.forecast_in_words import forecast_lines
from mars_engine.augment.generation_forecast import PROPOSE_SECTIONS, GenerationForecast
from mars_engine.core.chat_records import GenerationEstimate, Spending
from mars_engine.core.config import ChatConfig
from mars_engine.jobs.command_options import as_options
from mars_engine.jobs.own_process import ask_mars


def read_forecast(root: Path, overrides: Mapping[str, Mapping[str, Any]], config: ChatConfig) -> list[str]:
    """Return in plain words what the next round's proposals would take of a chat model; nothing is asked or stored.

    Args:
        root: the workspace.
        overrides: settings by section, instead of those of mars.toml; sections without any bearing are left out.
        config: names the model, the prices and the budget.

    Raises:
        MarsError: no model is trained yet, or the settings cannot be used.
    """
    options = as_options({section: overrides[section] for section in PROPOSE_SECTIONS if section in overrides})
    told = ask_mars(root, ["propose", "--dry-run", *options])["generation"]
    if told is None:
        return ["Neither the generators nor a judge cost anything under these settings."]
    estimates = {name: GenerationEstimate(**told[name]) for name in ("at_least", "at_most", "judging_at_most")}
    return forecast_lines(
        GenerationForecast(sources=told["sources"], **estimates, spent=Spending(**told["spent"])), config
    )
