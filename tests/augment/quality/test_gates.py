"""The quality gates: for each a property, and the cases that it is for."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.augment.quality.gates import (
    GATES,
    Evidence,
    Leak,
    OutOfFoldMargins,
    TextChange,
    judge_proposal,
    judge_variants,
)
from mars_engine.augment.quality.text_facts import normalized
from mars_engine.core.config import QualityConfig

CONFIG = QualityConfig()
OFF = QualityConfig(**{gate.name: False for gate in GATES})
WORDS = st.lists(st.sampled_from(("river", "stone", "walks", "under", "bright", "trees", "slowly")), min_size=4)
PLAIN = WORDS.map(" ".join)
SIMILARITY = st.floats(-1, 1)
MARGIN = st.floats(-5, 5)


def change(base: str, new: str, name: str = "chosen", **facts) -> TextChange:
    return TextChange(**({"name": name, "source": base, "base": base, "new": new, "fidelity": 1.0} | facts))


def evidence(*texts: TextChange, **facts) -> Evidence:
    return Evidence(**({"texts": texts, "distance_before": 0.4, "distance_after": 0.4} | facts))


def reasons(gate: str, of: Evidence, **settings) -> tuple[str, ...]:
    """What one gate alone says."""
    return judge_proposal(of, OFF.model_copy(update={gate: True} | settings)).reasons


def fails(gate: str, base: str, new: str, **facts) -> bool:
    return bool(reasons(gate, evidence(change(base, new, **facts))))


# ---------------------------------------------------------------------------------------------------- all gates alike


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_has_a_switch_of_its_name_and_reasons_that_lead_back_to_it(gate):
    assert isinstance(getattr(CONFIG, gate.name), bool)
    assert [other.name for other in GATES if other.fault == gate.fault] == [gate.name]


def test_gates_of_paraphrases_have_nothing_to_say_of_a_text_that_was_refined_alone():
    """Its code may be gone with the rest of it: that nothing is found is no reason to say that it was kept."""
    refined = TextChange(name="rejected", source="a `b` 7", base="a", new="a", fidelity=1.0, source_similarity=0.5)
    judged = judge_proposal(evidence(refined), CONFIG).judged
    assert not {"fidelity", "numbers", "names", "negations", "code"} & set(judged)
    assert "non_empty" in judged


def test_every_fault_stands_apart_from_the_others():
    assert len({gate.fault for gate in GATES}) == len({gate.name for gate in GATES}) == len(GATES) == 18


BROKEN = evidence(
    change(
        "It is 5 km by road to Rome, not 6. `run it`",
        "As an AI, it is 5 km by road to Paris: call 555-1234.",
        fidelity=0.0,
        prompt_similarity=(0.9, 0.0),
    ),
    change(
        "An answer in one language.", "Eine Antwort.", name="rejected", languages=("en", "de"), fluency=(-2.0, -6.0)
    ),
    change("A question?", " ", name="prompt"),
    distance_before=1.0,
    margins=OutOfFoldMargins(source=1.0, proposal=-2.0, spread=1.0),
    leak=Leak(1.0, "a held-out pair"),
    judged_wrong=True,
)


def test_every_gate_but_copies_finds_what_is_broken_and_each_can_be_switched_off():
    config = CONFIG.model_copy(update={"fluency": True})
    everything = judge_proposal(BROKEN, config).reasons
    by_fault = {gate.fault: gate.name for gate in GATES}
    assert {by_fault[reason.partition(":")[0]] for reason in everything} == {gate.name for gate in GATES} - {
        "not_a_copy",
        "near_duplicate",
    }
    assert judge_proposal(BROKEN, OFF).reasons == ()
    for gate in GATES:
        left = judge_proposal(BROKEN, config.model_copy(update={gate.name: False}))
        assert left.reasons == tuple(reason for reason in everything if not reason.startswith(gate.fault))
        assert gate.name not in left.judged


@given(base=PLAIN, other=PLAIN)
def test_a_proposal_that_changes_nothing_that_matters_passes_and_says_who_judged(base, other):
    fine = evidence(change(base, f"{base} gladly"), change(other, f"{other} sadly", name="rejected"))
    verdict = judge_proposal(fine, CONFIG)
    assert verdict.reasons == ()
    assert {"margin", "label", "leakage", "judge"}.isdisjoint(verdict.judged), "they had nothing to go by"
    assert {"numbers", "fidelity", "refusals"} <= set(verdict.judged)


# ----------------------------------------------------------------------------------------------------------- each gate


def test_fluency_fails_where_a_text_reads_worse_than_its_source_by_more_than_is_allowed():
    assert not CONFIG.fluency, "off by default"
    for figures, fails_it in (((-2.0, -2.5), True), ((-2.0, -2.25), False), ((-4.0, -1.0), False)):
        told = reasons("fluency", evidence(change("a b", "b a", fluency=figures)), max_fluency_loss=0.25)
        assert bool(told) == fails_it
    (reason,) = reasons("fluency", evidence(change("a b", "b a", fluency=(-2.0, -3.5))))
    assert reason == "reads badly: chosen, a token's log-likelihood falls from -2.00 to -3.50"


def test_fluency_has_nothing_to_say_of_what_nobody_measured_or_what_is_the_source_s_own():
    unmeasured, unchanged = change("a b", "b a"), change("a b", "a b", fluency=(-1.0, -9.0))
    for text in (unmeasured, unchanged):
        verdict = judge_proposal(evidence(text), CONFIG.model_copy(update={"fluency": True}))
        assert "fluency" not in verdict.judged
        assert verdict.fluency is None
    both = evidence(change("a", "b", fluency=(-1.0, -1.5)), change("c", "d", name="rejected", fluency=(-2.0, -4.0)))
    assert judge_proposal(both, CONFIG).fluency == (-2.0, -4.0), "the text that lost most"


@given(st.text(), st.text())
def test_non_empty_fails_exactly_for_blank_texts(base, new):
    assert fails("non_empty", base, new) == (not new.strip())
    assert fails("non_empty", base, new, name="prompt") == (not new.strip() and bool(base.strip()))


@given(base=PLAIN, other=PLAIN, blanks=st.sampled_from([" ", "\n", "  \t"]))
def test_a_copy_is_one_whatever_its_case_and_white_space(base, other, blanks):
    same = change(base, f"{blanks}{base.upper()}{blanks}")
    rejected = change(other, blanks.join(other.split(" ")), name="rejected")
    assert "copy: both answers are the source's" in reasons("not_a_copy", evidence(same, rejected))
    varied = replace(rejected, new=f"{other} indeed")
    assert "copy: both answers are the source's" not in reasons("not_a_copy", evidence(same, varied))


def test_a_new_prompt_over_old_answers_is_a_copy_and_so_are_two_equal_sides():
    answers = change("one", "one"), change("two", "two", name="rejected")
    assert reasons("not_a_copy", evidence(change("who?", "which?", name="prompt"), *answers))
    twins = change("one", "three"), change("two", " Three", name="rejected")
    assert reasons("not_a_copy", evidence(*twins)) == ("copy: chosen and rejected are the same",)


@given(before=SIMILARITY, after=SIMILARITY)
def test_on_prompt_fails_exactly_below_the_limit(before, after):
    found = fails("on_prompt", "a", "b", prompt_similarity=(before, after))
    assert found == (after < before - CONFIG.max_prompt_loss)
    assert not fails("on_prompt", "a", " A", prompt_similarity=(before, after)), "it is the source's own"


@given(fidelity=SIMILARITY, least=SIMILARITY)
def test_fidelity_fails_exactly_below_the_limit_and_spares_refined_texts(fidelity, least):
    drifted = change("a", "b", fidelity=fidelity)
    assert bool(reasons("fidelity", evidence(drifted), min_fidelity=least)) == (fidelity < least)
    refined = change("b", "b", source="a", fidelity=fidelity)
    assert not reasons("fidelity", evidence(refined), min_fidelity=least)


@given(base=PLAIN, one=st.integers(0, 10**6), other=st.integers(0, 10**6))
def test_numbers_fails_exactly_where_they_are_others(base, one, other):
    assert fails("numbers", f"{base} {one}", f"{other} {base}") == (one != other)
    assert fails("numbers", base, f"{base} {other}")


@pytest.mark.parametrize(
    ("base", "new", "changed"),
    [
        ("5 apples", "five apples", False),
        ("twelve apples", "12 apples", False),
        ("5 apples", "six apples", True),
        ("three apples", "four apples", True),
        ("three apples and 4 pears", "four apples and 3 pears", False),
        ("the two of them", "both of them", False),
        ("both of them", "the two of them", False),
        ("one of them", "1 of them", True),
        ("3.50 euros", "3,50 euros", True),
        ("1,000 pairs", "1000 pairs", False),
        ("1,000 pairs", "a thousand pairs", False),
        ("1,000 pairs", "10,000 pairs", True),
        ("in 1,2 and 3", "in 12 and 3", True),
        ("at -20 degrees", "at 20 degrees", True),
        ("at −20 degrees", "at -20 degrees", False),
        ("COVID-19, in 2019-2020", "in 2019-2020, COVID 19", False),
        ("5 apples", "5 apples, all 5", True),
        ("from 2 to 10", "up to 10, from 2", False),
        ("about 10.", "roughly 10", False),
    ],
)
def test_numbers_are_kept_in_digits_or_words(base, new, changed):
    assert fails("numbers", base, new) == changed


@given(base=PLAIN, one=st.sampled_from(["Rome", "Ada", "NATO"]), other=st.sampled_from(["Rome", "Ada", "NATO", "Łódź"]))
def test_names_fails_exactly_where_they_are_others(base, one, other):
    assert fails("names", f"we met {one} and {base}", f"{base}, and we met {other}") == (one != other)


def test_a_name_may_move_to_the_beginning_and_a_sentence_may_begin_with_another_word():
    assert not fails("names", "We saw Rome.", "Rome is what we saw.")
    assert not fails("names", "Well, it rains.", "So it rains. And I'm wet.")
    assert fails("names", "We saw Rome.", "We saw it.")


@given(base=PLAIN, count=st.integers(0, 3), other=st.integers(0, 3))
def test_negations_fails_exactly_where_their_number_is_another(base, count, other):
    assert fails("negations", f"{'not ' * count}{base}", f"{base}{' never' * other}") == (count != other)


@pytest.mark.parametrize(
    ("base", "new", "changed"),
    [
        ("It is not far.", "It isn’t far.", False),
        ("I cannot go.", "I can't go.", False),
        ("It is not possible.", "It is impossible.", False),
        ("You should not go.", "You should go.", True),
        ("It is far.", "It is not only far but high.", False),
        ("Stay at home tonight, and call the doctor.", "Please call the doctor, and do not go out.", False),
        ("It rains. You can go out after it stops.", "Rain it is. You can't go out after it stops.", True),
        ("Nobody came. The hall was dark.", "The hall was dark. Not one person was there to be seen.", False),
    ],
)
def test_negations_count_in_any_form_and_in_sentences_that_are_nearly_the_same(base, new, changed):
    assert fails("negations", base, new) == changed


@given(text=PLAIN, code=st.text("abc(){}=;\n ", min_size=1).filter(str.strip))
def test_code_fails_exactly_where_it_is_altered(text, code):
    assert not fails("code", f"{text}\n```\n{code}\n```", f"Gladly: {text}\n```\n{code}\n```")
    assert fails("code", f"{text}\n```\n{code}\n```", f"{text}\n```\n{code}x\n```")
    assert fails("code", f"{text} `run()`", text)


@given(before=st.floats(0, 2), after=st.floats(0, 2))
def test_contrast_fails_exactly_below_the_limit(before, after):
    found = reasons("contrast", evidence(distance_before=before, distance_after=after))
    assert bool(found) == (after < before - CONFIG.max_contrast_loss)


@given(source=MARGIN, proposal=MARGIN, spread=st.floats(0, 3))
def test_label_and_margin_fail_exactly_below_their_limits(source, proposal, spread):
    margins = OutOfFoldMargins(source, proposal, spread)
    assert bool(reasons("label", evidence(margins=margins))) == (proposal < CONFIG.min_label_margin * spread)
    assert bool(reasons("margin", evidence(margins=margins))) == (proposal < source - CONFIG.max_margin_loss * spread)
    assert not reasons("label", evidence(margins=replace(margins, label_confirmed=True))), "a person knows better"


@pytest.mark.parametrize("judged_wrong", [True, False, None])
def test_the_judge_has_to_prefer_the_rejected_answer_in_both_orders(judged_wrong):
    assert bool(reasons("judge", evidence(judged_wrong=judged_wrong))) == (judged_wrong is True)


@given(share=st.floats(0, 1), limit=st.floats(0.01, 1))
def test_leakage_fails_exactly_from_the_limit_on(share, limit):
    assert bool(reasons("leakage", evidence(leak=Leak(share, "RewardBench")), max_leakage=limit)) == (share >= limit)


@given(before=st.sampled_from([None, "en", "de"]), after=st.sampled_from([None, "en", "de"]))
def test_language_fails_exactly_where_both_are_known_and_differ(before, after):
    assert fails("language", "a", "b", languages=(before, after)) == ({before, after} == {"en", "de"})


REFUSALS = [
    "As an AI language model, I have no opinion.",
    "I'm sorry, but I can't help with that.",
    "I cannot assist with this.",
    "I’m just an AI.",
    "I am unable to provide that.",
]


@given(text=PLAIN, refusal=st.sampled_from(REFUSALS))
def test_a_new_refusal_fails_and_one_that_the_source_had_does_not(text, refusal):
    assert fails("refusals", text, f"{refusal} {text}")
    assert not fails("refusals", f"{refusal} {text}", f"{text} {refusal}")
    assert not fails("refusals", text, text)


PERSONAL = ["ann@example.org", "+49 30 1234567", "https://a.example/b?c=1", "10.0.0.1", "@ann_b", "4111 1111 1111 1111"]


@given(text=PLAIN, own=st.sampled_from(PERSONAL), other=st.sampled_from(PERSONAL))
def test_personal_data_fails_exactly_where_they_are_others(text, own, other):
    assert fails("personal_data", f"{text} {own} {text}", f"so {text}, {other} {text}") == (own != other)
    assert fails("personal_data", text, f"{text} {other}")
    assert all(other not in said for said in reasons("personal_data", evidence(change(text, f"{text} {other}"))))


def test_refining_adds_no_personal_data():
    refined = change("Thanks.", "Thanks. Mail a@example.org.")
    kept = replace(refined, base=refined.new)
    assert reasons("personal_data", evidence(kept)) == ("personal data changed: chosen, e-mail address added",)


def test_refining_may_leave_personal_data_out_and_a_paraphrase_of_it_brings_none_back():
    refined = change("Write to a@example.org. Thanks.", "Thanks.")
    assert not reasons("personal_data", evidence(replace(refined, base="Thanks.", new="Thank you.")))
    assert fails("personal_data", "Thanks.", "Thanks, b@example.org.", source="Write to a@example.org. Thanks.")


# ------------------------------------------------------------------------------------------------------ near duplicates


def variant(number: int, texts: tuple[str, str], vectors=None, **facts) -> Evidence:
    chosen, rejected = change("one", texts[0]), change("two", texts[1], name="rejected")
    return evidence(chosen, rejected, variant=number, vectors=vectors, **facts)


def unit(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


@given(st.lists(st.tuples(st.floats(0, 6), st.floats(0, 6)), max_size=8))
def test_of_near_duplicates_the_first_is_kept_and_no_two_are(angles):
    config = OFF.model_copy(update={"near_duplicate": True})
    variants = [variant(n, (f"a{n}", f"b{n}"), (unit(a), unit(b))) for n, (a, b) in enumerate(angles)]
    verdicts = judge_variants(variants, config)
    kept = [each for each, verdict in zip(variants, verdicts, strict=True) if not verdict.reasons]

    def similarity(one, other):
        return min(float(a @ b) for a, b in zip(one.vectors, other.vectors, strict=True))

    assert kept[:1] == variants[:1]
    assert all(similarity(a, b) < config.max_variant_similarity for a in kept for b in kept if a is not b)
    for each, verdict in zip(variants, verdicts, strict=True):
        if verdict.reasons:
            nearest = max(similarity(each, other) for other in kept if other.variant < each.variant)
            assert nearest >= config.max_variant_similarity
    again = judge_variants(kept, config)
    assert all(not verdict.reasons for verdict in again), "judged anew, what was kept is kept"


@given(chosen=SIMILARITY, rejected=SIMILARITY)
def test_what_is_as_near_to_the_source_says_nothing_new(chosen, rejected):
    near = evidence(
        change("a", "b", source_similarity=chosen), change("c", "d", name="rejected", source_similarity=rejected)
    )
    assert bool(reasons("near_duplicate", near)) == (min(chosen, rejected) >= CONFIG.max_variant_similarity)


def test_a_variant_that_fails_itself_does_not_stand_in_the_way_of_the_next():
    same = (unit(0.0), unit(1.0))
    bad = variant(0, ("a 5", "b"), same)
    good, repeated = variant(1, ("a", "b"), same), variant(2, ("A ", "b"), same)
    one, two, three = judge_variants([bad, good, repeated], CONFIG)
    assert one.reasons == ("number changed: chosen, 5 added",)
    assert "near_duplicate" not in one.judged
    assert two.reasons == ()
    assert three.reasons == ("copy: both answers are those of variant 1",)


def test_one_new_answer_is_enough_and_what_passed_before_counts():
    first = variant(0, ("a", "b"), (unit(0.0), unit(1.0)))
    half = variant(1, ("a c", "d"), (unit(0.0), unit(3.0)))
    near = variant(2, ("a e", "b f"), (unit(0.0), unit(1.01)))
    assert [bool(each.reasons) for each in judge_variants([half, near], CONFIG, kept=[first])] == [False, True]


@given(st.text())
def test_normalizing_drops_white_space_and_case_and_is_stable(text: str):
    once = normalized(text)
    assert normalized(f"\n {text}\t") == once
    assert normalized(re.sub(r"\s", "  ", text)) == once
    assert normalized(once) == once


def test_normalizing_keeps_what_matters():
    assert normalized("Don't  stop.\n") == "don't stop."
    assert normalized("a b") != normalized("ab")
    assert normalized("STRASSE") == normalized("straße")
