"""`mars propose` with a tiny random T5 as paraphraser and refiner: long texts, failures, interruption, settings."""

import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes import ListSource, make_bench, make_pairs
from tiny_seq2seq import save_tiny_t5

from mars_engine.augment.generators.protocols import Generation, Paraphraser, ParaphraseRequest
from mars_engine.augment.generators.seq2seq import Seq2SeqParaphraser, Seq2SeqRefiner
from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.cli.main import UNUSABLE, mars
from mars_engine.core.config import GateConfig, MarsConfig, ProposeConfig, Seq2SeqConfig, TriageConfig
from mars_engine.core.records import GeneratorCard, Proposal
from mars_engine.core.shipped import shipped
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.service.generator_cards import generator_cards
from mars_engine.workspace.workspace import DATABASE_FILE, create_workspace

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("one_thread")]

KEPT = "\n\n- a list, which is kept\n- and `kept` again\n\n```\nif x:\n    stop()\n```\n\n"
PROSE = " ".join(
    f"Sentence number {number} tells that plant {number} stands in the sun, and is watered by hand."
    for number in range(1, 13)
)
LONG_PAIR = {
    "prompt": [{"role": "user", "content": "Where do the plants stand, and who gives them water?"}],
    "chosen": [{"role": "assistant", "content": f"{PROSE}{KEPT}{PROSE}"}],
    "rejected": [{"role": "assistant", "content": "They stand somewhere. I do not know who waters them."}],
}
CODE_PAIR = {
    "prompt": [{"role": "user", "content": "How do I stop, please? Tell me in code."}],
    "chosen": [{"role": "assistant", "content": "```\nstop()\n```"}],
    "rejected": [{"role": "assistant", "content": "Just stop it. That is all you need to do."}],
}
PAIRS = 6


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    lines = (shipped("data") / "demo-train.jsonl").read_text().splitlines()[:PAIRS]
    return [*map(json.loads, lines), LONG_PAIR, CODE_PAIR]


@pytest.fixture(scope="module")
def t5(tmp_path_factory, rows) -> Path:
    texts = [row[side][-1]["content"] for row in rows for side in ("prompt", "chosen", "rejected")]
    return save_tiny_t5(tmp_path_factory.mktemp("models") / "t5", [*texts, "paraphrase: it"])


def run(workspace: Path, *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(mars, ["--workspace", str(workspace), "--quiet", *arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def start(tmp_path_factory, rows) -> Path:
    """A workspace with a trained probe that has scored eight pairs."""
    root = tmp_path_factory.mktemp("seq2seq")
    (root / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    workspace = root / "workspace"
    run(workspace, "init", "--triage-policy", "keep", "--triage-seeds", "1", "--propose-variants", "2")
    run(workspace, "import", str(root / "train.jsonl"))
    run(workspace, "train")
    run(workspace, "score")
    return workspace


def options(t5: Path) -> list[str]:
    return [
        "--propose-paraphraser=seq2seq",
        "--propose-refiner=seq2seq",
        f"--seq2seq-model={t5}",
        "--seq2seq-max-tokens=64",
        "--seq2seq-min-length-percent=0",
    ]


def query(workspace: Path, statement: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(workspace / DATABASE_FILE)
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()


@pytest.fixture(scope="module")
def proposed(start, t5, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    workspace = tmp_path_factory.mktemp("proposed") / "workspace"
    shutil.copytree(start, workspace)
    said = run(workspace, "propose", *options(t5), "--gate-rule=fixed", "--gate-threshold=2", "--json")
    return workspace, json.loads(said.stdout)


def test_the_cli_proposes_with_the_model_and_names_it(proposed):
    workspace, report = proposed
    assert [card["name"] for card in report["generators"]] == ["seq2seq-refiner", "seq2seq-paraphraser"]
    assert report["propose"]["sources"] == PAIRS + 2
    assert report["propose"]["proposals"] >= PAIRS + 2
    assert sum(report["propose"]["refinements"].values()) == PAIRS + 2
    refined = {name: count for name, count in report["propose"]["refinements"].items() if name != "unrefined"}
    assert refined  # what random words say is far from anything
    (generators,) = query(workspace, "SELECT generators FROM proposals WHERE method = 'refined+paraphrase' LIMIT 1")[0]
    settings = json.loads(generators)["paraphrase"]["settings"]
    assert len(settings["weights"]) == 24
    assert (settings["decoding"], settings["max_tokens"]) == ("diverse", 64)
    assert json.loads(generators)["refine"]["name"] == "seq2seq-refiner"
    assert query(workspace, "SELECT count(*) FROM refine_tries WHERE text <> '' AND distance IS NOT NULL")[0][0] > 0


def test_long_texts_are_proposed_whole_with_code_and_lists_to_the_letter(proposed):
    workspace, _ = proposed
    texts = query(workspace, "SELECT proposals.chosen FROM proposals JOIN pairs ON pairs.id = source_id "
                  "WHERE pairs.chosen LIKE 'Sentence number 1 %'")  # fmt: skip
    assert texts
    for (text,) in texts:
        before, after = text.split(KEPT)
        assert before
        assert after
    changed = [text for (text,) in texts if "Sentence number 1 tells" not in text]
    assert changed
    for text in changed:
        assert not any(f"Sentence number {number} tells" in text for number in range(1, 13))


def test_what_could_not_be_written_is_a_failure_and_the_original_is_no_paraphrase(proposed):
    workspace, report = proposed
    reason = "seq2seq-paraphraser: nothing to rewrite: the text is code alone, which is kept as it is"
    assert report["propose"]["failures"][reason] == 1
    rows = query(workspace, "SELECT chosen, unchanged_sides FROM proposals WHERE chosen LIKE '%stop()%' "
                 "AND chosen NOT LIKE '%a list%'")  # fmt: skip
    assert rows
    for chosen, unchanged in rows:
        assert chosen == CODE_PAIR["chosen"][0]["content"]
        assert "chosen" in json.loads(unchanged)


def test_a_second_run_asks_for_nothing_and_another_setting_asks_anew(proposed, t5, tmp_path, monkeypatch):
    workspace = tmp_path / "workspace"
    shutil.copytree(proposed[0], workspace)
    count = "SELECT count(*) FROM proposals"
    before = query(workspace, count)
    again = [*options(t5), "--gate-rule=fixed", "--gate-threshold=2"]
    with monkeypatch.context() as blocked:
        blocked.setattr(Seq2SeqParaphraser, "paraphrase", None)
        blocked.setattr(Seq2SeqRefiner, "refine", None)
        run(workspace, "propose", *again, "--seq2seq-batch-tokens=999")
    assert query(workspace, count) == before
    run(workspace, "propose", *again, "--seq2seq-decoding=sample")
    assert query(workspace, count) > before


def test_a_dry_run_looks_for_no_model_and_what_is_not_there_is_told(start, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    workspace = tmp_path / "workspace"
    shutil.copytree(start, workspace)
    chosen = ["--propose-paraphraser=seq2seq", "--seq2seq-model=nobody/nothing-of-this-name"]
    run(workspace, "propose", *chosen, "--dry-run")
    said = run(workspace, "propose", *chosen, code=UNUSABLE).output
    assert "neither a folder nor a model that the hub would give" in said
    assert "correct 'model' under [seq2seq] in mars.toml" in said
    assert "Traceback" not in said


def test_the_settings_page_shows_the_cards_without_the_model(tmp_path, t5):
    propose = ProposeConfig(paraphraser="seq2seq", refiner="seq2seq")
    workspace = create_workspace(
        tmp_path / "w", MarsConfig(propose=propose, seq2seq=Seq2SeqConfig(model=str(t5), refiner_model="nobody/none"))
    )
    refiner, paraphraser = generator_cards(workspace)
    assert "not on this machine yet" in str(refiner.settings["weights"])
    assert len(str(paraphraser.settings["weights"])) == 24


def test_the_cards_need_no_torch(tmp_path, t5, quiet_environment):
    propose = ProposeConfig(paraphraser="seq2seq", refiner="seq2seq")
    create_workspace(tmp_path / "w", MarsConfig(propose=propose, seq2seq=Seq2SeqConfig(model=str(t5))))
    code = (
        "import sys; from pathlib import Path\n"
        "from mars_engine.service.generator_cards import generator_cards\n"
        "from mars_engine.workspace.workspace import find_workspace\n"
        "generator_cards(find_workspace(Path(sys.argv[1])))\n"
        "print({'torch', 'transformers', 'sentencepiece'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "w")]
    said = subprocess.run(command, env=quiet_environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


# -------------------------------------------------------------------------------------------------------- interruption


@dataclass
class InterruptedParaphraser:
    """Is interrupted when it is asked for the second time."""

    inner: Paraphraser
    times: int = 0

    @property
    def card(self) -> GeneratorCard:
        return self.inner.card

    def paraphrase(self, requests: list[ParaphraseRequest]) -> list[Generation]:
        self.times += 1
        if self.times == 2:
            raise KeyboardInterrupt
        return self.inner.paraphrase(requests)


def bench_with(t5: Path) -> Workbench:
    seq2seq = Seq2SeqConfig(model=str(t5), decoding="sample", min_length_percent=0)
    config = MarsConfig(
        triage=TriageConfig(policy="keep", seeds=1, folds=2),
        gate=GateConfig(rule="fixed", threshold=0.5),
        propose=ProposeConfig(chunk=2, variants=2, refine_tries=2),
        seq2seq=seq2seq,
    )
    bench = make_bench(config)
    import_pairs(ListSource(make_pairs(6)), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    return replace(
        bench,
        paraphraser=Seq2SeqParaphraser(seq2seq, progress=bench.progress),
        refiner=Seq2SeqRefiner(seq2seq, progress=bench.progress),
    )


def test_an_interrupted_run_goes_on_and_ends_with_the_same_proposals(tmp_path):
    texts = [text for pair in make_pairs(6) for text in (pair.prompt[0].content, pair.chosen, pair.rejected)]
    t5 = save_tiny_t5(tmp_path / "t5", [*texts, "paraphrase: it"])
    found: list[list[Proposal]] = []
    for interrupted in (False, True):
        bench = bench_with(t5)
        model = train_warm_up(bench)
        score_model(bench, model)
        plan = make_plan(bench, model).plan
        done_before = 0
        if interrupted:
            broken = replace(bench, paraphraser=InterruptedParaphraser(bench.paraphraser))
            with pytest.raises(KeyboardInterrupt):
                make_proposals(broken, plan)
            done_before = 2
        report = make_proposals(bench, plan)
        assert report.done_before == done_before
        assert report.sources == 6
        found.append(bench.store.proposals.proposals())
    assert len(found[0]) >= 12
    assert found[0] == found[1]
