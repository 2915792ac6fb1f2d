"""The demo's recorded readings: well-formed, and disputed where data/README.md says so."""

import json
from collections import defaultdict

from mars_engine.cli.demo import READINGS_FILE
from mars_engine.core.shipped import shipped
from mars_engine.curate.review import Decision
from mars_engine.data.demo_pairs import DEMO_FILES


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (shipped("data") / name).read_text("utf-8").splitlines()]


def test_each_reader_decided_once_about_a_pair_and_one_pair_is_disputed():
    pairs = rows(DEMO_FILES[0][0])
    by_pair: dict[int, dict[str, str]] = defaultdict(dict)
    for row in rows(READINGS_FILE):
        assert set(row) == {"reader", "i", "decision", "note"}
        assert Decision(row["decision"], note=row["note"]).action in ("label_right", "flip")
        assert 0 <= row["i"] < len(pairs)
        assert row["reader"] not in by_pair[row["i"]]
        by_pair[row["i"]][row["reader"]] = row["decision"]
    disputed = {i: said for i, said in by_pair.items() if len(set(said.values())) > 1}
    assert {i: set(said) for i, said in disputed.items()} == {240: {"recorded reader C", "recorded reader D"}}
