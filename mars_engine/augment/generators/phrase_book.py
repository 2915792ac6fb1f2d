"""The list of interchangeable phrases: its file, its rules, and where they apply in a text."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mars_engine.augment.generators.passages.sentences import ABBREVIATION_END, gaps, protected_spans
from mars_engine.core.errors import GenerationError

SHIPPED_PHRASES = Path(__file__).with_name("phrases.toml")

NUMBER = "<number>"
MARK = "<mark>"
LINE = "<line>"
VERB_IN_ING = "<ing>"
_CONDITIONS = ("only_after", "never_after", "only_before", "never_before", "never_in_sentence_with")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Which words, marks or classes of them may stand beside a phrase. An empty `only_…` allows all."""

    only_after: frozenset[str] = frozenset()
    never_after: frozenset[str] = frozenset()
    only_before: frozenset[str] = frozenset()
    never_before: frozenset[str] = frozenset()
    never_in_sentence_with: frozenset[str] = frozenset()

    def allow(self, previous: str, following: str) -> bool:
        """Whether the phrase may stand between these two tokens."""
        before, after = _names_of(previous), _names_of(following)
        return (
            not (self.never_after & before or self.never_before & after)
            and (not self.only_after or bool(self.only_after & before))
            and (not self.only_before or bool(self.only_before & after))
        )

    def allow_after(self, before: str) -> bool:
        """Whether the phrase may stand where the text before it ends like this."""
        if not self.never_in_sentence_with:
            return True
        words = set(_WORD.findall(_lowered(_SENTENCE_MARKS.split(before)[-1])))
        negated = {"n't"} if any(word.endswith("n't") for word in words) else set()
        return not self.never_in_sentence_with & (words | negated)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase and what may stand in its place; no alternative means that it is kept and nothing in it is replaced.

    `text` has straight apostrophes and a small first letter, unless its first word is the pronoun I.
    """

    text: str
    lowered: str
    alternatives: tuple[str, ...]
    sentence_start_only: bool
    surroundings: Surroundings


@dataclass(frozen=True, slots=True)
class Slot:
    """A stretch of a text that can be replaced, and the replacements, written as they would stand there."""

    start: int
    end: int
    options: tuple[str, ...]


class PhraseBook:
    """Interchangeable phrases, ready to be looked up."""

    def __init__(self, phrases: list[Phrase], digest: str) -> None:
        self.digest = digest
        self.phrases = tuple(phrases)
        by_first_words: dict[str, list[Phrase]] = {}
        for phrase in sorted(phrases, key=lambda one: (-len(one.text), not one.sentence_start_only, one.text)):
            by_first_words.setdefault(" ".join(_WORD.findall(phrase.text.lower())[:2]), []).append(phrase)
        self._by_first_words: Mapping[str, list[Phrase]] = by_first_words
        self._first_words = frozenset(key.split()[0] for key in by_first_words)

    @classmethod
    def load(cls, path: Path) -> "PhraseBook":
        """Read a phrases file (its format is explained at the head of the shipped one).

        Raises:
            GenerationError: the file cannot be read, is not TOML, or a group in it is malformed.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise GenerationError(
                f"the phrases file {path} cannot be read ({error.strerror})", remedy="name a file that exists"
            ) from error
        try:
            sections = tomllib.loads(content.decode("utf-8"))
        except ValueError as error:
            raise GenerationError(
                f"the phrases file {path} is not valid TOML ({error})",
                expected="sections with two_way and one_way lists of phrases",
                remedy="correct the file",
            ) from error
        return cls(list(_phrases_of(path, sections)), hashlib.sha256(content).hexdigest())

    def slots(self, text: str) -> list[Slot]:
        """Return the replaceable stretches of a text, in order and without overlap; the longest phrase wins."""
        lowered = _lowered(text)
        found: list[Slot] = []
        position = 0
        for start, stop in gaps(protected_spans(text), len(text)):
            words = [(match.start(), match.group()) for match in _WORD.finditer(lowered, start, stop)]
            for number, (place, word) in enumerate(words):
                if place < position or word not in self._first_words:
                    continue
                following = words[number + 1][1] if number + 1 < len(words) else ""
                slot = self._slot_at(text, lowered, place, stop, word, following)
                if slot is not None:
                    found += [slot] if slot.options else []
                    position = slot.end
        return found

    def _slot_at(self, text: str, lowered: str, start: int, stop: int, word: str, following: str) -> Slot | None:
        # Phrases are kept under their first two words: two look-ups decide about nearly every word of a text.
        for key in (f"{word} {following}", word):
            for phrase in self._by_first_words.get(key, ()):
                if lowered.startswith(phrase.lowered, start, stop):
                    slot = _slot(text, start, start + len(phrase.text), phrase)
                    if slot is not None:
                        return slot
        return None


# ------------------------------------------------------------------------------------------------- reading the file


def _phrases_of(path: Path, sections: Mapping[str, Any]) -> Iterator[Phrase]:
    seen: dict[str, str] = {}
    for name, section in sections.items():
        if not isinstance(section, dict) or set(section) - {"keep", "two_way", "one_way", *_CONDITIONS}:
            raise _malformed(path, name, "has a key that is unknown")
        surroundings = Surroundings(**{key: frozenset(_texts(path, name, section.get(key, []))) for key in _CONDITIONS})
        for source, alternatives in _entries(path, name, section):
            if source in seen:
                raise _malformed(path, name, f"replaces {source!r}, which section {seen[source]!r} does already")
            seen[source] = name
            initial = source[0].isupper() and _first_word(source) not in _PRONOUN_FORMS
            text = source[0].lower() + source[1:] if initial else source
            yield Phrase(text, text.lower(), alternatives, initial, surroundings)


def _entries(path: Path, name: str, section: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for source in _texts(path, name, section.get("keep", [])):
        yield source, ()
    for group in _groups(path, name, section.get("two_way", [])):
        for source in group:
            yield source, tuple(phrase for phrase in group if phrase != source)
    for source, *alternatives in _groups(path, name, section.get("one_way", [])):
        yield source, tuple(alternatives)


def _groups(path: Path, name: str, groups: Any) -> Iterator[list[str]]:
    if not isinstance(groups, list):
        raise _malformed(path, name, "has a list of groups that is no list")
    for group in groups:
        phrases = _texts(path, name, group)
        if len(phrases) < 2 or len({phrase.lower() for phrase in phrases}) < len(phrases):
            raise _malformed(path, name, f"has the group {group!r}, which lacks two different phrases or repeats one")
        yield phrases


def _texts(path: Path, name: str, values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        raise _malformed(path, name, f"has {values!r} where phrases should stand")
    return list(values)


def _malformed(path: Path, section: str, fault: str) -> GenerationError:
    return GenerationError(
        f"in the phrases file {path}, section {section!r} {fault}",
        expected="lists of phrases, each phrase replaced by one group only",
        remedy="correct the section",
    )


# ------------------------------------------------------------------------------------------------ fitting into a text

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FOLLOWING = re.compile(r"[ \t]*([^\W\d_]+(?:['’][^\W\d_]+)*|\S|)")
_PRONOUN_FORMS = frozenset({"i", "i'm", "i'd", "i've", "i'll"})
_NO_VERBS_IN_ING = frozenset(
    {"anything", "building", "ceiling", "clothing", "during", "evening", "everything", "meeting", "morning", "nothing"}
    | {"outing", "pudding", "something", "spring", "string", "wedding"}
)
_MARKS = frozenset(".,;:!?…)]}—–")
_CURRENCIES = frozenset("$€£¥")
_OPENING = frozenset(" \t\n([{*—–…")
_CLOSING = frozenset(".,;:!?…)]}*—–")
_LONGEST_SENTENCE = 400
_SENTENCE_MARKS = re.compile(r"[.!?;:\n]\s")
_LINE_OPENING = re.compile(r"[ \t]*(?:(?:[-*+•]|\d{1,3}[.)]|[A-Za-z][.)]|\#{1,6})[ \t]+)*[*_(\[]*\Z")
_AFTER_SENTENCE = re.compile(r"[.!?…][\"”’')\]*_]*[ \t]+[*_(\[]*\Z")
_VOWEL_SOUND = re.compile(r"(?!eu|one\b|once\b|us[aeu]|uni[^mn])(?:[aeiou]|hour|honest|heir)", re.IGNORECASE)


def _slot(text: str, start: int, end: int, phrase: Phrase) -> Slot | None:
    """Return the slot of a phrase found in a text, or None where it cannot be taken for that phrase."""
    if not _stands_free(text, start, end):
        return None
    if not phrase.alternatives:
        return Slot(start, end, ())
    previous, following = _previous_token(text, start), _following_token(text, end)
    if not phrase.surroundings.allow(previous, following):
        return None
    if not phrase.surroundings.allow_after(text[max(0, start - _LONGEST_SENTENCE) : start]):
        return None
    options = [option for option in phrase.alternatives if _fits(option, previous.lower(), following.lower())]
    found = _plain(text[start:end])
    if found.isupper() and found not in ("I", "A"):
        shouted = any(len(token) > 1 and token.isupper() for token in (previous, following))
        written = [option.upper() for option in options] if shouted else []
    elif found[0].isupper() and _at_sentence_start(text, start):
        a_name = found[1:] != phrase.text[1:] or _opens_a_name(phrase, following)
        written = [] if a_name else [option[0].upper() + option[1:] for option in options]
    else:
        written = options if found == phrase.text and not phrase.sentence_start_only else []
    if not written:
        return None
    if "’" in text:
        written = [option.replace("'", "’") for option in written]
    return Slot(start, end, tuple(written))


def _at_sentence_start(text: str, position: int) -> bool:
    """Whether a word at `position` opens a line, a list item or a sentence."""
    before = text[text.rfind("\n", 0, position) + 1 : position]
    if _LINE_OPENING.match(before):
        return True
    tail = before[-16:]
    return _AFTER_SENTENCE.search(tail) is not None and ABBREVIATION_END.search(tail) is None


def _stands_free(text: str, start: int, end: int) -> bool:
    """Whether a phrase is bounded by space or prose marks, and is no part of an identifier, a path or a compound."""
    if start and text[start - 1] not in _OPENING:
        return False
    if start > 1 and text[start - 1] in "([{*" and text[start - 2] not in _OPENING:
        return False
    after = text[end : end + 1]
    if not after or after.isspace():
        return True
    return after in _CLOSING and text[end - 1] != "," and not text[end + 1 : end + 2].isalnum()


def _fits(option: str, previous: str, following: str) -> bool:
    """Whether a replacement suits the article before it and doubles no word beside it."""
    words = option.lower().split()
    if previous in ("a", "an") and (_VOWEL_SOUND.match(option) is not None) != (previous == "an"):
        return False
    return words[0] != previous and words[-1] != following


def _opens_a_name(phrase: Phrase, following: str) -> bool:
    if phrase.text.endswith(",") or _first_word(phrase.text) in _PRONOUN_FORMS:
        return False
    return following[:1].isupper() and _plain(following).lower() not in _PRONOUN_FORMS


def _previous_token(text: str, start: int) -> str:
    """Return the word or mark before a phrase that begins at `start`, on its line, or nothing."""
    end = start
    while end and text[end - 1] in " \t":
        end -= 1
    begin = end
    while begin and (text[begin - 1].isalnum() or text[begin - 1] in "'’"):
        begin -= 1
    if begin < end:
        return text[begin:end]
    return text[end - 1] if end and text[end - 1] != "\n" else ""


def _following_token(text: str, end: int) -> str:
    """Return the word or mark after `end` on its line, or nothing."""
    match = _FOLLOWING.match(text, end)
    return match.group(1) if match else ""


def _names_of(token: str) -> frozenset[str]:
    plain = _plain(token).lower()
    if not plain:
        return frozenset({LINE, MARK})
    if plain[0] in _MARKS:
        return frozenset({plain, MARK})
    if plain[0].isdigit() or plain in _CURRENCIES:
        return frozenset({plain, NUMBER})
    is_verb_in_ing = len(plain) > 5 and plain.endswith("ing") and plain not in _NO_VERBS_IN_ING
    return frozenset({plain, VERB_IN_ING} if is_verb_in_ing else {plain})


def _plain(text: str) -> str:
    return text.replace("’", "'")


def _lowered(text: str) -> str:
    """Return a text in small letters and with straight apostrophes, character for character."""
    lowered = _plain(text).lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in _plain(text))


def _first_word(phrase: str) -> str:
    match = _WORD.match(phrase)
    return match.group().lower() if match else ""
