"""How fluent a text is in its place: the mean log-likelihood of its tokens under a causal language model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mars_engine.augment.generators.causal.writer import load_model
from mars_engine.core.batching import batches_by_length, token_budget
from mars_engine.core.config import Precision
from mars_engine.core.progress import Progress
from mars_engine.core.records import FloatArray, Passage
from mars_engine.embeddings.passage_tokens import PassageTokenizer, TokenizedPassage


@dataclass(frozen=True)
class FluencyMeter:
    """Measures texts by a causal language model.

    Args:
        model: in evaluation mode.
        tokenizer: with a chat template, in which contexts are written.
        max_tokens: most tokens of a context and a text; the context is cut from the left first.
        batch_tokens: token budget of a batch, padding included; 0 is what suits the device.
    """

    model: Any
    tokenizer: Any
    max_tokens: int
    batch_tokens: int

    @property
    def passages(self) -> PassageTokenizer:
        """Writes a prompt as the causal model's context, and makes tokens of it and of the text to measure."""
        return PassageTokenizer(self.tokenizer, self.max_tokens, has_chat_template=True)

    def measure(self, passages: Sequence[Passage], *, progress: Progress) -> FloatArray:
        """Return the mean log-likelihood of each text's tokens after its context, in nats, shape (n,).

        A text that stands alone is read after the token with which the model's texts begin, where it has one. NaN where
        nothing can be said: the text is empty, or its only token has none before it.
        """
        rows = self.passages.tokenize(passages)
        found = np.full(len(rows), np.nan)
        budget = token_budget(self.batch_tokens, self.model.device.type)
        with progress.task("fluency", len(rows)) as task:
            for batch in batches_by_length([len(row.token_ids) + 1 for row in rows], budget):
                found[batch] = self._measure_batch([rows[index] for index in batch])
                task.advance(len(batch))
        return found

    def _measure_batch(self, rows: Sequence[TokenizedPassage]) -> FloatArray:
        begin = self.tokenizer.bos_token_id
        ids = [list(row.token_ids) if row.text_start or begin is None else [begin, *row.token_ids] for row in rows]
        starts = [row.text_start + len(each) - len(row.token_ids) for each, row in zip(ids, rows, strict=True)]
        ends = [row.text_end + len(each) - len(row.token_ids) for each, row in zip(ids, rows, strict=True)]
        longest = max(2, *map(len, ids))
        tokens = torch.tensor([each + [0] * (longest - len(each)) for each in ids], device=self.model.device)
        mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in ids], device=self.model.device)
        with torch.inference_mode():
            logits: Tensor = self.model(input_ids=tokens, attention_mask=mask, use_cache=False).logits
            chosen = logits[:, :-1].gather(2, tokens[:, 1:, None])[..., 0].double()
            likelihoods = (chosen - logits[:, :-1].logsumexp(dim=2).double()).cpu().numpy()
        # the likelihood at place k is that of token k + 1
        texts = [each[max(0, start - 1) : end - 1] for each, start, end in zip(likelihoods, starts, ends, strict=True)]
        return np.array([each.mean() if len(each) else np.nan for each in texts])


def load_meter(
    folder: Path, *, max_tokens: int, device: str = "auto", precision: Precision = "auto", batch_tokens: int = 0
) -> FluencyMeter:
    """Load a causal language model as a meter of fluency; one that is loaded already is not loaded again.

    Raises:
        ModelError: there is no such model, tokenizer or chat template in the folder, or the device cannot be used.
    """
    model, tokenizer = load_model(folder, device, precision)
    return FluencyMeter(model, tokenizer, max_tokens, batch_tokens)
