"""Forms made of the configuration, opened by AppTest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from mars_engine.core.config import MarsConfig, Section
from pages.parts.frame.forms import in_words, step_of, verbatim

SECTIONS = tuple(name for name in MarsConfig.model_fields if isinstance(getattr(MarsConfig(), name), Section))


def fields_page() -> None:
    import streamlit as st

    from mars_engine.core.config import MarsConfig, Section
    from pages.parts.frame.forms import section_fields

    sections = [name for name in MarsConfig.model_fields if isinstance(getattr(MarsConfig(), name), Section)]
    st.session_state["given"] = section_fields(MarsConfig(), sections, "form")


def form_page() -> None:
    import streamlit as st

    from mars_engine.core.config import AllocationConfig, MarsConfig
    from pages.parts.frame.forms import section_form

    config = MarsConfig(allocation=AllocationConfig(tau=2.0))
    st.session_state["given"] = section_form(config, ["allocation", "compose"], "form", submit="Save")


def opened(page) -> AppTest:
    app = AppTest.from_function(page, default_timeout=30).run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(text.value for text in app.text)


def test_every_setting_has_a_widget_with_its_value_and_its_help():
    app = opened(fields_page)
    widgets = {each.key: each for each in [*app.selectbox, *app.checkbox, *app.number_input, *app.text_input]}
    for section in SECTIONS:
        for name, field in type(getattr(MarsConfig(), section)).model_fields.items():
            widget = widgets.pop(f"form.{section}.{name}")
            assert widget.label == in_words(name)
            assert widget.value == getattr(getattr(MarsConfig(), section), name)
            assert widget.help == verbatim(field.description)
    assert not widgets
    assert app.session_state["given"] == {}


def test_what_is_changed_is_given_and_nothing_else():
    app = opened(fields_page)
    app.selectbox(key="form.allocation.law").set_value("fisher")
    app.number_input(key="form.allocation.budget").set_value(12)
    app.checkbox(key="form.compose.cumulative").uncheck()
    app.text_input(key="form.encoder.name").set_value("elsewhere")
    app.run()
    assert app.session_state["given"] == {
        "encoder": {"name": "elsewhere"},
        "allocation": {"law": "fisher", "budget": 12},
        "compose": {"cumulative": False},
    }


def test_a_value_that_cannot_be_used_is_named_beside_the_fields():
    app = opened(fields_page)
    app.number_input(key="form.evaluate.confidence").set_value(1.0).run()
    assert app.session_state["given"] is None
    assert "evaluate.confidence = 1.0" in words(app)
    assert "this form" in words(app)
    assert "What to do" in words(app)
    app.number_input(key="form.evaluate.confidence").set_value(0.9).run()
    assert app.session_state["given"] == {"evaluate": {"confidence": 0.9}}


def test_a_form_gives_its_values_only_when_its_button_is_pressed():
    app = opened(form_page)
    assert app.session_state["given"] is None
    assert app.number_input(key="form.allocation.tau").value == 2.0
    app.number_input(key="form.allocation.tau").set_value(0.5)
    app.button[0].click().run()
    assert app.session_state["given"] == {"allocation": {"tau": 0.5}}
    app.run()
    assert app.session_state["given"] is None


@pytest.mark.parametrize(("value", "step"), [(0.5, 0.01), (5.0, 0.1), (0.005, 0.0001), (0.0, 0.1), (10_000.0, 1000.0)])
def test_a_step_is_about_a_tenth_of_the_value(value, step):
    assert step_of(value) == pytest.approx(step)


@given(text=st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_verbatim_escapes_whatever_markdown_could_read(text):
    import re

    escaped = verbatim(text)
    assert re.sub(r"\\(.)", r"\1", escaped) == text
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`$:<\[]", escaped)
