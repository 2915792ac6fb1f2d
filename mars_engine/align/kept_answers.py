"""Answers that a policy has drawn, in a file, a line of JSON each: none is ever drawn twice."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from mars_engine.align.sampling import Draw, Sample
from mars_engine.core.errors import StoreError
from mars_engine.core.whole_file import append_lines, whole_lines


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """The answers of one policy under one set of settings; the folder is made when it is needed.

    A last line that a kill tore is left out, and overwritten by what comes next. Several processes may write.
    """

    path: Path

    def load(self) -> dict[tuple[str, int], Sample]:
        """Return all answers that are there whole, by the prompt's id and the draw's number; of two the first.

        Raises:
            StoreError: the file cannot be read, or has a line that is no answer.
        """
        found: dict[tuple[str, int], Sample] = {}
        for number, line in enumerate(whole_lines(self.path), start=1):
            try:
                row = json.loads(line)
                key = str(row["prompt"]), int(row["number"])
                sample = Sample(str(row["text"]), int(row["tokens"]), bool(row["finished"]))
            except (ValueError, TypeError, KeyError) as error:
                raise StoreError(
                    f"line {number} of {self.path} is no answer of a policy: {error}",
                    remedy="delete that line; its answer is then drawn again",
                ) from error
            found.setdefault(key, sample)
        return found

    def append(self, drawn: Sequence[tuple[Draw, Sample]]) -> None:
        """Write answers; when this returns, a kill does not lose them.

        Raises:
            StoreError: they cannot be written.
        """
        rows = [
            {"prompt": draw.key[0], "number": draw.number, "text": sample.text, "tokens": sample.tokens,
             "finished": sample.finished}
            for draw, sample in drawn
        ]  # fmt: skip
        lines = b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")):
                append_lines(self.path, lines)
        except OSError as error:
            raise StoreError(
                f"answers cannot be written to {self.path}: {error}",
                remedy="make room on the disk and run the same command again; the answers before are kept",
            ) from error
