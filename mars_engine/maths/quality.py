"""Quality gates of a proposal: small checks, each with a reason that a person can read."""

import re
from dataclasses import dataclass

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def normalized(text: str) -> str:
    """Return a text without differences in case and white space, for telling copies."""
    return " ".join(text.split()).casefold()


@dataclass(frozen=True, slots=True)
class SideChange:
    """What a proposal made of one text: the text it rewrote (`base`), the new one, and their cosine similarity."""

    name: str
    base: str
    new: str
    fidelity: float
    refined: bool = False
    """A refined side is meant to differ from its base, so its fidelity and facts are not judged."""


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Thresholds of the gates; see `ProposeConfig`."""

    min_fidelity: float
    max_contrast_loss: float
    max_margin_loss: float
    """In units of reward."""


def failed_gates(
    sides: list[SideChange],
    *,
    distance_before: float,
    distance_after: float,
    margin_before: float,
    margin_after: float,
    limits: GateLimits,
) -> tuple[str, ...]:
    """Return the reasons for which a proposal fails; empty where it passes every gate."""
    reasons = [reason for side in sides for reason in _side_reasons(side, limits)]
    if distance_after < distance_before - limits.max_contrast_loss:
        reasons.append(f"contrast lost: distance {distance_before:.2f} to {distance_after:.2f}")
    if margin_after < margin_before - limits.max_margin_loss:
        reasons.append(f"label in doubt: margin {margin_before:+.2f} to {margin_after:+.2f}")
    return tuple(reasons)


def _side_reasons(side: SideChange, limits: GateLimits) -> list[str]:
    if not side.new.strip():
        return [f"{side.name} is empty"]
    if side.refined or normalized(side.new) == normalized(side.base):
        return []
    reasons = []
    if side.fidelity < limits.min_fidelity:
        reasons.append(f"{side.name} drifted from its source: similarity {side.fidelity:.2f}")
    if sorted(NUMBER.findall(side.new)) != sorted(NUMBER.findall(side.base)):
        reasons.append(f"{side.name} changed a number")
    return reasons
