"""The chat model as a paraphraser and as a refiner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mars_engine.augment.generators.chat.backend import Reply
from mars_engine.augment.generators.chat.correspondence import Correspondence
from mars_engine.augment.generators.chat.llama_cpp import gguf_fingerprint
from mars_engine.augment.generators.chat.local_models import weights_fingerprint
from mars_engine.augment.generators.chat.prompts import PromptTemplate
from mars_engine.augment.generators.chat.reading import SCHEMA_OF_REWRITES, read_rewrites, vet_rewrites
from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest, RefineRequest
from mars_engine.core.chat_records import ChatRequest, GenerationEstimate
from mars_engine.core.config import ChatConfig
from mars_engine.core.records import GeneratorCard, JsonValue, Prompt

CHARACTERS_BESIDE = 40
"""Of an answer, beside its rewrites."""
READING_VERSION = "3"
"""Of how answers are read; part of the cards, since another reading makes other texts of the same answers."""


@dataclass(frozen=True, slots=True)
class Job:
    """A text to rewrite: the requests that together ask for all rewrites wanted."""

    key: str
    source: str
    others: tuple[str, ...]
    """Texts that a rewrite must not be either."""
    counts: tuple[int, ...]
    requests: tuple[ChatRequest, ...]
    ask_again: bool


@dataclass(frozen=True, slots=True)
class ChatParaphraser:
    """Paraphrases texts by a chat model.

    Guarantees: an answer that is not usable is a failure with its reason, never the text itself; what was answered
    once is never asked again, unless it is asked for; only whole rewrites are taken of an answer that was cut off.
    """

    correspondence: Correspondence
    config: ChatConfig
    prompt: PromptTemplate

    @property
    def card(self) -> GeneratorCard:
        return _card("chat-paraphraser", self.config, [self.prompt])

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        """Answer each request by the chat model, in order; a request that fails is a value."""
        return _generate(self.correspondence, [self._job(request) for request in requests])

    def prefetch(self, requests: Sequence[ParaphraseRequest], *, soon: bool = False) -> None:
        """Start on requests to the chat model whose answers will be needed; those needed soon go first."""
        self.correspondence.prefetch(_requests([self._job(request) for request in requests]), soon=soon)

    def estimate(self, requests: Sequence[ParaphraseRequest]) -> GenerationEstimate:
        """Return what the chat model's answers to these requests would take; nothing is asked."""
        return _estimate(self.correspondence, [self._job(request) for request in requests])

    def _job(self, request: ParaphraseRequest) -> Job:
        counts = _parts(request.count, self.config.candidates)
        asked = tuple(
            make_request(
                self.config,
                self.prompt,
                self.prompt.messages(text=request.text, count=count),
                purpose="paraphrase",
                source_id=request.source_id,
                seed=request.seed + part,
            )
            for part, count in enumerate(counts)
        )
        return Job(request.key, request.text, (), counts, asked, request.ask_again)


@dataclass(frozen=True, slots=True)
class ChatRefiner:
    """Rewrites one side of a pair by a chat model, so that it differs more from the other; as ChatParaphraser."""

    correspondence: Correspondence
    config: ChatConfig
    prompt_for_rejected: PromptTemplate
    prompt_for_chosen: PromptTemplate

    @property
    def card(self) -> GeneratorCard:
        prompts = [self.prompt_for_rejected, self.prompt_for_chosen]
        return _card("chat-refiner", self.config, prompts)

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        """Answer each request by the chat model, in order; a request that fails is a value."""
        return _generate(self.correspondence, [self._job(request) for request in requests])

    def prefetch(self, requests: Sequence[RefineRequest], *, soon: bool = False) -> None:
        """Start on requests to the chat model whose answers will be needed; those needed soon go first."""
        self.correspondence.prefetch(_requests([self._job(request) for request in requests]), soon=soon)

    def estimate(self, requests: Sequence[RefineRequest]) -> GenerationEstimate:
        """Return what the chat model's answers to these requests would take; nothing is asked."""
        return _estimate(self.correspondence, [self._job(request) for request in requests])

    def _job(self, request: RefineRequest) -> Job:
        prompt = self.prompt_for_rejected if request.side == "rejected" else self.prompt_for_chosen
        source, other = request.rejected, request.chosen
        if request.side == "chosen":
            source, other = other, source
        counts = _parts(request.count, self.config.candidates)
        asked = tuple(
            make_request(
                self.config,
                prompt,
                prompt.messages(prompt=request.prompt, chosen=request.chosen, rejected=request.rejected, count=count),
                purpose=f"refine {request.side}",
                source_id=request.source_id,
                seed=request.seed + part,
            )
            for part, count in enumerate(counts)
        )
        return Job(request.key, source, (other,), counts, asked, request.ask_again)


def make_request(
    config: ChatConfig,
    prompt: PromptTemplate,
    messages: Prompt,
    *,
    purpose: str,
    source_id: str,
    seed: int,
    schema: Mapping[str, Any] = SCHEMA_OF_REWRITES,
    model: str = "",
    temperature: float | None = None,
) -> ChatRequest:
    """Return a request with the configured parameters, or those given instead."""
    temperature = config.temperature if temperature is None else temperature
    parameters: dict[str, JsonValue] = {"max_tokens": config.max_tokens, "seed": seed}
    if temperature >= 0:
        parameters |= {"temperature": temperature, "top_p": config.top_p}
    return ChatRequest(
        purpose=purpose,
        source_id=source_id,
        model=model or config.model,
        messages=messages,
        parameters=parameters,
        template=prompt.label,
        schema=schema,
    )


def weights_of(config: ChatConfig) -> str:
    """Return a fingerprint of the model's files; empty where it is a server that has them."""
    match config.backend:
        case "transformers":
            return weights_fingerprint(config.model)
        case "llama.cpp":
            return gguf_fingerprint(config.model)
        case "server":
            return ""


def _card(name: str, config: ChatConfig, prompts: Sequence[PromptTemplate]) -> GeneratorCard:
    weights = weights_of(config)
    return GeneratorCard(
        name=name,
        version=READING_VERSION,
        settings={
            "model": config.model,
            **({"weights": weights} if weights else {}),
            "temperature": config.temperature,
            "top_p": config.top_p,
            "max_tokens": config.max_tokens,
            "candidates": config.candidates,
            "prompts": [prompt.label for prompt in prompts],
        },
        stand_in=False,
        note=f"a chat model, {config.model or 'not named yet'}; every request and its answer is kept",
    )


def _parts(wanted: int, at_once: int) -> tuple[int, ...]:
    """Return how many rewrites each request asks for: `at_once` at most."""
    return tuple(min(at_once, wanted - begun) for begun in range(0, wanted, at_once))


def _requests(jobs: Sequence[Job]) -> list[ChatRequest]:
    return [request for job in jobs for request in job.requests]


def _estimate(correspondence: Correspondence, jobs: Sequence[Job]) -> GenerationEstimate:
    outputs = [count * (len(job.source) + CHARACTERS_BESIDE) for job in jobs for count in job.counts]
    asked_anew = [job for job in jobs if job.ask_again]
    again = _unusable(asked_anew, correspondence.settled(_requests(asked_anew)))
    return correspondence.estimate(_requests(jobs), outputs, again=again)


def _generate(correspondence: Correspondence, jobs: Sequence[Job]) -> list[Generation]:
    """Return what the model's answers give each job; where it wants so, ask anew for what could not be used."""
    replies = correspondence.answers(_requests(jobs))
    if again := _unusable([job for job in jobs if job.ask_again], replies):
        replies |= correspondence.answers(list(again.values()), again=again)
    return [_generation(job, [replies[request.id] for request in job.requests]) for job in jobs]


def _unusable(jobs: Sequence[Job], replies: Mapping[str, Reply]) -> dict[str, ChatRequest]:
    """Return the requests that were answered with too little that can be used, by id."""
    return {
        request.id: request
        for job in jobs
        for request, count in zip(job.requests, job.counts, strict=True)
        if request.id in replies
        and not replies[request.id].retryable
        and len(_vet(job, replies[request.id], count)[0]) < count
    }


def _vet(job: Job, reply: Reply, count: int) -> tuple[tuple[str, ...], str]:
    """Return the usable rewrites of one answer, and why there are fewer than asked for."""
    kept = reply.kept
    if kept is None or kept.answer is None or kept.failure:
        return (), reply.failure
    reading = read_rewrites(kept.answer, finish_reason=kept.finish_reason, wanted=count, source=job.source)
    vetted = vet_rewrites(reading, source=job.source, others=job.others, wanted=count)
    return vetted.usable, vetted.reason


def _generation(job: Job, replies: Sequence[Reply]) -> Generation:
    usable: dict[str, None] = {}
    reasons: dict[str, None] = {}
    for reply, count in zip(replies, job.counts, strict=True):
        texts, reason = _vet(job, reply, count)
        usable |= dict.fromkeys(texts)
        if reason:
            reasons[reason] = None
    wanted = sum(job.counts)
    if len(usable) < wanted and not reasons:
        reasons[f"only {len(usable)} of {wanted} rewrites differ from each other"] = None
    return Generation(
        job.key,
        tuple(usable),
        failure="; ".join(reasons),
        retryable=any(reply.retryable for reply in replies),
        provenance={"answers": [reply.kept.request_id for reply in replies if reply.kept is not None]},
    )
