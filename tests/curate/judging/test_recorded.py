"""Opinions from files: by id, by texts, by row; what cannot be understood is refused whole."""

import json
from pathlib import Path

import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import LoadError, NotReadyError
from mars_engine.curate.judging.recorded import take_recorded_opinions
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders.opening import open_source

PAIRS = make_pairs(6)
DEMO = Path(__file__).parents[3] / "data"


@pytest.fixture
def bench() -> Workbench:
    made = make_bench()
    import_pairs(ListSource(PAIRS), made.store, split="train", clock=made.clock, progress=made.progress)
    return made


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def taken(bench: Workbench, *paths: Path, dataset: str = ""):
    return take_recorded_opinions(bench.store, paths, clock=bench.clock, dataset=dataset)


def texts(place: int, *, exchanged: bool = False, **more: object) -> dict[str, object]:
    pair = PAIRS[place]
    sides = (pair.rejected, pair.chosen) if exchanged else (pair.chosen, pair.rejected)
    turns = [{"role": turn.role, "content": turn.content} for turn in pair.prompt]
    return {"prompt": turns, "chosen": sides[0], "rejected": sides[1], **more}


def test_a_row_names_its_pair_by_id_by_texts_or_by_row(bench, tmp_path):
    file = written(
        tmp_path / "a.jsonl",
        {"pair_id": PAIRS[0].id, "opinion": "rejected", "note": "it is rude"},
        texts(1, opinion="chosen"),
        texts(2, exchanged=True, opinion="chosen"),
        {"row": 4, "opinion": "Tie"},
        {"i": 4, "label_doubt": True},
    )
    report = taken(bench, file)
    assert (report.rows, report.taken, report.dropped) == (5, 5, {})
    said = bench.store.opinions.of_judge("recorded")
    assert [said[pair.id].verdict for pair in PAIRS[:5]] == ["rejected", "chosen", "rejected", "tie", "rejected"]
    assert said[PAIRS[0].id].note == "it is rude"
    assert PAIRS[5].id not in said


def test_a_file_of_doubts_calls_the_other_labels_right_and_says_how_many(bench, tmp_path):
    report = taken(bench, written(tmp_path / "a.jsonl", {"i": 0, "label_doubt": True}, {"i": 1}, {"i": 2}))
    assert report.opinions == {"chosen": 2, "rejected": 1}
    assert report.taken_as_right == 2


def test_a_pair_that_is_not_here_is_counted_and_a_new_opinion_replaces_the_old(bench, tmp_path):
    report = taken(
        bench, written(tmp_path / "a.jsonl", {"pair_id": "0" * 24, "opinion": "tie"}, {"i": 0, "opinion": "tie"})
    )
    assert (report.taken, sum(report.dropped.values())) == (1, 1)
    taken(bench, written(tmp_path / "b.jsonl", {"i": 0, "opinion": "chosen"}))
    assert [each.verdict for each in bench.store.opinions.of_judge("recorded").values()] == ["chosen"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"i": 0}, "a.jsonl, row 2 has no opinion"),
        ({"i": 0, "opinion": "bad"}, "has the opinion 'bad'"),
        ({"i": 0, "label_doubt": "maybe"}, "has the label_doubt 'maybe'"),
        ({"opinion": "tie"}, "names no pair"),
        ({"row": -1, "opinion": "tie"}, "names no pair"),
        ([1], "row 2: not a JSON object"),
        (texts(0) | {"chosen": "", "opinion": "tie"}, "texts that are no pair"),
        ({"i": 5, "opinion": "tie"}, "row 1 and a.jsonl, row 2 say different things"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_row_and_nothing_is_stored(bench, tmp_path, row, said):
    file = written(tmp_path / "a.jsonl", {"i": 5, "opinion": "chosen"}, row)
    with pytest.raises(LoadError, match=said):
        taken(bench, file)
    assert bench.store.opinions.judges() == []


def test_rows_are_of_one_training_set(bench, tmp_path):
    more = ListSource(make_pairs(3, first=100), name="more")
    import_pairs(more, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    file = written(tmp_path / "a.jsonl", {"i": 0, "opinion": "tie"})
    with pytest.raises(LoadError, match=r"more than one training set is meant.*more \("):
        taken(bench, file)
    with pytest.raises(LoadError, match="no training set is meant by 'other'"):
        taken(bench, file, dataset="other")
    taken(bench, file, dataset="more")
    assert list(bench.store.opinions.of_judge("recorded")) == [make_pairs(3, first=100)[0].id]
    with pytest.raises(NotReadyError, match="no training pairs"):
        taken(make_bench(), file)


def test_the_doubts_of_who_wrote_the_demos_rewrites_are_exactly_the_mislabelled_pairs():
    bench = make_bench()
    demo = DEMO / "demo-train.jsonl"
    import_pairs(open_source(str(demo)), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    report = taken(bench, DEMO / "demo-rewrites.jsonl")
    assert report.opinions == {"chosen": 320, "rejected": 40}
    rows = [json.loads(line) for line in demo.read_text(encoding="utf-8").splitlines()]
    by_row = bench.store.pairs.ids_by_row(bench.store.pairs.datasets()[0].id)
    wrong = {by_row[number] for number, row in enumerate(rows, start=1) if row.get("mislabelled")}
    said = bench.store.opinions.of_judge("recorded").values()
    assert {each.pair_id for each in said if each.verdict == "rejected"} == wrong
