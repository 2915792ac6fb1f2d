"""Settings as options of a command: their kind, bounds and help are the configuration's own."""

import types
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from mars_engine.core.config import section_type
from mars_engine.jobs.command_options import setting_flag, unset_flag

Command = Callable[..., Any]
SHORT_FLAGS = {
    ("reward_model", "backbone"): "--backbone",
    ("judge", "by"): "--judge",
    ("align", "method"): "--method",
    ("align", "policy"): "--policy",
    ("align", "steps"): "--steps",
}
"""Beside its long flag, what a setting that is given often may be given by."""


def section_options(*sections: str) -> Callable[[Command], Command]:
    """Give a command an option `--section-field` for each field of these sections of the configuration.

    The command receives those that were given as `overrides`, a dict of dicts for `override_config`.
    """

    def decorate(command: Command) -> Command:
        def run(**arguments: Any) -> Any:
            overrides: dict[str, dict[str, Any]] = {}
            for section in sections:
                for field in section_type(section).model_fields:
                    value = arguments.pop(f"{section}_{field}")
                    if value is not None:
                        overrides.setdefault(section, {})[field] = value
            return command(overrides=overrides, **arguments)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
        for section in reversed(sections):
            for name, field in reversed(section_type(section).model_fields.items()):
                run = _option(section, name, field)(run)
        return run

    return decorate


def _option(section: str, name: str, field: FieldInfo) -> Callable[[Command], Command]:
    flag = setting_flag(section, name)
    declarations = [f"{flag}/{unset_flag(section, name)}" if field.annotation is bool else flag]
    if (section, name) in SHORT_FLAGS:
        declarations.append(SHORT_FLAGS[section, name])
    allowed = f"{said}; " if (said := _allowed(field)) else ""
    default = "none" if field.default == "" else field.default
    help_text = f"{field.description} [{allowed}default: mars.toml, else {default}]"
    return click.option(*declarations, f"{section}_{name}", type=_click_type(field), default=None, help=help_text)


def _allowed(field: FieldInfo) -> str:
    """Say for an option's help the range that a number must be in, "" where it has none."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return ", ".join(
        f"{sign} {getattr(each, name)}"
        for each in field.metadata
        for name, sign in signs.items()
        if hasattr(each, name)
    )


def _click_type(field: FieldInfo) -> Any:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return click.Choice([str(value) for value in get_args(annotation)])
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation
    raise TypeError(f"no option can be made of a field of type {annotation}")
