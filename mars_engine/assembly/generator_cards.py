"""Who writes proposals in a workspace: the cards of its generators."""

from mars_engine.assembly.workspace import Workspace, open_workbench
from mars_engine.words.records import GeneratorCard
from mars_engine.world.progress import SilentProgress


def generator_cards(workspace: Workspace) -> tuple[GeneratorCard, ...]:
    """Return the cards of the refiner and the paraphraser; no model is loaded for it."""
    with open_workbench(workspace, SilentProgress()) as bench:
        return bench.refiner.card, bench.paraphraser.card
