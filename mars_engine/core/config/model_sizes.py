"""How large a language model is, as far as its name tells."""

import re

SMALL_BELOW = 3e9
"""Parameters: a model with fewer is small."""
_SIZE = re.compile(
    r"(?<![a-z0-9.])(?:(?P<experts>\d+)x)?(?P<number>\d+(?:\.\d+)?)(?P<unit>[mb])(?![a-z0-9])", re.IGNORECASE
)
_UNITS = {"m": 1e6, "b": 1e9}


def parameters_by_name(name: str) -> float | None:
    """Return how many parameters a model has by its name, None where that tells nothing.

    Read are sizes that stand for themselves, as in "qwen2.5:0.5b", "SmolLM2-135M-Instruct" or "Mixtral-8x7B"; of
    several the largest counts. Of a path the last part is the name.
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    sizes = [
        int(size["experts"] or 1) * float(size["number"]) * _UNITS[size["unit"].lower()]
        for size in _SIZE.finditer(last)
    ]
    return max(sizes, default=None)
