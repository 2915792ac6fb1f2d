"""Values as plain JSON."""

from mars_engine.core.records import Prompt


def turns_as_json(prompt: Prompt) -> list[dict[str, str]]:
    """Return a prompt's turns as chat templates and files take them: an object of role and content each."""
    return [{"role": turn.role, "content": turn.content} for turn in prompt]
