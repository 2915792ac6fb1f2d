"""Judging proposals: what the gates are told of them, when they are made and when they are judged anew."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest
from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.quality.gatekeeper import (
    Candidate,
    fluency_of,
    judged_by,
    leak_index,
    make_gatekeeper,
    regate,
    settings_of_gates,
)
from mars_engine.augment.quality.gates import GATES
from mars_engine.augment.quality.protocols import Judgement, JudgeRequest
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig, QualityConfig, TriageConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import FloatArray, GeneratorCard, Pair, Prompt, Proposal
from mars_engine.curate.cards import gate_results
from mars_engine.curate.review import review_by_policy
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.rounds import compose_newest_plan

OFF = QualityConfig(**{gate.name: False for gate in GATES})
KEEP = TriageConfig(policy="keep", seeds=2, folds=3)
CARD = GeneratorCard("scripted", "1", {}, stand_in=True, note="says what it is told to")


def only(**settings) -> MarsConfig:
    return MarsConfig(triage=KEEP, quality=OFF.model_copy(update=settings))


@dataclass
class ScriptedParaphraser:
    """Appends one of its endings for each candidate."""

    endings: tuple[str, ...]
    card: GeneratorCard = CARD

    def paraphrase(self, requests: list[ParaphraseRequest]) -> list[Generation]:
        return [Generation(each.key, tuple(f"{each.text} {ending}" for ending in self.endings)) for each in requests]


def scored_bench(config: MarsConfig, *, endings: tuple[str, ...] = ("indeed", "surely"), pairs=None) -> Workbench:
    bench = replace(make_bench(config), paraphraser=ScriptedParaphraser(endings))
    for split, some in (("train", pairs or make_pairs(16)), ("heldout", make_pairs(6, seed=1, first=900))):
        import_pairs(ListSource(some), bench.store, split=split, clock=bench.clock, progress=bench.progress)
    score_model(bench, train_warm_up(bench))
    return bench


def proposed(bench: Workbench) -> list[Proposal]:
    make_proposals(bench, make_plan(bench, bench.store.models.latest()).plan)
    return bench.store.proposals.proposals()


def keeper_of(bench: Workbench):
    return make_gatekeeper(bench)


def as_candidate(source: Pair, new: Pair) -> Candidate:
    return Candidate(source.id, source, source, new, 0, 0.5, 0.5)


def test_what_fails_is_kept_with_its_reasons_and_a_person_can_overrule():
    bench = scored_bench(only(numbers=True), endings=("indeed", "in 7 days"))
    found = proposed(bench)
    failed = [each for each in found if each.flags]
    assert {flag for each in failed for flag in each.flags} == {
        f"number changed: {side}, 7 added" for side in ("prompt", "chosen", "rejected")
    }
    assert 0 < len(failed) < len(found)
    review_by_policy(bench.store, "gates", clock=bench.clock)
    record_review(bench.store, "proposal", failed[0].id, "accept", annotator="ann", clock=bench.clock)
    compose_newest_plan(bench)
    texts = {row.pair.chosen for row in bench.store.compositions.pairs(bench.store.compositions.latest().id)}
    assert failed[0].chosen in texts
    assert failed[1].chosen not in texts


def test_a_report_counts_the_faults_and_a_card_tells_each_gate():
    bench = scored_bench(only(numbers=True, negations=True), endings=("indeed", "not in 7 days"))
    report = make_proposals(bench, make_plan(bench, bench.store.models.latest()).plan)
    assert (
        report.faults["number changed"] == report.faults["negation changed"] == report.proposals - report.passed_gates
    )
    assert report.judged_otherwise == 0
    failed = next(each for each in bench.store.proposals.proposals() if each.flags)
    passed = next(each for each in bench.store.proposals.proposals() if not each.flags)
    assert all(not result.passed for result in gate_results(failed))
    assert [(result.passed, result.text) for result in gate_results(passed)] == [
        (True, "paraphrasing kept the numbers"),
        (True, "paraphrasing kept negations"),
    ]


def test_out_of_fold_margins_are_of_models_that_never_saw_the_source():
    bench = scored_bench(only(label=True))
    pairs = bench.store.pairs.pairs("train")
    keeper = keeper_of(bench)
    own = [each.margins for each in keeper.evidence([as_candidate(pair, pair) for pair in pairs])]
    triage = {row.pair_id: row.margin_mean for row in bench.store.models.triage(bench.store.models.latest().id)}
    assert [each.source for each in own] == pytest.approx([triage[pair.id] for pair in pairs])
    assert [each.proposal for each in own] == pytest.approx([each.source for each in own])
    swapped = [Pair.of(pair.prompt, pair.rejected, pair.chosen) for pair in pairs]
    turned = [as_candidate(pair, other) for pair, other in zip(pairs, swapped, strict=True)]
    assert [each.margins.proposal for each in keeper.evidence(turned)] == pytest.approx([-each.source for each in own])


def test_a_flipped_label_is_stopped_unless_a_person_has_confirmed_it():
    pairs = make_pairs(30)
    wrong = Pair.of(pairs[0].prompt, pairs[0].rejected, pairs[0].chosen)
    bench = scored_bench(only(label=True, min_label_margin=0.0), pairs=(wrong, *pairs[1:]))
    candidate = [as_candidate(wrong, Pair.of(wrong.prompt, f"{wrong.chosen} indeed", wrong.rejected))]
    assert keeper_of(bench).judge(candidate)[0].reasons[0].startswith("label in doubt")
    record_review(bench.store, "pair", wrong.id, "label_right", annotator="ann", clock=bench.clock)
    assert keeper_of(bench).judge(candidate)[0].reasons == ()


def test_held_out_pairs_and_benchmarks_do_not_leak():
    bench = scored_bench(only(leakage=True))
    asked = "what is the tallest mountain of the moon and how high is it"
    bench = replace(bench, benchmark_texts=lambda: {"RewardBench": [f"User: {asked}\nAssistant: it is Mons Huygens"]})
    source, heldout = bench.store.pairs.pairs("train")[0], bench.store.pairs.pairs("heldout")[0]
    benchmarked = Pair.of((replace(source.prompt[0], content=asked),), "It is Mons Huygens!", "no")
    candidates = [as_candidate(source, new) for new in (heldout, benchmarked, source)]
    reasons = [verdict.reasons for verdict in keeper_of(bench).judge(candidates)]
    assert reasons[0] == ("leaked from an evaluation: 100% of a question with its answer stand in a held-out pair",)
    assert reasons[1] == ("leaked from an evaluation: 94% of a question with its answer stand in RewardBench",)
    assert reasons[2] == ()
    assert leak_index([], {}) is None


@dataclass
class StubbornJudge:
    """Prefers answers with a word, or always the first."""

    word: str
    card: GeneratorCard = CARD
    asked: list[JudgeRequest] = field(default_factory=list)

    def judge(self, requests: list[JudgeRequest]) -> list[Judgement]:
        self.asked += requests
        return [
            Judgement(each.key, "second" if self.word and self.word in each.second else "first") for each in requests
        ]


@pytest.mark.parametrize(("word", "stops"), [("wrongly", True), ("indeed", False), ("", False)])
def test_a_judge_is_asked_in_both_orders_and_its_order_bias_stops_nothing(word, stops):
    judge = StubbornJudge(word)
    bench = replace(scored_bench(only(judge=True)), judge=judge)
    pair = bench.store.pairs.pairs("train")[0]
    new = Pair.of(pair.prompt, f"{pair.chosen} indeed", f"{pair.rejected} wrongly")
    (verdict,) = keeper_of(bench).judge([as_candidate(pair, new)])
    assert verdict.reasons == (("judge prefers the rejected answer: in either order",) if stops else ())
    assert [(each.first, each.second) for each in judge.asked] == [
        (new.chosen, new.rejected),
        (new.rejected, new.chosen),
    ]


@dataclass
class WordCounter:
    """Finds a text the less likely, the more words of it are "oddly"."""

    card: GeneratorCard = CARD
    asked: list[tuple[Prompt, str]] = field(default_factory=list)

    def measure(self, texts: list[tuple[Prompt, str]]) -> FloatArray:
        self.asked += texts
        return np.array([-1.0 - 2 * text.count("oddly") if text.strip() else np.nan for _, text in texts])


def test_a_language_model_reads_each_text_in_its_place_and_its_figures_stand_on_the_card():
    fluency = WordCounter()
    bench = replace(scored_bench(only(fluency=True), endings=("oddly",)), fluency=fluency)
    proposals = [each for each in proposed(bench) if each.method == "paraphrase"]
    assert proposals
    for each in proposals:
        assert [flag.partition(",")[0] for flag in each.flags] == [
            f"reads badly: {name}" for name in ("prompt", "chosen", "rejected")
        ]
        assert fluency_of(each) == (-1.0, -3.0)
    source = bench.store.pairs.by_id({proposals[0].source_id})[proposals[0].source_id]
    assert {(source.prompt, source.chosen), (source.prompt[:-1], source.prompt[-1].content)} <= set(fluency.asked)
    bench = replace(scored_bench(only()), fluency=fluency)
    assert {fluency_of(each) for each in proposed(bench)} == {None}, "the gate is off: nobody is asked"


def test_a_figure_that_is_none_leaves_the_gate_silent():
    bench = replace(scored_bench(only(fluency=True)), fluency=WordCounter())
    pair = bench.store.pairs.pairs("train")[0]
    (verdict,) = keeper_of(bench).judge([as_candidate(pair, Pair.of(pair.prompt, " ", f"{pair.rejected} now"))])
    assert verdict.reasons == ()
    assert verdict.fluency == (-1.0, -1.0)


@pytest.mark.parametrize(("word", "asked", "passing"), [("", [0], [True, False]), ("wrongly", [0, 1], [False, False])])
def test_a_judge_is_asked_about_a_copy_only_once_it_has_stopped_what_it_copies(word, asked, passing):
    judge = StubbornJudge(word)
    bench = replace(scored_bench(only(judge=True, not_a_copy=True)), judge=judge)
    pair = bench.store.pairs.pairs("train")[0]
    new = Pair.of(pair.prompt, f"{pair.chosen} indeed", f"{pair.rejected} wrongly")
    copy = Pair.of(pair.prompt, f"{pair.chosen}  indeed", f"{pair.rejected}  wrongly")
    verdicts = keeper_of(bench).judge([as_candidate(pair, new), replace(as_candidate(pair, copy), variant=1)])
    assert [each.first for each in judge.asked[::2]] == [(new, copy)[place].chosen for place in asked]
    assert [not each.reasons for each in verdicts] == passing


def test_judging_anew_follows_the_settings_says_what_changed_and_is_done_after_once():
    lenient, strict = only(numbers=False), only(numbers=True)
    bench = scored_bench(lenient, endings=("indeed", "in 7 days"))
    before = proposed(bench)
    assert all(not each.flags for each in before)
    assert {judged_by(each) for each in before} == {settings_of_gates(lenient.quality)}
    review_by_policy(bench.store, "gates", clock=bench.clock)

    def judge_anew(config: MarsConfig):
        return regate(replace(bench, config=config))

    stale = make_proposals(replace(bench, config=strict), bench.store.proposals.latest_plan())
    assert stale.judged_otherwise == stale.proposals == len(before), "old verdicts are told, not passed off as new"
    report = judge_anew(strict)
    after = bench.store.proposals.proposals()
    assert report.newly_failed == report.decided == sum(each.chosen.endswith("7 days") for each in before) > 0
    assert (report.newly_passed, report.passed_now) == (0, sum(not each.flags for each in after))
    assert {judged_by(each) for each in after} == {settings_of_gates(strict.quality)}
    assert [replace(each, flags=(), generators={}) for each in after] == [
        replace(each, flags=(), generators={}) for each in before
    ]
    again = judge_anew(strict)
    assert (again.newly_failed, again.newly_passed) == (0, 0)
    assert bench.store.proposals.proposals() == after
    assert judge_anew(lenient).newly_passed == report.newly_failed


def test_judging_anew_gives_the_verdicts_of_proposing_refined_sources_included():
    bench = scored_bench(MarsConfig(triage=KEEP), endings=("indeed", "in 7 days", "and so on"))
    before = proposed(bench)
    assert {"refined", "refined+paraphrase", "paraphrase"} == {each.method for each in before}
    regate(bench)
    after = {each.id: each.flags for each in bench.store.proposals.proposals()}
    assert {each.id: each.flags for each in before} == after


def test_there_must_be_something_to_judge():
    bench = scored_bench(only())
    with pytest.raises(NotReadyError, match="mars propose"):
        regate(bench)


def test_another_generators_copies_of_what_passed_are_told():
    bench = scored_bench(only(not_a_copy=True), endings=("indeed",))
    first = proposed(bench)
    again = replace(bench, paraphraser=ScriptedParaphraser(("Indeed",), replace(CARD, name="second")))
    second = [each for each in proposed(again) if each.id not in {one.id for one in first}]
    paraphrases = [each for each in second if each.method == "paraphrase"]
    assert paraphrases
    assert all(each.flags == ("copy: both answers are those of variant 0",) for each in paraphrases)


@pytest.mark.parametrize(("ending", "grew"), [("indeed", False), ("at length " * 20, True)])
def test_composing_tells_whether_the_length_difference_grew(ending, grew):
    bench = scored_bench(only())

    @dataclass
    class ChosenAlone(ScriptedParaphraser):
        def paraphrase(self, requests):
            return [
                Generation(each.key, (f"{each.text} {ending}",) if each.key.endswith("chosen") else ())
                for each in requests
            ]

    bench = replace(bench, paraphraser=ChosenAlone(()))
    proposed(bench)
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    report = compose_newest_plan(bench)
    rows = bench.store.compositions.pairs(report.composition.id)
    differences = [len(row.pair.chosen) - len(row.pair.rejected) for row in rows]
    assert report.length.after == pytest.approx(sum(differences) / len(differences))
    assert report.length.after > report.length.before
    assert report.length_grew is (report.length.growth_percent > bench.config.quality.max_length_growth)
    assert report.length_grew or not grew
