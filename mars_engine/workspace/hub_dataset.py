"""Sending pairs to the hub: as a dataset with a card that says how they were made and where each new one comes from."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from mars_engine import __version__
from mars_engine.augment.quality.gatekeeper import cards_of_writers
from mars_engine.core.config import MarsConfig
from mars_engine.core.records import DatasetRecord, ExportRow, Plan, Proposal, Side
from mars_engine.core.review_records import ItemKind
from mars_engine.core.review_state import decided_by_people, decisions_that_count, proposal_state
from mars_engine.data.export import ExportWhat, select_for_export
from mars_engine.data.exporter import ExportShape
from mars_engine.data.hub_export import LINEAGE, PushResult, data_file, push_pairs
from mars_engine.data.sources import refined_sides
from mars_engine.data.trails import REFINED_NOTE
from mars_engine.store import Store

TEMPLATE = Path(__file__).with_name("dataset_card.md.j2")
NEVER_PUBLISHED = frozenset({"database_url", "base_url", "api_key_variable"})
"""Settings that name servers and keys."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's names of sizes, by the number of pairs below which each holds."""
LARGEST_SIZE = "1M<n<10M"
EDITED = "a person, who edited it"
"""Beside the generators that wrote an answer."""


@dataclass(frozen=True, slots=True)
class PairLineage:
    """Where a new pair comes from. An answer that is the parent's own has no writers."""

    parent: str
    """The `mars_source_id` of the pair it was written from."""
    method: str
    round: int
    proposals: tuple[str, ...]
    chosen_by: tuple[str, ...]
    rejected_by: tuple[str, ...]
    decided_by: str
    """"people" or "policy", who accepted its texts."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A generator, and how many of the accepted proposals it wrote on."""

    name: str
    version: str
    stand_in: bool
    note: str
    settings: Mapping[str, Any]
    proposals: int


@dataclass(frozen=True, slots=True)
class DatasetLineage:
    """What a card says of where the pairs come from."""

    original: int
    augmented: tuple[PairLineage, ...]
    parents: int
    most_of_one_parent: int
    by_method: Mapping[str, int]
    by_decider: Mapping[str, int]
    """Accepted proposals, by who decided: "people" or "policy"."""
    actions: Mapping[str, int]
    """Decisions in force about those proposals, by what was decided."""
    label_actions: Mapping[str, int]
    """Decisions in force about the labels of the imported pairs, by what was decided."""
    writers: tuple[Writer, ...]
    sources: tuple[DatasetRecord, ...]
    plan: Plan | None


def push_dataset(
    store: Store,
    repository: str,
    *,
    what: ExportWhat,
    shape: ExportShape,
    config: MarsConfig,
    licence: str = "",
    public: bool = False,
    overwrite: bool = False,
) -> PushResult:
    """Send pairs to a dataset on the hub, with their card and lineage.

    Neither names of people nor names of servers, keys and folders are sent.

    Args:
        store: the workspace's memory.
        repository: owner/name.
        what: which pairs; see `select_for_export`.
        shape: TRL's preference shape.
        config: the workspace's settings.
        licence: the hub's identifier of one; empty where none is named.
        public: whether all may read them.
        overwrite: whether pairs that the dataset has may be replaced.

    Raises:
        NotReadyError: there is nothing of that kind yet.
        MarsError: the pairs could not be sent; see `push_pairs`.
    """
    selection = select_for_export(store, what, config=config)
    lineage = dataset_lineage(store, selection.rows, what=what)
    name = repository.rpartition("/")[2]
    return push_pairs(
        selection.rows,
        repository,
        what=what,
        shape=shape,
        manifest=published(selection.manifest),
        card=dataset_card(lineage, selection.rows, name=name, what=what, shape=shape, config=config, licence=licence),
        lineage=lineage_lines(lineage),
        public=public,
        overwrite=overwrite,
    )


def dataset_lineage(store: Store, rows: Sequence[ExportRow], *, what: ExportWhat) -> DatasetLineage:
    """Return where exported pairs come from. People are counted, never named."""
    composition = store.compositions.latest()
    exported = {row.pair.id for row in rows if row.method != "original"}
    composed = (
        [each for each in store.compositions.pairs(composition.id) if each.pair.id in exported]
        if composition and exported
        else []
    )
    ids = {found for each in composed for found in (each.chosen_from, each.rejected_from) if found}
    proposals = store.proposals.by_id(ids)
    events = store.reviews.events("proposal", ids)
    states = {found: proposal_state(proposal, events.get(found, ())) for found, proposal in proposals.items()}
    refined = refined_sides(store, composed)

    def writers_of(proposal_id: str, side: Side) -> tuple[str, ...]:
        if not proposal_id or side in proposals[proposal_id].unchanged_sides:
            return ()
        cards = dict(cards_of_writers(proposals[proposal_id]))
        if refined.get(proposal_id) != side:
            cards.pop(REFINED_NOTE, None)
        names = tuple(f"{card['name']} {card['version']}" for card in cards.values())
        is_edited = getattr(states[proposal_id], side) not in (None, getattr(proposals[proposal_id], side))
        return (*names, EDITED) if is_edited else names

    augmented = []
    for each in composed:
        used = tuple(dict.fromkeys(found for found in (each.chosen_from, each.rejected_from) if found))
        augmented.append(
            PairLineage(
                parent=each.source_id,
                method=each.method,
                round=each.round,
                proposals=used,
                chosen_by=writers_of(each.chosen_from, "chosen"),
                rejected_by=writers_of(each.rejected_from, "rejected"),
                decided_by="people" if any(decided_by_people(states[found]) for found in used) else "policy",
            )
        )
    children = Counter(each.parent for each in augmented)
    split = "heldout" if what == "heldout" else "train"
    return DatasetLineage(
        original=len(rows) - len(exported),
        augmented=tuple(augmented),
        parents=len(children),
        most_of_one_parent=max(children.values(), default=0),
        by_method=_counted(each.method for each in augmented),
        by_decider=_counted("people" if decided_by_people(state) else "policy" for state in states.values()),
        actions=_actions(store, "proposal", ids),
        label_actions=_actions(store, "pair", {row.source_id for row in rows}),
        writers=_writers(proposals.values()),
        sources=tuple(dataset for dataset in store.pairs.datasets() if dataset.split == split),
        plan=store.proposals.plan(composition.plan_id) if composition and composed else None,
    )


def lineage_lines(lineage: DatasetLineage) -> str:
    """Return how the workspace made its new pairs, for a published data set: JSON lines, in the order of the pairs."""
    names = PairLineage.__slots__
    lines = ({name: getattr(each, name) for name in names} for each in lineage.augmented)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def dataset_card(
    lineage: DatasetLineage,
    rows: Sequence[ExportRow],
    *,
    name: str,
    what: ExportWhat,
    shape: ExportShape,
    config: MarsConfig,
    licence: str = "",
) -> str:
    """Return the README of a dataset, with the metadata that the hub reads.

    Args:
        lineage: see `dataset_lineage`.
        rows: the pairs.
        name: what the dataset is called.
        what: which pairs these are.
        shape: TRL's preference shape.
        config: the workspace's settings; what names servers, keys and folders is left out.
        licence: the hub's identifier of one; empty where none was named.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    split = "test" if what == "heldout" else "train"
    writing = ["synthetic"] if lineage.augmented else []
    metadata = DatasetCardData(
        license=licence or None,
        pretty_name=name,
        size_categories=next((size for below, size in SIZES if len(rows) < below), LARGEST_SIZE),
        tags=["preference", "reward-modeling", "trl", "mars", *writing],
        configs=[{"config_name": "default", "data_files": [{"split": split, "path": data_file(what)}]}],
    )
    facts: dict[str, Any] = {
        "name": name,
        "pairs": len(rows),
        "lineage": lineage,
        "what": what,
        "shape": shape,
        "split": split,
        "lineage_file": LINEAGE,
        "licence": licence,
        "version": __version__,
        "settings": json.dumps(published(config.model_dump()), ensure_ascii=False, indent=2),
        "cell": _cell,
        "published": published,
    }
    return str(DatasetCard.from_template(metadata, template_path=str(TEMPLATE), **facts))


def published(value: Any) -> Any:
    """Return settings without what names servers or keys, and with files and folders by their names alone."""
    if isinstance(value, Mapping):
        return {key: published(each) for key, each in value.items() if key not in NEVER_PUBLISHED}
    if isinstance(value, list | tuple):
        return [published(each) for each in value]
    if isinstance(value, str) and PurePath(value).is_absolute():
        return PurePath(value).name
    return value


def _writers(proposals: Iterable[Proposal]) -> tuple[Writer, ...]:
    counts: Counter[str] = Counter()
    cards: dict[str, Mapping[str, Any]] = {}
    for proposal in proposals:
        found = {json.dumps(card, sort_keys=True): card for card in cards_of_writers(proposal).values()}
        cards |= found
        counts.update(found.keys())
    return tuple(
        Writer(
            name=cards[key]["name"],
            version=cards[key]["version"],
            stand_in=bool(cards[key]["stand_in"]),
            note=cards[key].get("note", ""),
            settings=cards[key].get("settings", {}),
            proposals=counts[key],
        )
        for key in sorted(cards)
    )


def _actions(store: Store, kind: ItemKind, ids: Collection[str]) -> dict[str, int]:
    events = store.reviews.events(kind, ids)
    return _counted(decision.action for found in events.values() for decision in decisions_that_count(found).values())


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _cell(text: Any) -> str:
    """Return a text as a cell of a table in Markdown."""
    return " ".join(str(text).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
