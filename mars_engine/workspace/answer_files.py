"""Files of answers that were written elsewhere: their lines, and what became of each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mars_engine.core.errors import LoadError
from mars_engine.data.loaders.opening import open_rows

Fate = Literal["unreadable", "unknown", "failed", "twice", "taken before", "unusable", "not asked for"]
"""Why an answer was not used:

* unreadable: the line is no answer in any form that is known;
* unknown: it answers a request that was not written out here, or names a pair that is not here;
* failed: it says that there is no answer;
* twice: another line of these files answers the same;
* taken before: it was kept before;
* unusable: it is kept as an answer, and no rewrite or judgement can be read out of it;
* not asked for: it is kept, and the newest plan under the present settings does not ask for it.
"""


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """A line of a file of answers made elsewhere that is a JSON object."""

    file: str
    number: int
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UnusedAnswer:
    """An answer from elsewhere that the workspace did not use, and why."""

    file: str
    line: int
    fate: Fate
    reason: str


@dataclass
class Tally:
    """What became of the answers in some files. Each is taken or stands among the unused, once."""

    taken: int = 0
    unused: list[UnusedAnswer] = field(default_factory=list)

    @property
    def given(self) -> int:
        return self.taken + len(self.unused)

    def leave_out(self, line: AnswerLine, fate: Fate, reason: str) -> None:
        self.unused.append(UnusedAnswer(line.file, line.number, fate, reason))

    def by_fate(self) -> dict[str, int]:
        """How many answers were not used, by why."""
        return dict(Counter(each.fate for each in self.unused).most_common())

    def in_order(self, files: Sequence[Path]) -> tuple[UnusedAnswer, ...]:
        """All that was not used, as it stands in the files."""
        places = {str(file): place for place, file in enumerate(files)}
        return tuple(sorted(self.unused, key=lambda each: (places[each.file], each.line)))


def read_answer_lines(files: Sequence[Path], tally: Tally) -> list[AnswerLine]:
    """Return the lines of some files that are JSON objects; the others are left out, with the reason.

    Raises:
        LoadError: a file cannot be read, is empty, or has no such line.
    """
    lines: list[AnswerLine] = []
    for file in files:
        before = len(lines)
        problems: list[UnusedAnswer] = []
        for raw in open_rows(str(file)).read():
            if raw.row is None:
                problems.append(UnusedAnswer(str(file), raw.number, "unreadable", raw.problem))
            else:
                lines.append(AnswerLine(str(file), raw.number, raw.row))
        if len(lines) == before:
            found = f"line {problems[0].line:,} is a {problems[0].reason}" if problems else "it is empty"
            raise LoadError(
                f"{file} has no answers: {found}",
                expected="a JSON object a line, in OpenAI's batch format or with pair, side, rewrite and writer",
                remedy="name the file that the service wrote; docs/generators.md shows both forms",
            )
        tally.unused += problems
    return lines
