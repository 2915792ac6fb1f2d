"""Cells as they are meant: turns and lists of answers, however a tool has spelled them.

A cell may hold a list, its JSON text, Python's own spelling of it, the same with numpy's line breaks in place of
commas, or a struct of lists in place of a list of structs. All come out as a list of mappings; turns as {role, content}
under the role names user, assistant, system. Any other cell comes out as it is.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST_EXAMPLE = 80

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "prompter", "customer", "instruction", "usr"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "bot", "model", "ai", "chatgpt", "chatbot", "claude", "llm", "agent"), "assistant"
    ),
    **dict.fromkeys(("system", "sys", "developer"), "system"),
    **dict.fromkeys(
        (
            "tool",
            "function",
            "observation",
            "function_call",
            "tool_call",
            "function_response",
            "tool_response",
            "ipython",
        ),
        "tool",
    ),
}
"""What a role's name means, in lower case; a name that is not here stays as it is."""

ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text", "message")
CALL_KEYS = ("tool_calls", "function_call")
ANSWER_KEYS = (
    "response",
    "answer",
    "text",
    "content",
    "output",
    "completion",
    "generation",
    "value",
    "body",
    "full_text",
)
"""Under what names an answer's text stands in a mapping, the most particular first."""

_LONGEST_SPELLED = 4 * 2**20
_KEY = "|".join(
    dict.fromkeys((*ROLE_KEYS, *CONTENT_KEYS, *CALL_KEYS, *ANSWER_KEYS, "model", "id", "name", "rank", "score"))
)
_SPELLED = re.compile(rf"\s*\[?\s*\{{\s*[\"'](?:{_KEY})[\"']\s*:")
_SPELLED_TURNS = re.compile(rf"\s*\[?\s*\{{\s*[\"'](?:{'|'.join(ROLE_KEYS)})[\"']\s*:\s*[\"']")
_NUMPY_BREAK = re.compile(r"\}\r?\n \{")


def decoded(value: Any, roles: Mapping[str, str]) -> Any:
    """Return a cell as it is meant. `roles` are further names of roles, in lower case, that come before ROLES."""
    if isinstance(value, str):
        if not _SPELLED.match(value):
            return value
        value = _from_spelling(value)
    if isinstance(value, Mapping):
        value = _from_columns(value)
    if isinstance(value, Mapping):
        return _turn(value, roles) if _is_turn(value) else value
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(item, Mapping) and _is_turn(item) for item in value)
    ):
        return [_turn(item, roles) for item in value]
    return list(value) if isinstance(value, tuple) else value


def is_turn(value: Any) -> bool:
    """Whether a decoded value is one turn."""
    return not isinstance(value, str) and isinstance(value, Mapping) and "role" in value and "content" in value


def are_turns(value: Any) -> bool:
    """Whether a decoded value is a list of turns."""
    return isinstance(value, list) and bool(value) and all(is_turn(item) for item in value)


def text_in(value: Any) -> Any:
    """Return the text of an answer: the value itself, or the one that a mapping has under a name for it, else None."""
    if not isinstance(value, Mapping):
        return value
    return next((value[key] for key in ANSWER_KEYS if isinstance(value.get(key), str)), None)


def literal_in(text: str) -> str | None:
    """Return the text that a JSON or Python literal in quotes spells, None where a text is none."""
    if len(text) < 2 or text[0] not in "\"'" or text[-1] != text[0]:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, str) else None
    return None


def is_spelled(text: str) -> bool:
    """Whether a text begins like the spelling of turns or answers."""
    return bool(_SPELLED.match(text))


def is_broken_spelling(value: Any) -> bool:
    """Whether a decoded cell is a text that begins like turns, but spells none: it was cut off or misspelled."""
    return isinstance(value, str) and bool(_SPELLED_TURNS.match(value)) and not _is_whole(value)


def _is_whole(text: str) -> bool:
    for read in (json.loads, ast.literal_eval):
        try:
            read(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return True
    return False


def _from_spelling(text: str) -> Any:
    """Return the turns or answers that a text spells, else the text."""
    if len(text) > _LONGEST_SPELLED or not _SPELLED.match(text):
        return text
    for read in (json.loads, ast.literal_eval, lambda spelled: ast.literal_eval(_NUMPY_BREAK.sub("}, {", spelled))):
        try:
            value = read(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if _is_meant(value) else text
    return text


def _is_meant(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, Mapping) and (_is_turn(item) or text_in(item) is not None) for item in items)


def _from_columns(value: Mapping[str, Any]) -> Any:
    """Return a struct of equally long lists as a list of structs, where it is of turns or answers."""
    keys = set(value)
    of_turns = bool(keys & set(ROLE_KEYS)) and bool(keys & set(CONTENT_KEYS))
    if not (of_turns or keys & set(ANSWER_KEYS)):
        return value
    lists = [cell for cell in value.values() if isinstance(cell, Sequence) and not isinstance(cell, str)]
    if len(lists) != len(value) or len({len(cell) for cell in lists}) != 1:
        return value
    return [dict(zip(value, cells, strict=True)) for cells in zip(*lists, strict=True)]


def _is_turn(item: Mapping[str, Any]) -> bool:
    return any(key in item for key in ROLE_KEYS) and any(key in item for key in (*CONTENT_KEYS, *CALL_KEYS))


def _turn(item: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    role = next(item[key] for key in ROLE_KEYS if key in item)
    content = next((item[key] for key in CONTENT_KEYS if key in item), None)
    calls = next((item[key] for key in CALL_KEYS if item.get(key)), None)
    named = {**ROLES, **roles}.get(role.strip().lower(), role) if isinstance(role, str) else role
    return {"role": named, "content": content, **({"calls": calls} if calls is not None else {})}


def shortened(value: Any) -> str:
    """Return a cell as one short line that every database and console can hold, for a column's example."""
    text = " ".join(str(value)[: 4 * LONGEST_EXAMPLE].replace("\0", " ").encode("utf-8", "replace").decode().split())
    return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}…"
