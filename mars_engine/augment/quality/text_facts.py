"""Facts of a text that a paraphrase must keep: numbers, names, negations, code, personal data; and new refusals.

Found by patterns, so that each can be told to a person. Negations, refusals and numbers in words are known in English
alone; in other languages none are found, and nothing is said of them.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

NUMBER = re.compile(r"(?:(?<![\w)\]])[-−])?\d+(?:[.,]\d+)*")
"""With a minus sign before it, which a hyphen behind a word is not."""
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
"""A number with commas between its thousands."""
_TO_TWENTY = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
)
_TENS = ("thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
NUMBER_WORDS = (
    {word: str(number) for number, word in enumerate(_TO_TWENTY.split(), start=2)}
    | {word: str(number) for number, word in zip(range(30, 101, 10), _TENS, strict=True)}
    | {"thousand": "1000", "million": "1000000"}
)
"""English number words and their digits; without "one", which is a pronoun as well."""
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
FENCED = re.compile(r"(```|~~~).*?(?:\1|\Z)", re.DOTALL)
INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`)[^\n]+?(?<!`)\1(?!`)")
NOT_A_SENTENCE_START = re.compile(r"[\w,;%’'\"”][ \t]+[\"“'(\[]?\Z")
"""What stands before a word in the midst of a sentence."""
NAMES_ALWAYS_CAPITAL = frozenset({"i", "i'm", "i’m", "i'd", "i’d", "i'll", "i’ll", "i've", "i’ve", "ok", "okay"})
NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|nowhere|cannot|without|unable|impossible|unlikely|"
    r"hardly|barely|scarcely|rarely|seldom|illegal(?:ly)?|unlawful(?:ly)?|avoid(?:s|ed|ing)?|"
    r"steer(?:s|ed|ing)? clear of|(?:stay|keep)(?:s|ed|ing)? away from|dislik(?:e|es|ed|ing)|"
    r"refus(?:e|es|ed|ing)|fail(?:s|ed|ing)?(?= to\b)|"
    r"(?:is|are|was|were|do|does|did|has|have|had|ca|could|wo|would|should|must|might|need|ai|sha)n['’]?t)\b",
    re.IGNORECASE,
)
SENTENCE_BREAK = re.compile(r"(?<=[.!?;:\n])\s+")
SAME_SENTENCE = 0.45
"""Least overlap of the words of two sentences that count as one; measured on recorded rewrites, docs/experiments.md."""
NOT_A_NEGATION = re.compile(r"\bnot only\b|\bno\. ?(?=\d)|\b(?:want|wont|cant)(?=ed|ing)", re.IGNORECASE)

PERSONAL_DATA = {
    "e-mail address": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "web address": re.compile(r"(?:https?://|www\.)[^\s<>()\[\]\"']*[^\s<>()\[\]\"'.,;:!?]", re.IGNORECASE),
    "IP address": re.compile(
        r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]\d|\d)"
    ),
    "card number": re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"),
    "phone number": re.compile(
        r"(?<![\w.,-])(?:\+\d[\d ().-]{6,17}\d|\(?\d{3}\)?[ .-]?\d{3}[ .-]\d{4}|\d{3}-\d{4})(?![\w-])"
    ),
    "handle": re.compile(r"(?<![\w@./])@[A-Za-z_]\w{1,29}\b"),
}
"""Patterns by kind, in the order they are looked for; what one kind has found is no other's."""

REFUSALS = {
    "as an AI": re.compile(
        r"\bas an? (?:ai\b|artificial intelligence|(?:large )?language model)|"
        r"\bi(?:['’]m| am) (?:just |only |merely )?an? (?:ai\b|artificial intelligence|(?:large )?language model)|"
        r"\bas a (?:responsible |helpful )?(?:ai|virtual|digital) assistant\b|"
        r"\bi (?:don['’]t|do not) have (?:any |personal )*(?:opinions|beliefs|feelings|emotions|consciousness)\b|"
        r"\bmy (?:knowledge cut-?off|training data|programming)\b|"
        r"\bi(?:['’]m| am) (?:claude|chatgpt|gpt-?\d|gemini|bard|llama|qwen|deepseek)\b|"
        r"\b(?:made|developed|created|trained) by (?:anthropic|openai|google|meta|mistral|alibaba|deepseek)\b",
        re.IGNORECASE,
    ),
    "refusal": re.compile(
        r"\bi(?:['’]m| am)?(?: really| very)?(?: sorry| afraid)?,?(?: but)?(?: i(?:['’]m| am)?)? ?"
        r"(?:can ?not|can['’]?t|won['’]?t|will not|(?:am )?unable to|(?:am )?not able to|must decline to) "
        r"(?:\w+ ){0,3}?(?:help|assist|provide|comply|fulfil|fulfill|answer|engage|support|create|write|discuss|share|"
        r"do that|continue|paraphrase|rewrite|generate|give|process)\b|"
        r"\bi(?:['’]m| am) sorry,? (?:i )?(?:can ?not|can['’]?t|won['’]?t)(?=[.!]|\Z)|"
        r"\bi must refuse\b|\bi (?:can ?not|can['’]?t) in good conscience\b|\bnot something (?:that )?i can help\b|"
        r"\bi(?:['’]m| am) sorry,? but i\b|\b(?:i apologi[sz]e|my apologies),? but\b|"
        r"\bi(?: must|['’]ll have to| will have to| have to)(?: respectfully)? decline\b|"
        r"\bi(?:['’]d| would)(?: much)? (?:rather|prefer) not\b|"
        r"\bi(?: do not|don['’]t| don['’]t really| wouldn['’]t) feel comfortable\b|"
        r"\bi(?:['’]m| am) (?:not (?:really )?comfortable|uncomfortable|not (?:allowed|permitted)|forbidden)\b|"
        r"\bagainst (?:my|our) (?:\w+ ){0,2}?(?:guidelines|polic(?:y|ies)|principles|rules|values|programming)\b|"
        r"\bviolat\w+ (?:my|our) (?:\w+ ){0,2}?(?:guidelines|polic(?:y|ies)|principles|rules)\b",
        re.IGNORECASE,
    ),
    "announcement": re.compile(
        r"\A\W*(?:(?:sure|certainly|of course|absolutely|okay|ok)\b[!,.:]? *)?here(?:['’]s| is| are)\b[^\n:]{0,25}"
        r"\b(?:paraphras\w+|re-?writ\w+|rephras\w+|reworded)\b[^\n:]{0,20}:",
        re.IGNORECASE,
    ),
}
"""Patterns by kind of what a chat model says instead of a rewrite, or before it."""


def normalized(text: str) -> str:
    """Return a text without differences in case and white space, for telling copies."""
    return " ".join(text.split()).casefold()


def numbers(text: str) -> Counter[str]:
    """Return the numbers in digits, as they are written but for commas between thousands."""
    plain = THOUSANDS.sub(lambda match: match.group().replace(",", ""), text)
    return Counter(number.replace("−", "-") for number in NUMBER.findall(plain))


def number_words(text: str) -> Counter[str]:
    """Return the numbers in English words, in digits."""
    found = (NUMBER_WORDS.get(match.casefold()) for match in re.findall(r"[^\W\d_]+", text))
    return Counter(number for number in found if number is not None)


def changed_numbers(base: str, new: str) -> tuple[Counter[str], Counter[str]]:
    """Return the numbers of `base` that `new` lacks, and those of `new` that `base` lacks, in digits.

    A number in digits may become one in words, and the other way. One in words alone may be lost or added (the two,
    both), but not exchanged for another.
    """
    before, after = numbers(base), numbers(new)
    said_before, said_after = number_words(base), number_words(new)
    lost, added = before - after - said_after, after - before - said_before
    word_lost, word_added = said_before - said_after - after, said_after - said_before - before
    return (lost + word_lost, added + word_added) if word_lost and word_added else (lost, added)


def in_pieces(text: str, halvings: int) -> list[str]:
    """Return a text in 2 ** `halvings` pieces at most, which the gates compare one by one.

    Each cut lies near the middle of what is cut, where a line, a sentence or a word ends.
    """
    if halvings == 0:
        return [text]
    middle = len(text) // 2
    for end in (r"\n+", r"[.!?][\"')\]]*\s+", r"\s+"):
        ends = [match.end() for match in re.finditer(end, text) if abs(match.end() - middle) <= len(text) // 8]
        if ends:
            middle = min(ends, key=lambda place: abs(place - middle))
            break
    halves = [half for half in (text[:middle], text[middle:]) if half.strip()]
    return [piece for half in halves or [text] for piece in in_pieces(half, halvings - 1)]


def words(text: str) -> frozenset[str]:
    """Return the words, case folded, and the parts of those with a hyphen or an apostrophe."""
    found = [match.casefold() for match in WORD.findall(text)]
    return frozenset([*found, *(part for word in found for part in re.split(r"['’-]", word))])


def names(text: str) -> frozenset[str]:
    """Return the capitalised words in the midst of sentences, as they are written: names, as far as case can tell."""
    return frozenset(
        match.group()
        for match in WORD.finditer(text)
        if match.group()[0].isupper()
        and match.group().casefold() not in NAMES_ALWAYS_CAPITAL
        and NOT_A_SENTENCE_START.search(text, max(0, match.start() - 4), match.start())
    )


def changed_names(base: str, new: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of `base` that `new` has nowhere, and those of `new` that `base` has nowhere, in any case."""
    in_base, in_new = words(base), words(new)
    lost = frozenset(name for name in names(base) if name.casefold() not in in_new)
    added = frozenset(name for name in names(new) if name.casefold() not in in_base)
    return lost, added


def negation_count(text: str) -> int:
    """Return how many English negations there are; "is not" and "isn't" are one each."""
    return len(NEGATION.findall(NOT_A_NEGATION.sub(" ", text)))


def changed_negations(base: str, new: str) -> tuple[int, int] | None:
    """Return how many negations a sentence has in `base` and in `new` where they differ; None where no sentence does.

    A sentence is judged where the other text has one in nearly the same words: the share of words that both have, of
    those that either has, is at least `SAME_SENTENCE`. Said in other words, a thing is often denied once more or once
    less ("stay home" for "do not go out"), so that the number alone tells little.
    """
    if negation_count(base) == negation_count(new):
        return None
    for text, other, is_base in ((base, new, True), (new, base, False)):
        others = [(negation_count(sentence), _said_words(sentence)) for sentence in _sentences(other)]
        for sentence in _sentences(text):
            count = negation_count(sentence)
            if not count or not others:
                continue
            said = _said_words(sentence)
            overlap, twin = max(((_overlap(said, each), count) for count, each in others), key=lambda both: both[0])
            if overlap >= SAME_SENTENCE and twin != count:
                return (count, twin) if is_base else (twin, count)
    return None


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in SENTENCE_BREAK.split(text) if sentence.strip()]


def _said_words(sentence: str) -> frozenset[str]:
    return words(NEGATION.sub(" ", sentence))


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def repeated_share(words: Sequence[str], length: int) -> float:
    """Return how much a text repeats itself: the share of runs of `length` words that came before; 0 without any."""
    runs = [tuple(words[place : place + length]) for place in range(len(words) - length + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def code_spans(text: str) -> Counter[str]:
    """Return the code between backticks: fenced blocks and spans in a line, as they are written."""
    blocks = [match.group().strip() for match in FENCED.finditer(text)]
    return Counter([*blocks, *[match.group() for match in INLINE_CODE.finditer(FENCED.sub(" ", text))]])


def personal_data(text: str) -> Counter[tuple[str, str]]:
    """Return e-mail and web addresses, IP addresses, card and phone numbers and handles, as (kind, text)."""
    found: Counter[tuple[str, str]] = Counter()
    rest = text
    for kind, pattern in PERSONAL_DATA.items():
        matches = [
            match.group() for match in pattern.finditer(rest) if kind != "card number" or _is_card(match.group())
        ]
        found.update((kind, match) for match in matches)
        for match in matches:
            rest = rest.replace(match, " ", 1)
    return found


def _is_card(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    places = [int(each) for each in reversed(digits) if each.isdigit()]
    doubled = [2 * digit - 9 * (digit > 4) for digit in places[1::2]]
    return (sum(places[0::2]) + sum(doubled)) % 10 == 0


def refusals(text: str) -> Iterator[str]:
    """Yield "refusal", "as an AI" and "announcement" where the text says such a thing."""
    return (kind for kind, pattern in REFUSALS.items() if pattern.search(text))
