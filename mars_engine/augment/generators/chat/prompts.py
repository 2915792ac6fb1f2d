"""The prompts' templates: packaged ones, and those that a user has put in their place.

A template is a text file in jinja2's language. Its lines `[system]`, `[user]` and `[assistant]` begin messages; a
comment at its top, `{# version: … #}`, names its version. What is filled in stands in the message as it is: lines,
code and turns are kept.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mars_engine.core.errors import ConfigError
from mars_engine.core.records import Prompt, Turn
from mars_engine.core.whole_file import completed_file

PACKAGED = Path(__file__).parent / "templates"
NAMES = ("paraphrase", "refine_rejected", "refine_chosen", "judge")
ENDING = ".txt"
OWN_FOLDER = "prompts"
"""The folder of a workspace with templates that take the place of packaged ones."""

_NEEDS = {
    "paraphrase": {"text"},
    "refine_rejected": {"rejected"},
    "refine_chosen": {"chosen"},
    "judge": {"first", "second"},
}
"""What each prompt has to show the model: without it one answer would do for every text."""
_VERSION = re.compile(r"\A\s*\{#-?\s*version:\s*([^\s#]+)")
_ROLE = re.compile(r"^\[(system|user|assistant)\][ \t]*\r?\n", re.MULTILINE)
_WITHOUT_VERSION = "own"


@dataclass(frozen=True)
class PromptTemplate:
    """A prompt's template."""

    name: str
    text: str
    path: Path
    is_own: bool
    """Whether it is the workspace's and not the packaged one."""

    @property
    def version(self) -> str:
        found = _VERSION.match(self.text)
        return found[1] if found else _WITHOUT_VERSION

    @property
    def digest(self) -> str:
        """The first 12 digits of the SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """What the generator's card and every kept answer name it by: another text, another label."""
        return f"{self.name} {self.version} {self.digest}"

    @cached_property
    def _messages(self) -> list[tuple[str, Any]]:
        """The role and the compiled template of each message."""
        from jinja2 import StrictUndefined, TemplateError, meta
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        # Not for a web page: what is filled in stands in the message as it is.
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        _, *parts = _ROLE.split(self.text)
        if not parts:
            raise ConfigError(
                f"the prompt {self.path} has no message",
                expected="a line [system] or [user] before each message",
                remedy="look at the packaged one: mars prompts --show " + self.name,
            )
        try:
            missing = _NEEDS.get(self.name, set()) - meta.find_undeclared_variables(environment.parse(self.text))
            if missing:
                raise ConfigError(
                    f"the prompt {self.path} does not show the model what it is about",
                    expected=" and ".join(f"{{{{ {name} }}}}" for name in sorted(missing)),
                    remedy="put it where the text is to stand; the packaged one: mars prompts --show " + self.name,
                )
            return [
                (role, environment.from_string(text.strip("\r\n")))
                for role, text in zip(parts[::2], parts[1::2], strict=True)
            ]
        except TemplateError as error:
            raise self._unusable(error) from error

    def messages(self, **values: Any) -> Prompt:
        """Return the messages with the values filled in.

        Raises:
            ConfigError: the template cannot be read, or names something that is not there.
        """
        from jinja2 import TemplateError

        try:
            return tuple(Turn(role, template.render(**values)) for role, template in self._messages)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"the prompt {self.path} cannot be used: {error}",
            expected="a jinja2 template that names only what the packaged one does",
            remedy="correct it, or delete it to have the packaged one again",
        )


def load_prompt(name: str, own_folder: Path | None = None) -> PromptTemplate:
    """Return a prompt's template: the file of that name in a user's folder, or the packaged one.

    Raises:
        ConfigError: the user's file cannot be read.
    """
    own = own_folder / f"{name}{ENDING}" if own_folder else None
    if own is not None and own.is_file():
        try:
            return PromptTemplate(name, own.read_text(encoding="utf-8"), own, is_own=True)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the prompt {own} cannot be read: {error}", remedy="save it as UTF-8 text, or delete it"
            ) from error
    path = PACKAGED / f"{name}{ENDING}"
    return PromptTemplate(name, path.read_text(encoding="utf-8"), path, is_own=False)


def copy_prompt(name: str, own_folder: Path) -> Path:
    """Write the packaged template into a user's folder, to be changed there; return the new file.

    Raises:
        ConfigError: a file of that name is there already, or cannot be written.
    """
    own = own_folder / f"{name}{ENDING}"
    if own.exists():
        raise ConfigError(f"{own} is there already", remedy="change it as it is, or delete it first")
    try:
        own_folder.mkdir(parents=True, exist_ok=True)
        with completed_file(own) as part:
            part.write_bytes((PACKAGED / own.name).read_bytes())
    except OSError as error:
        raise ConfigError(f"{own} cannot be written: {error}", remedy="check the folder's permissions") from error
    return own
