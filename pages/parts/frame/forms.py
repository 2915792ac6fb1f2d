"""Forms made of the configuration: a widget for each setting, its help and its bounds from the setting itself."""

import inspect
import math
import re
from collections.abc import Sequence
from typing import Any

import streamlit as st

from mars_engine.core.config import MarsConfig, Setting, settings_of
from mars_engine.core.config.overrides import override_config
from mars_engine.core.errors import ConfigError
from pages.parts.frame.page import show_error

Overrides = dict[str, dict[str, Any]]
COLUMNS = 3
CHOICE_NAMES = {
    "order": {
        "plan": "As the plan spends, suspected mislabels first",
        "margin": "Lowest margins",
        "gain": "Most information gained",
        "distance": "Most contrast lost",
        "random": "By chance",
    }
}
"""What some choices are called in a form, by setting; others stand as they are in mars.toml."""


def section_form(config: MarsConfig, sections: Sequence[str], key: str, *, submit: str = "Apply") -> Overrides | None:
    """Draw a form for sections of the configuration, each on a tab of its own, with one button.

    Returns:
        What differs from `config`, once the button was pressed and all values can be used; None until then. What
        cannot be used is said in the form.
    """
    with st.form(key, border=False):
        overrides = section_fields(config, sections, key)
        pressed = st.form_submit_button(submit, type="primary")
    return overrides if pressed else None


def section_fields(config: MarsConfig, sections: Sequence[str], key: str) -> Overrides | None:
    """Draw the widgets of sections of the configuration, each on a tab of its own.

    Returns:
        What differs from `config`; None where a value cannot be used, which is said beside the fields.
    """
    given = {}
    for section, tab in zip(sections, st.tabs([in_words(section) for section in sections]), strict=True):
        with tab:
            given[section] = _draw_section(config, section, key)
    overrides = {section: values for section, values in given.items() if values}
    try:
        override_config(config, overrides, origin="this form")
    except ConfigError as error:
        show_error(ConfigError(error.found, expected="the ranges in the fields' help", remedy="correct them here"))
        return None
    return overrides


def _draw_section(config: MarsConfig, section: str, key: str) -> dict[str, Any]:
    """Draw a section's widgets; return the values that differ from the configuration's."""
    current = getattr(config, section)
    st.text(inspect.cleandoc(type(current).__doc__ or ""))
    columns = st.columns(COLUMNS)
    values = {}
    for position, setting in enumerate(settings_of(section)):
        name = setting.name
        with columns[position % COLUMNS]:
            values[name] = _draw_setting(setting, getattr(current, name), f"{key}.{section}.{name}")
    return {name: value for name, value in values.items() if value != getattr(current, name)}


def _draw_setting(setting: Setting, value: Any, key: str) -> Any:
    label, help_text = in_words(setting.name), verbatim(setting.help)
    if setting.kind == "choice":
        names = CHOICE_NAMES.get(setting.name, {})
        return st.selectbox(
            label,
            setting.choices,
            index=setting.choices.index(value),
            format_func=lambda choice: names.get(choice, choice),
            help=help_text,
            key=key,
        )
    if setting.kind == "switch":
        return st.checkbox(label, value=value, help=help_text, key=key)
    if setting.kind == "text":
        return st.text_input(label, value=value, help=help_text, key=key)
    if setting.kind == "whole number":
        low = None if setting.low is None else int(setting.low)
        high = None if setting.high is None else int(setting.high)
        return st.number_input(label, low, high, value, step=1, help=help_text, key=key)
    step = step_of(value)
    return st.number_input(label, setting.low, setting.high, value, step=step, format="%g", help=help_text, key=key)


def step_of(value: float) -> float:
    """Return a step of about a tenth of a value, a power of ten; 0.1 where it is 0."""
    return float(10.0 ** (math.floor(math.log10(abs(value))) - 1)) if value else 0.1


def in_words(name: str) -> str:
    """Return a setting's name as a label."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def verbatim(text: str) -> str:
    """Return a text as Markdown that shows it as it is, for places that take Markdown only, such as a widget's help."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
