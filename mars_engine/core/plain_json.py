"""Values as plain JSON: turns as objects, and numbers that JSON has no word for as null."""

import math
from collections.abc import Mapping
from typing import Any

from mars_engine.core.records import Prompt


def turns_as_json(prompt: Prompt) -> list[dict[str, str]]:
    """Return a prompt's turns as chat templates and files take them: an object of role and content each."""
    return [{"role": turn.role, "content": turn.content} for turn in prompt]


def finite_or_null(value: Any) -> Any:
    """Return a JSON value with None for every number in it that is not finite: JSON has no word for those."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite_or_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_null(item) for item in value]
    return value
