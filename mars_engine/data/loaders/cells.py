"""A row under the names that this program uses, and what of it was used.

Names are compared in lower case, with an underscore for a space or a hyphen. What is not used is named in the report of
an import, so that nothing of a row is lost unsaid.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from mars_engine.data.loaders.options import ReadingOptions
from mars_engine.data.loaders.values import decoded, is_spelled, literal_in

SIDE_NAMES = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("chosen_answer", "rejected_answer"),
    ("chosen_text", "rejected_text"),
    ("chosen_output", "rejected_output"),
    ("output_chosen", "output_rejected"),
    ("chosen_completion", "rejected_completion"),
    ("chosen_message", "rejected_message"),
    ("chosen_messages", "rejected_messages"),
    ("chosen_conversation", "rejected_conversation"),
    ("chosen_conversations", "rejected_conversations"),
    ("preferred", "dispreferred"),
    ("preferred", "rejected"),
    ("preferred_response", "dispreferred_response"),
    ("preferred_output", "non_preferred_output"),
    ("accepted", "rejected"),
    ("accepted_response", "rejected_response"),
    ("y_w", "y_l"),
    ("winning_response", "losing_response"),
    ("winner_response", "loser_response"),
    ("better_response", "worse_response"),
)
"""Names of the two sides that leave no doubt which is which."""

TEXT_PROMPTS = (
    "prompt", "question", "instruction", "query", "input", "user_prompt", "user_query", "user_input", "user_message",
    "problem", "prompt_text", "input_text", "input_prompt",
)  # fmt: skip
"""Columns that are the prompt wherever they stand beside two sides."""
DIALOGUE_PROMPTS = ("messages", "conversations", "conversation", "dialogue", "dialog", "prompt_messages", "trajectory")
"""Columns that are the prompt too, and usually hold turns."""
BEFORE_PROMPTS = ("history", "context")
"""Columns that come before the prompt, or are it where there is no other."""
RIVAL_PROMPTS = (
    "request", "user", "human", "post", "text", "inputs", "source_text", "article", "document", "passage", "x",
)  # fmt: skip
"""Columns that are the prompt only where there is no other, and the sides are single answers."""
WEAK_PROMPTS = ("task", *RIVAL_PROMPTS)
METADATA = (
    "id", "uuid", "prompt_id", "row_id", "source", "dataset", "subset", "domain", "category", "language", "lang",
    "model", "models", "chosen_model", "rejected_model", "annotator", "note", "notes", "comment", "rationale", "reason",
    "critique", "explanation", "preference_statement", "labelling_prompt", "raw_labelling_response", "timestamp",
    "date", "license", "url", "tags", "metadata", "meta", "mislabelled", "principle", "type", "split", "status",
    "title",
)  # fmt: skip
"""Columns beside two answers that are known not to be the prompt."""
SYSTEM_NAMES = ("system", "system_prompt", "system_message", "sys_prompt", "system_instruction")
MEDIA_NAMES = ("image", "images", "video", "videos", "audio", "audios")
TOOL_NAMES = ("tools", "functions", "available_tools")
_PROMPTS = frozenset((*TEXT_PROMPTS, *DIALOGUE_PROMPTS, *BEFORE_PROMPTS, *WEAK_PROMPTS))


class Cells(Mapping[str, Any]):
    """One row. Reading a cell by `[name]` or `get` uses it; `peek` looks without using.

    `literal` are the columns whose texts stand in quotes, see `literal_columns`.
    """

    def __init__(self, row: Mapping[str, Any], options: ReadingOptions, literal: frozenset[str] = frozenset()) -> None:
        self.row, self.options, self.literal = row, options, literal
        columns = tuple(name for name in row if isinstance(name, str))
        self.names = _names_of(columns, tuple(options.columns.items()))
        self._used: set[str] = set()
        self.used_names: set[str] = set()
        self._decoded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        value = self.peek(name)
        if name not in self.names:
            raise KeyError(name)
        self.use(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def peek(self, name: str) -> Any:
        """Return a cell as it is meant, None where there is none; it does not count as used."""
        if name not in self.names:
            return None
        if name not in self._decoded:
            value = self.raw(name)
            if isinstance(value, str) and self.names.get(name) in self.literal:
                value = literal_in(value) or value
            self._decoded[name] = decoded(value, self.options.roles)
        return self._decoded[name]

    def raw(self, name: str) -> Any:
        """Return a cell as it stands, None where there is none."""
        return value_at(self.row, self.names.get(name, ""))

    def use(self, name: str) -> None:
        if name in self.names:
            self.used_names.add(name)
            self._used.update(columns_in(self.names[name], self.row))

    def unused(self) -> dict[str, Any]:
        """Return the columns that were not used and hold something, as they stand."""
        return {
            name: value
            for name, value in self.row.items()
            if isinstance(name, str) and name not in self._used and not is_blank(value)
        }


def literal_columns(rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the columns in which every text is a literal in quotes, as a tool writes that spells every cell.

    A single text in quotes may be meant so: it counts where both sides stand in quotes too.
    """
    literal: Counter[str] = Counter()
    others: set[str] = set()
    for row in rows:
        for name, value in row.items():
            if isinstance(value, str) and value.strip() and value not in ("[]", "{}", "null", "None"):
                if literal_in(value) is not None:
                    literal[name] += 1
                elif not is_spelled(value):
                    others.add(name)
    found = {name: count for name, count in literal.items() if name not in others}
    both_sides = {"chosen", "rejected"} <= {plain_name(name) for name in found}
    return frozenset(name for name, count in found.items() if count > 1 or both_sides or not others)


def is_blank(value: Any) -> bool:
    """Whether a cell holds nothing: null, NaN, blank text, or an empty list or mapping."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value != value or value in ([], {}, ())  # noqa: PLR0124 - NaN differs from itself


def value_at(row: Mapping[str, Any], path: str) -> Any:
    """Return what a column holds; of `a+b` both texts with a blank line between, of `a.b` the field b of a."""
    if path in row:
        return row[path]
    if "+" in path:
        texts = [value_at(row, part.strip()) for part in path.split("+")]
        parts = [text for text in texts if isinstance(text, str) and text.strip()]
        return "\n\n".join(parts) if parts else None
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def columns_in(path: str, row: Mapping[str, Any]) -> list[str]:
    """Return the columns of a row that a path reads."""
    if path in row:
        return [path]
    return [name for part in path.split("+") if (name := part.strip().split(".")[0]) in row or part.strip() in row]


def plain_name(name: str) -> str:
    return name.strip().lstrip("\ufeff").lower().replace("-", "_").replace(" ", "_")


@lru_cache(maxsize=1024)
def _names_of(columns: tuple[str, ...], given: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return, for each name that this program uses, the column that has it; `given` comes first."""
    names: dict[str, str] = {}
    for column in columns:
        names.setdefault(plain_name(column), column)
    names.update((column, column) for column in columns if column == plain_name(column))
    mapped = dict(given)
    if not {"chosen", "rejected"} & set(mapped):
        for chosen, rejected in SIDE_NAMES:
            if chosen in names and rejected in names:
                names["chosen"], names["rejected"] = names[chosen], names[rejected]
                break
    if "prompt" in mapped:
        names = {name: column for name, column in names.items() if name not in _PROMPTS}
    for target, path in mapped.items():
        names[target] = path
    return names
