"""Who writes proposals in a workspace: the cards of its generators, and by which settings they would write now."""

from mars_engine.augment.drafting import settings_of_generation
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import GeneratorCard
from mars_engine.workspace.workspace import Workspace, open_workbench


def generator_cards(workspace: Workspace) -> tuple[GeneratorCard, ...]:
    """Return the cards of the refiner and the paraphraser, and of a judge; no model is loaded for it."""
    with open_workbench(workspace, SilentProgress(), may_download=False) as bench:
        judge = (bench.judge.card,) if bench.judge is not None else ()
        return bench.refiner.card, bench.paraphraser.card, *judge


def generation_settings(workspace: Workspace) -> str:
    """Return for the app the digest of the generators and settings that would propose now; no model is loaded."""
    with open_workbench(workspace, SilentProgress(), may_download=False) as bench:
        return settings_of_generation(bench.config.propose, bench.paraphraser, bench.refiner, bench.encoder)
