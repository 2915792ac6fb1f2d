"""How far judges, people and out-of-fold margins agree on which labels are right."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mars_engine.core.config import EvaluateConfig
from mars_engine.core.judge_records import JUDGE_PREFIX, LabelOpinion
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.review_state import POLICY_PREFIX, label_decision
from mars_engine.curate.agreement import PairOfAnnotators, agreement_of_each_two
from mars_engine.curate.judging.asking import newest_triage
from mars_engine.curate.judging.verdicts import LabelSays, label_by_margin, label_by_verdict
from mars_engine.stats.agreement_coefficients import MISSING
from mars_engine.store import Store

PEOPLE = "people"
MARGIN = "out-of-fold margin"
ONLY_SUSPECTS = (
    "judged suspects alone, whose labels the margin all calls wrong, so that its agreement with the margin tells "
    "nothing: 'mars judge-labels --all' judges the others too"
)
_CATEGORIES: Mapping[LabelSays, int] = {"right": 0, "wrong": 1}


@dataclass(frozen=True, slots=True)
class JudgeTally:
    """What one judge said."""

    judge: str
    opinions: int
    label_right: int
    label_wrong: int
    ties: int
    inconsistent: int
    """The order in which the answers were shown decided."""
    unread: int
    only_suspects: bool
    """Whether it judged suspects alone, so that its agreement with the margin tells nothing: see ONLY_SUSPECTS."""


@dataclass(frozen=True, slots=True)
class JudgeAgreement(ShownAsTable):
    """Agreement of judges, people and margins on the labels that each calls right or wrong.

    People's word is the decision that binds, policies left out; of it "drop" and "ambiguous" are no answer, nor is a
    judge's tie. A margin says by its sign.
    """

    judges: tuple[JudgeTally, ...]
    pairs: tuple[PairOfAnnotators, ...]
    """Of each two of them, on the pairs about which both say something."""


def judge_agreement(store: Store, *, config: EvaluateConfig | None = None) -> JudgeAgreement:
    """Return how far each judge, people and the out-of-fold margins agree; empty where no judge has said anything.

    Args:
        store: the workspace's memory.
        config: level of the intervals, and seed of the resampling.
    """
    settings = config or EvaluateConfig()
    opinions = {judge: store.opinions.of_judge(judge) for judge in store.opinions.judges()}
    if not opinions:
        return JudgeAgreement((), ())
    triage = newest_triage(store)
    suspected = {pair_id for pair_id, row in triage.items() if row.verdict == "suspected"}
    said: dict[str, dict[str, LabelSays | None]] = {
        f"{JUDGE_PREFIX}{judge}": {pair_id: label_by_verdict(each.verdict) for pair_id, each in given.items()}
        for judge, given in opinions.items()
    }
    said[PEOPLE] = _by_people(store)
    said[MARGIN] = {
        pair_id: label_by_margin(row.verdict, row.margin_mean, rule="negative") for pair_id, row in triage.items()
    }
    rng = np.random.default_rng(settings.seed)
    return JudgeAgreement(
        judges=tuple(_tally(judge, given, suspected) for judge, given in opinions.items()),
        pairs=tuple(agreement_of_each_two(_ratings(said), list(said), rng, settings.confidence)),
    )


def _by_people(store: Store) -> dict[str, LabelSays | None]:
    says: Mapping[str | None, LabelSays] = {"label_right": "right", "flip": "wrong"}
    return {
        pair_id: says.get(label_decision([each for each in events if not each.annotator.startswith(POLICY_PREFIX)]))
        for pair_id, events in store.reviews.events("pair").items()
    }


def _ratings(said: Mapping[str, Mapping[str, LabelSays | None]]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """What each says as category numbers, shape (pairs, raters)."""
    places = {pair_id: place for place, pair_id in enumerate({pair_id for given in said.values() for pair_id in given})}
    ratings = np.full((len(places), len(said)), MISSING, dtype=np.int64)
    for column, given in enumerate(said.values()):
        for pair_id, says in given.items():
            if says is not None:
                ratings[places[pair_id], column] = _CATEGORIES[says]
    return ratings


def _tally(judge: str, given: Mapping[str, LabelOpinion], suspected: set[str]) -> JudgeTally:
    verdicts = Counter(each.verdict for each in given.values())
    return JudgeTally(
        judge=judge,
        opinions=len(given),
        label_right=verdicts["chosen"],
        label_wrong=verdicts["rejected"],
        ties=verdicts["tie"],
        inconsistent=verdicts["inconsistent"],
        unread=verdicts["unread"],
        only_suspects=given.keys() <= suspected,
    )
