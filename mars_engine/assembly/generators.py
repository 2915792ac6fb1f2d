"""The generators that a workspace's settings name."""

from mars_engine.words.config import MarsConfig
from mars_engine.words.protocols import Encoder, Paraphraser, Progress, Refiner
from mars_engine.world.generators import ExtractiveRefiner, RuleParaphraser


def make_paraphraser(config: MarsConfig) -> Paraphraser:
    """Return what `propose.paraphraser` names. Nothing heavy is imported or loaded before it is used."""
    match config.propose.paraphraser:
        case "rules":
            return RuleParaphraser()


def make_refiner(config: MarsConfig, encoder: Encoder, progress: Progress) -> Refiner:
    """Return what `propose.refiner` names. Nothing heavy is imported or loaded before it is used."""
    match config.propose.refiner:
        case "extractive":
            return ExtractiveRefiner(encoder, progress=progress)
