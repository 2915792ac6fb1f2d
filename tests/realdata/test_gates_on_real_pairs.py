"""For each quality gate a real pair, by its place in the file, and a rewrite of it that the gate catches.

Where it says "rules" or "extractive", one of the packaged generators wrote the text; else the damage is ours.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fakes import make_bench

from mars_engine.augment.generators import RuleParaphraser
from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest
from mars_engine.augment.quality.gatekeeper import Candidate, Gatekeeper, make_gatekeeper
from mars_engine.augment.quality.gates import GATES
from mars_engine.augment.quality.languages import PackagedLanguageDetector
from mars_engine.augment.quality.protocols import Judgement, JudgeRequest
from mars_engine.core.config import MarsConfig, QualityConfig, TriageConfig
from mars_engine.core.records import GeneratorCard, Pair
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.reward_models.probe import ProbeTrainer

pytestmark = [pytest.mark.realdata, pytest.mark.model]

CONFIG = MarsConfig(triage=TriageConfig(policy="keep", seeds=2))


class LengthJudge:
    """Prefers the longer answer, whichever comes first."""

    card = GeneratorCard("length", "1", {}, stand_in=True, note="prefers the longer answer")

    def judge(self, requests: list[JudgeRequest]) -> list[Judgement]:
        return [Judgement(each.key, "first" if len(each.first) > len(each.second) else "second") for each in requests]


@dataclass(frozen=True)
class Real:
    keeper: Gatekeeper
    train: list[Pair]
    heldout: list[Pair]
    code: list[Pair]

    def caught(self, source: Pair, chosen: str, rejected: str, *, refined: str | None = None) -> set[str]:
        """Names of the gates that a rewrite fails; `refined` is the rejected text that was paraphrased, if refined."""
        base = source if refined is None else Pair.of(source.prompt, source.chosen, refined)
        new = Pair.of(source.prompt, chosen, rejected)
        (verdict,) = self.keeper.judge([Candidate(source.id, source, base, new, 0, 0.5, 0.5)])
        by_fault = {gate.fault: gate.name for gate in GATES}
        return {by_fault[reason.partition(":")[0]] for reason in verdict.reasons}


def read_pairs(path: Path) -> list[Pair]:
    return [pair for row in open_source(str(path)).rows() for pair in row.pairs]


@pytest.fixture(scope="module")
def real(real_data, packaged_encoder) -> Real:
    bench = make_bench(CONFIG)
    trainer = ProbeTrainer(CONFIG.probe, packaged_encoder)
    bench = replace(
        bench,
        encoder=packaged_encoder,
        probe_trainer=trainer,
        languages=PackagedLanguageDetector(),
        judge=LengthJudge(),
    )
    for part, split in (("train", "train"), ("test", "heldout")):
        source = open_source(str(real_data / f"hh-harmless-{part}.jsonl.gz"))
        import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
    keeper = make_gatekeeper(bench)
    train, heldout, code = (
        read_pairs(real_data / f"{name}.jsonl.gz")
        for name in ("hh-harmless-train", "hh-harmless-test", "alpaca-pairs-train")
    )
    return Real(keeper, train, heldout, code)


def rules(text: str, count: int = 5) -> tuple[str, ...]:
    generation: Generation = RuleParaphraser().paraphrase([ParaphraseRequest("text", text, count, 0)])[0]
    return generation.candidates


CHANGED_CHOSEN = [
    ("numbers", 322, "about 30 calories", "about 80 calories"),
    ("names", 75, "Toyota left", "Honda left"),
    ("negations", 58, "is to never do it", "is to do it"),
    ("negations", 263, "I never said", "I said"),
    ("personal_data", 950, "https://wiki.mgtow.com/", "https://wiki.example.org/"),
    ("refusals", 636, "rats are never free.", "I'm sorry, but I cannot help with that. rats are never free."),
    ("refusals", 66, "This is a challenging question", "As an AI language model, this is a challenging question"),
]


@pytest.mark.parametrize(("gate", "place", "excerpt", "damaged"), CHANGED_CHOSEN)
def test_damage_to_a_real_answer_is_caught(real, gate, place, excerpt, damaged):
    source = real.train[place]
    assert excerpt in source.chosen
    assert gate in real.caught(source, source.chosen.replace(excerpt, damaged), source.rejected)
    assert gate not in real.caught(source, source.chosen, source.rejected)


def test_code_that_was_altered_is_caught(real):
    source = real.code[676]
    assert "for i in range(10):" in source.chosen
    assert "code" in real.caught(source, source.chosen.replace("range(10)", "range(11)"), source.rejected)


def test_an_answer_in_another_language_is_caught(real):
    english, french = real.train[322], next(pair for pair in real.code if pair.chosen.startswith("La dentisterie"))
    assert "language" in real.caught(english, french.chosen, english.rejected)


def test_an_empty_answer_and_a_copy_in_capitals_are_caught(real):
    source = real.train[322]
    assert "non_empty" in real.caught(source, " \n", source.rejected)
    assert "not_a_copy" in real.caught(source, source.chosen.upper(), f"  {source.rejected}")


def test_a_paraphrase_by_rules_that_says_nothing_new_is_caught(real):
    source = real.train[16]
    assert source.rejected == "It is dangerous to enter a building with a gun"
    new = "It's dangerous to enter a building with a gun"
    assert new in rules(source.rejected)
    assert real.caught(source, source.chosen, new) >= {"near_duplicate"}


def test_an_answer_in_capitals_that_turned_into_nonsense_is_caught_by_its_new_names(real):
    source = real.train[824]
    new = source.chosen.replace("THINGS TO NEVER SAY", "THINGS IN ORDER TO NEVER SAY")
    assert new != source.chosen
    assert "names" in real.caught(source, new, source.rejected)


def test_a_short_paraphrase_by_rules_that_drifted_is_caught(real):
    source = real.train[204]
    assert source.rejected == "Sure, let me know what you need."
    assert "fidelity" in real.caught(source, source.chosen, "Of course, tell me what you need.")


def test_an_extract_that_left_the_subject_out_is_caught(real):
    source = real.train[14]
    assert source.rejected.startswith("Maybe I will someday.  But I don’t know the taste of blood")
    extract = "Maybe I will someday."
    assert "Perhaps I will someday." in rules(extract)
    assert "on_prompt" in real.caught(source, source.chosen, "Perhaps I will someday.", refined=extract)


def test_a_lost_margin_a_doubtful_label_and_a_lost_contrast_are_caught(real):
    source = real.train[341]
    extract = "We don’t know."
    assert source.rejected.startswith(extract)
    assert "margin" in real.caught(source, source.chosen, extract, refined=extract)
    wrong = real.train[405]
    assert wrong.rejected == "I don’t understand the question."
    assert "label" in real.caught(wrong, f"{wrong.chosen} I see.", wrong.rejected)
    (verdict,) = real.keeper.judge(
        [Candidate(wrong.id, wrong, wrong, Pair.of(wrong.prompt, "Yes.", "Yes!"), 0, 0.9, 0.1)]
    )
    assert any(reason.startswith("contrast lost: distance 0.90 to 0.10") for reason in verdict.reasons)


def test_a_held_out_pair_that_a_generator_came_up_with_is_caught(real):
    heldout = real.heldout[101]
    assert "home address for Senator Rand Paul" in heldout.prompt[-1].content
    own = real.train[869]
    new = Candidate(own.id, own, own, Pair.of(heldout.prompt, f"{heldout.chosen} OK.", "No."), 0, 0.5, 0.5)
    (verdict,) = real.keeper.judge([new])
    assert any(reason.startswith("leaked from an evaluation") for reason in verdict.reasons)
    assert "leakage" not in real.caught(own, own.chosen, own.rejected)


def test_a_judge_that_sees_the_sides_exchanged_is_heard(real):
    source = real.train[405]
    assert len(source.chosen) > len(source.rejected)
    alone = QualityConfig.model_validate(
        {gate.name: gate.name == "judge" for gate in GATES}
    )  # asked where none objects
    heard = replace(real, keeper=replace(real.keeper, config=alone))
    assert heard.caught(source, source.rejected, source.chosen) == {"judge"}
    assert heard.caught(source, source.chosen, source.rejected) == set()
