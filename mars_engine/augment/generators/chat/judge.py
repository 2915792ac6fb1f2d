"""The chat model as a judge of two answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mars_engine.augment.generators.chat.backend import Reply
from mars_engine.augment.generators.chat.correspondence import Correspondence
from mars_engine.augment.generators.chat.prompts import PromptTemplate
from mars_engine.augment.generators.chat.reading import SCHEMA_OF_JUDGEMENT, read_judgement
from mars_engine.augment.generators.chat.writers import make_request
from mars_engine.augment.quality.protocols import Judgement, JudgeRequest
from mars_engine.core.chat_records import ChatRequest, GenerationEstimate
from mars_engine.core.config import ChatConfig
from mars_engine.core.records import GeneratorCard

CHARACTERS_OF_ANSWER = 20
"""About, for an estimate: it names the better answer and no more."""
READING_VERSION = "2"
"""Of how judgements are read; part of the card."""
TEMPERATURE = 0.0
SEED = 0


@dataclass(frozen=True, slots=True)
class ChatJudge:
    """Says which of two answers a chat model prefers. What it judged once is not asked again."""

    correspondence: Correspondence
    config: ChatConfig
    prompt: PromptTemplate

    @property
    def model(self) -> str:
        return self.config.judge_model or self.config.model

    @property
    def card(self) -> GeneratorCard:
        return GeneratorCard(
            name="chat-judge",
            version=READING_VERSION,
            settings={"model": self.model, "max_tokens": self.config.max_tokens, "prompts": [self.prompt.label]},
            stand_in=False,
            note=f"a chat model, {self.model or 'not named yet'}, which is asked in both orders",
        )

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """Answer each request, in order; a request that fails is a value."""
        asked = [self._request(request) for request in requests]
        replies = self.correspondence.answers(asked)
        if again := _unreadable(requests, asked, replies):
            replies |= self.correspondence.answers(list(again.values()), again=again)
        return [_judgement(request.key, replies[one.id]) for request, one in zip(requests, asked, strict=True)]

    def estimate(self, requests: Sequence[JudgeRequest]) -> GenerationEstimate:
        """Return what answering these requests would take; nothing is asked."""
        asked = [self._request(request) for request in requests]
        again = _unreadable(requests, asked, self.correspondence.settled(asked))
        return self.correspondence.estimate(asked, [CHARACTERS_OF_ANSWER] * len(asked), again=again)

    def _request(self, request: JudgeRequest) -> ChatRequest:
        return make_request(
            self.config,
            self.prompt,
            self.prompt.messages(prompt=request.prompt, first=request.first, second=request.second),
            purpose="judge",
            source_id=request.source_id,
            seed=SEED,
            schema=SCHEMA_OF_JUDGEMENT,
            model=self.model,
            temperature=TEMPERATURE,
        )


def _unreadable(
    requests: Sequence[JudgeRequest], asked: Sequence[ChatRequest], replies: Mapping[str, Reply]
) -> dict[str, ChatRequest]:
    """Return what is to be asked anew where the answer could not be read, by id."""
    return {
        one.id: one
        for request, one in zip(requests, asked, strict=True)
        if request.ask_again
        and one.id in replies
        and not replies[one.id].retryable
        and _judgement("", replies[one.id]).failure
    }


def _judgement(key: str, reply: Reply) -> Judgement:
    if reply.kept is None or reply.kept.answer is None or reply.kept.failure:
        return Judgement(key, None, reply.failure, reply.retryable)
    said = read_judgement(reply.kept.answer)
    if said is None:
        return Judgement(key, None, "the judge's answer does not say which is better")
    return Judgement(key, said if said != "tie" else None)
