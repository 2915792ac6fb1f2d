"""Settings as options of a command line of `mars`: how a flag is named, and what sets it."""

from collections.abc import Mapping
from typing import Any


def setting_flag(section: str, name: str) -> str:
    """Return the flag of a command that sets a setting of a section of the configuration: `--chat-model`."""
    return f"--{section}-{name}".replace("_", "-")


def unset_flag(section: str, name: str) -> str:
    """Return the flag of a command that turns a setting off which is on or off: `--no-compose-cumulative`."""
    return f"--no-{setting_flag(section, name)[2:]}"


def as_options(overrides: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return values of settings, by section and name, as the options by which commands of `mars` take them."""
    arguments: list[str] = []
    for section, values in overrides.items():
        for name, value in values.items():
            if isinstance(value, bool):
                arguments.append(setting_flag(section, name) if value else unset_flag(section, name))
            else:
                arguments += [setting_flag(section, name), str(value)]
    return arguments
