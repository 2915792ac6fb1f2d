"""What is shown of a pair's texts where there is room for a line."""

from mars_engine.core.records import Pair

EXCERPT_CHARACTERS = 240


def excerpt(text: str, characters: int = EXCERPT_CHARACTERS) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text[: 4 * characters].split())
    return line if len(line) <= characters and len(text) <= 4 * characters else f"{line[:characters]}…"


def last_question(pair: Pair) -> str:
    """Return the prompt's last turn of the user; where there is none, its last turn."""
    contents = [turn.content for turn in pair.prompt if turn.role == "user"] or [turn.content for turn in pair.prompt]
    return contents[-1] if contents else ""
