"""Settings as a form's fields: the kind and bounds of each are those that the validation takes."""

import pytest
from pydantic import ValidationError

from mars_engine.core.config import MarsConfig, Section, settings_of

SECTIONS = tuple(name for name in MarsConfig.model_fields if isinstance(getattr(MarsConfig(), name), Section))


def test_a_settings_bounds_are_the_furthest_values_that_the_validation_takes():
    for section in SECTIONS:
        kind = type(getattr(MarsConfig(), section))
        for setting in settings_of(section):
            number = kind.model_fields[setting.name].annotation
            for bound, beyond in ((setting.low, -1), (setting.high, 1)):
                if bound is not None:
                    kind.model_validate({setting.name: number(bound)})
                    with pytest.raises(ValidationError):
                        kind.model_validate({setting.name: number(bound + beyond)})


def test_settings_are_of_the_kind_that_their_value_has():
    kinds = {setting.name: setting for section in SECTIONS for setting in settings_of(section)}
    assert kinds["law"].choices == ("signed", "absolute", "fisher", "uniform")
    assert [kinds[name].kind for name in ("law", "cumulative", "budget", "tau", "device")] == [
        "choice",
        "switch",
        "whole number",
        "number",
        "text",
    ]
    low = kinds["budget_per_pair"].low
    assert low is None, "it has to be above 0, which is no bound it can equal"
    assert (kinds["l2"].low, kinds["l2"].high) == (0.0, None)
