"""Rows of a set on the Hugging Face hub, or of a local folder laid out like one, through `datasets`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mars_engine.core.errors import LoadError
from mars_engine.data.loaders.reading import RawRow
from mars_engine.embeddings.model_folder import quiet_hub

PREFIX = "hub:"
_ADDRESS = re.compile(r"(?P<path>[^:@#]+)(?::(?P<config>[^:@#]+))?(?:@(?P<split>[^:@#]+))?(?:#(?P<revision>[^:@#]+))?")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A set on the hub: `hub:owner/name[:subset][@split][#revision]`, or a folder in place of owner/name.

    A subset is what `datasets` calls a configuration; a revision is a branch, a tag or a commit.
    """

    path: str
    config: str | None
    split: str | None
    revision: str | None = None

    @property
    def name(self) -> str:
        parts = (PurePath(self.path).name or self.path, self.config, self.split)
        return "-".join(part for part in parts if part)


def parse_address(location: str) -> HubAddress:
    """Return what a `hub:` location names.

    Raises:
        LoadError: it is not of the form hub:owner/name[:subset][@split][#revision].
    """
    match = _ADDRESS.fullmatch(location.removeprefix(PREFIX))
    if match is None:
        raise LoadError(
            f"{location!r} does not name a set on the hub",
            expected="hub:owner/name[:subset][@split][#revision], for example hub:Anthropic/hh-rlhf@train",
        )
    return HubAddress(match["path"], match["config"], match["split"], match["revision"])


def with_hub_options(location: str, *, subset: str | None = None, revision: str | None = None) -> str:
    """Return a location with a subset or a revision that was given beside it.

    Raises:
        LoadError: it is no location of the hub, or names another subset or revision itself.
    """
    if subset is None and revision is None:
        return location
    if not location.startswith(PREFIX):
        raise LoadError(
            f"{location!r} is no set on the hub, so that it has no subset and no revision",
            expected="hub:owner/name",
            remedy="leave out --subset and --revision",
        )
    address = parse_address(location)
    for name, given, own in (("subset", subset, address.config), ("revision", revision, address.revision)):
        if given is not None and own is not None and given != own:
            raise LoadError(f"{location!r} names the {name} {own!r}, and --{name} the {name} {given!r}")
    subset, revision = subset or address.config, revision or address.revision
    parts = ((":", subset), ("@", address.split), ("#", revision))
    whole = PREFIX + address.path + "".join(f"{sign}{part}" for sign, part in parts if part)
    parse_address(whole)  # a subset or a revision may have signs of its own
    return whole


def load_hub_set(address: HubAddress, location: str) -> Any:
    """Load one split of a set, from the cache where it is there.

    Raises:
        LoadError: the set cannot be had, or has several splits and none is named.
    """
    import datasets

    try:
        with quiet_hub():
            loaded = datasets.load_dataset(address.path, address.config, split=address.split, revision=address.revision)
    except Exception as error:  # `datasets` raises dozens of kinds, network and builder errors among them
        raise LoadError(
            f"{location} cannot be loaded: {error}",
            remedy="check the name, the subset (--subset), the split (@split), the revision (--revision) and the "
            "network, or download the file and name it",
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
