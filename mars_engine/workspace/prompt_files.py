"""A workspace's prompts: the packaged ones, and the files in its folder that take their place."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mars_engine.augment.generators.chat.prompts import NAMES, OWN_FOLDER, copy_prompt, load_prompt
from mars_engine.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A prompt for chat models, as it is used in a workspace."""

    name: str
    version: str
    digest: str
    is_own: bool
    path: Path


def list_prompts(workspace: Workspace) -> list[PromptFile]:
    """Return all prompts as they are used."""
    prompts = [load_prompt(name, workspace.root / OWN_FOLDER) for name in NAMES]
    return [PromptFile(each.name, each.version, each.digest, each.is_own, each.path) for each in prompts]


def prompt_text(workspace: Workspace, name: str) -> str:
    """Return a prompt's template as it is used."""
    return load_prompt(name, workspace.root / OWN_FOLDER).text


def copy_prompts(workspace: Workspace, names: Iterable[str]) -> list[Path]:
    """Copy packaged prompts into the workspace's folder, to be changed there; return the new files.

    Raises:
        ConfigError: one is there already, or cannot be written.
    """
    return [copy_prompt(name, workspace.root / OWN_FOLDER) for name in names]
