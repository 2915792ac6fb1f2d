"""Values of settings that hold for one piece of work, in the place of those in mars.toml."""

from collections.abc import Mapping
from typing import Any

from mars_engine.core.config import MarsConfig, validate_config
from mars_engine.core.errors import ConfigError


def override_config(
    config: MarsConfig, overrides: Mapping[str, Mapping[str, Any]], *, origin: str = "the command line"
) -> MarsConfig:
    """Return the configuration with the values of a command line, a form or a script in the place of its own.

    Args:
        config: the settings of the workspace.
        overrides: by section, then by name, as in {"allocation": {"law": "fisher"}}.
        origin: where the values were given, for errors.

    Raises:
        ConfigError: there is no such section or setting, or a value is out of its range.
    """
    settings = config.model_dump()
    if not isinstance(overrides, Mapping):
        raise ConfigError(
            f"{origin}: {overrides!r} is no mapping",
            expected='a mapping by section and name, such as {"allocation": {"law": "fisher"}}',
        )
    for section, values in overrides.items():
        if not isinstance(settings.get(section), dict) or not isinstance(values, Mapping):
            raise ConfigError(
                f"{origin} has {section}={values!r}, which is no section of the settings with values",
                expected=f"one of {', '.join(_sections(settings))}, with a mapping of its settings",
            )
        settings[section] |= values
    return validate_config(settings, origin=origin)


def _sections(settings: Mapping[str, Any]) -> list[str]:
    return [name for name, value in settings.items() if isinstance(value, dict)]
