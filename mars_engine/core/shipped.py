"""Where app.py, pages/ and data/ are: inside an installed wheel, or at the top of a checkout."""

from pathlib import Path

from mars_engine.core.errors import WorkspaceError

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Return the path of a file or folder of the project's top level.

    Raises:
        WorkspaceError: the installation lacks it.
    """
    for root in (PACKAGE / "_shipped", PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise WorkspaceError(f"the installation lacks {name}", remedy="install mars-engine again")
