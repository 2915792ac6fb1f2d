"""Files of the kinds that people have: each comes out as the pairs it stands for, or says why not."""

import csv
import gzip
import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mars_engine.core.errors import LoadError
from mars_engine.core.import_records import ParsedRow
from mars_engine.core.records import Pair, Turn
from mars_engine.data.loaders import ReadingOptions, open_source

TEXTS = [
    ("How deep is the sea?", "About 3.7 km on average.", "Nobody swims."),
    ("Reverse a list", "Use xs[::-1].\n\n    ys = xs[::-1]", "Turn around — ï."),
    ('What\'s a quark, "really"?', "A particle's part, it's said.", "A cheese."),
    ("Name a tree", "An oak.", "A rock."),
]


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def pair_ids(*before: Turn, texts: list[tuple[str, str, str]] = TEXTS) -> list[str]:
    return [Pair.of((*before, Turn("user", q)), good, bad).id for q, good, bad in texts]


def rows_like(layout: Any) -> list[dict[str, Any]]:
    return [layout(*texts) for texts in TEXTS]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def separated(rows: list[dict[str, Any]], separator: str = ",") -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def read(
    tmp_path: Path, content: bytes | list[dict[str, Any]], name: str = "a.jsonl", **options: Any
) -> list[ParsedRow]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else lines(content))
    return list(open_source(str(path), options=ReadingOptions(**options)).rows())


def ids(rows: list[ParsedRow]) -> list[str]:
    return [pair.id for row in rows for pair in row.pairs]


def dropped(rows: list[ParsedRow]) -> Counter[str]:
    return Counter(reason for row in rows for reason in row.dropped)


PLAIN = rows_like(lambda q, good, bad: {"prompt": q, "chosen": good, "rejected": bad})
DIALOGUES = rows_like(
    lambda q, good, bad: {
        "chosen": [turn("user", q), turn("assistant", good)],
        "rejected": [turn("user", q), turn("assistant", bad)],
    }
)
STEPS = [{"type": "function", "function": {"name": "look_up", "arguments": {"x": 1}}}]


@pytest.mark.parametrize(
    "layout",
    [
        lambda q, good, bad: {"question": q, "chosen": good, "rejected": bad},
        lambda q, good, bad: {"query": q, "chosen": good, "rejected": bad},
        lambda q, good, bad: {"instruction": q, "input": "", "chosen": good, "rejected": bad},
        lambda q, good, bad: {"input": q, "chosen": good, "rejected": bad},
        lambda q, good, bad: {"Prompt": q, "Chosen": good, "Rejected": bad},
        lambda q, good, bad: {"prompt": q, "chosen_response": good, "rejected_response": bad},
        lambda q, good, bad: {"prompt": q, "question": q, "chosen": good, "rejected": bad},
        lambda q, good, bad: {"prompt": q, "chosen": [turn("assistant", good)], "rejected": [turn("assistant", bad)]},
        lambda q, good, bad: {"prompt": q, "chosen": turn("assistant", good), "rejected": turn("assistant", bad)},
        lambda q, good, bad: {"prompt": [turn("user", q)], "chosen": good, "rejected": bad},
        lambda q, good, bad: {
            "prompt": [turn("user", q)],
            "chosen": [turn("user", q), turn("assistant", good)],
            "rejected": [turn("user", q), turn("assistant", bad)],
        },
        lambda q, good, bad: {
            "prompt": q,
            "chosen": json.dumps([turn("user", q), turn("assistant", good)]),
            "rejected": json.dumps([turn("user", q), turn("assistant", bad)]),
        },
        lambda q, good, bad: {
            "prompt": [turn("user", [{"type": "text", "text": q}])],
            "chosen": [turn("assistant", [{"type": "text", "text": good}])],
            "rejected": [turn("assistant", [{"type": "text", "text": bad[:3]}, {"type": "text", "text": bad[3:]}])],
        },
        lambda q, good, bad: {
            "chosen": [turn("Human", q), turn("Assistant", good)],
            "rejected": [turn("human", q), turn("bot", bad)],
        },
        lambda q, good, bad: {
            "conversations": [{"from": "human", "value": q}],
            "chosen": {"from": "gpt", "value": good},
            "rejected": {"from": "gpt", "value": bad},
        },
        lambda q, good, bad: {
            "messages": [turn("user", q)],
            "chosen": turn("model", good),
            "rejected": turn("ai", bad),
        },
        lambda q, good, bad: {"messages": [turn("user", q), turn("assistant", good)], "rejected_response": bad},
        lambda q, good, bad: {
            "messages": [turn("user", q), turn("assistant", good)],
            "rejected_messages": [turn("user", q), turn("assistant", bad)],
        },
        lambda q, good, bad: {"instruction": q, "input": "", "output": [good, bad]},
        lambda q, good, bad: {
            "prompt": f"\n\nHuman: {q}\n\nAssistant: ",
            "answers": [
                {"answer": bad, "model": "c", "rank": 7.0},
                {"answer": f"{good} perhaps", "model": "b", "rank": 2.0},
                {"answer": good, "model": "a", "rank": 1.0},
            ],
        },
        lambda q, good, bad: {"prompt": q, "responses": [bad, good, "x"], "scores": [1, 9, 4]},
        lambda q, good, bad: {"prompt": q, "response_1": good, "response_2": bad, "preference_strength": -1},
        lambda q, good, bad: {
            "context": [turn("user", q)],
            "response1": bad,
            "response2": good,
            "overall_preference": 2,
            "domain": "general",
        },
        lambda q, good, bad: {
            "history": q,
            "human_ref_A": good,
            "human_ref_B": bad,
            "labels": 1,
            "score_A": 9,
            "score_B": 2,
        },
        lambda q, good, bad: {
            "question": {"dataset": "eli5", "full_text": q},
            "answer_0": bad,
            "answer_1": good,
            "score_0": -0.5,
            "score_1": 0.5,
        },
        lambda q, good, bad: {"prompt": q, "response_a": bad, "response_b": good, "winner": "model_b"},
        lambda q, good, bad: {
            "prompt": json.dumps([q]),
            "response_a": json.dumps([good]),
            "response_b": json.dumps([bad]),
            "winner_model_a": 1,
            "winner_model_b": 0,
            "winner_tie": 0,
        },
        lambda q, good, bad: {
            "conversation_a": [turn("user", q), turn("assistant", good)],
            "conversation_b": [turn("user", q), turn("assistant", bad)],
            "winner": "model_a",
        },
        lambda q, good, bad: {
            "question": q,
            "answers": [{"answer_id": 1, "pm_score": 0, "text": bad}, {"answer_id": 2, "pm_score": 5, "text": good}],
        },
        lambda q, good, bad: {"info": {"post": q}, "summaries": [{"text": good}, {"text": bad}], "choice": 0},
        lambda q, good, bad: {
            "chosen": f"\r\n\r\nHuman: {q}\r\n\r\nAssistant: {good}",
            "rejected": f"\r\n\r\nHuman: {q}\r\n\r\nAssistant: {bad}",
        },
    ],
)
def test_a_layout_is_read_as_the_pairs_it_stands_for(tmp_path: Path, layout: Any) -> None:
    rows = read(tmp_path, rows_like(layout))
    assert ids(rows) == pair_ids()
    assert not dropped(rows)


@pytest.mark.parametrize("name", ["system", "system_prompt"])
def test_a_system_column_becomes_a_turn(tmp_path: Path, name: str) -> None:
    system = Turn("system", "Be terse.")
    assert ids(read(tmp_path, [{name: system.content, **row} for row in PLAIN])) == pair_ids(system)
    assert ids(read(tmp_path, [{name: system.content, **row} for row in DIALOGUES])) == pair_ids(system)
    assert ids(read(tmp_path, [{name: "  ", **row} for row in PLAIN])) == pair_ids()
    twice = [
        {name: "Be kind.", "prompt": [turn("system", "Be terse."), turn("user", "q")], "chosen": "a", "rejected": "b"}
    ]
    assert dropped(read(tmp_path, twice)) == {"two different system turns": 1}


def test_instruction_and_input_and_a_history_make_up_the_prompt(tmp_path: Path) -> None:
    row = {"instruction": "Translate.", "input": "Hallo", "chosen": "Hello", "rejected": "Halo"}
    (parsed,) = read(tmp_path, [row])
    assert parsed.pairs[0].prompt == (Turn("user", "Translate.\n\nHallo"),)
    (parsed,) = read(tmp_path, [{**row, "history": [["Hi", "Yes?"]]}])
    assert [each.content for each in parsed.pairs[0].prompt] == ["Hi", "Yes?", "Translate.\n\nHallo"]
    (parsed,) = read(tmp_path, [{"context": "Ada wrote it.", "question": "Who?", "chosen": "Ada", "rejected": "Bob"}])
    assert parsed.pairs[0].prompt == (Turn("user", "Ada wrote it.\n\nWho?"),)


def test_two_columns_that_may_be_the_prompt_are_not_guessed_between(tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {q}", "question": "Other", "chosen": a, "rejected": b} for q, a, b in TEXTS]
    assert dropped(read(tmp_path, rows)) == {"more than one column may be the prompt: prompt, question": 4}
    rows = [{"prompt": f"Say {q}", "text": "Something else.", "chosen": a, "rejected": b} for q, a, b in TEXTS]
    assert dropped(read(tmp_path, rows)) == {"more than one column may be the prompt: prompt, text": 4}
    (named, *_) = read(tmp_path, rows, columns={"prompt": "prompt"})
    assert dict(named.unused) == {"text": "Something else."}


def test_a_prompt_in_a_column_that_is_not_known_is_never_passed_over(tmp_path: Path) -> None:
    in_texts = [{"frage": q, "chosen": good, "rejected": bad} for q, good, bad in TEXTS]
    in_turns = [
        {"frage": [turn("user", q)], "chosen": [turn("assistant", good)], "rejected": [turn("assistant", bad)]}
        for q, good, bad in TEXTS
    ]
    for rows in (in_texts, in_turns):
        assert dropped(read(tmp_path, rows)) == {"no prompt, though the column 'frage' may be it": 4}
        assert ids(read(tmp_path, rows, columns={"prompt": "frage"})) == pair_ids()
    rows = [{"chosen": good, "rejected": bad, "source": "two words"} for _, good, bad in TEXTS]
    assert ids(read(tmp_path, rows))
    rows = [{"chosen": good, "rejected": bad, "frage": "two words"} for _, good, bad in TEXTS]
    assert ids(read(tmp_path, rows, columns={"chosen": "chosen", "rejected": "rejected"}))


def test_columns_that_are_not_used_are_named_with_what_they_hold(tmp_path: Path) -> None:
    rows = read(tmp_path, [{**row, "note": "seen", "empty": "", "nothing": None} for row in PLAIN])
    assert [dict(row.unused) for row in rows] == [{"note": "seen"}] * 4
    assert all(not row.unused for row in read(tmp_path, PLAIN))


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ([turn("assistant", None) | {"tool_calls": STEPS}], "has tool calls"),
        ([turn("assistant", "Let me see.") | {"tool_calls": STEPS}], "has tool calls"),
        ([turn("assistant", [{"type": "image", "url": "x"}])], "a part of a turn is not text"),
        (
            [turn("assistant", "a"), turn("user", "more"), turn("assistant", "b")],
            "the response is not one assistant turn: ",
        ),
    ],
)
def test_what_a_pair_cannot_hold_is_dropped_under_its_own_reason(tmp_path: Path, chosen: Any, reason: str) -> None:
    good = {"prompt": [turn("user", "q")], "chosen": [turn("assistant", "x")], "rejected": [turn("assistant", "y")]}
    rows = read(tmp_path, [good, {**good, "chosen": chosen}])
    assert [len(row.pairs) for row in rows] == [1, 0]
    assert rows[1].dropped[0].startswith(reason)


def test_sides_that_differ_in_their_calls_alone_are_not_called_identical(tmp_path: Path) -> None:
    other = [{"type": "function", "function": {"name": "delete_all", "arguments": {}}}]
    row = {
        "prompt": [turn("user", "q")],
        "chosen": [turn("assistant", "Let me see.") | {"tool_calls": STEPS}],
        "rejected": [turn("assistant", "Let me see.") | {"tool_calls": other}],
        "tools": STEPS,
    }
    assert dropped(read(tmp_path, [row])) == {"has tool calls": 1}
    offered = {"prompt": "q", "chosen": "a", "rejected": "b", "tools": STEPS}
    assert dropped(read(tmp_path, [offered])) == {"offers tools": 1}
    assert ids(read(tmp_path, [{**offered, "tools": []}]))
    answered = {**row, "prompt": [turn("user", "q"), turn("tool", "data") | {"name": "look_up"}]}
    assert dropped(read(tmp_path, [answered])) == {"has tool calls": 1}


@pytest.mark.parametrize(
    "names",
    [
        ("score_chosen", "score_rejected"),
        ("chosen-rating", "rejected-rating"),
        ("chosen_avg_rating", "rejected_avg_rating"),
        ("rating_chosen", "rating_rejected"),
        ("chosen_score", "rejected_score"),
    ],
)
def test_equal_scores_are_ties_and_reversed_ones_are_counted(tmp_path: Path, names: tuple[str, str]) -> None:
    for base in (PLAIN, [{"prompt": q, **row} for row, (q, _, _) in zip(DIALOGUES, TEXTS, strict=True)]):
        scored = [(4.0, 2.0), (4.0, 4.0), (1.0, 3.0), ("5", "5.0")]
        rows = read(
            tmp_path, [{**row, **dict(zip(names, pair, strict=True))} for row, pair in zip(base, scored, strict=True)]
        )
        assert dropped(rows) == {"all scores are equal": 2}
        assert [row.notes for row in rows] == [(), (), ("the scores say the reverse of the label",), ()]
        assert rows[0].pairs[0].attributes == {"score_chosen": 4.0, "score_rejected": 2.0}
        assert not rows[0].unused


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "response_1": "a", "response_2": "b", "preference_strength": 0},
        {"prompt": "q", "response_a": "a", "response_b": "b", "winner": "tie (bothbad)"},
        {
            "prompt": "q",
            "response_a": "a",
            "response_b": "b",
            "winner_model_a": 0,
            "winner_model_b": 0,
            "winner_tie": 1,
        },
    ],
)
def test_a_verdict_for_neither_is_a_tie(tmp_path: Path, row: dict[str, Any]) -> None:
    assert dropped(read(tmp_path, [row])) == {"a tie: neither response is preferred": 1}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "response_A": "bad", "response_B": "good", "label": "B>A"},
        {"prompt": "q", "Response A": "bad", "Response B": "good", "Preference": "Response B"},
        {"prompt": "q", "output_1": "bad", "output_2": "good", "label": 2},
        {"prompt": "q", "answer_0": "bad", "answer_1": "good", "choice": 1},
    ],
)
def test_a_verdict_may_be_written_in_several_ways(tmp_path: Path, row: dict[str, Any]) -> None:
    assert [each.chosen for each in read(tmp_path, [row])[0].pairs] == ["good"]


def test_labels_of_0_and_1_beside_responses_1_and_2_are_refused(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response_1": "a", "response_2": "b", "label": label} for label in (1, 0)]
    with pytest.raises(LoadError, match="whether 1 means the first or the second response cannot be told"):
        read(tmp_path, rows)


@pytest.mark.parametrize(
    ("row", "remedy"),
    [
        ({"prompt": "a b", "completion": "c d", "label": True}, "each row has one answer, in 'completion'"),
        ({"instruction": "a b", "input": "", "output": "c d"}, "each row has one answer, in 'output'"),
        ({"message_id": "1", "parent_id": None, "text": "a b", "role": "prompter"}, "messages of a tree"),
    ],
)
def test_data_that_are_no_pairs_are_refused_by_what_they_are(tmp_path: Path, row: dict[str, Any], remedy: str) -> None:
    with pytest.raises(LoadError, match=remedy):
        read(tmp_path, [row])


def test_a_row_with_an_image_is_dropped_as_such(tmp_path: Path) -> None:
    row = {"question": "q", "image": {"path": "a.png"}, "chosen": "a", "rejected": "b"}
    assert dropped(read(tmp_path, [row])) == {"has an image, a video or a sound": 1}
    assert ids(read(tmp_path, [{**row, "image": None}]))


def test_a_dialogue_beside_what_is_none_is_no_pair(tmp_path: Path) -> None:
    whole = {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}
    for row in (whole, {"prompt": "", **whole}):
        assert dropped(read(tmp_path, [row, {**row, "rejected": "[]"}])) == {"not a dialogue": 1}


def test_an_empty_prompt_beside_dialogues_is_no_loss(tmp_path: Path) -> None:
    assert ids(read(tmp_path, [{"prompt": "", **row} for row in DIALOGUES])) == pair_ids()


def test_a_number_beside_responses_a_and_b_is_not_guessed_at(tmp_path: Path) -> None:
    row = {"prompt": "q", "response_a": "a", "response_b": "b", "preference": 1}
    assert dropped(read(tmp_path, [row])) == {"which response the label means is not known": 1}


def test_ranked_answers_against_the_worst_or_against_each_other_one(tmp_path: Path) -> None:
    answers = [{"answer": f"answer {rank}", "rank": rank} for rank in (3, 1, 2)]
    row = {"prompt": "q", "answers": answers}
    worst = read(tmp_path, [row])
    assert [(pair.chosen, pair.rejected) for pair in worst[0].pairs] == [("answer 1", "answer 3")]
    others = read(tmp_path, [row], against="others")
    assert [pair.rejected for pair in others[0].pairs] == ["answer 3", "answer 2"]
    even = {"prompt": "q", "answers": [{**answer, "rank": 1} for answer in answers]}
    assert dropped(read(tmp_path, [even])) == {"all scores are equal": 1}


def ultrafeedback(overall: tuple[float, float], ratings: tuple[str, str]) -> dict[str, Any]:
    return {
        "instruction": "q",
        "completions": [
            {"response": name, "overall_score": score, "annotations": {"honesty": {"Rating": rating}}}
            for name, score, rating in zip(("first", "second"), overall, ratings, strict=True)
        ],
    }


def test_the_mean_of_the_ratings_decides_and_the_overall_score_where_it_is_asked_for(tmp_path: Path) -> None:
    rows = [ultrafeedback((10.0, 8.5), ("1", "5")), ultrafeedback((8.0, 2.0), ("5", "1"))]
    parsed = read(tmp_path, rows)
    assert [row.pairs[0].chosen for row in parsed] == ["second", "first"]
    note = ("the overall score and the mean of the ratings choose different answers",)
    assert [row.notes for row in parsed] == [note, ()]
    parsed = read(tmp_path, rows, deciding="overall")
    assert [row.pairs[0].chosen for row in parsed] == ["first", "first"]
    assert [row.notes for row in parsed] == [note, ()]


# -------------------------------------------------------------------------------------------------------------- files


def test_a_file_is_what_its_first_bytes_say(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("data/pairs.jsonl", lines(PLAIN))
        archive.writestr("__MACOSX/._pairs.jsonl", b"x")
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(PLAIN), table)
    columns = {name: [row[name] for row in PLAIN] for name in PLAIN[0]}
    contents = {
        "gzip.jsonl": gzip.compress(lines(PLAIN)),
        "plain.jsonl.gz": lines(PLAIN),
        "zip.jsonl": packed.getvalue(),
        "a.zip": packed.getvalue(),
        "parquet.jsonl": table.getvalue(),
        "parquet.gz": gzip.compress(table.getvalue()),
        "array.jsonl": json.dumps(PLAIN, indent=1).encode(),
        "lines.txt": lines(PLAIN),
        "lines": lines(PLAIN),
        "lines.csv": lines(PLAIN),
        "bom.jsonl": b"\xef\xbb\xbf" + lines(PLAIN).replace(b"\n", b"\r\n"),
        "table.json": json.dumps(columns).encode(),
        "numbered.json": json.dumps({name: dict(enumerate(cells)) for name, cells in columns.items()}).encode(),
        "wrapped.json": json.dumps({"version": 1, "data": PLAIN}, indent=1).encode(),
        "comma.csv": separated(PLAIN),
        "semicolon.csv": separated(PLAIN, ";"),
        "tab.tsv": separated(PLAIN, "\t"),
        "bar.txt": separated(PLAIN, "|"),
        "bom.csv": b"\xef\xbb\xbf" + separated(PLAIN, ";"),
    }
    for name, content in contents.items():
        assert ids(read(tmp_path, content, name)) == pair_ids(), name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("prompt,chosen\n".encode("utf-16"), "is UTF-16 text"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"(\xb5/\xfd1234", "is compressed by zstandard"),
        (b"ARROW1\0\0", "is an Arrow file"),
        (b"SQLite format 3\0", "is an SQLite database"),
        (b"PK\x05\x06" + b"\0" * 18, "is a zip of 0 files"),
        (b"PK\x03\x04broken", "cannot be read to its end"),
    ],
)
def test_what_is_no_data_file_is_refused_by_its_true_name(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        read(tmp_path, content)


def test_a_zip_of_several_files_names_them(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("train.jsonl", lines(PLAIN))
        archive.writestr("test.jsonl", lines(PLAIN))
    with pytest.raises(LoadError, match=r"a zip of 2 files: train.jsonl, test.jsonl.*unpack it"):
        read(tmp_path, packed.getvalue(), "both.zip")


@pytest.mark.parametrize("spelled", [repr, json.dumps, lambda turns: "[" + "\n ".join(map(repr, turns)) + "]"])
def test_cells_that_spell_turns_are_turns(tmp_path: Path, spelled: Any) -> None:
    """As JSON, as Python writes a list, and as numpy writes an array of turns."""
    rows = [{side: spelled(row[side]) for side in ("chosen", "rejected")} for row in DIALOGUES]
    for content, name in ((separated(rows), "a.csv"), (lines(rows), "a.jsonl")):
        assert ids(read(tmp_path, content, name)) == pair_ids(), name


def test_a_cell_of_many_lines_that_is_not_utf8_costs_its_row_alone(tmp_path: Path) -> None:
    rows = [
        {**row, "prompt": f"{row['prompt']}\nna\u00efve" if place == 1 else row["prompt"]}
        for place, row in enumerate(PLAIN)
    ]
    content = separated(rows).replace("na\u00efve".encode(), b"na\xefve")
    parsed = read(tmp_path, content, "a.csv")
    assert [len(row.pairs) for row in parsed] == [1, 0, 1, 1]
    assert dropped(parsed) == {"text that is not UTF-8": 1}


def test_text_that_only_looks_like_a_list_stays_text(tmp_path: Path) -> None:
    row = {"prompt": "Write JSON.", "chosen": '{"role": 1}', "rejected": '[{"id": 3}, {"id": 4}]'}
    (parsed,) = read(tmp_path, [row])
    assert (parsed.pairs[0].chosen, parsed.pairs[0].rejected) == (row["chosen"], row["rejected"])


def test_a_struct_of_lists_in_parquet_is_a_list_of_turns(tmp_path: Path) -> None:
    rows = [
        {
            side: {key: [each[key] for each in row[side]] for key in ("role", "content")}
            for side in ("chosen", "rejected")
        }
        for row in DIALOGUES
    ]
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table)
    assert ids(read(tmp_path, table.getvalue(), "a.parquet")) == pair_ids()


# ------------------------------------------------------------------------------------------------------------ mapping


def test_a_mapping_reads_what_is_not_recognised_and_the_refusal_names_it(tmp_path: Path) -> None:
    rows = rows_like(lambda q, good, bad: {"frage": q, "best": good, "worst": bad})
    with pytest.raises(LoadError, match=r"--columns prompt=frage,chosen=best,rejected=worst") as caught:
        read(tmp_path, rows)
    assert "'frage', 'best', 'worst'" in caught.value.found
    columns = {"prompt": "frage", "chosen": "best", "rejected": "worst"}
    assert ids(read(tmp_path, rows, columns=columns)) == pair_ids()
    nested = [{"data": row} for row in rows]
    with pytest.raises(LoadError, match=r"--columns prompt=data.frage,chosen=data.best,rejected=data.worst"):
        read(tmp_path, nested)
    assert ids(read(tmp_path, nested, columns={name: f"data.{path}" for name, path in columns.items()})) == pair_ids()


def test_a_mapping_joins_columns_and_swaps_sides(tmp_path: Path) -> None:
    rows = [{"title": "T", "body": q, **row} for row, (q, _, _) in zip(PLAIN, TEXTS, strict=True)]
    (parsed, *_) = read(tmp_path, rows, columns={"prompt": "title+body", "chosen": "rejected", "rejected": "chosen"})
    assert parsed.pairs[0].prompt == (Turn("user", f"T\n\n{TEXTS[0][0]}"),)
    assert (parsed.pairs[0].chosen, parsed.pairs[0].rejected) == (TEXTS[0][2], TEXTS[0][1])
    assert dict(parsed.unused) == {"prompt": TEXTS[0][0]}


def test_a_mapping_to_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"no column 'frage', which was named for prompt.*'prompt', 'chosen'"):
        read(tmp_path, PLAIN, columns={"prompt": "frage"})
    with pytest.raises(LoadError, match="no column 's', which was named for chosen"):
        read(tmp_path, PLAIN, scores={"chosen": "s", "rejected": "t"})


def test_roles_and_scores_can_be_mapped(tmp_path: Path) -> None:
    rows = rows_like(
        lambda q, good, bad: {
            "chosen": [turn("Frage", q), turn("Antwort", good)],
            "rejected": [turn("Frage", q), turn("Antwort", bad)],
        }
    )
    assert dropped(read(tmp_path, rows)) == {"the response is not one assistant turn: the roles are Frage, Antwort": 4}
    assert ids(read(tmp_path, rows, roles={"frage": "user", "antwort": "assistant"})) == pair_ids()
    scored = [{**row, "a": place, "b": 2} for place, row in enumerate(PLAIN)]
    parsed = read(tmp_path, scored, scores={"chosen": "a", "rejected": "b"})
    assert dropped(parsed) == {"all scores are equal": 1}
    assert [len(row.notes) for row in parsed] == [1, 1, 0, 0]
    assert not parsed[0].unused


def test_another_way_to_read_a_file_is_another_data_set(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(PLAIN))
    swapped = ReadingOptions(columns={"chosen": "rejected", "rejected": "chosen"})
    assert open_source(str(path)).content_hash != open_source(str(path), options=swapped).content_hash
