"""Make a workspace, or open one."""

import os
from pathlib import Path

from mars_engine.api.remedies import said_in_python
from mars_engine.api.settings import ORIGIN, Settings
from mars_engine.api.workspace import Workspace
from mars_engine.core.config import MarsConfig
from mars_engine.core.config.overrides import override_config
from mars_engine.workspace.workspace import create_workspace, find_workspace


@said_in_python()
def create(path: str | os.PathLike[str], *, settings: Settings | None = None, progress: bool = True) -> Workspace:
    """Make a folder a workspace and open it.

    Args:
        path: the folder; it is made where it is not there.
        settings: lasting settings, written into its mars.toml; all others have their defaults.
        progress: whether long steps say how far they have come, on standard error.

    Raises:
        WorkspaceError: it is a workspace already, or cannot be written.
        ConfigError: a setting is unknown or out of its range.
    """
    config = override_config(MarsConfig(), settings or {}, origin=ORIGIN)
    return Workspace(create_workspace(Path(path), config), progress=progress)


@said_in_python()
def open(path: str | os.PathLike[str], *, progress: bool = True) -> Workspace:
    """Open a workspace, also one that the app serves or a command works in.

    Args:
        path: its folder.
        progress: whether long steps say how far they have come, on standard error.

    Raises:
        WorkspaceError: the folder is no workspace.
        ConfigError: its mars.toml has something that cannot be used.
        StoreError: its database cannot be opened.
    """
    return Workspace(find_workspace(Path(path)), progress=progress)
