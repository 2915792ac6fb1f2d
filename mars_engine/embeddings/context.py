"""A prompt as the text before a response, for models that have no chat template of their own."""

from mars_engine.core.records import Prompt


def render_context(prompt: Prompt) -> str:
    """Return a prompt as plain text before a response to encode: one paragraph a turn, named by its role."""
    return "".join(f"{turn.role}: {turn.content}\n\n" for turn in prompt)
