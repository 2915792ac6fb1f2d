import csv
import gzip
import hashlib
import json
import random
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged_sources import DAMAGES, damaged_sources, sound_row
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.errors import LoadError
from mars_engine.core.import_records import ParsedRow
from mars_engine.core.records import Pair, Turn
from mars_engine.data.loaders import FORMATS, open_source, reading, trl

REAL_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def write_lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def user(text: str) -> tuple[Turn, ...]:
    return (Turn("user", text),)


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def only_row(tmp_path: Path, row: dict[str, Any], **options: Any) -> ParsedRow:
    (parsed,) = open_source(write_lines(tmp_path / "one.jsonl", [row]), **options).rows()
    return parsed


def only_pair(tmp_path: Path, row: dict[str, Any], **options: Any) -> Pair:
    parsed = only_row(tmp_path, row, **options)
    assert parsed.dropped == ()
    (pair,) = parsed.pairs
    return pair


def pairs_of(location: str, **options: Any) -> list[Pair]:
    return [pair for row in open_source(location, **options).rows() for pair in row.pairs]


QUESTION = message("user", "Name a colour.")
RED, BRICK = message("assistant", "Red.\n\n  indented"), message("assistant", "Brick.")

# One row of each layout, the name of its format, and the pair it stands for.
COLOURS = Pair.of(user("Name a colour."), "Red.\n\n  indented", "Brick.")
LAYOUTS = {
    "standard": ("trl", {"prompt": "Name a colour.", "chosen": "Red.\n\n  indented", "rejected": "Brick."}),
    "conversational": ("trl", {"prompt": [QUESTION], "chosen": [RED], "rejected": [BRICK]}),
    "conversational-implicit": ("trl", {"chosen": [QUESTION, RED], "rejected": [QUESTION, BRICK]}),
    "hh": (
        "hh-rlhf",
        {
            "chosen": "\n\nHuman: Name a colour.\n\nAssistant: Red.\n\n  indented",
            "rejected": "\n\nHuman: Name a colour.\n\nAssistant: Brick.",
        },
    ),
    "ultrafeedback": (
        "ultrafeedback",
        {
            "source": "sharegpt",
            "instruction": "Name a colour.",
            "completions": [
                {"model": "middle", "response": "Blue?", "overall_score": 5.0},
                {"model": "worst", "response": "Brick.", "overall_score": 1.0},
                {"model": "best", "response": "Red.\n\n  indented", "overall_score": 9.0},
            ],
        },
    ),
    "ultrafeedback-binarized": (
        "ultrafeedback-binarized",
        {
            "prompt": "Name a colour.",
            "prompt_id": "abc",
            "chosen": [QUESTION, RED],
            "rejected": [QUESTION, BRICK],
            "messages": [QUESTION, RED],
            "score_chosen": 8.5,
            "score_rejected": 3.0,
        },
    ),
    "pku-saferlhf": (
        "pku-saferlhf",
        {
            "prompt": "Name a colour.",
            "response_0": "Brick.",
            "response_1": "Red.\n\n  indented",
            "better_response_id": 1,
            "safer_response_id": 0,
        },
    ),
    "rewardbench": (
        "rewardbench",
        {
            "id": 31,
            "subset": "hep-python",
            "prompt": "Name a colour.",
            "chosen": "Red.\n\n  indented",
            "rejected": "Brick.",
            "chosen_model": "human",
            "rejected_model": "unknown",
        },
    ),
    "ms-swift": ("ms-swift", {"messages": [QUESTION, RED], "rejected_response": "Brick."}),
    "llama-factory": (
        "llama-factory",
        {"instruction": "Name a colour.", "input": "", "output": ["Red.\n\n  indented", "Brick."]},
    ),
    "two-responses": (
        "two-responses",
        {
            "prompt": "Name a colour.",
            "response_1": "Brick.",
            "response_2": "Red.\n\n  indented",
            "preference_strength": 2,
        },
    ),
    "summaries": (
        "summaries",
        {
            "info": {"id": "t3", "post": "Name a colour."},
            "summaries": [{"text": "Brick."}, {"text": "Red.\n\n  indented"}],
            "choice": 1,
        },
    ),
    "answer-list": (
        "answer-list",
        {
            "prompt": "\n\nHuman: Name a colour.\n\nAssistant: ",
            "answers": [
                {"answer": "Brick.", "model": "b", "rank": 7.0},
                {"answer": "Red.\n\n  indented", "model": "a", "rank": 1.0},
            ],
        },
    ),
    "rewardbench-2": (
        "rewardbench-2",
        {
            "id": "7",
            "subset": "Focus",
            "prompt": "Name a colour.",
            "chosen": ["Red.\n\n  indented"],
            "rejected": ["Brick."],
            "num_correct": 1,
        },
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_recognised_and_gives_the_same_pair(tmp_path: Path, layout: str) -> None:
    expected_format, row = LAYOUTS[layout]
    source = open_source(write_lines(tmp_path / "set.v1.jsonl", [row]))
    (parsed,) = source.rows()
    assert (source.name, source.format) == ("set.v1", expected_format)
    assert parsed.row == 1
    assert [pair.id for pair in parsed.pairs] == [COLOURS.id]
    assert open_source(source.location, format=expected_format).format == expected_format


def test_the_layouts_above_cover_every_format() -> None:
    assert {name for name, _ in LAYOUTS.values()} == {format.name for format in FORMATS}


def test_subset_and_attributes_are_kept_and_planted_noise_is_never_read(tmp_path: Path) -> None:
    row = {
        **sound_row(1),
        "domain": "law",
        "chosen_model": "a",
        "score_rejected": 2,
        "chosen_preference": float("nan"),
        "rejected_model": "nul \0",
        "mislabelled": True,
        "note": "x",
    }
    pair = only_pair(tmp_path, row)
    assert pair.subset == "law"
    assert pair.attributes == {"chosen_model": "a", "score_rejected": 2}
    assert only_pair(tmp_path, {**row, "subset": "tax"}).subset == "tax"


def test_attributes_of_the_named_sets(tmp_path: Path) -> None:
    ultrafeedback = only_pair(tmp_path, LAYOUTS["ultrafeedback"][1])
    assert ultrafeedback.subset == "sharegpt"
    assert ultrafeedback.attributes == {
        "chosen_model": "best",
        "rejected_model": "worst",
        "score_chosen": 9.0,
        "score_rejected": 1.0,
    }
    assert only_pair(tmp_path, LAYOUTS["ultrafeedback-binarized"][1]).attributes["score_chosen"] == 8.5
    assert only_pair(tmp_path, LAYOUTS["rewardbench"][1]).attributes["id"] == 31


def test_dialogues_keep_their_turns_and_their_whitespace(tmp_path: Path) -> None:
    shared = "\n\nHuman: Hi\n there  \n\nAssistant:  two spaces\n\n\nHuman:no space\n\nAssistant:"
    pair = only_pair(tmp_path, {"chosen": f"{shared} def f():\n\n\treturn 1\n", "rejected": f"{shared} Human: no"})
    assert pair.prompt == (
        Turn("user", "Hi\n there  "),
        Turn("assistant", " two spaces\n"),
        Turn("user", "no space"),
    )
    assert (pair.chosen, pair.rejected) == ("def f():\n\n\treturn 1\n", "Human: no")


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        ("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: b\n\nAssistant: y", "prompts of the two sides differ"),
        ("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: a\n\nAssistant: x\n\nHuman: b\n\nAssistant: y", "prompts of"),
        ("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: a\n\nAssistant: ", "empty side"),
        ("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: a\n\nAssistant: x", "identical sides"),
        ("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: a\n\nAssistant: y\n\nHuman: b", "the response is not one"),
        ("\n\nHuman: a\n\nAssistant: x", "no dialogue", "not a dialogue"),
    ],
)
def test_dialogues_that_are_no_pair_are_dropped(tmp_path: Path, chosen: str, rejected: str, reason: str) -> None:
    parsed = only_row(tmp_path, {"chosen": chosen, "rejected": rejected})
    assert parsed.pairs == ()
    assert parsed.dropped[0].startswith(reason)


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt", "responses"),
    [
        ("The sky is blue.", "The sky is green.", "The sky is", (" blue.", " green.")),
        ("The sky is blue.", "The sky is black.", "The sky is", (" blue.", " black.")),
        ("Q\n\nyes", "Q\n\nno", "Q\n\n", ("yes", "no")),
    ],
)
def test_an_implicit_prompt_is_the_shared_beginning_in_whole_words(
    tmp_path: Path, chosen: str, rejected: str, prompt: str, responses: tuple[str, str]
) -> None:
    pair = only_pair(tmp_path, {"chosen": chosen, "rejected": rejected})
    assert pair.prompt == user(prompt)
    assert (pair.chosen, pair.rejected) == responses


def test_whitespace_alone_is_no_prompt_and_stays_with_the_texts(tmp_path: Path) -> None:
    pair = only_pair(tmp_path, {"chosen": "\n  Yes.", "rejected": "\n  No."})
    assert (pair.prompt, pair.chosen, pair.rejected) == ((), "\n  Yes.", "\n  No.")


def test_texts_that_share_nothing_have_no_prompt(tmp_path: Path) -> None:
    pair = only_pair(tmp_path, {"chosen": "Certainly.", "rejected": "Never."})
    assert (pair.prompt, pair.chosen, pair.rejected) == ((), "Certainly.", "Never.")


@given(st.text("ab \n", max_size=20), st.text("ab \n", max_size=20), st.text("ab \n", max_size=20))
def test_an_implicit_prompt_and_its_responses_make_up_the_texts(shared: str, one: str, other: str) -> None:
    chosen, rejected = shared + one, shared + other
    if chosen == rejected:
        return
    (draft,) = trl.parse_implicit({"chosen": chosen, "rejected": rejected})
    prompt = "".join(turn.content for turn in draft.prompt)
    assert (prompt + draft.chosen, prompt + draft.rejected) == (chosen, rejected)
    in_whole_words = all(not rest or rest[0].isspace() for rest in (draft.chosen, draft.rejected))
    assert not prompt or prompt[-1].isspace() or in_whole_words


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "p", "chosen": "same", "rejected": "same"}, "identical sides"),
        ({"prompt": "p", "chosen": "x", "rejected": " \n"}, "empty side"),
        ({"prompt": "  ", "chosen": "x", "rejected": "y"}, "empty prompt"),
        ({"prompt": "p", "chosen": "x\0", "rejected": "y"}, "not text: NUL character"),
        ({"prompt": "p", "chosen": "x\ud834", "rejected": "y"}, "not text: lone surrogate"),
        (
            {"prompt": [QUESTION], "chosen": [RED, BRICK], "rejected": [BRICK]},
            "the response is not one assistant turn: the roles are assistant, assistant",
        ),
        (
            {"prompt": [QUESTION], "chosen": [QUESTION], "rejected": [BRICK]},
            "the response is not one assistant turn: the roles are user",
        ),
        ({"prompt": [{"role": "user", "content": 3}], "chosen": [RED], "rejected": [BRICK]}, "not text"),
        ({"prompt": [{"role": "", "content": "p"}], "chosen": [RED], "rejected": [BRICK]}, "not text"),
        ({"chosen": [QUESTION, RED], "rejected": [BRICK, BRICK]}, "prompts of the two sides differ"),
    ],
)
def test_rows_that_are_no_pair_are_dropped_with_the_reason(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    assert only_row(tmp_path, row) == ParsedRow(1, dropped=(reason,))


@pytest.mark.parametrize("blank", [None, float("nan"), 3, {}, [], [1], [{"role": "user"}]])
@pytest.mark.parametrize("column", ["prompt", "chosen", "rejected"])
def test_a_cell_without_text_costs_its_row_alone(tmp_path: Path, column: str, blank: Any) -> None:
    location = write_lines(tmp_path / "a.jsonl", [sound_row(1), {**sound_row(2), column: blank}, sound_row(3)])
    rows = list(open_source(location).rows())
    assert [len(row.pairs) for row in rows] == [1, 0, 1]
    assert rows[1].dropped == ("not text",)


def test_text_prompt_beside_whole_dialogues_is_taken_from_the_dialogues(tmp_path: Path) -> None:
    row = {"prompt": "Name a colour.\n", "chosen": [QUESTION, RED], "rejected": [QUESTION, BRICK]}
    assert only_pair(tmp_path, row).id == COLOURS.id


def test_a_text_prompt_that_the_dialogues_do_not_have_is_not_passed_over(tmp_path: Path) -> None:
    row = {"prompt": "Name a planet.", "chosen": [QUESTION, RED], "rejected": [QUESTION, BRICK]}
    assert only_row(tmp_path, row).dropped == ("the prompt is not that of the sides' dialogues",)


def test_explicit_layout_is_not_guessed_for_a_row_without_a_prompt(tmp_path: Path) -> None:
    bare = {"chosen": "The sky is blue.", "rejected": "The sky is green."}
    rows = list(open_source(write_lines(tmp_path / "a.jsonl", [sound_row(1), bare, sound_row(3)])).rows())
    assert rows[1] == ParsedRow(2, dropped=("row does not have the columns of trl",))


def test_implicit_layout_does_not_swallow_a_row_with_a_prompt(tmp_path: Path) -> None:
    bare = {"chosen": "The sky is blue.", "rejected": "The sky is green."}
    rows = list(open_source(write_lines(tmp_path / "a.jsonl", [bare, sound_row(1), bare])).rows())
    assert rows[1] == ParsedRow(2, dropped=("row does not have the columns of trl",))
    assert len(rows[2].pairs) == 1


def completions(*scores: Any, key: str = "overall_score") -> dict[str, Any]:
    listed = [{"model": f"m{i}", "response": f"answer {i}", key: score} for i, score in enumerate(scores)]
    return {"instruction": "q", "completions": listed}


def ratings(*values: Any) -> dict[str, Any]:
    return {f"aspect {index}": {"Rating": value, "Rationale": "…"} for index, value in enumerate(values)}


@pytest.mark.parametrize(
    "row",
    [
        completions(2, 9.5, 1),
        completions("2", "9.5", "1"),
        completions(2.0, 4.5, 1.0, key="fine-grained_score"),
        completions(ratings("3", "3"), ratings("5", "N/A", "5"), ratings("1", "4"), key="annotations"),
        completions(2, 9, 1, "N/A", None, True, float("nan")),
    ],
)
def test_ultrafeedback_takes_the_highest_against_the_lowest_score(tmp_path: Path, row: dict[str, Any]) -> None:
    pair = only_pair(tmp_path, row)
    assert (pair.chosen, pair.rejected) == ("answer 1", "answer 2")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (completions(4, 4, 4), "all scores are equal"),
        (completions(4), "fewer than two scored completions"),
        (completions("N/A", None), "fewer than two scored completions"),
        ({**LAYOUTS["ultrafeedback-binarized"][1], "score_rejected": 8.5}, "all scores are equal"),
    ],
)
def test_ultrafeedback_without_a_preference_is_dropped(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    assert only_row(tmp_path, row).dropped == (reason,)


def test_pku_saferlhf_by_the_better_or_the_safer_response(tmp_path: Path) -> None:
    row = LAYOUTS["pku-saferlhf"][1]
    assert only_pair(tmp_path, row).chosen == "Red.\n\n  indented"
    assert only_pair(tmp_path, row, preference="safer").chosen == "Brick."
    assert only_pair(tmp_path, {**row, "better_response_id": "0"}).chosen == "Brick."
    assert only_pair(tmp_path, {**row, "better_response_id": 1.0}).rejected == "Brick."
    for neither in (-1, None, True, "both"):
        assert only_row(tmp_path, {**row, "better_response_id": neither}).dropped == ("no preferred response",)


def test_rewardbench_2_pairs_every_correct_with_every_incorrect_answer(tmp_path: Path) -> None:
    row = {"id": "t", "prompt": "q", "chosen": ["a", "b"], "rejected": ["c", "", "a"], "subset": "Ties"}
    parsed = only_row(tmp_path, row)
    assert [(pair.chosen, pair.rejected) for pair in parsed.pairs] == [("a", "c"), ("b", "c"), ("b", "a")]
    assert Counter(parsed.dropped) == {"empty side": 2, "identical sides": 1}
    assert {pair.attributes["id"] for pair in parsed.pairs} == {"t"}


def test_mixture_is_refused_with_formats_and_rows_unless_the_format_is_named(tmp_path: Path) -> None:
    location = write_lines(tmp_path / "mix.jsonl", [sound_row(1), LAYOUTS["hh"][1], sound_row(3)])
    with pytest.raises(LoadError, match=r"mixture of formats: trl in 2 rows \(1, 3\); hh-rlhf in 1 rows \(2\)"):
        open_source(location)
    rows = list(open_source(location, format="trl").rows())
    assert rows[1].dropped == ("row does not have the columns of trl",)
    assert [len(row.pairs) for row in rows] == [1, 0, 1]


def test_rows_of_another_shape_after_the_first_hundred_are_counted(tmp_path: Path) -> None:
    rows = [sound_row(index) for index in range(100)]
    location = write_lines(tmp_path / "late.jsonl", [*rows, {"chosen": "x"}, {"other": 1}])
    dropped = Counter(reason for row in open_source(location).rows() for reason in row.dropped)
    assert dropped == {"row does not have the columns of trl": 2}


def test_unknown_columns_are_named_with_those_that_formats_need(tmp_path: Path) -> None:
    location = write_lines(tmp_path / "a.jsonl", [{"question": "q", "responses": []}])
    with pytest.raises(LoadError, match=r"'question', 'responses'.*ultrafeedback: instruction, completions"):
        open_source(location)


def test_unknown_format_name_lists_the_names(tmp_path: Path) -> None:
    location = write_lines(tmp_path / "a.jsonl", [sound_row(1)])
    with pytest.raises(LoadError, match=r"no format 'hh'.*hh-rlhf, trl"):
        open_source(location, format="hh")


def test_every_kind_of_file_gives_the_same_pairs(tmp_path: Path) -> None:
    rows = [{**sound_row(i), "chosen": f'Line "one"\r\n\n line two, ünï {i}\n'} for i in range(300)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    write_csv(tmp_path / "a.csv", rows)
    content = {
        "a.jsonl": lines,
        "a.ndjson": b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n\r\n"),
        "a.json": json.dumps(rows, indent=1).encode(),
        "lines.json": lines,
        "a.jsonl.gz": gzip.compress(lines),
        "A.JSON.GZ": gzip.compress(b"\xef\xbb\xbf  " + json.dumps(rows).encode()),
        "a.csv.gz": gzip.compress(b"\xef\xbb\xbf" + (tmp_path / "a.csv").read_bytes()),
    }
    for name, packed in content.items():
        (tmp_path / name).write_bytes(packed)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    expected = [Pair.of(user(row["prompt"]), row["chosen"], row["rejected"]).id for row in rows]
    for name in (*content, "a.csv", "a.parquet"):
        source = open_source(str(tmp_path / name))
        assert [pair.id for row in source.rows() for pair in row.pairs] == expected, name
        assert source.content_hash == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert source.name == ("lines" if name == "lines.json" else name[0])


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_row_numbers_are_line_numbers(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(json.dumps(sound_row(1)).encode() + b"\n\n\xff\n" + json.dumps(sound_row(2)).encode())
    assert [(row.row, row.dropped) for row in open_source(str(lines)).rows()] == [
        (1, ()),
        (3, ("text that is not UTF-8",)),
        (4, ()),
    ]
    table = tmp_path / "a.csv"
    table.write_bytes(b'prompt,chosen,rejected\n"q\n1",x,y\nq,\xff,y\nq2,x,y\n')
    assert [(row.row, len(row.pairs)) for row in open_source(str(table)).rows()] == [(2, 1), (4, 0), (5, 1)]


def test_csv_cells_that_hold_turns_or_completions_are_decoded_and_others_are_text(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "turns.csv",
        [{name: json.dumps(value) for name, value in LAYOUTS["conversational"][1].items()}],
    )
    assert [pair.id for pair in pairs_of(str(tmp_path / "turns.csv"))] == [COLOURS.id]
    row = LAYOUTS["ultrafeedback"][1]
    write_csv(tmp_path / "completions.csv", [{**row, "completions": json.dumps(row["completions"])}])
    assert [pair.id for pair in pairs_of(str(tmp_path / "completions.csv"))] == [COLOURS.id]
    write_csv(tmp_path / "json.csv", [{"prompt": "[broken", "chosen": '[{"a": 1}]', "rejected": "[1, 2]"}])
    (pair,) = pairs_of(str(tmp_path / "json.csv"))
    assert (pair.prompt, pair.chosen, pair.rejected) == (user("[broken"), '[{"a": 1}]', "[1, 2]")


def test_an_unclosed_csv_quote_loses_no_line_uncounted(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text('prompt,chosen,rejected\nq1,x,y\n"q2,x,y\nq3,x,y\nq4,x,y\n', encoding="utf-8")
    rows = list(open_source(str(table)).rows())
    assert [(row.row, len(row.pairs), row.dropped) for row in rows] == [
        (2, 1, ()),
        (3, 0, ("unreadable line",)),
        (4, 0, ("unreadable line",)),
        (5, 0, ("unreadable line",)),
    ]


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_line_that_is_too_long_is_dropped_without_being_held(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"long.{ending}"
    sound = {"jsonl": json.dumps(sound_row(1)), "csv": "q,x,y"}[ending].encode() + b"\n"
    with path.open("wb") as stream:
        stream.write(b"prompt,chosen,rejected\n" if ending == "csv" else b"")
        stream.write(sound)
        for _ in range(50):
            stream.write(b"x" * 2**20)
        stream.write(b"\n" + sound)
    tracemalloc.start()
    try:
        rows = list(open_source(str(path)).rows())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [row.dropped for row in rows] == [(), ("line longer than 16 MiB",), ()]
    assert rows[2].row == rows[0].row + 2
    assert peak_bytes < 40 * 2**20


def test_json_array_is_bounded_and_its_elements_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([sound_row(1), 7, sound_row(2)]), encoding="utf-8")
    assert [row.dropped for row in open_source(str(path)).rows()] == [(), ("not a JSON object",), ()]
    monkeypatch.setattr(reading, "LARGEST_ARRAY_BYTES", 100)
    with pytest.raises(LoadError, match="write one object to a line"):
        open_source(str(path))
    path.write_text("[1, 2", encoding="utf-8")
    with pytest.raises(LoadError, match="begins like a JSON array"):
        open_source(str(path))


def test_parquet_text_that_is_not_utf8_costs_its_row_alone(tmp_path: Path) -> None:
    chosen = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"ok\xff\xfe")]
    )
    table = pa.table({"prompt": ["p", "p"], "chosen": chosen, "rejected": ["y", "y"]})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = list(open_source(str(tmp_path / "a.parquet")).rows())
    assert [(len(row.pairs), row.dropped) for row in rows] == [(1, ()), (0, ("unreadable row",))]


def test_repeated_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,chosen,rejected,chosen\nq,x,y,z\n", encoding="utf-8")
    with pytest.raises(LoadError, match=r"'chosen'.*more than once"):
        open_source(str(tmp_path / "a.csv"))


def test_rows_can_be_read_again(tmp_path: Path) -> None:
    source = open_source(write_lines(tmp_path / "a.jsonl", [sound_row(1), sound_row(2)]))
    assert list(source.rows()) == list(source.rows())


@pytest.mark.parametrize(
    ("name", "message_part"),
    [("absent.jsonl", "there is no file"), ("folder.jsonl", "has no file of pairs"), ("a.txt", "extension '.txt'")],
)
def test_places_that_are_no_source(tmp_path: Path, name: str, message_part: str) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(LoadError, match=message_part):
        open_source(str(tmp_path / name))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = write_lines(tmp_path / "a.jsonl", [sound_row(1)])

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(LoadError, match=r"may not be read.*the right to read it"):
        open_source(location)


class TestHub:
    """The real loading path of `datasets`, on local folders."""

    @pytest.fixture(autouse=True)
    def _own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        monkeypatch.chdir(tmp_path)

    def folder(self, tmp_path: Path, *splits: str) -> None:
        (tmp_path / "colours").mkdir()
        for split in splits:
            write_lines(tmp_path / "colours" / f"{split}.jsonl", [sound_row(1), sound_row(2)])

    def test_a_folder_with_one_split(self, tmp_path: Path) -> None:
        self.folder(tmp_path, "train")
        source = open_source("hub:./colours")
        assert (source.name, source.format, source.location) == ("colours", "trl", "hub:./colours")
        assert source.content_hash
        assert [(row.row, len(row.pairs)) for row in source.rows()] == [(1, 1), (2, 1)]

    def test_one_of_several_splits_is_to_be_named(self, tmp_path: Path) -> None:
        self.folder(tmp_path, "train", "test")
        with pytest.raises(LoadError, match=r"has the splits train, test.*add @train"):
            open_source("hub:./colours")
        source = open_source("hub:./colours:default@test")
        assert source.name == "colours-default-test"
        assert len(list(source.rows())) == 2

    @pytest.mark.parametrize("location", ["hub:./colours@dev", "hub:./colours:other", "hub:./absent"])
    def test_what_cannot_be_loaded(self, tmp_path: Path, location: str) -> None:
        self.folder(tmp_path, "train")
        with pytest.raises(LoadError, match=f"{location} cannot be loaded"):
            open_source(location)

    @pytest.mark.parametrize("location", ["hub:", "hub:@train", "hub:a/b@c@d"])
    def test_what_names_no_set(self, location: str) -> None:
        with pytest.raises(LoadError, match="does not name a set on the hub"):
            open_source(location)


MUST_BE_REFUSED = {"truncated_gzip", "wrong_columns", "empty_file", "mixture_of_formats"}
MUST_KEEP_SOUND_ROWS = set(DAMAGES) - MUST_BE_REFUSED - {"corrupted_parquet"} | {"oversized_line"}


def rows_unless_refused(path: Path) -> list[ParsedRow] | None:
    """Return the rows, or None for a source that is refused; any other error fails the test."""
    try:
        return list(open_source(str(path)).rows())
    except LoadError:
        return None


@pytest.mark.slow
def test_two_hundred_damaged_sources_are_refused_or_give_sound_pairs_alone(tmp_path: Path) -> None:
    sound = {Pair.of(user(row["prompt"]), row["chosen"], row["rejected"]).id for row in map(sound_row, range(12))}
    kinds: Counter[str] = Counter()
    for kind, path in damaged_sources(tmp_path, 200, seed=7):
        kinds[kind] += 1
        rows = rows_unless_refused(path)
        if rows is None:
            assert kind not in MUST_KEEP_SOUND_ROWS, path.name
            continue
        assert kind not in MUST_BE_REFUSED, path.name
        assert {pair.id for row in rows for pair in row.pairs} <= sound, path.name
        assert all(row.pairs or row.dropped for row in rows), path.name
        if kind in MUST_KEEP_SOUND_ROWS:
            assert any(row.pairs for row in rows), path.name
            assert any(row.dropped for row in rows), path.name
    assert len(kinds) > 10
    assert kinds.total() == 200


def test_random_bytes_never_escape_as_another_error(tmp_path: Path) -> None:
    rng = random.Random(11)
    for ending in ("jsonl", "jsonl.gz", "json", "csv", "csv.gz", "parquet"):
        for index in range(10):
            path = tmp_path / f"{index}.{ending}"
            path.write_bytes(rng.randbytes(rng.randint(1, 3000)))
            with pytest.raises(LoadError):
                list(open_source(str(path)).rows())


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "expected_format", "rows", "dropped"),
    [
        ("hh-harmless-train", "hh-rlhf", 1000, {"prompts of the two sides differ": 4, "empty side": 1}),
        ("hh-harmless-test", "hh-rlhf", 500, {"empty side": 1}),
        ("alpaca-pairs-train", "trl", 1792, {}),
        ("alpaca-pairs-test", "trl", 593, {}),
        ("rewardbench-llmbar-natural", "rewardbench", 100, {}),
    ],
)
def test_real_files(name: str, expected_format: str, rows: int, dropped: dict[str, int]) -> None:
    path = REAL_DATA / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the real data are absent: {path}")
    source = open_source(str(path))
    parsed = list(source.rows())
    assert source.format == expected_format
    assert len(parsed) == rows
    assert Counter(reason for row in parsed for reason in row.dropped) == dropped
    assert sum(len(row.pairs) for row in parsed) == rows - sum(dropped.values())
