"""How a server wants to be asked: what of OpenAI's interface it takes, found out by asking."""

from collections.abc import Collection, Mapping
from typing import Any

from mars_engine.augment.generators.chat.backend import Order, seed_of
from mars_engine.core.config import StructuredOutput

SCHEMA, SEED, TOKENS, NEWER_TOKENS = "response_format", "seed", "max_tokens", "max_completion_tokens"
_NAMED_AS = {
    SCHEMA: ("response_format", "json_schema", "response format", "structured output", "guided", "grammar"),
    SEED: ("seed",),
    TOKENS: ("max_tokens",),
}
"""By which words in its refusal a server names something that it does not take."""


class Dialect:
    """Builds the arguments of a request, and remembers what the server takes only when it is left out.

    Args:
        structured: whether answers follow a schema: "auto" until the server refuses it.
    """

    def __init__(self, structured: StructuredOutput) -> None:
        self._optional = [SEED, TOKENS] if structured == "on" else [SCHEMA, SEED, TOKENS]
        self._left_out = {SCHEMA} if structured == "off" else set()

    def arguments(self, order: Order, left_out: Collection[str]) -> dict[str, Any]:
        """Return a request as arguments of `chat.completions.create`, without what the server does not take.

        Args:
            order: the request; asked anew, it has another seed.
            left_out: what this very request is to go without too.
        """
        without = self._left_out.union(left_out)
        request, given = order.request, order.request.parameters
        arguments: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
            NEWER_TOKENS if TOKENS in without else TOKENS: given["max_tokens"],
        }
        arguments |= {name: given[name] for name in ("temperature", "top_p") if name in given}
        if SEED not in without:
            arguments[SEED] = seed_of(order)
        if request.schema and SCHEMA not in without:
            name = request.purpose.replace(" ", "_")
            schema = {"name": name, "schema": dict(request.schema), "strict": True}
            arguments[SCHEMA] = {"type": "json_schema", "json_schema": schema}
        return arguments

    def culprit(self, arguments: Mapping[str, Any], said: str) -> str | None:
        """Return which argument a server has probably refused, and the request is to be sent without; None for none.

        Args:
            arguments: of the request that was refused.
            said: what the server said of it.
        """
        words = said.lower()
        sent = [name for name in self._optional if name in arguments]
        named = [name for name in sent if any(word in words for word in _NAMED_AS[name])]
        return named[0] if named else SCHEMA if SCHEMA in sent else None

    def learn(self, left_out: Collection[str]) -> None:
        """Remember what a request went without that was refused before and is answered now."""
        self._left_out.update(left_out)
