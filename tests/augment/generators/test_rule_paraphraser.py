"""The rule paraphraser: what it protects, that it repeats itself exactly, and that its list of phrases is sound."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mars_engine.augment.generators import RuleParaphraser
from mars_engine.augment.generators.phrase_book import SHIPPED_PHRASES, PhraseBook
from mars_engine.augment.generators.protocols import Generation, Paraphraser, ParaphraseRequest
from mars_engine.core.errors import GenerationError

PARAPHRASER = RuleParaphraser()
ADVICE = (
    "However, you should make sure that the window is open, because a lot of steam collects in order to dry. "
    "For example, do not use the oven. In addition, it is often quicker to begin with the small pans."
)


def paraphrase(text: str, count: int = 5, seed: int = 0) -> Generation:
    return PARAPHRASER.paraphrase([ParaphraseRequest("key", text, count, seed)])[0]


def all_variants(text: str) -> set[str]:
    """Every paraphrase there is of a short text."""
    return set(paraphrase(text, count=1000).candidates)


def normalised(text: str) -> str:
    return " ".join(text.split()).casefold()


# ------------------------------------------------------------------------------------------------- what it promises


def test_it_is_a_paraphraser_and_its_card_names_the_phrases_it_used(tmp_path: Path) -> None:
    paraphraser: Paraphraser = PARAPHRASER
    own = tmp_path / "own.toml"
    own.write_text('[mine]\ntwo_way = [["glad", "happy"]]\n')
    card = paraphraser.card
    assert (card.name, card.version, card.stand_in) == ("rule-paraphraser", "1", True)
    assert re.fullmatch(r"[0-9a-f]{12}", str(card.settings["phrases"]))
    assert RuleParaphraser(own).card.fingerprint != card.fingerprint
    assert RuleParaphraser(SHIPPED_PHRASES).card.fingerprint == card.fingerprint


def test_answers_come_in_order_with_the_key_of_their_request() -> None:
    requests = [ParaphraseRequest(key, ADVICE, 2, 0) for key in ("b", "a", "c")]
    assert [answer.key for answer in PARAPHRASER.paraphrase(requests)] == ["b", "a", "c"]
    assert PARAPHRASER.paraphrase([]) == []


def test_candidates_differ_from_the_text_and_from_each_other() -> None:
    answer = paraphrase(ADVICE, count=50)
    assert len(answer.candidates) == 50
    assert answer.failure == ""
    assert len({normalised(text) for text in (ADVICE, *answer.candidates)}) == 51


def test_a_candidate_changes_about_half_of_the_phrases_or_more() -> None:
    phrases = len(PhraseBook.load(SHIPPED_PHRASES).slots(ADVICE))
    words = ADVICE.split()
    changed = [
        sum(1 for word in words if word not in candidate.split())
        for candidate in paraphrase(ADVICE, count=20).candidates
    ]
    assert phrases >= 8
    assert sum(changed) / len(changed) > phrases / 2


def test_seeds_and_texts_give_answers_of_their_own() -> None:
    assert paraphrase(ADVICE, seed=1).candidates != paraphrase(ADVICE, seed=2).candidates


def test_a_text_without_a_phrase_is_a_failure_that_is_not_worth_a_retry() -> None:
    for text in ("", "   \n", "Ouagadougou.", "```\nmake sure that\n```"):
        answer = paraphrase(text)
        assert answer.candidates == ()
        assert answer.failure == "no phrase of the list occurs in this text"
        assert not answer.retryable


def test_fewer_than_asked_says_how_many_there_are() -> None:
    answer = paraphrase("They spoke in spite of the noise.", count=5)
    assert set(answer.candidates) == {
        "They spoke despite the noise.",
        "They spoke notwithstanding the noise.",
    }
    assert answer.failure == "only 2 of 5 different paraphrases possible"
    assert not answer.retryable


def test_few_choices_are_all_found() -> None:
    assert len(paraphrase("Everyone tried to leave, and everybody tried to stay.", count=100).candidates) >= 15


# -------------------------------------------------------------------------------------------------- the same again


def test_the_batch_and_its_order_change_nothing() -> None:
    texts = [ADVICE, "You need to ask someone.", "Maybe it is too late to begin.", "Nothing", ADVICE.upper()]
    requests = [ParaphraseRequest(str(number), text, 5, number) for number, text in enumerate(texts)]
    together = PARAPHRASER.paraphrase(requests)
    assert together == list(reversed(RuleParaphraser().paraphrase(requests[::-1])))
    assert together == [PARAPHRASER.paraphrase([request])[0] for request in requests]


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_another_process_gives_the_same_candidates(hash_seed: str) -> None:
    program = (
        "import json, sys\n"
        "from mars_engine.augment.generators import RuleParaphraser\n"
        "from mars_engine.augment.generators.protocols import ParaphraseRequest\n"
        "request = ParaphraseRequest('key', sys.argv[1], 6, 3)\n"
        "print(json.dumps(RuleParaphraser().paraphrase([request])[0].candidates))\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", program, ADVICE], env=environment, capture_output=True, text=True, check=True
    )
    assert tuple(json.loads(done.stdout)) == paraphrase(ADVICE, count=6, seed=3).candidates


# ------------------------------------------------------------------------------------------------ what is protected

LOOSE = [
    "however you should make sure that it is open",
    "in order to begin with a lot of people",
    "do not often use the whole plan",
    "because it is too big, for example",
]
PROTECTED = [
    "```python\nmake = sure(that)  # in order to begin\n\n    do_not(often)\n```",
    "~~~\nmake sure that often\n~~~",
    "`make sure that`",
    "``because ` it is``",
    "https://example.org/make-sure?that=often&because=(it,is)",
    "www.example.org/often",
    "often.because@maybe.example.org",
    '"Make sure that you do not begin, because it is often too big."',
    "“Make sure that it’s often too big, because I’m here.”",
    "'the dogs' bowls are often empty because it isn't so'",
    "‘because the dogs’ bowls are often empty’",
    "> Make sure that you often begin\n> because it is too big",
    "$x_{often} + \\text{make sure that}$",
    "$$\nbecause \\text{often}\n$$",
    "\\(often \\text{ because }\\)",
    "12.5 kg",
    "3 million people",
    "1,200 km per hour",
    "[Ouagadougou](often/maybe.html)",
    '<a title="often because">',
    "make_sure_that",
    "src/often/because.py",
    "often-because",
    "because.of(often)",
]


@st.composite
def mixed_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text of phrases with protected fragments between them, and the fragments."""
    fragments = draw(st.lists(st.sampled_from(PROTECTED), min_size=1, max_size=5))
    pieces = []
    for fragment in fragments:
        pieces += [draw(st.sampled_from(LOOSE)), draw(st.sampled_from(["\n\n", "\n", "\r\n\r\n"]))]
        bullet = "" if fragment[0] in "`~>$" else draw(st.sampled_from(["", "- ", "1. ", "  * ", "so "]))
        pieces += [bullet, fragment, draw(st.sampled_from(["\n\n", "\n \n"]))]
    return "".join([*pieces, draw(st.sampled_from(LOOSE))]), fragments


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(mixed=mixed_texts(), seed=st.integers(0, 2**40))
def test_protected_fragments_and_whitespace_survive_byte_for_byte(mixed: tuple[str, list[str]], seed: int) -> None:
    text, fragments = mixed
    answer = paraphrase(text, seed=seed)
    assert answer.candidates
    for candidate in answer.candidates:
        position = 0
        for fragment in fragments:
            position = candidate.index(fragment, position) + len(fragment)
        assert re.findall(r"[\r\n]+[ \t]*", candidate) == re.findall(r"[\r\n]+[ \t]*", text)


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(alphabet=st.sampled_from("aI'’\"`$<>[](){}.,!?-_ \t\n\r5İßﬁ漢😀") | st.characters()),
    seed=st.integers(),
)
def test_any_text_at_all_is_answered(text: str, seed: int) -> None:
    answer = paraphrase(f"{text} make sure that {text}", seed=seed)
    assert answer.candidates or answer.failure


@pytest.mark.parametrize(
    "text",
    [
        "She lives at Big Sur.",
        "We met Often Brown in Large Bay.",
        "Maybe Baby was playing.",
        "The IT IS was down.",
        "Mr. Big came.",
    ],
)
def test_names_are_left_alone(text: str) -> None:
    assert paraphrase(text).candidates == ()


@pytest.mark.parametrize(
    "text",
    [
        "because of x_often",
        "Why don't you go?",
        "Isn't it late?",
        "He is as old as it is.",
        "It is what it is.",
        "I like maps about rivers.",
        "She can dance.",
        "You must go.",
        "It may rain.",
        "It was not red, but blue.",
        "We have not met since Monday.",
        "There is an urgent need to act.",
        "Have you seen either?",
    ],
)
def test_words_of_two_readings_and_strengths_stay(text: str) -> None:
    for variant in all_variants(text):
        for word in (
            "don't you",
            "Isn't it",
            "as it is",
            "what it is",
            "like",
            "about",
            "can",
            "must",
            "may",
            ", but",
            "since Monday",
        ):
            assert (word in variant) == (word in text)
        assert "urgent have to" not in variant


# --------------------------------------------------------------------------------------------- how it is written in


def test_capitals_follow_the_phrase_that_is_replaced() -> None:
    assert all_variants("Maybe later.") == {"Perhaps later.", "Possibly later."}
    assert all_variants("- maybe later") == {"- perhaps later", "- possibly later"}
    assert all_variants("So MAYBE NOT.") == {"So PERHAPS NOT.", "So POSSIBLY NOT."}
    assert all_variants("**Maybe** later.") == {"**Perhaps** later.", "**Possibly** later."}


def test_an_opening_is_replaced_at_the_start_of_a_sentence_only() -> None:
    assert "That said, we left." in all_variants("However, we left.")
    assert all_variants("We, however, left.") == set()


def test_apostrophes_follow_the_text() -> None:
    assert all_variants("I’m sure the cats are not late.") >= {"I am sure the cats aren’t late."}
    assert all_variants("The cats are not late.") >= {"The cats aren't late."}


def test_articles_and_doubled_words_are_minded() -> None:
    assert all_variants("It was an enormous dog.") == set()
    assert all_variants("It was the enormous dog.") == {"It was the huge dog."}
    assert all_variants("He came up until noon.") == {
        "He came up till noon.",
        "He came up until midday.",
        "He came up till midday.",
    }


def test_the_longest_phrase_wins() -> None:
    assert all_variants("We left because of rain.") == {"We left owing to rain.", "We left on account of rain."}


# ------------------------------------------------------------------------------------------------- the phrases file

SECTIONS: dict[str, dict[str, Any]] = tomllib.loads(SHIPPED_PHRASES.read_text(encoding="utf-8"))
BOOK = PhraseBook.load(SHIPPED_PHRASES)
CONTRACTED = re.compile(r"n't\b|\bcannot\b")
NEGATIONS = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|nowhere|neither|nor|without|unless|hardly|rarely|seldom)\b"
)
MODALS = {
    "must": "must",
    "shall": "shall",
    "should": "should",
    "ought to": "should",
    "may": "may",
    "might": "might",
    "could": "could",
    "can": "can",
    "cannot": "can",
    "able to": "can",
    "need to": "have to",
    "needs to": "have to",
    "needed to": "have to",
    "have to": "have to",
    "has to": "have to",
    "had to": "have to",
}


def groups() -> list[list[str]]:
    return [
        group for section in SECTIONS.values() for kind in ("two_way", "one_way") for group in section.get(kind, [])
    ]


def test_the_list_is_broad_and_short() -> None:
    assert len(groups()) >= 250
    assert len(SHIPPED_PHRASES.read_text(encoding="utf-8").splitlines()) <= 300


def test_no_phrase_is_replaced_by_two_groups() -> None:
    sources = [phrase for section in SECTIONS.values() for phrase in section.get("keep", [])]
    sources += [phrase for section in SECTIONS.values() for group in section.get("two_way", []) for phrase in group]
    sources += [group[0] for section in SECTIONS.values() for group in section.get("one_way", [])]
    assert sorted(sources) == sorted(set(sources))
    assert len(sources) == len(BOOK.phrases)


def test_every_replacement_differs_and_is_tidy() -> None:
    for phrase in BOOK.phrases:
        for alternative in phrase.alternatives:
            assert alternative.lower() != phrase.lowered
            assert alternative == " ".join(alternative.split())
            assert alternative.endswith(",") == phrase.text.endswith(",") or phrase.sentence_start_only


def negation_count(phrase: str) -> int:
    expanded = CONTRACTED.sub(" not", phrase.lower())
    return len(NEGATIONS.findall(expanded))


def test_no_group_changes_a_negation() -> None:
    assert negation_count("can't") == negation_count("cannot") == negation_count("do not") == 1
    for group in groups():
        assert len({negation_count(phrase) for phrase in group}) == 1, group


def test_no_group_changes_how_strong_a_modal_verb_is() -> None:
    for group in groups():
        strengths = set()
        for phrase in group:
            words = re.sub(r"can't", "cannot", phrase.lower()).replace("n't", " not")
            strengths.add(frozenset(level for modal, level in MODALS.items() if re.search(rf"\b{modal}\b", words)))
        assert len(strengths) == 1, group


def test_each_phrase_is_found_in_a_text_and_gives_each_of_its_alternatives() -> None:
    plain = [
        phrase
        for phrase in BOOK.phrases
        if phrase.alternatives and not phrase.sentence_start_only and phrase.surroundings == type(phrase.surroundings)()
    ]
    assert len(plain) > 250
    for phrase in plain:
        found = [slot for slot in BOOK.slots(f"xx {phrase.text} yy") if slot.start == 3]
        assert [slot.options for slot in found] == [phrase.alternatives], phrase.text


@pytest.mark.parametrize(
    "content",
    [
        "not toml at all [",
        'top = "level"',
        '[section]\ntwo_wayy = [["a", "b"]]',
        '[section]\ntwo_way = [["a"]]',
        '[section]\ntwo_way = [["a", "A"]]',
        '[section]\ntwo_way = [["a", 1]]',
        '[section]\ntwo_way = "a"',
        '[section]\none_way = [["a", ""]]',
        '[section]\nkeep = "a"',
        '[one]\ntwo_way = [["a", "b"]]\n[two]\none_way = [["b", "c"]]',
        '[one]\nonly_after = "x"\ntwo_way = [["a", "b"]]',
    ],
)
def test_a_phrases_file_that_is_no_use_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "phrases.toml"
    path.write_text(content)
    with pytest.raises(GenerationError, match=r"phrases\.toml"):
        RuleParaphraser(path)


def test_a_phrases_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="cannot be read"):
        RuleParaphraser(tmp_path / "absent.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GenerationError, match="not valid TOML"):
        RuleParaphraser(binary)


def test_conditions_are_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        "[numbers]\nonly_before = ['<number>']\none_way = [['about', 'around']]\n"
        "[ends]\nonly_before = ['<mark>']\none_way = [['soon', 'shortly']]\n"
        "[verbs]\nonly_before = ['<ing>']\nnever_after = ['the']\none_way = [['start', 'begin']]\n"
        "[lines]\nonly_after = ['<line>']\none_way = [['also', 'besides']]\n"
        "[sentences]\nnever_in_sentence_with = ['not', \"n't\"]\none_way = [['but', 'yet']]\n"
        "[fixed]\nkeep = ['soon after']\n"
    )
    own = RuleParaphraser(path)

    def first(text: str) -> str:
        candidates = own.paraphrase([ParaphraseRequest("key", text, 1, 0)])[0].candidates
        return candidates[0] if candidates else text

    expected = {
        "it is about $5": "it is around $5",
        "it is about rain": "it is about rain",
        "see you soon!": "see you shortly!",
        "see you soon": "see you shortly",
        "soon there": "soon there",
        "start walking": "begin walking",
        "start something": "start something",
        "the start walking": "the start walking",
        "x\nalso there": "x\nbesides there",
        "x also there": "x also there",
        "red, but small": "red, yet small",
        "It isn't red, but small": "It isn't red, but small",
        "It is not so. Red, but small": "It is not so. Red, yet small",
        "soon after.": "soon after.",
    }
    assert {text: first(text) for text in expected} == expected


def test_every_seed_of_a_large_batch_gets_candidates_of_its_own() -> None:
    requests = [ParaphraseRequest(str(seed), f"{ADVICE} {ADVICE}", 5, seed) for seed in range(200)]
    answers = PARAPHRASER.paraphrase(requests)
    assert all(len(answer.candidates) == 5 for answer in answers)
    assert len({answer.candidates for answer in answers}) == 200
