"""Asking instruct models that transformers has loaded here: the same requests, no server."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

from mars_engine.augment.generators.chat.backend import Order, Reply, record, seed_of
from mars_engine.augment.generators.chat.limits import Keep
from mars_engine.core.batching import batches_by_length, token_budget
from mars_engine.core.chat_records import KeptAnswer
from mars_engine.core.clock import Clock
from mars_engine.core.config import ChatConfig
from mars_engine.core.progress import Progress
from mars_engine.embeddings.model_folder import find_model_folder, fingerprint_folder

PLACE = "transformers"
UNLIMITED = 1_000_000
"""Positions of a model that tells no limit."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request in tokens."""

    order: Order
    token_ids: tuple[int, ...]


@dataclass
class LocalModels:
    """A ChatBackend that runs models by transformers, in batches of requests of similar length.

    A request is sampled by a random generator of its own, seeded by its seed, so that what else is in its batch does
    not change the draws. Each batch is on the disk before the next begins.

    Args:
        config: which model, and where it runs.
        keep: stores answers.
        clock: tells when an answer came.
        progress: shows how far the answers have come.
    """

    config: ChatConfig
    keep: Keep
    clock: Clock
    progress: Progress
    _loaded: dict[str, "LocalModel"] = field(default_factory=dict, repr=False)

    @property
    def outage(self) -> str:
        """Empty: what runs here is not waited for."""
        return ""

    def start(self, orders: Sequence[Order], *, ahead: bool = False) -> list[Future[Reply]]:  # noqa: ARG002 (all at once)
        """Answer requests, and return when all are answered."""
        replies: dict[str, Reply] = {}
        by_model: dict[str, list[Order]] = {}
        for order in orders:
            by_model.setdefault(order.request.model, []).append(order)
        with self.progress.task("chat model here", len(orders)) as task:
            for name, some in by_model.items():
                for batch in self._model(name).answer(some, self.clock):
                    self.keep(batch)
                    replies |= {kept.request_id: Reply(kept) for kept in batch}
                    task.advance(len(batch))
        futures = []
        for order in orders:
            future: Future[Reply] = Future()
            future.set_result(replies[order.request.id])
            futures.append(future)
        return futures

    def close(self) -> None:
        """Let go of the chat models that are loaded here."""
        self._loaded.clear()

    def _model(self, name: str) -> "LocalModel":
        if name not in self._loaded:
            self._loaded[name] = load_local_model(find_chat_folder(name), self.config)
        return self._loaded[name]


def find_chat_folder(name: str) -> Path:
    """Return the folder of a chat model's files; nothing is downloaded."""
    return find_model_folder(
        name,
        purpose="chat model",
        expected="a folder with an instruct model, or the hub id of one that is on this machine",
        setting="'model' under [chat] in mars.toml",
        download=False,
    )


@lru_cache(maxsize=4)
def weights_fingerprint(name: str) -> str:
    """Return the SHA-256 over the files of a chat model here, first 24 digits; empty where no model is named."""
    return fingerprint_folder(find_chat_folder(name)) if name else ""


# ------------------------------------------------------------------------------------------------------- one model


@dataclass
class LocalModel:
    """A causal language model with its tokenizer, and the most tokens that it can read and write."""

    model: Any
    tokenizer: Any
    most_positions: int
    batch_tokens: int

    def answer(self, orders: Sequence[Order], clock: Clock) -> Iterator[list[KeptAnswer]]:
        """Yield what came of the requests, a batch at a time, short ones first."""
        prepared = [Prepared(order, self._tokenize(order)) for order in orders]
        too_long = [each for each in prepared if self._length(each) > self.most_positions]
        if too_long:
            yield [self._refused(each, clock) for each in too_long]
        fitting = [each for each in prepared if self._length(each) <= self.most_positions]
        budget = token_budget(self.batch_tokens, self.model.device.type)
        for batch in batches_by_length([self._length(each) for each in fitting], budget):
            yield self._answer_batch([fitting[place] for place in batch], clock)

    def _length(self, prepared: Prepared) -> int:
        return len(prepared.token_ids) + prepared.order.request.most_tokens

    def _tokenize(self, order: Order) -> tuple[int, ...]:
        turns = [{"role": turn.role, "content": turn.content} for turn in order.request.messages]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _refused(self, prepared: Prepared, clock: Clock) -> KeptAnswer:
        request = prepared.order.request
        reason = (
            f"the request has {len(prepared.token_ids):,} tokens and its answer up to {request.most_tokens:,}, "
            f"but the model takes {self.most_positions:,} in all"
        )
        return record(prepared.order, server=PLACE, at=clock(), failure=reason)

    def _answer_batch(self, batch: Sequence[Prepared], clock: Clock) -> list[KeptAnswer]:
        import torch

        began = perf_counter()
        longest = max(len(each.token_ids) for each in batch)
        pad = self.tokenizer.pad_token_id
        rows = [[pad] * (longest - len(each.token_ids)) + list(each.token_ids) for each in batch]
        mask = [[0] * (longest - len(each.token_ids)) + [1] * len(each.token_ids) for each in batch]
        device = self.model.device
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=torch.tensor(rows, device=device),
                attention_mask=torch.tensor(mask, device=device),
                generation_config=_generation_config(self.model, pad, batch[0].order),
                logits_processor=_sampling([each.order for each in batch]),
            )
        seconds = perf_counter() - began
        return [
            self._kept(each, row[longest:].tolist(), seconds, clock) for each, row in zip(batch, written, strict=True)
        ]

    def _kept(self, prepared: Prepared, written: list[int], seconds: float, clock: Clock) -> KeptAnswer:
        ends = _end_tokens(self.model)
        end = next((place for place, token in enumerate(written) if token in ends), None)
        tokens = written if end is None else written[:end]
        return record(
            prepared.order,
            server=PLACE,
            at=clock(),
            answer=self.tokenizer.decode(tokens, skip_special_tokens=True).replace("\0", "\ufffd"),
            finish_reason="length" if end is None else "stop",
            input_tokens=len(prepared.token_ids),
            output_tokens=len(tokens) + (end is not None),
            seconds=seconds,
        )


def _generation_config(model: Any, pad: int, order: Order) -> Any:
    """Return settings for greedy decoding: the sampling is in the logits' noise, see `_sampling`."""
    from transformers import GenerationConfig

    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=order.request.most_tokens,
        pad_token_id=pad,
        bos_token_id=model.generation_config.bos_token_id,
        eos_token_id=sorted(_end_tokens(model)),
    )


def _end_tokens(model: Any) -> set[int]:
    given = model.generation_config.eos_token_id  # load_causal_lm sees to it that there is one
    return set(given) if isinstance(given, (list, tuple)) else {int(given)}


def _sampling(orders: Sequence[Order]) -> Any:
    """Return the processors that make the most likely token a sampled one.

    Gumbel noise on the logits makes their maximum a draw from the softmax, so that each row draws from a generator of
    its own and greedy decoding does the rest.
    """
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    parameters = orders[0].request.parameters
    temperature = float(str(parameters.get("temperature", 1.0)))
    top_p = float(str(parameters.get("top_p", 1.0)))
    processors = LogitsProcessorList()
    if temperature == 0:
        return processors
    generators = [torch.Generator().manual_seed(seed_of(order)) for order in orders]

    class GumbelNoise(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 (the interface's names)
            noise = torch.stack([torch.rand(scores.shape[1], generator=each) for each in generators])
            noise = -torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7)))
            return scores.float() + noise.to(scores.device)

    processors.append(TemperatureLogitsWarper(temperature))
    if top_p < 1:
        processors.append(TopPLogitsWarper(top_p))
    processors.append(GumbelNoise())
    return processors


# --------------------------------------------------------------------------------------------------------- loading

EXPECTED = "an instruct model as transformers saves it"
REMEDY = "correct 'model' under [chat] in mars.toml"


def load_local_model(folder: Path, config: ChatConfig) -> LocalModel:
    """Load an instruct model in an explicit precision.

    Raises:
        ModelError: there is no causal language model, no tokenizer or no chat template in the folder, the model lacks
            weights or an end token, or the device cannot be used.
    """
    from mars_engine.embeddings.causal_lm import load_causal_lm
    from mars_engine.embeddings.devices import find_device
    from mars_engine.embeddings.pretrained import load_chat_tokenizer

    device = find_device(config.device, section="chat")
    tokenizer = load_chat_tokenizer(
        folder,
        expected="an instruct model",
        remedy="name another under [chat] in mars.toml; a base model does not follow instructions",
    )
    model = load_causal_lm(
        folder, tokenizer, device=device, precision=config.precision, expected=EXPECTED, remedy=REMEDY
    )
    positions = getattr(model.config, "max_position_embeddings", None) or UNLIMITED
    return LocalModel(model, tokenizer, int(positions), config.batch_tokens)
