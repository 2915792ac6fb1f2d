"""The generators and the judge that a workspace's settings name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mars_engine.augment.generators import ExtractiveRefiner, RuleParaphraser
from mars_engine.augment.generators.causal import CausalFluency, CausalParaphraser, CausalRefiner, rank_paraphrases
from mars_engine.augment.generators.chat import (
    OWN_FOLDER,
    ChatJudge,
    ChatParaphraser,
    ChatRefiner,
    Correspondence,
    SmallChatParaphraser,
    SmallChatRefiner,
    load_prompt,
)
from mars_engine.augment.generators.chat.backend import ChatBackend
from mars_engine.augment.generators.protocols import Paraphraser, Refiner
from mars_engine.augment.generators.seq2seq import Seq2SeqParaphraser, Seq2SeqRefiner
from mars_engine.augment.quality.protocols import FluencyModel, Judge
from mars_engine.core.clock import Clock
from mars_engine.core.config import ChatConfig, MarsConfig
from mars_engine.core.errors import ConfigError
from mars_engine.core.progress import Progress
from mars_engine.embeddings.protocols import Encoder
from mars_engine.store.chat import ChatStore


@dataclass(frozen=True, slots=True)
class Generators:
    """Who writes proposals, who judges them (nobody may), and who says how they read."""

    paraphraser: Paraphraser
    refiner: Refiner
    judge: Judge | None
    """Of proposals, for the gate."""
    label_judge: Judge
    """The chat model as a judge of labels; it is asked nothing before somebody asks it."""
    fluency: FluencyModel
    """Loads its model when it is asked first."""


@contextmanager
def open_generators(
    root: Path,
    config: MarsConfig,
    encoder: Encoder,
    store: ChatStore,
    *,
    progress: Progress,
    clock: Clock,
    may_download: bool = True,
) -> Iterator[Generators]:
    """Open what the settings name. Nothing heavy is imported or loaded before it is used.

    Args:
        root: the workspace's folder, whose own prompts take the place of packaged ones.
        config: the settings.
        encoder: for a refiner that needs one.
        store: keeps what chat models answer.
        progress: shows how far they have come.
        clock: tells the time.
        may_download: whether a sequence-to-sequence or causal model that is not on this machine may be downloaded.
    """
    correspondence = Correspondence(
        store, lambda: _open_backend(config.chat, store, progress, clock), config.chat, progress
    )
    fluency = CausalFluency(config.causal, progress=progress, may_download=may_download)
    paraphraser = _make_paraphraser(root / OWN_FOLDER, config, correspondence, progress, may_download)
    if config.propose.rank_spare:
        paraphraser = rank_paraphrases(paraphraser, fluency, config.propose.rank_spare)
    try:
        yield Generators(
            paraphraser=paraphraser,
            refiner=_make_refiner(root / OWN_FOLDER, config, correspondence, encoder, progress, may_download),
            judge=_make_judge(root / OWN_FOLDER, config, correspondence),
            label_judge=_chat_judge(root / OWN_FOLDER, config, correspondence),
            fluency=fluency,
        )
    finally:
        correspondence.close()


def _make_paraphraser(
    own_prompts: Path, config: MarsConfig, correspondence: Correspondence, progress: Progress, may_download: bool
) -> Paraphraser:
    match config.propose.paraphraser:
        case "rules":
            return RuleParaphraser()
        case "chat" if config.chat.is_small:
            return SmallChatParaphraser(correspondence, config.chat, config.causal)
        case "chat":
            return ChatParaphraser(correspondence, config.chat, load_prompt("paraphrase", own_prompts))
        case "seq2seq":
            return Seq2SeqParaphraser(config.seq2seq, progress=progress, may_download=may_download)
        case "causal":
            return CausalParaphraser(config.causal, progress=progress, may_download=may_download)


def _make_refiner(
    own_prompts: Path,
    config: MarsConfig,
    correspondence: Correspondence,
    encoder: Encoder,
    progress: Progress,
    may_download: bool,
) -> Refiner:
    match config.propose.refiner:
        case "extractive":
            return ExtractiveRefiner(encoder, progress=progress)
        case "chat" if config.chat.is_small:
            return SmallChatRefiner(correspondence, config.chat, config.causal)
        case "chat":
            return ChatRefiner(
                correspondence,
                config.chat,
                load_prompt("refine_rejected", own_prompts),
                load_prompt("refine_chosen", own_prompts),
            )
        case "seq2seq":
            return Seq2SeqRefiner(config.seq2seq, progress=progress, may_download=may_download)
        case "causal":
            return CausalRefiner(config.causal, progress=progress, may_download=may_download)


def _make_judge(own_prompts: Path, config: MarsConfig, correspondence: Correspondence) -> Judge | None:
    match config.quality.judge_by:
        case "none":
            return None
        case "chat":
            return _chat_judge(own_prompts, config, correspondence)


def _chat_judge(own_prompts: Path, config: MarsConfig, correspondence: Correspondence) -> ChatJudge:
    return ChatJudge(correspondence, config.chat, load_prompt("judge", own_prompts))


def _read_key(variable: str) -> str:
    """Return the key for the configured server that the environment has, "" where there is none.

    Raises:
        ConfigError: it has characters that cannot be sent as a key.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"the key in the environment variable {variable} has characters that no key has, such as spaces or umlauts",
            expected="the key as the server's provider shows it",
            remedy=f"copy it anew into {variable}",
        )
    return key


def _open_backend(config: ChatConfig, store: ChatStore, progress: Progress, clock: Clock) -> ChatBackend:
    if config.backend == "transformers":
        from mars_engine.augment.generators.chat.local_models import LocalModels

        return LocalModels(config, store.keep, clock, progress)
    from mars_engine.augment.generators.chat.server import ChatServer

    def connect(config: ChatConfig, key: str = "") -> ChatServer:
        rng = np.random.default_rng()  # waits need not be the same again
        return ChatServer(config, key=key, keep=store.keep, spent=store.spent, rng=rng, clock=clock)

    if config.backend == "llama.cpp":
        from mars_engine.augment.generators.chat.llama_cpp import LlamaCppModels

        return LlamaCppModels(config, connect)
    return connect(config, _read_key(config.api_key_variable))
