"""Rewrites by a large language model, for the demo pairs: taken in whole, a rewrite at a time accounted for."""

import json
from collections import Counter
from pathlib import Path

import pytest
from chat_tools import KEEP, chat_bench

from mars_engine.augment.plan import make_plan
from mars_engine.core.config import AllocationConfig, MarsConfig, ProposeConfig
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.given_rewrites import COLUMNS
from mars_engine.workspace.rewrites_elsewhere import take_answers

pytestmark = pytest.mark.realdata
ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = 90, 135
"""Whose rewrites are taken in, by their rows."""


def test_each_rewrite_is_taken_or_told(tmp_path):
    config = MarsConfig(
        triage=KEEP,
        allocation=AllocationConfig(budget=720, law="uniform"),
        propose=ProposeConfig(variants=2, refine_tries=2),
    )
    lines = (ROOT / "data/demo-rewrites.jsonl").read_text(encoding="utf-8").splitlines()[FIRST:LAST]
    rows = [json.loads(line) for line in lines]
    files = [tmp_path / "rewrites.jsonl"]
    files[0].write_text("\n".join(lines), encoding="utf-8")
    given = [row[name] for row in rows for name in COLUMNS if name in row]
    rewrites = sum(len(each) if isinstance(each, list) else 1 for each in given)
    with chat_bench(config) as bench:
        source = open_source(str(ROOT / "data/demo-train.jsonl"))
        import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
        model = train_warm_up(bench)
        score_model(bench, model)
        plan = make_plan(bench, model).plan
        report = take_answers(bench, plan, files, writer="a large model")
        assert len(rows) == 45
        assert report.given == rewrites == report.taken + len(report.unused)
        assert report.left_out.keys() <= {"not asked for", "twice", "unusable"}
        assert report.taken > 150
        refinements = Counter(report.proposed["a large model"].refinements)
        assert refinements["refined_rejected"] > 5
        assert not bench.store.chat.spent().tokens
        again = take_answers(bench, plan, files, writer="a large model")
        assert (again.taken, again.proposed) == (0, report.proposed)
