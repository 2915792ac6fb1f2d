"""How a person wants rows to be read, where the columns alone do not say it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mars_engine.core.errors import LoadError

Preference = Literal["better", "safer"]
Against = Literal["worst", "others"]
Deciding = Literal["ratings", "overall"]

COLUMN_TARGETS = ("prompt", "chosen", "rejected", "system")
ROLE_TARGETS = ("user", "assistant", "system")
SCORE_TARGETS = ("chosen", "rejected")


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """What decides how a row is read.

    Attributes:
        preference: which of PKU-SafeRLHF's two labels decides: the better or the safer response.
        columns: from prompt, chosen, rejected, system to the column that holds it; `a+b` joins two columns by a blank
            line, `a.b` is the field b of the column a.
        roles: from a role's name in the file to user, assistant or system.
        scores: from chosen, rejected to the column with that side's score.
        against: of a list of ranked or scored answers, the best against the worst, or against each that is worse.
        deciding: which of UltraFeedback's scores decides: the mean of the ratings, or the overall score, which is 10
            where it should be 1 in some rows of the set as it was published first.
    """

    preference: Preference = "better"
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, str] = field(default_factory=dict)
    against: Against = "worst"
    deciding: Deciding = "ratings"

    def changes(self) -> dict[str, str | dict[str, str]]:
        """Return the options that are not the usual ones, but the preference: what makes another data set of a file."""
        usual = ReadingOptions()
        mappings = {"columns": self.columns, "roles": self.roles, "scores": self.scores}
        changed: dict[str, str | dict[str, str]] = {name: dict(given) for name, given in mappings.items() if given}
        if self.against != usual.against:
            changed["against"] = self.against
        if self.deciding != usual.deciding:
            changed["deciding"] = self.deciding
        return changed


def columns_from(text: str) -> dict[str, str]:
    """Return the mapping that `prompt=question,chosen=best,rejected=worst` writes. Raises LoadError."""
    return _mapping(text, "columns", "prompt=question,chosen=best,rejected=worst", keys=COLUMN_TARGETS)


def scores_from(text: str) -> dict[str, str]:
    """Return the mapping that `chosen=score_a,rejected=score_b` writes. Raises LoadError."""
    return _mapping(text, "scores", "chosen=score_a,rejected=score_b", keys=SCORE_TARGETS)


def roles_from(text: str) -> dict[str, str]:
    """Return the mapping that `human=user,gpt=assistant` writes, its names in lower case. Raises LoadError."""
    given = _mapping(text, "roles", "human=user,gpt=assistant", values=ROLE_TARGETS)
    return {name.lower(): role for name, role in given.items()}


def _mapping(
    text: str, what: str, example: str, *, keys: tuple[str, ...] = (), values: tuple[str, ...] = ()
) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = (part.strip() for part in entry.partition("="))
        if not key or not value or (keys and key not in keys) or (values and value not in values) or key in found:
            allowed = f"before '=' {', '.join(keys)}" if keys else f"after '=' {', '.join(values)}"
            raise LoadError(
                f"{entry!r} is no entry of a mapping of {what}",
                expected=f"entries like {example}, each name once, {allowed}",
            )
        found[key] = value
    return found
