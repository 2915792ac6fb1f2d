"""Several answers to one prompt, and files that hold them: recorded ones of several models, with or without scores.

Read are lists of answers in a row ("best of" data such as Nectar or UltraFeedback; texts or mappings with a model and
a score) and rows of one answer each, as AlpacaEval writes a model's outputs. Rows with one prompt are put together.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mars_engine.core.errors import LoadError
from mars_engine.core.records import Prompt, prompt_id
from mars_engine.data.loaders.answers import ITEM_SCORES, LIST_SCORES, LISTS, RANKS
from mars_engine.data.loaders.cells import Cells
from mars_engine.data.loaders.drafts import NOT_TEXT, Dropped, checked_text, number_of
from mars_engine.data.loaders.opening import open_rows
from mars_engine.data.loaders.options import ReadingOptions
from mars_engine.data.loaders.prompts import prompt_in, with_system
from mars_engine.data.loaders.values import text_in

EMPTY_ANSWER = "empty answer"
NO_ANSWERS = "no column of answers"

SINGLE_ANSWERS = ("response", "output", "answer", "completion", "generation", "model_output", "reply")
MODEL_NAMES = ("model", "generator", "model_name")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a prompt. `preference` is the recorded one, the higher the better; None where there is none."""

    text: str
    model: str = ""
    preference: float | None = None


@dataclass(frozen=True, slots=True)
class AnsweredPrompt:
    """A prompt and its answers, none of them empty."""

    prompt: Prompt
    answers: tuple[Answer, ...]

    @property
    def prompt_id(self) -> str:
        return prompt_id(self.prompt)


@dataclass(frozen=True, slots=True)
class RecordedAnswers:
    """The prompts of a file with their answers, and what was dropped of it, by reason."""

    name: str
    content_hash: str
    rows: tuple[AnsweredPrompt, ...]
    dropped: Mapping[str, int]

    @property
    def have_preferences(self) -> bool:
        """Whether every recorded answer has a preference, by which best-of-n can judge its picks."""
        return all(answer.preference is not None for row in self.rows for answer in row.answers)


def load_recorded_answers(location: str) -> RecordedAnswers:
    """Read the recorded answers that stand for a policy's: a file, a folder or pattern of files, or a hub set.

    Raises:
        LoadError: it cannot be read, or has not one prompt with an answer.
    """
    opened = open_rows(location)
    by_prompt: dict[str, AnsweredPrompt] = {}
    dropped: Counter[str] = Counter()
    columns: list[str] = []
    for raw in opened.read():
        if raw.row is None:
            dropped[raw.problem] += 1
            continue
        columns = columns or [str(name) for name in raw.row]
        try:
            prompt, answers = _read_row(Cells(raw.row, ReadingOptions()))
        except Dropped as verdict:
            dropped[verdict.reason] += 1
            continue
        dropped[EMPTY_ANSWER] += sum(not answer.text.strip() for answer in answers)
        usable = tuple(answer for answer in answers if answer.text.strip())
        key = prompt_id(prompt)
        known = by_prompt[key].answers if key in by_prompt else ()
        if known or usable:
            by_prompt[key] = AnsweredPrompt(prompt, (*known, *usable))
    if not by_prompt:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in (+dropped).most_common())
        raise LoadError(
            f"{location} has no answers to prompts{f': {reasons}' if reasons else ''}",
            expected="rows with a prompt and 'responses', a list of texts or of {model, text, preference}; or rows "
            f"with a prompt and one answer each; its columns are {', '.join(columns) or 'none'}",
            remedy="rename the columns, or name another file",
        )
    return RecordedAnswers(opened.name, opened.content_hash, tuple(by_prompt.values()), dict(+dropped))


def _read_row(cells: Cells) -> tuple[Prompt, list[Answer]]:
    """Return the prompt and the answers of a row, empty ones among them.

    Raises:
        Dropped: it has no prompt, or no answers that are text.
    """
    column = next((name for name in LISTS if isinstance(cells.peek(name), list) and cells.peek(name)), None)
    found = list(_single_answer(cells)) if column is None else _listed_answers(cells, column)
    if not found:
        raise Dropped(NO_ANSWERS)
    return with_system(prompt_in(cells, sides_are_answers=True), cells), found


def _single_answer(cells: Cells) -> Iterator[Answer]:
    column = next((name for name in SINGLE_ANSWERS if isinstance(cells.peek(name), str)), None)
    if column is not None:
        score = next((cells[name] for name in ITEM_SCORES if number_of(cells.peek(name)) is not None), None)
        model = next((cells[name] for name in MODEL_NAMES if isinstance(cells.peek(name), str)), "")
        yield Answer(checked_text(cells[column]), model, number_of(score))


def _listed_answers(cells: Cells, column: str) -> list[Answer]:
    items: list[Any] = cells[column]
    texts = [text_in(item) for item in items]
    if not all(isinstance(text, str) for text in texts):
        raise Dropped(NOT_TEXT)
    scores = _scores_within(items) or _scores_beside(cells, len(items)) or [None] * len(items)
    return [
        Answer(checked_text(text), model, score)
        for text, model, score in zip(texts, _models(cells, items), scores, strict=True)
    ]


def _scores_within(items: Sequence[Any]) -> list[float | None]:
    """Return the scores that recorded answers have of their own, of ranks the negative; none where they have none."""
    if not all(isinstance(item, Mapping) for item in items):
        return []
    for key in (*RANKS, *ITEM_SCORES):
        numbers = [number_of(item.get(key)) for item in items]
        if any(number is not None for number in numbers):
            return _upright(numbers, key)
    return []


def _scores_beside(cells: Cells, count: int) -> list[float | None]:
    for key in (*RANKS, *LIST_SCORES):
        values = cells.peek(key) if key in cells else None
        if isinstance(values, list) and len(values) == count:
            return _upright([number_of(value) for value in cells[key]], key)
    return []


def _upright(numbers: Sequence[float | None], key: str) -> list[float | None]:
    return [None if number is None else -number if key in RANKS else number for number in numbers]


def _models(cells: Cells, items: Sequence[Any]) -> list[str]:
    beside = cells.peek("models")
    if isinstance(beside, list) and len(beside) == len(items):
        return [str(name) for name in cells["models"]]
    named = [next((item[key] for key in MODEL_NAMES if item.get(key)), "") if isinstance(item, Mapping) else ""
             for item in items]  # fmt: skip
    return [str(name) for name in named]
