"""Trails: what was tried to sharpen the contrast of a pair before it was paraphrased, and what came of it."""

from collections.abc import Collection, Mapping, Sequence

from mars_engine.core.records import Proposal, RefineTry
from mars_engine.store import Store

KEPT = "kept"
"""The verdict on the rewrite that became a pair's new text."""

REFINED_NOTE = "refine"
"""Where among a proposal's notes on its making stands who refined, where the gate asked for refining."""


def trails_of(store: Store, proposals: Collection[Proposal]) -> dict[str, list[RefineTry]]:
    """Return the trail of each proposal whose source was to be refined, by proposal id; others are left out."""
    asked = [each for each in proposals if REFINED_NOTE in each.generators]
    trails = by_making(store.proposals.refine_tries({each.source_id for each in asked}))
    found = {each.id: trails.get((each.oriented_id, each.settings_id)) for each in asked}
    return {proposal_id: trail for proposal_id, trail in found.items() if trail}


def by_making(tries: Sequence[RefineTry]) -> Mapping[tuple[str, str], list[RefineTry]]:
    """Return trails by the oriented id of the pair and the generators' settings."""
    trails: dict[tuple[str, str], list[RefineTry]] = {}
    for each in tries:
        trails.setdefault((each.oriented_id, each.settings_id), []).append(each)
    return trails
