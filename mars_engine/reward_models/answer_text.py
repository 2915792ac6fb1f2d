"""Dialogues as the texts that reward models read."""

from dataclasses import dataclass
from typing import Any, Protocol

from mars_engine.core.records import Prompt
from mars_engine.embeddings.context import render_context


class AnswerText(Protocol):
    """Writes a dialogue as the text that a reward model reads."""

    @property
    def template(self) -> str:
        """Whose template a reward model's text is in: "tokenizer", or the name of a format."""
        ...

    def __call__(self, prompt: Prompt, answer: str | None) -> str:
        """Return the text of a prompt and an answer; of the prompt alone where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class PlainText:
    """One paragraph a turn, named by its role, then the answer: for models that have no template of their own."""

    template: str

    def __call__(self, prompt: Prompt, answer: str | None) -> str:
        return render_context(prompt) + (answer or "")


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A dialogue in the chat template of a tokenizer."""

    tokenizer: Any
    template: str = "tokenizer"

    def __call__(self, prompt: Prompt, answer: str | None) -> str:
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
        if answer is not None:
            turns.append({"role": "assistant", "content": answer})
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False))
