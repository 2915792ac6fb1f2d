"""The formats that rows may have: how each is recognised and parsed, and the registry of them all."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mars_engine.words.records import Pair, ParsedRow
from mars_engine.world.loaders import hh_rlhf, pku_saferlhf, rewardbench, trl, ultrafeedback
from mars_engine.world.loaders.drafts import Draft, Dropped, Row, checked_pair
from mars_engine.world.loaders.pku_saferlhf import Preference


@dataclass(frozen=True, slots=True)
class Format:
    """A format of rows.

    Attributes:
        name: what `open_source(format=...)` and reports call it.
        columns: the columns that a row must have.
        fits: whether the values of a row that has the columns look like this format; used for recognition alone.
        parse: the drafts of a row that has the columns; raises Dropped.
        absent: columns that a row must not have.
    """

    name: str
    columns: tuple[str, ...]
    fits: Callable[[Row], bool]
    parse: Callable[[Row], list[Draft]]
    absent: tuple[str, ...] = ()

    def recognises(self, row: Row) -> bool:
        return self._has_columns(row) and self.fits(row)

    def parsed(self, number: int, row: Row) -> ParsedRow:
        """Return the pairs of a row, and the reason for each that it did not give. Never raises for a bad row."""
        if not self._has_columns(row):
            return ParsedRow(number, dropped=(f"row does not have the columns of {self.name}",))
        try:
            drafts = self.parse(row)
        except Dropped as verdict:
            return ParsedRow(number, dropped=(verdict.reason,))
        pairs: list[Pair] = []
        reasons: list[str] = []
        for draft in drafts:
            try:
                pairs.append(checked_pair(draft))
            except Dropped as verdict:
                reasons.append(verdict.reason)
        return ParsedRow(number, tuple(pairs), tuple(reasons))

    def _has_columns(self, row: Row) -> bool:
        return all(column in row for column in self.columns) and not any(column in row for column in self.absent)


PKU_SAFERLHF = Format(
    "pku-saferlhf",
    ("prompt", "response_0", "response_1", "better_response_id", "safer_response_id"),
    pku_saferlhf.fits,
    pku_saferlhf.parser("better"),
)

FORMATS: tuple[Format, ...] = (
    PKU_SAFERLHF,
    Format(
        "ultrafeedback",
        ("instruction", "completions"),
        ultrafeedback.fits_completions,
        ultrafeedback.parse_completions,
    ),
    Format(
        "ultrafeedback-binarized",
        ("prompt", "chosen", "rejected", "score_chosen", "score_rejected"),
        ultrafeedback.fits_binarized,
        ultrafeedback.parse_binarized,
    ),
    Format("rewardbench-2", ("prompt", "chosen", "rejected"), rewardbench.fits_v2, rewardbench.parse_v2),
    Format(
        "rewardbench",
        ("id", "subset", "prompt", "chosen", "rejected"),
        rewardbench.fits_v1,
        rewardbench.parse_v1,
        absent=("num_correct",),
    ),
    Format("hh-rlhf", ("chosen", "rejected"), hh_rlhf.fits, hh_rlhf.parse, absent=("prompt",)),
    Format("trl", ("prompt", "chosen", "rejected"), trl.fits_explicit, trl.parse_explicit),
    Format("trl", ("chosen", "rejected"), trl.fits_implicit, trl.parse_implicit, absent=("prompt",)),
)
"""All formats, the most particular first: a row has the first format that recognises it. TRL's has two layouts."""

FORMAT_NAMES = tuple(dict.fromkeys(format.name for format in FORMATS))


def formats_under(preference: Preference) -> tuple[Format, ...]:
    """Return the formats, PKU-SafeRLHF's with the better or the safer response as the chosen one."""
    pku = replace(PKU_SAFERLHF, parse=pku_saferlhf.parser(preference))
    return tuple(pku if format is PKU_SAFERLHF else format for format in FORMATS)
