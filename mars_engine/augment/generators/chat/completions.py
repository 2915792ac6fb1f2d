"""Reading what a server or a batch service answers: the body of a chat completion, and nothing of it believed."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mars_engine.store.database import storable

MOST_BYTES = 4_000_000
"""Of the body of an answer; the rest is not read."""
EXCERPT = 2_000
"""Characters that are kept of an answer which is too long to be one."""
BYTES_A_TOKEN = 4
"""About; where the server does not count tokens."""
BEGINNING = 200
"""Bytes that are shown of what cannot be read."""


class UnreadableBody(Exception):  # noqa: N818 (what it is, not an error of ours)
    """The server says that all is well and sends no answer."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A server's answer."""

    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    failure: str = ""


def read_body(body: bytes, said: int) -> Completion:
    """Return what the body of a successful response says.

    Args:
        body: as it came.
        said: bytes of the messages that it answers, for servers that count no tokens.

    Raises:
        UnreadableBody: it is no chat completion.
    """
    try:
        value = json.loads(body)
    except ValueError as error:
        raise _unreadable(body) from error
    return read_completion(value, said)


def read_completion(value: Any, said: int) -> Completion:
    """Return what a chat completion says, as `read_body` does of its bytes.

    Raises:
        UnreadableBody: it is no chat completion.
    """
    try:
        choice = value["choices"][0]
        text = _text_of(choice["message"].get("content"))
        reason = str(choice.get("finish_reason") or "")
        refused = "" if text.strip() else _why_withheld(choice["message"].get("refusal"), reason)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise _unreadable(json.dumps(value).encode()) from error
    usage = value.get("usage") if isinstance(value.get("usage"), dict) else {}
    return Completion(
        text,
        reason,
        _count(usage.get("prompt_tokens"), said // BYTES_A_TOKEN),
        _count(usage.get("completion_tokens"), len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN),
        failure=refused,
    )


def _unreadable(body: bytes) -> UnreadableBody:
    return UnreadableBody(f"it is no chat completion: {body[:BEGINNING].decode('utf-8', 'replace')!r}")


def _why_withheld(refusal: Any, finish_reason: str) -> str:
    """Return why an answer is empty, where the server says so."""
    if isinstance(refusal, str) and refusal.strip():
        return f"the model refused: {storable(refusal.strip()[:EXCERPT])}"
    return "the server's content filter withheld the answer" if finish_reason == "content_filter" else ""


def overlong(beginning: bytes, said: int) -> Completion:
    """Return what is kept of a body that is longer than any answer."""
    return Completion(
        beginning[:EXCERPT].decode("utf-8", "replace"),
        "too long",
        said // BYTES_A_TOKEN,
        len(beginning) // BYTES_A_TOKEN,
        failure=f"the answer is longer than {MOST_BYTES:,} bytes, and was not read to its end",
    )


def _text_of(content: Any) -> str:
    """Return a message's text; some servers give it in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count(given: Any, otherwise: int) -> int:
    return given if isinstance(given, int) and given >= 0 else otherwise


def bytes_of(texts: Iterable[str]) -> int:
    """Return how many bytes some messages have, from which tokens are guessed."""
    return sum(len(text.encode("utf-8", "replace")) for text in texts)
