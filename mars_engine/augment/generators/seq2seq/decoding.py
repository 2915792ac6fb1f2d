"""Decoding several candidates of each text of a batch, so that the batch changes none of them.

transformers 5 keeps greedy search, beam search and sampling; diverse beam search went to a repository of the hub whose
code would have to be fetched and trusted, and sampling draws from torch's global generator, so that what is drawn
depends on the rest of the batch. Both are had here from greedy search: a logits processor that leaves one token a row.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from mars_engine.augment.generators.passages.writing import Search

MOST_TOKENS_DRAWN_FROM = 512
"""The likeliest ones, of which sampling draws from the share `top_p`; sorting a whole vocabulary would take long."""


class ChoosingProcessor(LogitsProcessor):
    """Chooses the next token of each rewrite itself: greedy search finds a single one left.

    Args:
        end_ids: tokens that end a text, shape (m,).
    """

    def __init__(self, end_ids: Tensor) -> None:
        self._end_ids = end_ids
        self._prefix: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._prefix is None:
            self._prefix = input_ids.shape[1]  # what the decoder begins with, which may be an end token
        written = input_ids[:, self._prefix :]
        unfinished = ~torch.isin(written, self._end_ids).any(dim=1)
        chosen = self.choose(scores, unfinished, step=written.shape[1])
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)

    def choose(self, scores: Tensor, unfinished: Tensor, *, step: int) -> Tensor:
        """Return each row's next token, shape (rows,); what is chosen for a finished row does not matter."""
        raise NotImplementedError


class DiverseBeams(ChoosingProcessor):
    """Diverse beam search with groups of one beam (Vijayakumar et al., arXiv 1610.02424, with Hamming diversity).

    The rows of a text are its beams. One after the other takes its best token, which loses `penalty` for each earlier
    beam of that text that took it at this step. Unlike there, ending is never penalised: a text that is complete would
    only be gone on with for the sake of difference.
    """

    def __init__(self, end_ids: Tensor, *, beams: int, penalty: float) -> None:
        super().__init__(end_ids)
        self._beams, self._penalty = beams, penalty

    def choose(self, scores: Tensor, unfinished: Tensor, *, step: int) -> Tensor:  # noqa: ARG002
        by_text = scores.view(-1, self._beams, scores.shape[1])
        writing = unfinished.view(-1, self._beams)
        penalties = torch.zeros_like(by_text[:, 0])
        chosen = torch.empty_like(writing, dtype=torch.long)
        for beam in range(self._beams):
            best = (by_text[:, beam] - penalties).argmax(dim=1)
            counts = writing[:, beam] & ~torch.isin(best, self._end_ids)
            penalties.scatter_add_(1, best[:, None], (self._penalty * counts)[:, None].to(penalties.dtype))
            chosen[:, beam] = best
        return chosen.view(-1)


class SeededSampling(ChoosingProcessor):
    """Nucleus sampling (Holtzman et al., arXiv 1904.09751) by numbers that depend on each row's own seed.

    A token is drawn as the one whose log-probability is greatest after noise of its own is added (Gumbel's trick).
    Padding moves probabilities by a millionth; here that changes a draw only where two tokens come out as near as that,
    while a draw by cumulated probabilities has a boundary to slip over for every token.

    Args:
        end_ids: as above.
        seeds: of each row, int64, shape (rows,).
        temperatures: of each row, float64, shape (rows,).
        top_p: the share of the probability that is drawn from.
    """

    def __init__(self, end_ids: Tensor, *, seeds: Tensor, temperatures: Tensor, top_p: float) -> None:
        super().__init__(end_ids)
        self._seeds, self._temperatures, self._top_p = seeds, temperatures, top_p
        self._log_probability = torch.zeros_like(temperatures)
        self._tokens = torch.zeros_like(temperatures)

    @property
    def mean_log_probabilities(self) -> Tensor:
        """Of the tokens of each row under temperature 1, in float64."""
        return self._log_probability / self._tokens.clamp(min=1)

    def choose(self, scores: Tensor, unfinished: Tensor, *, step: int) -> Tensor:
        scores = scores.double()
        tempered = torch.log_softmax(scores / self._temperatures[:, None], dim=1)
        likeliest, tokens = tempered.topk(min(MOST_TOKENS_DRAWN_FROM, scores.shape[1]), dim=1)
        likelier = likeliest.exp().cumsum(dim=1) - likeliest.exp()
        noisy = likeliest + gumbel_noise(self._seeds, step, tokens)
        drawn = torch.where(likelier < self._top_p, noisy, -torch.inf).argmax(dim=1, keepdim=True)
        chosen = tokens.gather(1, drawn)
        log_probability = torch.log_softmax(scores, dim=1).gather(1, chosen)[:, 0]
        self._log_probability += torch.where(unfinished, log_probability, 0.0)
        self._tokens += unfinished
        return chosen[:, 0]


def gumbel_noise(seeds: Tensor, step: int, tokens: Tensor) -> Tensor:
    """Return the Gumbel noise by which candidates' tokens are drawn at a step of decoding, shape (rows, k), float64.

    It is the same for the same seeds, step and tokens, on any device.

    Args:
        seeds: of each row, shape (rows,).
        step: of the decoding, from 0 on.
        tokens: ids, shape (rows, k).
    """
    moment = seeds.new_tensor(step + 1) * _GOLDEN
    mixed = _mix(_mix(seeds + moment)[:, None] + (tokens + 1) * _GOLDEN)
    uniform = (((mixed >> 11) & (2**53 - 1)).double() + 0.5) / 2**53
    return -torch.log(-torch.log(uniform))


_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_SHIFTS_AND_FACTORS = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64), (31, 1))


def _mix(numbers: Tensor) -> Tensor:
    """Return numbers whose bits all depend on all bits of these: SplitMix64 (Steele and others, 2014), modulo 2^64."""
    for shift, factor in _SHIFTS_AND_FACTORS:
        numbers = (numbers ^ ((numbers >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return numbers


def decode(
    model: Any, input_ids: Tensor, attention_mask: Tensor, search: Search, seeds: Tensor, *, max_new_tokens: int
) -> list[list[list[int]]]:
    """Return the tokens of each candidate of each text, without what the decoder begins with, as it was asked to write.

    Args:
        model: a sequence-to-sequence model in evaluation mode, whose generation config names its special tokens.
        input_ids: padded texts, shape (n, longest).
        attention_mask: 1 where there is text.
        search: how to decode.
        seeds: what 'sample' draws by, int64, shape (n, candidates).
        max_new_tokens: where a candidate ends that has not ended before.
    """
    with torch.inference_mode():
        if search.decoding == "beam":
            config = generation_config(search, max_new_tokens, beams=search.candidates)
            rows = model.generate(input_ids, attention_mask=attention_mask, generation_config=config)
            return _by_text(rows, search.candidates)
        hidden = model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        chooser = _chooser(model, search, seeds)
        rows = model.generate(
            encoder_outputs=BaseModelOutput(hidden.repeat_interleave(search.candidates, dim=0)),
            attention_mask=attention_mask.repeat_interleave(search.candidates, dim=0),
            generation_config=generation_config(search, max_new_tokens, beams=1),
            logits_processor=LogitsProcessorList([chooser]),
        )
    candidates = _by_text(rows, search.candidates)
    if isinstance(chooser, SeededSampling) and search.ranks:
        likelihoods = chooser.mean_log_probabilities.view(-1, search.candidates)
        orders = likelihoods.argsort(dim=1, descending=True, stable=True).tolist()
        return [[some[place] for place in order] for some, order in zip(candidates, orders, strict=True)]
    return candidates


def generation_config(search: Search, max_new_tokens: int, *, beams: int) -> GenerationConfig:
    """Return how to generate. Only special and suppressed tokens are taken from the model's own configuration."""
    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        num_beams=beams,
        num_return_sequences=beams,
        num_beam_groups=1,
        diversity_penalty=0.0,
        penalty_alpha=0.0,
        early_stopping=False,
        length_penalty=1.0,
        max_new_tokens=max_new_tokens,
        min_length=0,
        min_new_tokens=0,
        no_repeat_ngram_size=search.no_repeat_ngram,
        repetition_penalty=1.0,
        encoder_repetition_penalty=1.0,
        encoder_no_repeat_ngram_size=0,
    )


def end_ids(model: Any) -> list[int]:
    """Return the tokens that end what a sequence-to-sequence or causal model generates."""
    ends = model.generation_config.eos_token_id
    return list(ends) if isinstance(ends, list) else [int(ends)]


def _chooser(model: Any, search: Search, seeds: Tensor) -> ChoosingProcessor:
    ends = torch.tensor(end_ids(model), device=model.device)
    if search.decoding == "diverse":
        return DiverseBeams(ends, beams=search.candidates, penalty=search.diversity_penalty)
    temperatures = torch.tensor(search.temperatures, dtype=torch.float64, device=model.device)
    return SeededSampling(
        ends,
        seeds=seeds.flatten().to(model.device),
        temperatures=temperatures.repeat(len(seeds)),
        top_p=search.top_p,
    )


def _by_text(rows: Tensor, candidates: int) -> list[list[list[int]]]:
    written: Sequence[list[int]] = rows[:, 1:].tolist()
    return [list(written[start : start + candidates]) for start in range(0, len(written), candidates)]
