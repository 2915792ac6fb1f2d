"""Sharpening the contrast as the method defines it, over refiners that offer anything, with the whole trail kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import pytest
from fakes import BagOfWordsEncoder, ListSource, SuffixParaphraser, copy_database, make_bench, make_pairs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest, RefineRequest
from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import GateConfig, MarsConfig, ProposeConfig, TriageConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import GeneratorCard, Pair, Passage, RefineTry
from mars_engine.curate.cards import Ranking, proposal_card
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.data.trails import trails_of
from mars_engine.embeddings.distances import semantic_distance
from mars_engine.embeddings.maps import MapShelf
from mars_engine.explore.dossier import open_dossier
from mars_engine.explore.explorer import Explorer
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.store import open_store

TRIES, EPSILON = 3, 0.05
PAIRS = make_pairs(3)
CLOSE_BY_RULE = GateConfig(rule="fixed", threshold=2.0)
"""Every pair is too close."""
CARD = GeneratorCard("scripted", "7", {}, stand_in=True, note="does as it is told")


@dataclass
class ScriptedRefiner:
    """Offers for each pair and side what the script says; a reason instead of texts is a failure."""

    script: dict[tuple[str, str], Sequence[str] | str]
    card: GeneratorCard = CARD
    asked: list[tuple[str, str, int]] = field(default_factory=list)

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        answers = []
        for request in requests:
            self.asked.append((request.key, request.side, request.count))
            offered = self.script.get((request.key, request.side), ())
            if isinstance(offered, str):
                answers.append(Generation(request.key, (), failure=offered))
            else:
                answers.append(Generation(request.key, tuple(offered)))
        return answers


@dataclass
class MuteParaphraser(SuffixParaphraser):
    """Can paraphrase nothing."""

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        return [Generation(request.key, (), failure="it is mute") for request in requests]


@cache
def scored() -> Workbench:
    """A workbench with a model and its scores; it is copied for each test."""
    config = MarsConfig(
        triage=TriageConfig(policy="keep", seeds=2, folds=2),
        gate=CLOSE_BY_RULE,
        propose=ProposeConfig(variants=1, refine_tries=TRIES, refine_epsilon=EPSILON),
    )
    bench = make_bench(config)
    import_pairs(ListSource(PAIRS), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    score_model(bench, train_warm_up(bench))
    return bench


def propose_with(refiner: ScriptedRefiner, paraphraser: SuffixParaphraser | None = None) -> Workbench:
    store = open_store("sqlite://")
    copy_database(scored().store, store)
    bench = replace(scored(), store=store, refiner=refiner, paraphraser=paraphraser or SuffixParaphraser())
    make_proposals(bench, make_plan(bench, bench.store.models.latest()).plan)
    return bench


def trail_of(bench: Workbench, pair: Pair) -> list[RefineTry]:
    return bench.store.proposals.refine_tries([pair.id])


def distance(first: str, second: str) -> float:
    vectors = BagOfWordsEncoder().encode([Passage(first), Passage(second)], progress=SilentProgress()).vectors
    return float(semantic_distance(vectors[:1], vectors[1:])[0])


def as_the_method_says(pair: Pair, offers: dict[str, Sequence[str] | str]) -> tuple[Pair, list[tuple[str, str, bool]]]:
    """The pair after refining and (side, text, kept) of each try, written down from the definition."""
    needed = distance(pair.chosen, pair.rejected) + EPSILON
    trail = []
    for side, own, other in (("rejected", pair.rejected, pair.chosen), ("chosen", pair.chosen, pair.rejected)):
        offered = offers.get(side, ())
        for text in offered[:TRIES] if not isinstance(offered, str) else ():
            unchanged = text.split() == own.split() or not text.strip()
            is_kept = not unchanged and distance(text, other) > needed
            trail.append((side, text, is_kept))
            if is_kept:
                sides = {"chosen": pair.chosen, "rejected": pair.rejected} | {side: text}
                return Pair.of(pair.prompt, sides["chosen"], sides["rejected"]), trail
    return pair, trail


def far_text(pair: Pair) -> str:
    """A text that is far enough from the chosen one."""
    needed = distance(pair.chosen, pair.rejected) + EPSILON
    offered = (f"word{number} other{number}" for number in range(1000))
    return next(text for text in offered if distance(text, pair.chosen) > needed + 0.01)


WORDS = ("clear", "rude", "sky", "granite", "n1", "filler3", "wrong", "useless", "exact")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


@st.composite
def offers(draw) -> dict[tuple[str, str], Sequence[str] | str]:
    """What is offered for each pair and side: new texts, the pair's own texts, nothing, or a failure."""
    script = {}
    for pair in PAIRS:
        own = st.sampled_from([pair.chosen, pair.rejected, f"{pair.rejected} sky", "", "  \n"])
        for side in ("rejected", "chosen"):
            some = st.lists(st.one_of(texts, own), max_size=TRIES + 2)
            script[pair.id, side] = draw(st.one_of(some, some, st.just("the refiner is out")))
    return script


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(offers())
def test_refining_is_what_the_method_says_and_its_trail_is_whole(script):
    refiner = ScriptedRefiner(script)
    bench = propose_with(refiner)
    proposals = bench.store.proposals.proposals()
    for pair in PAIRS:
        mine = {side: script[pair.id, side] for side in ("rejected", "chosen")}
        wanted, tried = as_the_method_says(pair, mine)
        trail = trail_of(bench, pair)
        assert [each.position for each in trail] == list(range(len(trail)))
        assert [(each.side, each.text, each.verdict == "kept") for each in trail if each.text is not None] == tried
        for each in trail:
            assert (each.oriented_id, each.generator) == (pair.id, "scripted 7")
            if each.text is not None:
                other = pair.chosen if each.side == "rejected" else pair.rejected
                assert each.distance == pytest.approx(distance(each.text, other), abs=1e-6)
            else:
                assert each.distance is None
                assert each.verdict.startswith("no rewrite: ")
        refined = [each for each in proposals if each.source_id == pair.id and each.method == "refined"]
        if wanted == pair:
            assert refined == []
            sides = [each.side for each in trail]
            assert "rejected" in sides
            assert "chosen" in sides
            assert all(each.verdict != "kept" for each in trail)
        else:
            assert [(each.chosen, each.rejected) for each in refined] == [(wanted.chosen, wanted.rejected)]
            assert trail[-1].verdict == "kept"
    asked_for_chosen = {key for key, side, _ in refiner.asked if side == "chosen"}
    kept_rejected = {
        pair.id for pair in PAIRS if any(t.verdict == "kept" and t.side == "rejected" for t in trail_of(bench, pair))
    }
    assert asked_for_chosen == {pair.id for pair in PAIRS} - kept_rejected
    assert {count for _, _, count in refiner.asked} == {TRIES}


def test_more_offers_than_tries_are_not_looked_at():
    far = [far_text(PAIRS[0])]
    close = [f"{PAIRS[0].chosen} {word}" for word in ("a", "b", "c")]
    bench = propose_with(ScriptedRefiner({(PAIRS[0].id, "rejected"): [*close, *far]}))
    assert [each.verdict for each in trail_of(bench, PAIRS[0]) if each.side == "rejected"] == [
        "too close still"
    ] * TRIES


def test_the_trail_of_an_unrefined_pair_is_kept_where_nothing_was_proposed():
    pair = PAIRS[0]
    script = {(pair.id, "rejected"): [pair.chosen, pair.rejected, ""], (pair.id, "chosen"): "the server is down"}
    bench = propose_with(ScriptedRefiner(script), MuteParaphraser())
    assert bench.store.proposals.proposals(source_ids=[pair.id]) == []
    trail = trail_of(bench, pair)
    assert [(each.side, each.text, each.verdict) for each in trail] == [
        ("rejected", pair.chosen, "too close still"),
        ("rejected", pair.rejected, "as it was"),
        ("rejected", "", "empty"),
        ("chosen", None, "no rewrite: the server is down"),
    ]
    assert trail[0].distance == pytest.approx(0.0, abs=1e-6)
    failures = {(each.target, each.reason) for each in bench.store.proposals.failures() if each.source_id == pair.id}
    assert ("refine chosen", "the server is down") in failures
    assert [each.verdict for each in trail_of(bench, PAIRS[1])] == ["no rewrite: none was offered"] * 2


def test_cards_and_dossier_show_the_trail(tmp_path):
    pair = PAIRS[0]
    close, far = pair.chosen, far_text(pair)
    bench = propose_with(ScriptedRefiner({(pair.id, "rejected"): [close, far]}))
    proposals = bench.store.proposals.proposals(source_ids=[pair.id])
    trails = trails_of(bench.store, bench.store.proposals.proposals())
    assert set(trails) == {each.id for each in bench.store.proposals.proposals()}
    indices = PairIndexCache(bench.store)
    index = indices.current()
    for proposal in proposals:
        card = proposal_card(
            proposal,
            pair,
            index,
            Ranking(index),
            status="pending",
            gates="",
            tries=trails[proposal.id],
        )
        assert [each.text for each in card.trail] == [close, far]
        assert card.trail[-1].verdict == "kept"
        assert "trail" not in proposal.generators["refine"]
    explorer = Explorer(bench.store, indices, MapShelf(tmp_path), lambda _: None)
    (trail,) = open_dossier(bench.store, index, explorer, pair.id).trails
    assert list(trail) == trails[proposals[0].id]


def test_proposing_again_after_a_crash_keeps_one_trail():
    pair = PAIRS[0]
    refiner = ScriptedRefiner({(pair.id, "rejected"): ["granite sky"]})
    bench = propose_with(refiner)
    before = trail_of(bench, pair)
    bench.store.proposals.add_proposals(before[0].settings_id, {}, [], [], [replace(before[0], text="other")])
    assert [each.text for each in trail_of(bench, pair)] == ["other"]
    assert trail_of(bench, PAIRS[1])
