import gzip
import hashlib
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest

from mars_engine.core.errors import MarsError
from mars_engine.core.records import Pair, Turn
from mars_engine.data.exporter import ExportResult, ExportRow, ExportShape, export_pairs, prompt_as_text
from mars_engine.data.loaders import open_source

SHAPES: tuple[ExportShape, ...] = get_args(ExportShape)
ENDINGS = ("jsonl", "jsonl.gz", "parquet")
OUR_COLUMNS = ["mars_margin", "mars_round", "mars_source_id", "mars_method", "mars_semantic_distance", "mars_weight"]

SINGLE = Pair.of([Turn("user", "Sort a list.\n")], "```python\nxs.sort()\n\n```", "  sorted()  ")
OTHER = Pair.of([Turn("user", "Grüße, 世界 🌍?")], "Hallo!", 'Er sagte "nein".')
DIALOGUE = Pair.of([Turn("user", "Hi"), Turn("assistant", "Hello."), Turn("user", "Bye\n\nnow")], "Bye.", "Why?")
INSTRUCTED = Pair.of([Turn("system", "Be kind."), Turn("user", "Hi")], "Hello!", "What?")


def row(pair: Pair, **changes: Any) -> ExportRow:
    plain = ExportRow(pair, margin=0.25, round=1, source_id="s1", method="paraphrase", semantic_distance=0.5)
    return replace(plain, **changes)


ROWS = [row(SINGLE), row(OTHER, margin=None, semantic_distance=math.nan, weight=2.0), row(DIALOGUE), row(INSTRUCTED)]


def export(path: Path, shape: ExportShape, rows: list[ExportRow] = ROWS, **options: Any) -> ExportResult:
    return export_pairs(rows, path, shape=shape, manifest={"workspace": "w"}, **options)


def records_in(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in content.decode().splitlines()]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_has_the_texts_and_our_columns_and_no_margin(tmp_path: Path, shape: ExportShape, ending: str) -> None:
    result = export(tmp_path / f"pairs.{ending}", shape)
    records = records_in(result.path)
    sides = ["chosen", "rejected"] if shape.endswith("implicit") else ["prompt", "chosen", "rejected"]
    sides += ["mars_prompt"] if shape.startswith("standard") else []
    assert [list(record) for record in records] == [sides + OUR_COLUMNS] * len(ROWS)
    assert list(result.columns) == sides + OUR_COLUMNS
    assert [record["mars_margin"] for record in records] == [0.25, None, 0.25, 0.25]
    assert [record["mars_semantic_distance"] for record in records] == [0.5, None, 0.5, 0.5]
    assert [record["mars_weight"] for record in records] == [1.0, 2.0, 1.0, 1.0]
    assert records[0]["mars_round"] == 1
    assert (records[0]["mars_source_id"], records[0]["mars_method"]) == ("s1", "paraphrase")


def test_the_four_shapes_of_a_pair(tmp_path: Path) -> None:
    def texts(shape: ExportShape, pair: Pair) -> dict[str, Any]:
        path = export(tmp_path / "one.jsonl", shape, [row(pair)], overwrite=True).path
        return {name: value for name, value in records_in(path)[0].items() if not name.startswith("mars_")}

    question = {"role": "user", "content": "Grüße, 世界 🌍?"}
    chosen = {"role": "assistant", "content": "Hallo!"}
    rejected = {"role": "assistant", "content": 'Er sagte "nein".'}
    assert texts("conversational", OTHER) == {"prompt": [question], "chosen": [chosen], "rejected": [rejected]}
    assert texts("conversational-implicit", OTHER) == {"chosen": [question, chosen], "rejected": [question, rejected]}
    assert texts("standard", SINGLE) == {
        "prompt": "Sort a list.\n",
        "chosen": "```python\nxs.sort()\n\n```",
        "rejected": "  sorted()  ",
    }
    assert texts("standard-implicit", OTHER) == {
        "chosen": "\n\nHuman: Grüße, 世界 🌍?\n\nAssistant: Hallo!",
        "rejected": '\n\nHuman: Grüße, 世界 🌍?\n\nAssistant: Er sagte "nein".',
    }
    assert texts("standard", INSTRUCTED)["prompt"] == "\n\nSystem: Be kind.\n\nHuman: Hi\n\nAssistant:"


def test_a_prompt_of_several_turns_as_text_is_like_hh_rlhf() -> None:
    assert prompt_as_text(DIALOGUE.prompt) == "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Bye\n\nnow\n\nAssistant:"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_export_comes_back_as_the_same_pairs(tmp_path: Path, shape: ExportShape, ending: str) -> None:
    source = open_source(str(export(tmp_path / f"pairs.{ending}", shape).path))
    assert source.format == "trl"
    assert [pair.id for parsed in source.rows() for pair in parsed.pairs] == [row.pair.id for row in ROWS]


def test_the_implicit_standard_shape_is_hh_rlhf_and_comes_back_without_our_columns_too(tmp_path: Path) -> None:
    path = export(tmp_path / "a.jsonl", "standard-implicit").path
    bare = [{name: record[name] for name in ("chosen", "rejected")} for record in records_in(path)]
    (tmp_path / "bare.jsonl").write_text("".join(json.dumps(record) + "\n" for record in bare), encoding="utf-8")
    for name, expected in (("a.jsonl", "trl"), ("bare.jsonl", "hh-rlhf")):
        source = open_source(str(tmp_path / name))
        assert source.format == expected
        assert [pair.id for parsed in source.rows() for pair in parsed.pairs] == [row.pair.id for row in ROWS], name


def test_the_manifest_says_what_the_file_is(tmp_path: Path) -> None:
    settings = {"tau": 0.5, "shares": (0.5, math.nan), "shape": "overridden"}
    path = tmp_path / "pairs.jsonl"
    result = export_pairs(ROWS, path, shape="conversational", manifest=settings)
    assert result.manifest_path == tmp_path / "pairs.jsonl.manifest.json"
    assert json.loads(result.manifest_path.read_text(encoding="utf-8")) == {
        "tau": 0.5,
        "shares": [0.5, None],
        "file": "pairs.jsonl",
        "shape": "conversational",
        "rows": 4,
        "columns": list(result.columns),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pairs.jsonl", "pairs.jsonl.manifest.json"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_equal_rows_give_equal_bytes(tmp_path: Path, ending: str) -> None:
    first = export(tmp_path / f"a.{ending}", "standard")
    assert export(tmp_path / f"b.{ending}", "standard").sha256 == first.sha256


def test_an_existing_file_is_overwritten_only_when_asked(tmp_path: Path) -> None:
    path = export(tmp_path / "a.jsonl", "standard", ROWS[:1]).path
    before = path.read_bytes()
    with pytest.raises(MarsError, match="exists already"):
        export(path, "standard")
    assert path.read_bytes() == before
    assert export(path, "standard", overwrite=True).rows == 4
    assert len(records_in(path)) == 4


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, ending: str) -> None:
    path = export(tmp_path / f"a.{ending}", "standard", ROWS[:1]).path
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    broken = row(Pair.of([Turn("user", "q")], "half \ud83d", "y"))
    with pytest.raises(MarsError, match="cannot be written as UTF-8"):
        export(path, "standard", [*ROWS, broken], overwrite=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_full_disk_is_a_mars_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MarsError, match="No space left"):
        export(tmp_path / "a.jsonl", "standard")
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_is_not_json_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        export_pairs(ROWS, tmp_path / "a.jsonl", shape="standard", manifest={"path": tmp_path})
    assert list(tmp_path.iterdir()) == []


def test_requests_that_cannot_be_met(tmp_path: Path) -> None:
    with pytest.raises(MarsError, match="no file ending that is known"):
        export(tmp_path / "a.txt", "standard")
    with pytest.raises(MarsError, match="no pairs to export"):
        export(tmp_path / "a.jsonl", "standard", [])
    with pytest.raises(MarsError, match="no export shape 'flat'"):
        export(tmp_path / "a.jsonl", "flat")  # type: ignore[arg-type]
    with pytest.raises(MarsError, match="cannot be written"):
        export(tmp_path / "absent" / "a.jsonl", "standard")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pair_without_a_prompt_needs_an_implicit_shape(tmp_path: Path, shape: ExportShape) -> None:
    rows = [row(Pair.of([], "Certainly.", "Never."))]
    if shape.endswith("implicit"):
        source = open_source(str(export(tmp_path / "a.jsonl", shape, rows).path))
        assert [pair.id for parsed in source.rows() for pair in parsed.pairs] == [rows[0].pair.id]
    else:
        with pytest.raises(MarsError, match=f"shape '{shape}' needs one.*{shape}-implicit"):
            export(tmp_path / "a.jsonl", shape, rows)


SPECIAL_TOKENS = {"pad_token": "<pad>", "eos_token": "<eos>"}
CHAT_TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    bytewise = tokenizers.Tokenizer(tokenizers.models.BPE())
    bytewise.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        special_tokens=list(SPECIAL_TOKENS.values()),
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bytewise.train_from_iterator([], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytewise, chat_template=CHAT_TEMPLATE, **SPECIAL_TOKENS
    )


# TRL 1.16 sets the option by the name that transformers 5.23 is about to drop.
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.model
class TestInTrl:
    """TRL's RewardTrainer prepares every row of every shape."""

    @pytest.mark.parametrize("ending", ENDINGS)
    @pytest.mark.parametrize("shape", SHAPES)
    def test_every_row_is_prepared(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: Any, shape: ExportShape, ending: str
    ) -> None:
        trl = pytest.importorskip("trl")
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        path = export(tmp_path / f"pairs.{ending}", shape).path
        kind = "parquet" if ending == "parquet" else "json"
        loaded = datasets.load_dataset(kind, data_files=str(path), split="train")
        assert "margin" not in loaded.column_names

        trainer = trl.RewardTrainer(
            model=tiny_reward_model(tokenizer),
            args=trl.RewardConfig(
                output_dir=str(tmp_path / "out"), use_cpu=True, bf16=False, report_to=[], disable_tqdm=True
            ),
            train_dataset=loaded,
            processing_class=tokenizer,
        )
        prepared = trainer.train_dataset
        assert "margin" not in prepared.column_names
        assert len(prepared) == len(ROWS)
        for exported, tokens in zip(ROWS, prepared, strict=True):
            chosen, rejected = (tokenizer.decode(tokens[f"{side}_ids"]) for side in ("chosen", "rejected"))
            assert exported.pair.chosen in chosen
            assert exported.pair.rejected in rejected
            assert all(turn.content in chosen and turn.content in rejected for turn in exported.pair.prompt)


def tiny_reward_model(tokenizer: Any) -> Any:
    from transformers import AutoModelForSequenceClassification, LlamaConfig

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    return AutoModelForSequenceClassification.from_config(config)
