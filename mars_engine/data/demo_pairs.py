"""The packaged demo pairs as a source to import: 'demo' stands for both of their files, each with its split."""

from mars_engine.core.records import Split
from mars_engine.core.shipped import shipped
from mars_engine.data.loaders import open_source
from mars_engine.data.loaders.opening import PairSource

DEMO = "demo"
"""The name of the packaged demo pairs, as a source."""

DEMO_IN_WORDS = (
    "612 pairs that were written for this project: 360 to train on, 252 held out. Forty of those to train on are "
    "mislabelled on purpose, to see whether triage finds them."
)

DEMO_FILES: tuple[tuple[str, Split], ...] = (("demo-train.jsonl", "train"), ("demo-test.jsonl", "heldout"))


def demo_sources() -> list[tuple[PairSource, Split]]:
    """Open the packaged demo pairs: those to train on, and those held out.

    Raises:
        WorkspaceError: the installation lacks them.
    """
    return [(open_source(str(shipped("data") / name)), split) for name, split in DEMO_FILES]
