"""A small chat model as a paraphraser and as a refiner: asked passage by passage, in the manner of [causal]."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mars_engine.augment.generators.causal.manner import (
    MANNER,
    messages_of,
    paraphrase_search,
    paraphrases_wanted,
    plain_rewriting,
    refine_search,
    refinements_wanted,
    rules_of,
)
from mars_engine.augment.generators.chat.backend import Reply
from mars_engine.augment.generators.chat.correspondence import CHARACTERS_A_TOKEN, Correspondence
from mars_engine.augment.generators.chat.reading import CUT_OFF, read_rewrites
from mars_engine.augment.generators.chat.writers import READING_VERSION, weights_of
from mars_engine.augment.generators.passages.fitness import find_fault
from mars_engine.augment.generators.passages.rewriting import Rules, Wanted, layout_of, rewrite
from mars_engine.augment.generators.passages.writing import Asked, Search, Written, most_written
from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest, RefineRequest
from mars_engine.core.chat_records import ChatRequest, GenerationEstimate
from mars_engine.core.config import CausalConfig, ChatConfig
from mars_engine.core.progress import Progress
from mars_engine.core.records import GeneratorCard, content_id
from mars_engine.store.database import is_storable

DIGITS = 8
"""Of an instruction's digest, in the name that is kept with a request."""


@dataclass(frozen=True, slots=True)
class ChatPassageWriter:
    """Writes passages with a chat model: one request a sample, whose instructions take turns.

    Nothing here knows the model's tokens: they are guessed from the bytes of a text.
    """

    correspondence: Correspondence
    model: str
    instructions: tuple[str, ...]
    again: Collection[str] = ()
    """Ids of requests that are sent anew though they were answered."""

    def count_tokens(self, text: str) -> int:
        """Return about how many tokens a text has."""
        return -(-len(text.encode("utf-8", "surrogatepass")) // CHARACTERS_A_TOKEN)

    def knows(self, _text: str) -> bool:
        return True

    def write(
        self,
        asked: Sequence[Asked],
        search: Search,
        *,
        name: str,  # noqa: ARG002 (who is asked shows the progress)
        progress: Progress,  # noqa: ARG002
    ) -> list[tuple[Written, ...]]:
        requests = [self.requests(each, search) for each in asked]
        replies = self.correspondence.answers([one for some in requests for one in some], again=self.again)
        return [
            tuple(read_passage(replies[one.id], each.text) for one in some)
            for each, some in zip(asked, requests, strict=True)
        ]

    def requests(self, asked: Asked, search: Search) -> list[ChatRequest]:
        """Return what asks for the samples of a passage, one after the other."""
        limit = most_written(self.count_tokens(asked.text))
        return [
            self._request(asked, place, {"max_tokens": limit, "temperature": temperature, "top_p": search.top_p})
            for place, temperature in enumerate(search.temperatures)
        ]

    def _request(self, asked: Asked, place: int, parameters: dict[str, Any]) -> ChatRequest:
        instruction = self.instructions[place % len(self.instructions)]
        return ChatRequest(
            purpose=asked.origin.purpose,
            source_id=asked.origin.source_id,
            model=self.model,
            messages=messages_of(instruction, asked.text),
            parameters=parameters | {"seed": asked.seed + place},
            template=f"instruction {content_id(instruction)[:DIGITS]}",
            schema={},
        )


def read_passage(reply: Reply, passage: str) -> Written:
    """Return the rewriting of a passage that came of a request, or why there is none."""
    kept = reply.kept
    if kept is None or kept.answer is None or kept.failure:
        return Written("", finished=False, failure=reply.failure, retryable=reply.retryable)
    reading = read_rewrites(kept.answer, finish_reason=kept.finish_reason, wanted=1, source=passage)
    text = next(iter(reading.rewrites), "")
    is_cut = kept.finish_reason == CUT_OFF
    return Written(
        plain_rewriting(text) if is_storable(text) else "",
        finished=not is_cut,
        failure="not finished at the length limit" if is_cut else "",
        answer_id=kept.request_id,
    )


@dataclass(frozen=True, slots=True)
class SmallChatGenerator:
    """What both generators share: whom they ask, and how texts are rewritten by the answers.

    Guarantees: those of the causal generators for texts, those of the chat generators for requests.
    """

    correspondence: Correspondence
    config: ChatConfig
    """Who is asked, and within which limits."""
    manner: CausalConfig
    """What is asked."""

    def _writer(self) -> ChatPassageWriter:
        return ChatPassageWriter(self.correspondence, self.config.model, self.manner.instruction_lines)

    def _rewrite(self, wanted: Sequence[Wanted], rules: Rules, ask_again: Collection[str]) -> list[Generation]:
        """Return what the model's answers give each text; those of the keys `ask_again` may be asked for anew."""
        progress = self.correspondence.progress
        found = rewrite(wanted, self._writer(), rules, progress=progress)
        short = [
            each
            for each, answer in zip(wanted, found, strict=True)
            if each.key in ask_again and answer.failure and not answer.retryable
        ]
        if not short:
            return found
        writer = replace(self._writer(), again=self._unfit(short, rules))
        anew = {each.key: each for each in rewrite(short, writer, rules, progress=progress)}
        return [anew.get(each.key, each) for each in found]

    def _unfit(self, wanted: Sequence[Wanted], rules: Rules) -> set[str]:
        """Return the requests that were answered with what cannot be used, by id."""
        asked = [pair for each in wanted for pair in self._requests(each, rules)]
        settled = self.correspondence.settled([request for _, request in asked])
        return {
            request.id
            for passage, request in asked
            if request.id in settled
            and find_fault(
                read_passage(settled[request.id], passage),
                passage,
                instructions=rules.instructions,
                min_length_percent=rules.min_length_percent,
            )
        }

    def _requests(self, wanted: Wanted, rules: Rules) -> list[tuple[str, ChatRequest]]:
        """Return what asks for a text, each request with its passage."""
        writer, search = self._writer(), rules.search(wanted.count)
        layout = layout_of(wanted, writer, rules)
        return [
            (passage, request)
            for passage in (layout.passages if layout else ())
            for request in writer.requests(Asked(wanted.fill(passage), wanted.seed, wanted.origin), search)
        ]

    def _prefetch(self, wanted: Sequence[Wanted], rules: Rules, *, soon: bool) -> None:
        asked = [request for each in wanted for _, request in self._requests(each, rules)]
        self.correspondence.prefetch(asked, soon=soon)

    def _estimate(self, wanted: Sequence[Wanted], rules: Rules, ask_again: Collection[str]) -> GenerationEstimate:
        asked = [pair for each in wanted for pair in self._requests(each, rules)]
        again = self._unfit([each for each in wanted if each.key in ask_again], rules)
        return self.correspondence.estimate(
            [request for _, request in asked], [len(passage) for passage, _ in asked], again=again
        )

    def _rules(self, search: Callable[[CausalConfig, int], Search]) -> Rules:
        return rules_of(self.manner, search, "chat model")

    def _card(self, name: str, *own: str) -> GeneratorCard:
        weights = weights_of(self.config)
        return GeneratorCard(
            name=name,
            version=READING_VERSION,
            settings={
                "model": self.config.model,
                **({"weights": weights} if weights else {}),
                "profile": "small",
                **{setting: getattr(self.manner, setting) for setting in (*MANNER, *own)},
            },
            stand_in=False,
            note=f"a small chat model, {self.config.model or 'not named yet'}, asked passage by passage for one "
            "rewrite at a time; it knows neither the prompt nor the other answer",
        )


class SmallChatParaphraser(SmallChatGenerator):
    """Paraphrases with a small chat model: of several samples of each passage, fit ones that differ are kept."""

    @property
    def card(self) -> GeneratorCard:
        return self._card("chat-paraphraser")

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        """Answer each request by a small chat model, in order; a request that fails is a value."""
        return self._rewrite(paraphrases_wanted(requests), self._rules(paraphrase_search), keys_to_ask_again(requests))

    def prefetch(self, requests: Sequence[ParaphraseRequest], *, soon: bool = False) -> None:
        """Start on requests to a small chat model whose answers will be needed; those needed soon go first."""
        self._prefetch(paraphrases_wanted(requests), self._rules(paraphrase_search), soon=soon)

    def estimate(self, requests: Sequence[ParaphraseRequest]) -> GenerationEstimate:
        """Return what a small chat model's answers to these requests would take; nothing is asked."""
        return self._estimate(paraphrases_wanted(requests), self._rules(paraphrase_search), keys_to_ask_again(requests))


class SmallChatRefiner(SmallChatGenerator):
    """Rewrites one side of a pair with a small chat model, drawn bolder at every try; it sees the passage alone."""

    @property
    def card(self) -> GeneratorCard:
        return self._card("chat-refiner", "refiner_temperature")

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        """Answer each request by a small chat model, in order; a request that fails is a value."""
        return self._rewrite(refinements_wanted(requests), self._rules(refine_search), keys_to_ask_again(requests))

    def prefetch(self, requests: Sequence[RefineRequest], *, soon: bool = False) -> None:
        """Start on requests to a small chat model whose answers will be needed; those needed soon go first."""
        self._prefetch(refinements_wanted(requests), self._rules(refine_search), soon=soon)

    def estimate(self, requests: Sequence[RefineRequest]) -> GenerationEstimate:
        """Return what a small chat model's answers to these requests would take; nothing is asked."""
        return self._estimate(refinements_wanted(requests), self._rules(refine_search), keys_to_ask_again(requests))


def keys_to_ask_again(requests: Sequence[ParaphraseRequest] | Sequence[RefineRequest]) -> set[str]:
    return {each.key for each in requests if each.ask_again}
