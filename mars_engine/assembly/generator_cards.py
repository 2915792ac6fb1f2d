"""Who writes proposals in a workspace: the cards of its generators."""

from mars_engine.assembly.generators import make_paraphraser, make_refiner
from mars_engine.assembly.workspace import Workspace, make_encoder
from mars_engine.words.records import GeneratorCard
from mars_engine.world.progress import SilentProgress


def generator_cards(workspace: Workspace) -> tuple[GeneratorCard, ...]:
    """Return the cards of the refiner and the paraphraser; no model is loaded for it, and no generator's downloaded."""
    progress = SilentProgress()
    refiner = make_refiner(workspace.config, make_encoder(workspace), progress, may_download=False)
    paraphraser = make_paraphraser(workspace.config, progress, may_download=False)
    return refiner.card, paraphraser.card
