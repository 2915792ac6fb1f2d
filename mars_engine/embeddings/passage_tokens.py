"""From passages to token ids, special tokens around them and the length limit obeyed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mars_engine.core.records import Passage, Prompt
from mars_engine.embeddings.context import render_context

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer in a model's folder has a chat template; nothing heavy is loaded to see."""
    if (folder / CHAT_TEMPLATE_FILE).is_file():
        return True
    try:
        settings = json.loads((folder / TOKENIZER_CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(settings.get("chat_template"))


@dataclass(frozen=True, slots=True)
class TokenizedPassage:
    """Token ids with special tokens, where context and text stand in them, and how many tokens were cut of each."""

    token_ids: tuple[int, ...]
    context_tokens_cut: int
    text_tokens_cut: int
    context_start: int
    text_start: int
    text_end: int


@dataclass(frozen=True)
class PassageTokenizer:
    """Tokenizes passages for one encoder.

    Args:
        tokenizer: a tokenizer of transformers.
        max_tokens: most tokens of a passage, special tokens included.
        has_chat_template: whether contexts are written in the tokenizer's chat template.
    """

    tokenizer: Any
    max_tokens: int
    has_chat_template: bool

    def context_of(self, prompt: Prompt) -> str:
        """Return a prompt as the text before a response, in the chat template where the tokenizer has one."""
        if not self.has_chat_template:
            return render_context(prompt)
        if not prompt:
            return ""
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def tokenize(self, passages: Sequence[Passage]) -> list[TokenizedPassage]:
        """Return the token ids of each passage, within the length limit.

        The context is cut from the left; the text is cut, from the right, only where it alone exceeds the limit. A
        context in a chat template has the template's special tokens already.
        """
        if not passages:
            return []
        texts = self._token_ids([passage.text for passage in passages])
        contexts = self._token_ids([passage.context for passage in passages])
        rows = []
        for context, text in zip(contexts, texts, strict=True):
            before, after = ([], []) if context and self.has_chat_template else self.special_tokens
            room = self.max_tokens - len(before) - len(after)
            kept_text = text[:room]
            kept_context = context[max(0, len(context) - (room - len(kept_text))) :]
            text_start = len(before) + len(kept_context)
            rows.append(
                TokenizedPassage(
                    (*before, *kept_context, *kept_text, *after),
                    context_tokens_cut=len(context) - len(kept_context),
                    text_tokens_cut=len(text) - len(kept_text),
                    context_start=len(before),
                    text_start=text_start,
                    text_end=text_start + len(kept_text),
                )
            )
        return rows

    @cached_property
    def special_tokens(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text, as the tokenizer itself would add them."""
        plain = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        full = self.tokenizer("a")["input_ids"]
        start = next(i for i in range(len(full)) if full[i : i + len(plain)] == plain)
        return full[:start], full[start + len(plain) :]

    def _token_ids(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)[
            "input_ids"
        ]
        return ids
