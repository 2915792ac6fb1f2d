"""From pairs to token ids: the input formats, and truncation that never cuts off what the two responses differ in.

A text is tokenized by the tokenizer's own call, so that whoever loads a checkpoint in plain transformers and calls
`tokenizer(prompt, response)` ("pair"), `tokenizer(prompt + response)` ("concat") or `apply_chat_template` ("chat") gets
the same tokens; truncation only takes tokens away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mars_engine.core.config import InputFormat
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.progress import Progress
from mars_engine.core.records import Pair, Prompt, Truncation
from mars_engine.embeddings.context import render_context

TEXTS_AT_ONCE = 1_000
SHARE_BEFORE_DIFFERENCE = 4
"""Of the room for a response that is too long, one in so many tokens shows what comes before the first difference."""


@dataclass(frozen=True, slots=True)
class TokenizedSide:
    """One side of a pair as a model reads it, special tokens included, and what was cut of it."""

    token_ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    context_tokens_cut: int
    response_tokens_cut: int
    pooled: tuple[int, int] | None = None
    """Under the head 'probe', from which token on to which the hidden states are averaged."""


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """Both sides of a pair."""

    id: str
    chosen: TokenizedSide
    rejected: TokenizedSide

    @property
    def length(self) -> int:
        """Tokens of the longer side."""
        return max(len(self.chosen.token_ids), len(self.rejected.token_ids))


@dataclass(frozen=True, slots=True)
class _Tokens:
    """A text's tokens before truncation, and which of them belong to the response or to the context before it."""

    ids: Sequence[int]
    types: Sequence[int]
    response: Sequence[int]
    context: Sequence[int]


@dataclass(frozen=True)
class PairTokenizer:
    """Tokenizes pairs for one model.

    Args:
        tokenizer: a fast tokenizer of transformers.
        input_format: how prompt and response are put together.
        max_tokens: most tokens of a side, special tokens included.
    """

    tokenizer: Any
    input_format: InputFormat
    max_tokens: int

    def __post_init__(self) -> None:
        if not self.tokenizer.is_fast:
            raise ModelError(
                f"the tokenizer {type(self.tokenizer).__name__} does not tell where in a text its tokens stand",
                expected="a fast tokenizer (tokenizer.json)",
                remedy="save the tokenizer anew with a tokenizer.json, or use another backbone",
            )
        if self.input_format == "chat" and not self.tokenizer.chat_template:
            raise ConfigError(
                "the input format is 'chat', but the backbone's tokenizer has no chat template",
                expected="'pair' or 'concat', or a tokenizer with a template",
                remedy="set input_format under [reward_model] in mars.toml",
            )

    def tokenize(self, pairs: Sequence[Pair], *, progress: Progress) -> list[TokenizedPair]:
        """Return the tokens of both sides of each pair, each within the limit.

        The context is cut from the left, so that the whole response survives. Where a response alone exceeds the
        limit, both responses keep the same stretch, which holds the first token in which they differ.
        """
        rows = []
        with progress.task("tokenize", len(pairs)) as task:
            for start in range(0, len(pairs), TEXTS_AT_ONCE):
                some = pairs[start : start + TEXTS_AT_ONCE]
                chosen = self._tokens([(pair.prompt, pair.chosen) for pair in some])
                rejected = self._tokens([(pair.prompt, pair.rejected) for pair in some])
                rows += [self._fit(pair.id, *sides) for pair, *sides in zip(some, chosen, rejected, strict=True)]
                task.advance(len(some))
        return rows

    def _tokens(self, texts: Sequence[tuple[Prompt, str]]) -> list[_Tokens]:
        if self.input_format == "pair":
            return self._pair_tokens(texts)
        if self.input_format == "chat":
            return self._joined_tokens([self._chat(*text) for text in texts], add_special_tokens=False)
        joined = [(render_context(prompt), response) for prompt, response in texts]
        return self._joined_tokens(
            [(context + response, len(context), len(context + response)) for context, response in joined],
            add_special_tokens=True,
        )

    def _pair_tokens(self, texts: Sequence[tuple[Prompt, str]]) -> list[_Tokens]:
        encodings = self._encode(
            [render_context(prompt) for prompt, _ in texts], [response for _, response in texts]
        ).encodings
        return [
            _Tokens(
                each.ids,
                each.type_ids,
                response=[place for place, side in enumerate(each.sequence_ids) if side == 1],
                context=[place for place, side in enumerate(each.sequence_ids) if side == 0],
            )
            for each in encodings
        ]

    def _joined_tokens(self, texts: Sequence[tuple[str, int, int]], *, add_special_tokens: bool) -> list[_Tokens]:
        """Tokenize texts, each with the place of its response: from, to."""
        encodings = self._encode([text for text, _, _ in texts], add_special_tokens=add_special_tokens).encodings
        rows = []
        for each, (_, start, end) in zip(encodings, texts, strict=True):
            spans = [
                (place, *span)
                for place, (span, side) in enumerate(zip(each.offsets, each.sequence_ids, strict=True))
                if side is not None
            ]
            first = 1 if spans and each.ids[0] == self.tokenizer.bos_token_id else 0  # a template writes its own
            rows.append(
                _Tokens(
                    each.ids,
                    each.type_ids,
                    response=[place for place, left, right in spans if right > start and left < end],
                    context=[place for place, _, right in spans if right <= start and place >= first],
                )
            )
        return rows

    def _chat(self, prompt: Prompt, response: str) -> tuple[str, int, int]:
        """Return a dialogue in the tokenizer's template, and where the response stands in it.

        Raises:
            ModelError: the template refuses the dialogue.
        """
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
        try:
            text = str(
                self.tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": response}], tokenize=False)
            )
        except Exception as error:  # a template is a program of its own, which raises what it likes
            raise ModelError(
                f"the tokenizer's chat template refuses a dialogue of {len(turns) + 1} turns: {error}",
                remedy='set input_format = "concat" under [reward_model] in mars.toml',
            ) from error
        written = response if response in text else response.strip()  # many templates strip what they are given
        start = text.rfind(written)
        if start < 0:
            raise ModelError(
                "the tokenizer's chat template changes the text of a response, so that it cannot be found again",
                remedy='set input_format = "concat" under [reward_model] in mars.toml',
            )
        return text, start, start + len(written)

    def _encode(self, *texts: Any, add_special_tokens: bool = True) -> Any:
        return self.tokenizer(*texts, add_special_tokens=add_special_tokens, truncation=False, verbose=False)

    def _fit(self, pair_id: str, chosen: _Tokens, rejected: _Tokens) -> TokenizedPair:
        starts = _window_start(chosen, rejected, self.max_tokens)
        return TokenizedPair(pair_id, _cut(chosen, self.max_tokens, starts), _cut(rejected, self.max_tokens, starts))


def _window_start(chosen: _Tokens, rejected: _Tokens, max_tokens: int) -> int:
    """Return from which token of the responses on they are kept, where one of them alone is too long; else 0."""
    fixed = max(len(each.ids) - len(each.response) - len(each.context) for each in (chosen, rejected))
    room = max(1, max_tokens - fixed)
    longest = max(len(chosen.response), len(rejected.response))
    if longest <= room:
        return 0
    sides = [[each.ids[place] for place in each.response] for each in (chosen, rejected)]
    common = next(
        (place for place, (one, other) in enumerate(zip(*sides, strict=False)) if one != other),
        min(map(len, sides)),
    )
    before = room // SHARE_BEFORE_DIFFERENCE
    if common < room - before:
        return 0
    return max(0, min(common - before, longest - room))


def _cut(tokens: _Tokens, max_tokens: int, start: int) -> TokenizedSide:
    """Return a text's tokens within the limit: its context cut from the left, its response to what `start` leaves."""
    fixed = len(tokens.ids) - len(tokens.response) - len(tokens.context)
    room = max(1, max_tokens - fixed)
    is_too_long = len(tokens.response) > room
    response = tokens.response[start : start + room] if is_too_long or start else tokens.response
    context_room = 0 if start else room - len(response)
    context = tokens.context[len(tokens.context) - min(context_room, len(tokens.context)) :]
    gone = {*tokens.response, *tokens.context} - {*response, *context}
    kept = [place for place in range(len(tokens.ids)) if place not in gone]
    return TokenizedSide(
        token_ids=tuple(tokens.ids[place] for place in kept),
        type_ids=tuple(tokens.types[place] for place in kept),
        context_tokens_cut=len(tokens.context) - len(context),
        response_tokens_cut=len(tokens.response) - len(response),
    )


def count_truncation(rows: Sequence[TokenizedPair]) -> Truncation:
    """Return how many sides lost a part of their context, and how many a part of their response."""
    sides = [side for row in rows for side in (row.chosen, row.rejected)]
    return Truncation(
        passages=len(sides),
        contexts_cut=sum(side.context_tokens_cut > 0 for side in sides),
        responses_cut=sum(side.response_tokens_cut > 0 for side in sides),
    )
