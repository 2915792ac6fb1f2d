"""Where the head 'probe' starts: a probe's weights on hidden states, and how texts are read for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mars_engine.core.errors import ConfigError
from mars_engine.core.progress import Progress
from mars_engine.core.records import FloatArray, Pair, Passage, TrainingSet
from mars_engine.embeddings.model_folder import fingerprint_folder
from mars_engine.embeddings.passage_tokens import PassageTokenizer, TokenizedPassage
from mars_engine.reward_models.features import Reading, TextStates
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.reward_models.transformer.tokenize import TEXTS_AT_ONCE, TokenizedPair, TokenizedSide


@dataclass(frozen=True, slots=True)
class PassageReading:
    """Which of a text's hidden states are pooled, and the length limit it is read under.

    Attributes:
        text: which tokens count and of which layers, at least one.
        max_tokens: most tokens of a text, special tokens included: the encoder's limit, as the probe read it.
    """

    text: TextStates
    max_tokens: int

    @property
    def recorded(self) -> dict[str, Any]:
        """Plain JSON, for the config.json of a saved model."""
        return {
            "head": "probe",
            "reading": self.text.reading,
            "pooling": self.text.pooling,
            "layers": list(self.text.layers),
            "max_tokens": self.max_tokens,
        }

    @classmethod
    def from_recorded(cls, recorded: Mapping[str, Any]) -> "PassageReading":
        text = TextStates(recorded["reading"], recorded["pooling"], tuple(recorded["layers"]))
        return cls(text, int(recorded["max_tokens"]))


@dataclass(frozen=True, eq=False)
class ProbeStart:
    """A probe's solution as a linear head on pooled hidden states.

    Attributes:
        reading: how texts are read.
        weights: the reward is their product with the pooled states of all layers side by side, shape (layers·d,).
    """

    reading: PassageReading
    weights: FloatArray


@dataclass(frozen=True)
class ProbeSource:
    """Fits the probe that a transformer's training starts from.

    Args:
        trainer: fits probes on the encoder that is fine-tuned.
        max_tokens: the encoder's length limit.
    """

    trainer: ProbeTrainer
    max_tokens: int

    def require_encoder(self, folder: Path) -> None:
        """Raise ConfigError unless a backbone is the probe's encoder."""
        if fingerprint_folder(folder, beside=f"max_tokens={self.max_tokens}") != self.trainer.encoder.fingerprint:
            raise ConfigError(
                f"head = 'probe' starts from a probe on the hidden states of [encoder], and the backbone {folder} "
                "is another model",
                expected="one model as 'name' under [encoder] and as 'backbone' under [reward_model]",
                remedy="name the same model in both places of mars.toml, or set head = 'default'",
            )

    def choose_features(self, training_set: TrainingSet) -> None:
        """Have the probe that fine-tuning starts from choose its features by these pairs, unless they are chosen."""
        self.trainer.model_id(training_set)

    def start(self, training_set: TrainingSet, *, progress: Progress) -> ProbeStart:
        """Return the solution of the probe fitted on these pairs.

        Raises:
            ConfigError: the probe looks at sentence embeddings.
        """
        return start_of(self.trainer.train(training_set, progress=progress), self.max_tokens)


def start_of(probe: Probe, max_tokens: int) -> ProbeStart:
    """Return a probe as a head: w·φ with φ_j = h_j / (s_j √d) is (w / (s √d))·h.

    Raises:
        ConfigError: it looks at sentence embeddings.
    """
    features = probe.features
    if not features.text.layers:
        raise ConfigError(
            "head = 'probe' starts from hidden layers, and this workspace's probe looks at sentence embeddings",
            expected="a probe on hidden layers",
            remedy="set layers under [probe] in mars.toml to numbers such as '1,3', or head = 'default'",
        )
    return ProbeStart(PassageReading(features.text, max_tokens), probe.weights / (features.scale * features.width**0.5))


@dataclass(frozen=True)
class ProbePairs:
    """Tokenizes pairs as the probe's encoder reads them; takes the place of a `PairTokenizer`."""

    passages: PassageTokenizer
    reading: PassageReading

    @property
    def tokenizer(self) -> Any:
        return self.passages.tokenizer

    @property
    def max_tokens(self) -> int:
        return self.reading.max_tokens

    @property
    def input_format(self) -> Reading:
        return self.reading.text.reading

    def tokenize(self, pairs: Sequence[Pair], *, progress: Progress) -> list[TokenizedPair]:
        """Return the tokens of both sides of each pair, each within the limit, and which of them are pooled."""
        rows = []
        with progress.task("tokenize", len(pairs)) as task:
            for start in range(0, len(pairs), TEXTS_AT_ONCE):
                some = pairs[start : start + TEXTS_AT_ONCE]
                contexts = [self._context_of(pair) for pair in some]
                chosen, rejected = (
                    self.passages.tokenize([Passage(text, each) for text, each in zip(texts, contexts, strict=True)])
                    for texts in ([pair.chosen for pair in some], [pair.rejected for pair in some])
                )
                rows += [
                    TokenizedPair(pair.id, self._side(one), self._side(other))
                    for pair, one, other in zip(some, chosen, rejected, strict=True)
                ]
                task.advance(len(some))
        return rows

    def _context_of(self, pair: Pair) -> str:
        return "" if self.reading.text.reading == "response" else self.passages.context_of(pair.prompt)

    def _side(self, passage: TokenizedPassage) -> TokenizedSide:
        start = passage.context_start if self.reading.text.reading == "all" else passage.text_start
        if self.reading.text.pooling == "last":
            start = max(start, passage.text_end - 1)
        return TokenizedSide(
            token_ids=passage.token_ids,
            type_ids=(0,) * len(passage.token_ids),
            context_tokens_cut=passage.context_tokens_cut,
            response_tokens_cut=passage.text_tokens_cut,
            pooled=(start, passage.text_end),
        )
