"""What a workspace knows as pandas DataFrames, a row a pair, proposal or decision."""

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from mars_engine.core.errors import NotReadyError
from mars_engine.core.plain_json import turns_as_json
from mars_engine.core.records import SPLITS
from mars_engine.core.review_state import proposal_states
from mars_engine.curate.history import HistoryRow, label_history
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex
from mars_engine.store import Store

if TYPE_CHECKING:
    import pandas as pd


def pairs_frame(store: Store, index: PairIndex) -> "pd.DataFrame":
    """Return all pairs with their texts and what is known of them, in the order of their import."""
    import pandas as pd

    texts = {pair.id: pair for split in SPLITS for pair in store.pairs.pairs(split)}
    found = [texts[pair_id] for pair_id in _ids(index)]
    columns = {
        "id": _ids(index),
        "split": _named(SPLIT_CODES, index.split),
        "dataset": _named(index.dataset_names, index.dataset),
        "subset": _named(index.subset_names, index.subset),
        "prompt": [turns_as_json(pair.prompt) for pair in found],
        "chosen": [pair.chosen for pair in found],
        "rejected": [pair.rejected for pair in found],
        "margin": index.margin,
        "distance": index.distance,
        "verdict": _named(VERDICT_CODES, index.verdict),
        "decision": _named(DECISION_CODES, index.decision),
        "budget": index.budget,
        "proposals": index.proposals,
        "accepted": index.accepted,
    }
    return pd.DataFrame(columns)


def margins_frame(store: Store, index: PairIndex) -> "pd.DataFrame":
    """Return rewards and margins of all pairs under the newest model that has scored, whose label is in `attrs`.

    Raises:
        NotReadyError: no model has scored any pair.
    """
    import pandas as pd

    if index.model is None:
        raise NotReadyError("no model has scored the pairs yet", remedy="call train(), then score()")
    rewards = store.models.scores(index.model.id)
    unknown = (float("nan"), float("nan"))
    known = [rewards.get(pair_id, unknown) for pair_id in _ids(index)]
    columns = {
        "id": _ids(index),
        "split": _named(SPLIT_CODES, index.split),
        "chosen_reward": [chosen for chosen, _ in known],
        "rejected_reward": [rejected for _, rejected in known],
        "margin": [chosen - rejected for chosen, rejected in known],
        "out_of_fold_margin": index.out_of_fold_margin,
        "out_of_fold_std": index.out_of_fold_std,
        "verdict": _named(VERDICT_CODES, index.verdict),
        "distance": index.distance,
    }
    frame = pd.DataFrame(columns)
    frame.attrs["model"] = index.model.label
    return frame


def proposals_frame(store: Store) -> "pd.DataFrame":
    """Return all proposals, with how each stands; `failed_gates` lists the quality gates that it fails."""
    import pandas as pd

    found = store.proposals.proposals()
    states = proposal_states(found, store.reviews.events("proposal"))
    names = ["id", "source_id", "method", "status", "decided_by", "prompt", "chosen", "rejected", "approved_chosen"]
    names += ["approved_rejected", "failed_gates", "margin_before", "margin_after", "distance_before"]
    names += ["distance_after", "information_gain"]
    rows = [
        [
            *[each.id, each.source_id, each.method, states[each.id].status, list(states[each.id].decided_by)],
            *[turns_as_json(each.prompt), each.chosen, each.rejected, states[each.id].chosen, states[each.id].rejected],
            *[list(each.flags), each.margin_before, each.margin_after, each.distance_before, each.distance_after],
            each.information_gain,
        ]
        for each in found
    ]
    return pd.DataFrame(rows, columns=names)


def history_frame(store: Store) -> "pd.DataFrame":
    """Return every decision ever made, who made it, when, on what, and whether it stands; see HistoryRow."""
    import pandas as pd

    rows = [asdict(row) for row in label_history(store)]
    frame = pd.DataFrame(rows, columns=[each.name for each in fields(HistoryRow)])
    frame["at"] = pd.to_datetime(frame["at"], utc=True, format="ISO8601")
    return frame


def _ids(index: PairIndex) -> list[str]:
    return [pair_id.decode() for pair_id in index.ids.tolist()]


def _named(names: Any, codes: Any) -> list[str]:
    return [names[code] for code in codes.tolist()]
