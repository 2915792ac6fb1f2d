"""Pairs that are sent to the hub: what arrives, what its card says, and what must not be sent."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fakes import ListSource, make_bench, make_pairs, record_review
from huggingface_hub import constants
from stand_in_hub import TOKEN, StandInHub, stand_in_hub

from mars_engine.augment.workbench import Workbench
from mars_engine.cli.main import mars
from mars_engine.core.config import ChatConfig, EncoderConfig, MarsConfig, TriageConfig
from mars_engine.core.errors import MarsError, NotReadyError
from mars_engine.data.export import select_for_export
from mars_engine.data.import_pairs import import_pairs
from mars_engine.workspace.hub_dataset import EDITED, dataset_lineage, published, push_dataset
from mars_engine.workspace.rounds import run_rounds

SECRETS = ("inner.example", "MY_KEY", "secret-place", "/home/ada", "ada-lovelace")
CONFIG = MarsConfig(
    triage=TriageConfig(policy="keep", seeds=2, folds=3),
    database_url="sqlite:///secret-place",
    chat=ChatConfig(base_url="http://inner.example/v1", api_key_variable="MY_KEY"),
    encoder=EncoderConfig(name="/home/ada/encoder"),
)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """A round of which a policy accepted all, and of which a person decided about two proposals."""
    bench = make_bench(CONFIG)
    for pairs, split in ((make_pairs(20), "train"), (make_pairs(6, seed=1, first=1000), "heldout")):
        source = ListSource(pairs, name=f"shop | {split}")
        import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
    record_review(bench.store, "pair", make_pairs(20)[3].id, "flip", annotator="ada-lovelace", clock=bench.clock)
    run_rounds(bench, 1, policy="accept-all")
    return bench


@pytest.fixture
def hub(monkeypatch) -> Iterator[StandInHub]:
    with stand_in_hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield served


def push(bench: Workbench, repository: str = "ada/shop", **options: Any) -> Any:
    arguments = {"what": "training-set", "shape": "conversational", "config": CONFIG} | options
    return push_dataset(bench.store, repository, **arguments)


def card_of(hub: StandInHub, repository: str = "ada/shop") -> tuple[dict[str, Any], str]:
    card = hub.datasets[repository].files["README.md"].decode()
    _, metadata, text = re.split(r"^---$", card, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(metadata), text


# ------------------------------------------------------------------------------------------------------- what arrives


def test_pairs_card_manifest_and_lineage_arrive_in_one_commit_in_a_private_dataset(bench, hub):
    result = push(bench)
    dataset = hub.datasets["ada/shop"]
    assert set(dataset.files) == {
        "README.md",
        "lineage.jsonl",
        "data/training-set.parquet",
        "data/training-set.parquet.manifest.json",
    }
    assert dataset.private
    assert result.private
    assert len(dataset.commits) == 1
    assert result.commit == f"{1:040d}"
    assert result.address == f"{hub.address}/datasets/ada/shop"
    assert result.rows == len(select_for_export(bench.store, "training-set", config=CONFIG).rows)


@pytest.mark.parametrize(("what", "split"), [("training-set", "train"), ("heldout", "test")])
def test_the_datasets_library_reads_them_by_the_card(what, split, bench, hub, tmp_path):
    from datasets import load_dataset

    push(bench, what=what)
    for name, content in hub.datasets["ada/shop"].files.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    loaded = load_dataset(str(tmp_path / "shop"), split=split, cache_dir=str(tmp_path / "cache"))
    rows = select_for_export(bench.store, what, config=CONFIG).rows
    assert [each[0]["content"] for each in loaded["chosen"]] == [row.pair.chosen for row in rows]
    assert loaded["mars_source_id"] == [row.source_id for row in rows]


def test_the_lineage_names_each_new_pair_s_parent_writers_and_who_decided(bench, hub):
    push(bench)
    lines = [json.loads(line) for line in hub.datasets["ada/shop"].files["lineage.jsonl"].splitlines()]
    rows = [
        row for row in select_for_export(bench.store, "training-set", config=CONFIG).rows if row.method != "original"
    ]
    assert [(line["parent"], line["method"], line["round"]) for line in lines] == [
        (row.source_id, row.method, row.round) for row in rows
    ]
    assert len(lines) > 20
    imported = {pair.id for pair in bench.store.pairs.pairs("train")}
    for line, row in zip(lines, rows, strict=True):
        assert line["parent"] in imported
        assert line["proposals"]
        assert line["decided_by"] == "policy"
        for side in ("chosen", "rejected"):
            writers = line[f"{side}_by"]
            assert set(writers) <= {"suffix 1", "replacing 1"}
            if not writers:
                source = bench.store.pairs.by_id([row.source_id])[row.source_id]
                assert getattr(row.pair, side) in (source.chosen, source.rejected)


def test_what_a_person_edited_and_accepted_is_told():
    bench = make_bench(CONFIG)
    source = ListSource(make_pairs(12))
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    run_rounds(bench, 1, policy="accept-all")
    composition = bench.store.compositions.latest()
    composed = next(row for row in bench.store.compositions.pairs(composition.id) if row.chosen_from)
    proposal = bench.store.proposals.by_id([composed.chosen_from])[composed.chosen_from]
    record_review(
        bench.store,
        "proposal",
        proposal.id,
        "edit",
        annotator="ada-lovelace",
        clock=bench.clock,
        chosen=f"{proposal.chosen} indeed",
    )
    rows = select_for_export(bench.store, "training-set", config=CONFIG).rows
    lineage = dataset_lineage(bench.store, rows, what="training-set")
    told = [each for each in lineage.augmented if proposal.id in each.proposals]
    assert told
    assert {each.decided_by for each in told} == {"people"}
    assert any(EDITED in each.chosen_by for each in told)
    assert lineage.by_decider["people"] == 1
    assert lineage.actions["edit"] == 1


# --------------------------------------------------------------------------------------------------- what the card says


def test_the_card_s_metadata_are_what_the_hub_reads(bench, hub):
    push(bench, licence="cc-by-4.0")
    metadata, _ = card_of(hub)
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["pretty_name"] == "shop"
    assert metadata["size_categories"] == "n<1K"
    assert {"preference", "synthetic", "trl"} <= set(metadata["tags"])
    assert metadata["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/training-set.parquet"}]}
    ]


def test_the_card_says_how_the_pairs_were_made(bench, hub):
    push(bench)
    _, text = card_of(hub)
    rows = select_for_export(bench.store, "training-set", config=CONFIG).rows
    lineage = dataset_lineage(bench.store, rows, what="training-set")
    assert f"{len(rows):,} preference pairs" in text
    assert f"{lineage.original:,} as they were imported, and {len(lineage.augmented):,} that MARS wrote" in text
    assert f"from {lineage.parents:,} of the pairs" in text
    (source,) = lineage.sources
    assert source.content_hash in text
    assert "shop \\| train" in text
    assert "1 `flip`" in text
    assert "by an automatic policy alone" in text
    for writer in lineage.writers:
        assert f"| {writer.name} (a stand-in) | {writer.version} | {writer.proposals:,} |" in text
    assert "not a language model" in text
    assert f"by the law `{lineage.plan.law}`" in text
    assert "None was named." in text
    settings = json.loads(text[text.index("```json") + 7 : text.rindex("```")])
    assert settings["triage"]["policy"] == "keep"
    assert settings["encoder"]["name"] == "encoder"


def test_held_out_and_base_pairs_have_cards_without_new_pairs(bench, hub):
    push(bench, "ada/heldout", what="heldout")
    metadata, text = card_of(hub, "ada/heldout")
    assert "synthetic" not in metadata["tags"]
    assert "Do not train on them" in text
    assert "There are none: all pairs are as they were imported." in text
    assert hub.datasets["ada/heldout"].files["lineage.jsonl"] == b""
    push(bench, "ada/base", what="base", shape="standard")
    assert "`mars_prompt`" in card_of(hub, "ada/base")[1]


def test_neither_people_nor_servers_nor_folders_are_named(bench, hub):
    push(bench)
    sent = b"".join(hub.datasets["ada/shop"].files.values()).decode("utf-8", "replace")
    for secret in (*SECRETS, TOKEN):
        assert secret not in sent
    assert published({"a": ["/home/ada/x.json", "plain/y"], "base_url": "http://z"}) == {"a": ["x.json", "plain/y"]}


# ---------------------------------------------------------------------------------------------------- what is not sent


def test_a_dataset_that_exists_is_replaced_only_when_asked(bench, hub):
    push(bench)
    with pytest.raises(MarsError, match=r"ada/shop exists already.*--overwrite"):
        push(bench, what="heldout")
    assert len(hub.datasets["ada/shop"].commits) == 1
    hub.datasets["ada/shop"].files["notes.txt"] = b"kept"
    push(bench, what="heldout", overwrite=True)
    assert set(hub.datasets["ada/shop"].files) == {
        "README.md",
        "lineage.jsonl",
        "notes.txt",
        "data/heldout.parquet",
        "data/heldout.parquet.manifest.json",
    }


def test_private_pairs_do_not_go_into_a_public_dataset_unasked(bench, hub):
    result = push(bench, public=True)
    assert not result.private
    assert not hub.datasets["ada/shop"].private
    with pytest.raises(MarsError, match=r"ada/shop is public.*--public"):
        push(bench, overwrite=True)
    assert len(hub.datasets["ada/shop"].commits) == 1
    assert not push(bench, overwrite=True, public=True).private


@pytest.mark.slow
@pytest.mark.parametrize("repository", ["shop", "ada/shop/x", "ada/", "ada/sh op", "/home/ada"])
def test_a_name_that_is_none_is_refused(repository, bench, hub):
    with pytest.raises(MarsError, match=r"names no dataset on the hub.*OWNER/NAME"):
        push(bench, repository)
    assert hub.asked == []


def test_without_a_token_nothing_is_asked_of_the_hub(bench, hub, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(MarsError, match=r"no token.*hf auth login.*HF_TOKEN"):
        push(bench)
    assert hub.asked == []


def test_what_the_hub_refuses_is_said_in_its_words(bench, hub, monkeypatch):
    hub.refused.add("/api/repos/create")
    with pytest.raises(MarsError, match=r"did not take the dataset ada/shop: .*rights to write here"):
        push(bench)
    assert hub.datasets == {}
    hub.refused.clear()
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(MarsError, match=r"did not take the dataset ada/shop: .*Invalid"):
        push(bench)


@pytest.mark.usefixtures("hub")
def test_a_hub_that_cannot_be_reached_is_told(bench, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MarsError, match="ada/shop could not be sent"):
        push(bench)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MarsError, match=r"ada/shop could not be sent: .*offline"):
        push(bench)


def test_nothing_to_send_is_told_before_the_hub_is_asked(hub):
    with pytest.raises(NotReadyError):
        push(make_bench(CONFIG))
    assert hub.asked == []


# ------------------------------------------------------------------------------------------------------- the command


def test_the_command_sends_only_when_asked(hub, tmp_path: Path):
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(mars, ["--workspace", str(tmp_path / "mine"), *arguments])

    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "Which?", "chosen": "this one", "rejected": "none of them"}\n')
    assert run("init").exit_code == 0
    assert run("import", str(pairs)).exit_code == 0
    assert run("export", str(tmp_path / "out.jsonl")).exit_code == 0
    assert hub.asked == []
    sent = run("export", "--push", "ada/mine", "--license", "mit")
    assert sent.exit_code == 0, sent.output
    assert f"sent 1 pairs to {hub.address}/datasets/ada/mine" in " ".join(sent.output.split())
    assert card_of(hub, "ada/mine")[0]["license"] == "mit"
    again = run("export", "--push", "ada/mine", "--overwrite", "--json")
    assert json.loads(again.stdout)["repository"] == "ada/mine"
    for wrong in ([], [str(tmp_path / "x.jsonl"), "--push", "ada/mine"], [str(tmp_path / "x.jsonl"), "--public"]):
        assert run("export", *wrong).exit_code == 2
    assert list(hub.datasets) == ["ada/mine"]
