"""The formats that rows may have: how each is recognised and parsed, and the registry of them all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mars_engine.core.import_records import ParsedRow
from mars_engine.core.records import Pair
from mars_engine.data.loaders import answers, choices, hh_rlhf, rewardbench, trl
from mars_engine.data.loaders.cells import MEDIA_NAMES, TOOL_NAMES, Cells, is_blank
from mars_engine.data.loaders.drafts import HAS_MEDIA, TOOLS_OFFERED, Dropped, PairDraft, Row, checked_pair
from mars_engine.data.loaders.options import ReadingOptions
from mars_engine.data.loaders.prompts import refuse_lost_history, with_system
from mars_engine.data.loaders.scores import SCORE_COLUMNS, with_scores


@dataclass(frozen=True, slots=True)
class Format:
    """A format of rows.

    Attributes:
        name: what `open_source(format=...)` and reports call it.
        needs: what its rows have, in words.
        has: whether a row has the columns.
        fits: whether the values of a row that has the columns look like this format; used for recognition alone.
        parse: the drafts of a row that has the columns; raises Dropped.
        scored: whether columns with the sides' scores are looked for.
        options: how a person wants its rows to be read.
        literal: the columns of the source whose texts stand in quotes.
    """

    name: str
    needs: str
    has: Callable[[Cells], bool]
    fits: Callable[[Cells], bool]
    parse: Callable[[Cells], list[PairDraft]]
    scored: bool = True
    options: ReadingOptions = field(default_factory=ReadingOptions, compare=False)
    literal: frozenset[str] = frozenset()

    def recognises(self, row: Row) -> bool:
        cells = Cells(row, self.options, self.literal)
        return self.has(cells) and self.fits(cells)

    def parsed(self, number: int, row: Row) -> ParsedRow:
        """Return the pairs of a row, and the reason for each that it did not give. Never raises for a bad row."""
        cells = Cells(row, self.options, self.literal)
        if not self.has(cells):
            return ParsedRow(number, dropped=(f"row does not have the columns of {self.name}",))
        try:
            drafts = self._drafts(cells)
        except Dropped as verdict:
            return ParsedRow(number, dropped=(verdict.reason,))
        pairs: list[Pair] = []
        reasons: list[str] = []
        notes: list[str] = []
        for draft in drafts:
            try:
                pairs.append(checked_pair(draft))
                notes += draft.notes
            except Dropped as verdict:
                reasons.append(verdict.reason)
        return ParsedRow(number, tuple(pairs), tuple(reasons), tuple(dict.fromkeys(notes)), cells.unused())

    def _drafts(self, cells: Cells) -> list[PairDraft]:
        drafts = [replace(draft, prompt=with_system(draft.prompt, cells)) for draft in self.parse(cells)]
        for draft in drafts:
            refuse_lost_history(cells, draft)
        if any(not is_blank(cells.peek(name)) for name in MEDIA_NAMES):
            raise Dropped(HAS_MEDIA)
        for name in TOOL_NAMES:
            if not is_blank(cells.peek(name)) and cells.peek(name) not in ("[]", "{}", "null", "None"):
                raise Dropped(TOOLS_OFFERED)
        return with_scores(drafts, cells) if self.scored else drafts


def _scored_dialogues(cells: Cells) -> bool:
    return trl.has_sides(cells) and "prompt" in cells and all(name in cells for name in SCORE_COLUMNS[0])


FORMATS: tuple[Format, ...] = (
    Format("trl", "mars_prompt, chosen, rejected", trl.has_own, trl.has_own, trl.parse_own, scored=False),
    Format(
        "pku-saferlhf",
        "prompt, response_0, response_1, better_response_id, safer_response_id",
        choices.has_pku,
        choices.fits_pku,
        choices.parse_pku,
        scored=False,
    ),
    Format(
        "ultrafeedback",
        "instruction, completions",
        answers.has_completions,
        answers.fits_completions,
        answers.parse_completions,
        scored=False,
    ),
    Format(
        "ultrafeedback-binarized",
        "prompt, chosen, rejected, score_chosen, score_rejected",
        _scored_dialogues,
        lambda cells: trl.fits(cells) and not trl.are_answers(cells),
        trl.parse_explicit,
    ),
    Format("rewardbench-2", "prompt, chosen, rejected", rewardbench.has_v2, rewardbench.fits_v2, rewardbench.parse_v2),
    Format(
        "rewardbench",
        "id, subset, prompt, chosen, rejected",
        rewardbench.has_v1,
        rewardbench.fits_v1,
        rewardbench.parse_v1,
    ),
    Format(
        "hh-rlhf",
        "chosen, rejected",
        lambda cells: trl.has_sides(cells) and not trl.states_prompt(cells),
        hh_rlhf.fits,
        hh_rlhf.parse,
    ),
    Format(
        "trl",
        "prompt, chosen, rejected",
        lambda cells: trl.has_sides(cells) and trl.states_prompt(cells),
        trl.fits,
        trl.parse_explicit,
    ),
    Format(
        "trl",
        "chosen, rejected",
        lambda cells: trl.has_sides(cells) and not trl.states_prompt(cells),
        trl.fits,
        trl.parse_implicit,
    ),
    Format("ms-swift", "messages, rejected_response", trl.has_messages, trl.fits_messages, trl.parse_messages),
    Format("llama-factory", "instruction, output", trl.has_output_list, trl.fits_output_list, trl.parse_output_list),
    Format(
        "two-responses",
        "a prompt, response_1, response_2, and preference_strength, winner, label or scores",
        choices.has_two,
        choices.fits_two,
        choices.parse_two,
        scored=False,
    ),
    Format(
        "summaries",
        "info, summaries, choice",
        choices.has_summaries,
        choices.fits_summaries,
        choices.parse_summaries,
        scored=False,
    ),
    Format(
        "answer-list",
        "a prompt, and answers with ranks or scores",
        answers.has_answers,
        answers.fits_answers,
        answers.parse_answers,
        scored=False,
    ),
)
"""All formats, the most particular first: a row has the first format that recognises it. TRL's has several layouts."""

FORMAT_NAMES = tuple(dict.fromkeys(format.name for format in FORMATS[1:]))


def formats_under(options: ReadingOptions) -> Sequence[Format]:
    """Return the formats with a person's options; where columns are mapped, those with two sides alone."""
    mapped = [format for format in FORMATS if not options.columns or format.name in ("hh-rlhf", "trl", "rewardbench-2")]
    return tuple(replace(format, options=options) for format in mapped)
