"""Recorded rewrites in an experiment: read once from a file, and given to each draw's pairs as their writer's."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mars_engine.augment.generators.given import GivenParaphraser, GivenRefiner
from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import LoadError
from mars_engine.data.loaders.opening import PairSource, open_rows
from mars_engine.experiments.draws import Draw
from mars_engine.workspace.answer_files import AnswerLine, Tally, read_answer_lines
from mars_engine.workspace.given_rewrites import COLUMNS, ROW, keep_given


def read_rewrites(file: Path, sources: Sequence[PairSource]) -> dict[str, dict[str, Any]]:
    """Return the rewrites of each pair by its id, by column.

    Lines name their pair by its id ("id") or by its row ("i", from 0) over the dataset's files taken together.

    Raises:
        LoadError: the file cannot be read, or a line names no pair of the dataset or has no rewrites by column.
    """
    by_row = _ids_by_row(sources)
    known = set(by_row.values())
    found: dict[str, dict[str, Any]] = {}
    tally = Tally()
    for line in read_answer_lines([file], tally):
        pair_id = line.value.get("id") or by_row.get(line.value.get(ROW, -1), "")
        columns = {name: line.value[name] for name in COLUMNS if line.value.get(name) is not None}
        if pair_id not in known or not columns:
            raise LoadError(
                f"line {line.number:,} of {file} cannot be used: "
                + ("it names no pair of the dataset" if pair_id not in known else "it has no rewrites"),
                expected=f"a pair ('id', or '{ROW}', its row from 0) and the columns {', '.join(COLUMNS)}",
                remedy="correct that line, or name the file of this dataset's rewrites",
            )
        found[pair_id] = columns
    if tally.unused:
        first = tally.unused[0]
        raise LoadError(f"line {first.line:,} of {file} cannot be read: {first.reason}", remedy="correct that line")
    return found


def read_mislabelled(files: Sequence[Path], sources: Sequence[PairSource], column: str) -> frozenset[str]:
    """Return the ids of the pairs whose row says, in this column, that its label is wrong.

    Raises:
        LoadError: a row has no such column, or something else than true or false in it.
    """
    wrong: set[str] = set()
    for file, source in zip(files, sources, strict=True):
        pairs_of = {parsed.row: parsed.pairs for parsed in source.rows()}
        for raw in open_rows(str(file)).read():
            said = (raw.row or {}).get(column)
            if not isinstance(said, bool):
                raise LoadError(
                    f"line {raw.number:,} of {file} has {json.dumps(said)} as {column!r}",
                    expected="true or false: whether the label is known to be wrong",
                    remedy="correct 'mislabelled' of the plan's dataset, or leave it out",
                )
            if said:
                wrong |= {pair.id for pair in pairs_of.get(raw.number, ())}
    return frozenset(wrong)


def with_rewrites(bench: Workbench, draw: Draw) -> Workbench:
    """Return the workbench with what is recorded for the draw's base pairs as its paraphraser and refiner.

    A draw for which nothing is recorded leaves the workbench as it is.
    """
    if not draw.rewrites:
        return bench
    lines = [
        AnswerLine("recorded rewrites", number, {"id": pair_id, **rewrites})
        for number, (pair_id, rewrites) in enumerate(draw.rewrites.items(), start=1)
        if rewrites
    ]
    keep_given(bench, lines, Tally(), writer=draw.writer)
    store = bench.store.chat
    return replace(bench, paraphraser=GivenParaphraser(store, draw.writer), refiner=GivenRefiner(store, draw.writer))


def _ids_by_row(sources: Sequence[PairSource]) -> dict[int, str]:
    rows = [parsed for source in sources for parsed in source.rows()]
    return {place: parsed.pairs[0].id for place, parsed in enumerate(rows) if parsed.pairs}
