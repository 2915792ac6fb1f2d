"""Rows of a set on the Hugging Face hub, or of a local folder laid out like one, through `datasets`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mars_engine.words.errors import LoadError
from mars_engine.world.loaders.reading import RawRow
from mars_engine.world.model_folder import quiet_hub

PREFIX = "hub:"
_ADDRESS = re.compile(r"(?P<path>[^:@]+)(?::(?P<config>[^:@]+))?(?:@(?P<split>[^:@]+))?")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A set on the hub: `hub:owner/name[:config][@split]`, or a folder in place of owner/name."""

    path: str
    config: str | None
    split: str | None

    @property
    def name(self) -> str:
        parts = (PurePath(self.path).name or self.path, self.config, self.split)
        return "-".join(part for part in parts if part)


def parse_address(location: str) -> HubAddress:
    """Return what a `hub:` location names.

    Raises:
        LoadError: it is not of the form hub:owner/name[:config][@split].
    """
    match = _ADDRESS.fullmatch(location.removeprefix(PREFIX))
    if match is None:
        raise LoadError(
            f"{location!r} does not name a set on the hub",
            expected="hub:owner/name[:config][@split], for example hub:Anthropic/hh-rlhf@train",
        )
    return HubAddress(match["path"], match["config"], match["split"])


def load_hub_set(address: HubAddress, location: str) -> Any:
    """Load one split of a set, from the cache where it is there.

    Raises:
        LoadError: the set cannot be had, or has several splits and none is named.
    """
    import datasets

    try:
        with quiet_hub():
            loaded = datasets.load_dataset(address.path, address.config, split=address.split)
    except Exception as error:  # `datasets` raises dozens of kinds, network and builder errors among them
        raise LoadError(
            f"{location} cannot be loaded: {error}",
            remedy="check the name, the configuration, the split and the network, or download the file and name it",
        ) from error
    if isinstance(loaded, datasets.Dataset):
        return loaded
    splits = list(loaded)
    if len(splits) != 1:
        raise LoadError(
            f"{location} has the splits {', '.join(splits)}", expected="one of them", remedy=f"add @{splits[0]}"
        )
    return loaded[splits[0]]


def hub_rows(dataset: Any) -> Iterator[RawRow]:
    for number, row in enumerate(dataset, start=1):
        yield RawRow(number, row)
