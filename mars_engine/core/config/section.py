"""What every section of the configuration has in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the configuration; unknown keys are refused, values are checked.

    The docstring below a setting is its help.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for field in cls.model_fields.values():
            if field.description:  # a help is one line, however its docstring is wrapped
                field.description = " ".join(field.description.split())
