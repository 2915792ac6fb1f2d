"""All settings of a workspace, and `mars.toml`, the file that holds them."""

import inspect
import tomllib
from pathlib import Path
from typing import Annotated, Any

import tomlkit
from pydantic import Field, ValidationError
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from mars_engine.core.config.align import AlignConfig
from mars_engine.core.config.generators import CausalConfig, ChatConfig, ProposeConfig, Seq2SeqConfig
from mars_engine.core.config.method import AllocationConfig, ComposeConfig, GateConfig, JudgeConfig, TriageConfig
from mars_engine.core.config.models import EncoderConfig, ProbeConfig, RewardModelConfig
from mars_engine.core.config.quality import QualityConfig
from mars_engine.core.config.reading import EvaluateConfig, MapConfig, ReviewConfig
from mars_engine.core.config.section import Section
from mars_engine.core.errors import ConfigError

NEVER_REPEATED = ("chat.base_url", "chat.api_key_variable")
"""Settings into which a key may have been written by mistake: an error does not repeat what stands there."""


class MarsConfig(Section):
    """All settings of a workspace; `mars.toml` holds them."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the draws of the folds."""
    database_url: str = ""
    """Database; empty means SQLite inside the workspace, 'postgresql+psycopg://…' a server."""
    encoder: EncoderConfig = EncoderConfig()
    probe: ProbeConfig = ProbeConfig()
    reward_model: RewardModelConfig = RewardModelConfig()
    triage: TriageConfig = TriageConfig()
    judge: JudgeConfig = JudgeConfig()
    allocation: AllocationConfig = AllocationConfig()
    gate: GateConfig = GateConfig()
    propose: ProposeConfig = ProposeConfig()
    seq2seq: Seq2SeqConfig = Seq2SeqConfig()
    causal: CausalConfig = CausalConfig()
    chat: ChatConfig = ChatConfig()
    quality: QualityConfig = QualityConfig()
    review: ReviewConfig = ReviewConfig()
    compose: ComposeConfig = ComposeConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    map: MapConfig = MapConfig()
    align: AlignConfig = AlignConfig()


def validate_config(settings: dict[str, Any], *, origin: str) -> MarsConfig:
    """Return the configuration that `settings` describes.

    Raises:
        ConfigError: an unknown key or a value out of range; all of them are named, with `origin`.
    """
    try:
        return MarsConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(
            f"{origin} has {error.error_count()} setting(s) that cannot be used: {say_complaints(error)}",
            expected="the keys and ranges listed by 'mars init --help' and in a new mars.toml",
            remedy="correct or remove them",
        ) from error


def say_complaints(error: ValidationError) -> str:
    """Return every complaint about some settings, each with its place and what stood there."""
    complaints = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        said = item["msg"].removeprefix("Value error, ")
        said = f"{said[:1].lower()}{said[1:]}"
        if item["type"] == "string_pattern_mismatch" and (meant := _description(place)):
            said = f"it is not what is meant here: {meant[:1].lower()}{meant[1:].rstrip('.')}"
        given = "" if place.endswith(NEVER_REPEATED) else f" = {item['input']!r}"
        complaints.append(f"{place}{given}: {said}" if place else said)
    return "; ".join(complaints)


def _description(place: str) -> str:
    """Return the help of the setting that a complaint is about; empty where its place names none."""
    section, _, key = place.partition(".")
    settings = MarsConfig.model_fields.get(section)
    fields = getattr(settings.annotation, "model_fields", {}) if settings else {}
    return fields[key].description or "" if key in fields else ""


def load_config(path: Path) -> MarsConfig:
    """Read a `mars.toml`.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a setting that cannot be used.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}",
            remedy="save it as UTF-8 text, or move it away and run 'mars init' for a new one",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", remedy="correct that line") from error
    return validate_config(settings, origin=str(path))


def config_as_toml(config: MarsConfig) -> str:
    """Return the configuration as TOML, each setting under its help as a comment."""
    document = tomlkit.document()
    document.add(tomlkit.comment("Settings of this MARS workspace. Delete a line to use its default."))
    for name, field in MarsConfig.model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Section):
            document.add(tomlkit.nl())
            document.add(name, _section_as_table(value))
        else:
            document.add(tomlkit.comment(field.description or ""))
            document.add(name, value)
    return tomlkit.dumps(document)


def update_toml(text: str, config: MarsConfig) -> str:
    """Return the text of a `mars.toml` with the configuration's values, as little changed as can be.

    Comments, order and lines for settings whose value stays are kept; a setting that was not there is added under its
    help. A text that cannot be updated so is replaced by `config_as_toml`.
    """
    try:
        document = tomlkit.parse(text)
        before = MarsConfig.model_validate(document.unwrap())
        for name in MarsConfig.model_fields:
            old, new = getattr(before, name), getattr(config, name)
            if isinstance(new, Section):
                if old != new and name not in document:
                    document.add(name, tomlkit.table())
                _update(document.get(name), old, new)
            elif old != new:
                document[name] = new
        updated = tomlkit.dumps(document)
        if MarsConfig.model_validate(tomllib.loads(updated)) == config:
            return updated
    except (TOMLKitError, tomllib.TOMLDecodeError, ValidationError, AttributeError):
        pass  # it was damaged, or is written in a way that has no place for the new lines
    return config_as_toml(config)


def _update(table: Any, old: Section, new: Section) -> None:
    for key, field in type(new).model_fields.items():
        value = getattr(new, key)
        if value == getattr(old, key):
            continue
        if key not in table:
            table.add(tomlkit.comment(field.description or ""))
        table[key] = value


def _section_as_table(section: Section) -> Table:
    table = tomlkit.table()
    table.add(tomlkit.comment(inspect.cleandoc(type(section).__doc__ or "")))
    for name, field in type(section).model_fields.items():
        table.add(tomlkit.comment(field.description or ""))
        table.add(name, getattr(section, name))
    return table
