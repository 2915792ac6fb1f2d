"""Where prompts come from, and which are left out."""

import json

import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.align.prompts import (
    TRAINED_ON,
    TWICE,
    heldout_prompts,
    leave_out_trained,
    load_prompts,
    trained_prompts,
)
from mars_engine.core.errors import LoadError, NotReadyError
from mars_engine.core.records import Turn, prompt_id
from mars_engine.data.import_pairs import import_pairs


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_column_of_prompts_is_read_each_once(tmp_path):
    rows = [{"prompt": "How?"}, {"prompt": "Why?"}, {"prompt": "How? "}, {"prompt": " "}]
    found = load_prompts(write(tmp_path / "p.jsonl", rows))
    assert [prompt[-1].content.strip() for prompt in found.prompts] == ["How?", "Why?"]
    assert found.left_out == {TWICE: 1, "empty prompt": 1}


def test_turns_and_a_system_column_are_read(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    found = load_prompts(
        write(tmp_path / "p.jsonl", [{"messages": turns}, {"instruction": "d", "system": "Be brief."}])
    )
    assert found.prompts[0] == (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"))
    assert found.prompts[1] == (Turn("system", "Be brief."), Turn("user", "d"))


def test_prompts_of_whole_dialogues_are_found(tmp_path):
    start = "\n\nHuman: How are you?\n\nAssistant: "
    found = load_prompts(write(tmp_path / "p.jsonl", [{"chosen": f"{start}Well.", "rejected": f"{start}Go away."}]))
    assert found.prompts == ((Turn("user", "How are you?"),),)


def test_a_file_without_prompts_says_what_is_expected(tmp_path):
    with pytest.raises(LoadError, match="Expected: "):
        load_prompts(write(tmp_path / "p.jsonl", [{"prompt": ""}]))
    with pytest.raises(LoadError):
        load_prompts(write(tmp_path / "q.jsonl", [{"colour": "red"}]))


def test_prompts_trained_on_are_left_out_and_counted(tmp_path):
    rows = [{"prompt": "seen"}, {"prompt": "unseen"}, {"prompt": "unseen too"}]
    prompts = load_prompts(write(tmp_path / "p.jsonl", rows))
    trained = {prompt_id((Turn("user", "seen"),))}
    kept = leave_out_trained(prompts, trained)
    assert [prompt[0].content for prompt in kept.prompts] == ["unseen", "unseen too"]
    assert kept.left_out == {TRAINED_ON: 1}
    with pytest.raises(NotReadyError, match="--include-trained"):
        leave_out_trained(prompts, {prompt_id(prompt) for prompt in prompts.prompts})


def test_a_workspace_gives_its_heldout_prompts_and_those_trained_on():
    bench = make_bench()
    train, heldout = make_pairs(6), make_pairs(3, first=6)
    take_in(bench, train, "train")
    with pytest.raises(NotReadyError, match="no held-out pairs"):
        heldout_prompts(bench.store)
    take_in(bench, heldout, "heldout")
    asked = {prompt_id(prompt) for prompt in heldout_prompts(bench.store).prompts}
    assert asked == {pair.prompt_id for pair in heldout}
    assert trained_prompts(bench.store, []) == {pair.prompt_id for pair in train}


def take_in(bench, pairs, split):
    import_pairs(ListSource(pairs, name=split), bench.store, split=split, clock=bench.clock, progress=bench.progress)
