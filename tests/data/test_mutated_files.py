"""Mutated files: none ends in another error than a refusal, and no row that is kept has lost a text."""

from pathlib import Path
from typing import Any

from mutated_files import MutatedFile, mutated_files, row_of
from mutation_checks import lost_texts, read_all

from mars_engine.core.records import Pair, Turn


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def base(layout: Any) -> list[dict[str, Any]]:
    return [
        layout(f"Question {n}, naïve?", f"A good answer {n}.\n\n    x = {n}", f"A poor reply {n}; sorry")
        for n in range(8)
    ]


BASES = [
    base(lambda q, good, bad: {"prompt": q, "chosen": good, "rejected": bad}),
    base(lambda q, good, bad: {"system": "Be kind.", "question": q, "chosen": good, "rejected": bad}),
    base(lambda q, good, bad: {"instruction": "Do this.", "input": q, "chosen": good, "rejected": bad}),
    base(
        lambda q, good, bad: {
            "prompt": [turn("user", q)],
            "chosen": [turn("assistant", good)],
            "rejected": [turn("assistant", bad)],
        }
    ),
    base(
        lambda q, good, bad: {
            "prompt": q,
            "chosen": [turn("user", q), turn("assistant", good)],
            "rejected": [turn("user", q), turn("assistant", bad)],
        }
    ),
    base(
        lambda q, good, bad: {
            "chosen": f"\n\nHuman: {q}\n\nAssistant: Yes?\n\nHuman: Go on\n\nAssistant: {good}",
            "rejected": f"\n\nHuman: {q}\n\nAssistant: Yes?\n\nHuman: Go on\n\nAssistant: {bad}",
        }
    ),
    base(
        lambda q, good, bad: {
            "conversations": [{"from": "human", "value": q}],
            "chosen": {"from": "gpt", "value": good},
            "rejected": {"from": "gpt", "value": bad},
        }
    ),
]


def test_three_hundred_mutated_files_lose_no_text(tmp_path: Path) -> None:
    tally = read_all(mutated_files(tmp_path, BASES, 300, seed=3))
    print(tally)
    assert not tally.lost, dict(tally.lost)
    assert tally.files["all"] == 300
    assert tally.kept["all"] > 300
    assert tally.refused["all"] > 30


def test_the_check_sees_a_text_that_was_lost() -> None:
    row = row_of({"prompt": "What?", "chosen": "This.", "rejected": "That."})
    whole = Pair.of([Turn("user", "What?")], "This.", "That.")
    assert lost_texts(row, (whole,)) == []
    assert lost_texts(row, (Pair.of([], "This.", "That."),)) == ["prompt prompt: 'What?'"]
    assert "what was chosen is not the chosen text" in lost_texts(row, (Pair.of(whole.prompt, "That.", "This."),))


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    def contents(folder: str, seed: int) -> list[bytes]:
        (tmp_path / folder).mkdir()
        made: list[MutatedFile] = list(mutated_files(tmp_path / folder, BASES, 20, seed=seed))
        return [each.path.read_bytes() for each in made if "gzip" not in each.kinds and "zip" not in each.kinds]

    assert contents("a", 5) == contents("b", 5)
    assert contents("c", 6) != contents("d", 7)
