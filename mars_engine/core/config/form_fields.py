"""Settings as fields of a form: their kind, bounds and help are the configuration's own."""

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from mars_engine.core.config.mars_toml import MarsConfig
from mars_engine.core.config.section import Section

SettingKind = Literal["choice", "switch", "whole number", "number", "text"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as a form sees it. A bound that the setting cannot equal is None, and left to the validation."""

    name: str
    help: str
    kind: SettingKind
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


def settings_of(section: str) -> tuple[Setting, ...]:
    """Return the settings of a section of the configuration as fields of a form, in their order."""
    return tuple(_setting(name, field) for name, field in section_type(section).model_fields.items())


def _setting(name: str, field: FieldInfo) -> Setting:
    help_text = field.description or ""
    if get_origin(field.annotation) is Literal:
        return Setting(name, help_text, "choice", choices=tuple(map(str, get_args(field.annotation))))
    kinds: dict[Any, SettingKind] = {bool: "switch", int: "whole number", float: "number", str: "text"}
    if field.annotation not in kinds:
        raise TypeError(f"no field of a form can be made of a setting of the type {field.annotation}")
    low = next((float(str(each.ge)) for each in field.metadata if isinstance(each, annotated_types.Ge)), None)
    high = next((float(str(each.le)) for each in field.metadata if isinstance(each, annotated_types.Le)), None)
    return Setting(name, help_text, kinds[field.annotation], low=low, high=high)


def section_type(section: str) -> type[Section]:
    """Return the model of a section of the configuration."""
    kind = MarsConfig.model_fields[section].annotation
    if not (isinstance(kind, type) and issubclass(kind, Section)):
        raise TypeError(f"{section} is not a section of the configuration")
    return kind
