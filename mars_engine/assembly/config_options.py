"""Command-line options made from the configuration: a field's description is the option's help."""

import types
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from mars_engine.words.config import MarsConfig, Section, validate_config

Command = Callable[..., Any]


def section_options(*sections: str) -> Callable[[Command], Command]:
    """Give a command an option `--section-field` for each field of these sections of the configuration.

    The command receives those that were given as `overrides`, a dict of dicts for `override_config`.
    """

    def decorate(command: Command) -> Command:
        def run(**arguments: Any) -> Any:
            overrides: dict[str, dict[str, Any]] = {}
            for section in sections:
                for field in _section_type(section).model_fields:
                    value = arguments.pop(f"{section}_{field}")
                    if value is not None:
                        overrides.setdefault(section, {})[field] = value
            return command(overrides=overrides, **arguments)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
        for section in reversed(sections):
            for name, field in reversed(_section_type(section).model_fields.items()):
                run = _option(section, name, field)(run)
        return run

    return decorate


def override_config(config: MarsConfig, overrides: dict[str, dict[str, Any]]) -> MarsConfig:
    """Return the configuration with the command line's values; they hold for this run only.

    Raises:
        ConfigError: a value is out of its range.
    """
    settings = config.model_dump()
    for section, values in overrides.items():
        settings[section] |= values
    return validate_config(settings, origin="the command line")


def _section_type(section: str) -> type[Section]:
    kind = MarsConfig.model_fields[section].annotation
    if not (isinstance(kind, type) and issubclass(kind, Section)):
        raise TypeError(f"{section} is not a section of the configuration")
    return kind


def _option(section: str, name: str, field: FieldInfo) -> Callable[[Command], Command]:
    flag = f"--{section}-{name}".replace("_", "-")
    declaration = f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag
    help_text = f"{field.description} [default: mars.toml, else {field.default}]"
    return click.option(declaration, f"{section}_{name}", type=_click_type(field), default=None, help=help_text)


def _click_type(field: FieldInfo) -> Any:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return click.Choice([str(value) for value in get_args(annotation)])
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation
    raise TypeError(f"no option can be made of a field of type {annotation}")
