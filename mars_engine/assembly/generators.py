"""The generators that a workspace's settings name."""

from mars_engine.words.config import MarsConfig
from mars_engine.words.protocols import Encoder, Paraphraser, Progress, Refiner
from mars_engine.world.generators import ExtractiveRefiner, RuleParaphraser
from mars_engine.world.generators.seq2seq import Seq2SeqParaphraser, Seq2SeqRefiner


def make_paraphraser(config: MarsConfig, progress: Progress, *, may_download: bool = True) -> Paraphraser:
    """Return what `propose.paraphraser` names. Nothing heavy is imported or loaded before it is used.

    Args:
        config: the settings.
        progress: shows how far the generator has come.
        may_download: whether a model of the hub may be downloaded; where not, the generator is good for its card alone.
    """
    match config.propose.paraphraser:
        case "rules":
            return RuleParaphraser()
        case "seq2seq":
            return Seq2SeqParaphraser(config.seq2seq, progress=progress, may_download=may_download)


def make_refiner(config: MarsConfig, encoder: Encoder, progress: Progress, *, may_download: bool = True) -> Refiner:
    """Return what `propose.refiner` names; see `make_paraphraser`."""
    match config.propose.refiner:
        case "extractive":
            return ExtractiveRefiner(encoder, progress=progress)
        case "seq2seq":
            return Seq2SeqRefiner(config.seq2seq, progress=progress, may_download=may_download)
