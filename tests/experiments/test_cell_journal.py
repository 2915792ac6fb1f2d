"""The file of finished cells: whole lines only, whatever a kill leaves behind."""

from dataclasses import replace

import pytest

from mars_engine.core.errors import StoreError
from mars_engine.experiments.cell_journal import CellJournal
from mars_engine.experiments.cells import CellKey, ExperimentCell

CELL = ExperimentCell(
    key=CellKey("hh", 0, "none", "steps"),
    accuracy=0.5,
    log_loss=0.7,
    steps=3,
    pairs_seen=24,
    training_pairs=10,
    new_pairs=0,
    wrong_labels=0,
    generation_tokens=0,
    training_tokens=100,
    preparation_seconds=1.5,
    training_seconds=0.25,
    wrong_weight=0.1,
    wrong_loss=0.2,
    prompts=(4, 4, 9),
    correct=(1.0, 0.5, 0.0),
)
OTHER = replace(CELL, key=replace(CELL.key, method="uniform"))


def test_cells_come_back_as_they_were(tmp_path):
    journal = CellJournal(tmp_path / "new folder" / "cells.jsonl")
    assert journal.load() == []
    journal.append(CELL)
    journal.append(OTHER)
    assert CellJournal(journal.path).load() == [CELL, OTHER]


@pytest.mark.parametrize("kept_bytes", [1, 30, -1])
def test_a_torn_last_line_is_left_out_and_overwritten(tmp_path, kept_bytes):
    journal = CellJournal(tmp_path / "cells.jsonl")
    journal.append(CELL)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[:kept_bytes])
    assert journal.load() == [CELL]
    journal.append(OTHER)
    assert journal.load() == [CELL, OTHER]
    assert journal.path.read_bytes().count(b"\n") == 2


def test_of_two_cells_with_one_key_the_first_counts(tmp_path):
    journal = CellJournal(tmp_path / "cells.jsonl")
    journal.append(CELL)
    journal.append(replace(CELL, accuracy=0.9))
    assert journal.load() == [CELL]


@pytest.mark.parametrize("line", [b"{}\n", b"no json\n", b'{"key": 3}\n'])
def test_a_damaged_line_is_named(tmp_path, line):
    journal = CellJournal(tmp_path / "cells.jsonl")
    journal.append(CELL)
    journal.path.write_bytes(journal.path.read_bytes() + line)
    with pytest.raises(StoreError, match="line 2 of"):
        journal.load()


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        CellJournal(tmp_path / "file" / "cells.jsonl").append(CELL)
