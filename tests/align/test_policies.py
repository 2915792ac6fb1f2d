"""Policies: a tiny language model that is sampled, an adapter on it, recorded answers, and what cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_causal import save_tiny_causal

from mars_engine.align.answers import Answer, AnsweredPrompt, RecordedAnswers
from mars_engine.align.kept_answers import KeptAnswers
from mars_engine.align.policies import (
    ADAPTER_FILE,
    NOT_RECORDED,
    TOO_FEW,
    RecordedPolicy,
    SampledPolicy,
    load_policy,
    policy_name,
)
from mars_engine.align.sampling import Draw, Sample, SamplingSettings
from mars_engine.core.errors import ConfigError, ModelError, StoreError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Turn

PROMPTS = [(Turn("user", text),) for text in ("rewrite texts", "answer with an object", "data for research")]
SETTINGS = SamplingSettings(max_new_tokens=8)
SILENT = SilentProgress()


def answer(policy, prompts=PROMPTS, count=3):
    return policy.answer(prompts, count, progress=SILENT)


def test_a_policy_is_called_by_its_folder_wherever_that_is_or_by_its_name_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "tuned").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert policy_name(str(tmp_path / "tuned")) == policy_name("~/tuned") == "tuned"
    assert policy_name("owner/name") == "owner/name"


# ------------------------------------------------------------------------------------------------------- recorded


def test_recorded_answers_are_given_as_they_are():
    rows = (
        AnsweredPrompt(PROMPTS[0], tuple(Answer(text, "m") for text in "abc")),
        AnsweredPrompt(PROMPTS[1], (Answer("d"),)),
    )
    found = answer(RecordedPolicy(RecordedAnswers("file", "hash", rows, {})), count=2)
    assert [[each.text for each in row.answers] for row in found.rows] == [["a", "b"]]
    assert found.left_out == {TOO_FEW: 1, NOT_RECORDED: 1}


# ---------------------------------------------------------------------------------------------------------- sampled


class CountingSampler:
    """Answers each draw by its number, some of them with nothing, and remembers what it was asked."""

    def __init__(self, empty=(), interrupt_after=-1):
        self.empty, self.asked, self.interrupt_after = set(empty), [], interrupt_after

    def why_not(self, prompt, settings):
        return "too long" if len(prompt[0].content) > 20 * settings.max_new_tokens else ""

    def draw(self, draws, settings):
        for one in draws:
            if len(self.asked) == self.interrupt_after:
                raise KeyboardInterrupt
            self.asked.append(one.key)
            text = "" if one.number in self.empty else f"{one.prompt[0].content} {one.number} {settings.seed}"
            yield [(one, Sample(text, 3, finished=one.number != 1))]


def sampled(folder: Path, sampler: Any, settings: SamplingSettings = SETTINGS) -> SampledPolicy:
    return SampledPolicy("tiny", "weights", sampler, settings, folder)


def test_no_answer_is_drawn_twice_and_a_killed_draw_goes_on(tmp_path):
    whole = answer(sampled(tmp_path / "other", CountingSampler()))
    first = CountingSampler(interrupt_after=5)
    with pytest.raises(KeyboardInterrupt):
        answer(sampled(tmp_path, first))
    second = CountingSampler()
    assert answer(sampled(tmp_path, second)) == whole
    assert len(first.asked) == 5
    assert not set(first.asked) & set(second.asked)
    assert len({*first.asked, *second.asked}) == 9
    third = CountingSampler()
    assert answer(sampled(tmp_path, third)) == whole
    assert not third.asked
    more = answer(sampled(tmp_path, third), count=4)
    assert len(third.asked) == 3, "only the fourth answer of each prompt is new"
    assert [row.answers[:3] for row in more.rows] == [row.answers for row in whole.rows]


def test_other_settings_are_drawn_anew(tmp_path):
    answer(sampled(tmp_path, CountingSampler()))
    other = CountingSampler()
    answer(sampled(tmp_path, other, SamplingSettings(max_new_tokens=8, seed=1)))
    assert len(other.asked) == 9


def test_an_empty_answer_is_drawn_anew_and_counted(tmp_path):
    found = answer(sampled(tmp_path, CountingSampler(empty={0, 3})))
    assert [each.text for each in found.rows[0].answers] == [f"rewrite texts {number} 0" for number in (1, 2, 4)]
    assert (found.empty, found.cut_off, found.left_out) == (6, 3, {})


def test_a_policy_that_says_nothing_leaves_every_prompt_out(tmp_path):
    sampler = CountingSampler(empty=range(100))
    found = answer(sampled(tmp_path, sampler))
    assert found.rows == ()
    assert found.left_out == {TOO_FEW: 3}
    assert len(sampler.asked) == 3 * 2 * 3, "it is not asked for ever"


def test_a_prompt_that_is_too_long_is_left_out_and_counted(tmp_path):
    found = answer(sampled(tmp_path, CountingSampler()), [*PROMPTS, (Turn("user", "word " * 500),)])
    assert (len(found.rows), found.left_out) == (3, {"too long": 1})


def test_a_torn_line_is_overwritten_and_a_damaged_one_is_told(tmp_path):
    kept = KeptAnswers(tmp_path / "a.jsonl")
    one, two = (Draw(PROMPTS[0], number) for number in (0, 1))
    kept.append([(one, Sample("good", 1, finished=True))])
    with kept.path.open("ab") as stream:
        stream.write(b'{"prompt": "torn')
    kept.append([(two, Sample("ü\n", 2, finished=False))])
    assert kept.load() == {one.key: Sample("good", 1, finished=True), two.key: Sample("ü\n", 2, finished=False)}
    kept.path.write_text("nonsense\n")
    with pytest.raises(StoreError, match=r"line 1 .*delete that line"):
        kept.load()


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"temperature": 0.0}, "temperature is 0"), ({"top_p": 1.5}, "top-p is 1.5"), ({"max_new_tokens": 0}, "most new")],
)
def test_settings_out_of_range_are_refused(changed, said):
    with pytest.raises(ConfigError, match=said):
        SamplingSettings(**changed)


# ----------------------------------------------------------------------------------------------- real language models


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save_tiny_causal(tmp_path_factory.mktemp("tiny"))


@pytest.mark.model
@pytest.mark.usefixtures("one_thread")
def test_a_language_model_answers_by_its_seeds_alone(tiny, tmp_path):
    policy = load_policy(str(tiny), SETTINGS, tmp_path / "a", device="cpu")
    together = answer(policy)
    texts = [each.text for row in together.rows for each in row.answers]
    assert len(set(texts)) > 5
    alone = answer(load_policy(str(tiny), SETTINGS, tmp_path / "b", device="cpu"), PROMPTS[1:2], count=2)
    (whole,) = [row for row in together.rows if row.prompt == PROMPTS[1]]
    assert alone.rows[0].answers == whole.answers[:2]
    assert policy.fingerprint == load_policy(str(tiny), SETTINGS, tmp_path, device="cpu").fingerprint
    hot = SamplingSettings(max_new_tokens=8, temperature=2.0)
    assert policy.fingerprint != load_policy(str(tiny), hot, tmp_path, device="cpu").fingerprint


@pytest.mark.model
def test_a_prompt_beyond_the_context_and_roles_that_the_template_refuses_are_left_out(tiny, tmp_path):
    policy = load_policy(str(tiny), SETTINGS, tmp_path, device="cpu")
    policy.sampler.tokenizer.chat_template = (
        "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ message['content'] }}{% endfor %}"
    )
    found = answer(policy, [(Turn("user", "texts " * 5_000),), (Turn("system", "s"), Turn("user", "u")), PROMPTS[0]])
    assert len(found.rows) == 1
    assert sorted(found.left_out.values()) == [1, 1]
    assert any("too long" in reason for reason in found.left_out)
    assert any("chat template refuses" in reason for reason in found.left_out)


def save_adapter(base: Path, folder: Path) -> Path:
    import warnings

    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=["q_proj"]))
        torch.manual_seed(0)
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weights, std=2.0)
        model.save_pretrained(folder)
    return folder


@pytest.mark.model
@pytest.mark.usefixtures("one_thread")
def test_an_adapter_finds_its_base_and_changes_the_answers(tiny, tmp_path):
    adapter = save_adapter(tiny, tmp_path / "adapter")
    plain = load_policy(str(tiny), SETTINGS, tmp_path / "a", device="cpu")
    adapted = load_policy(str(adapter), SETTINGS, tmp_path / "a", device="cpu")
    assert adapted.fingerprint != plain.fingerprint
    assert [row.answers for row in answer(adapted).rows] != [row.answers for row in answer(plain).rows]
    config = json.loads((adapter / ADAPTER_FILE).read_text())
    (adapter / ADAPTER_FILE).write_text(json.dumps(config | {"base_model_name_or_path": ""}))
    with pytest.raises(ModelError, match="does not name the model"):
        load_policy(str(adapter), SETTINGS, tmp_path, device="cpu")


@pytest.mark.model
def test_what_is_no_policy_is_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"policy 'owner/name' is neither .*correct --policy"):
        load_policy("owner/name", SETTINGS, tmp_path)
    base = save_tiny_causal(tmp_path / "base", chat_template=False)
    with pytest.raises(ModelError, match=r"no chat template.*instruct model"):
        load_policy(str(base), SETTINGS, tmp_path)
    whole = save_tiny_causal(tmp_path / "whole")
    with pytest.raises(ModelError, match=r"under \[align\] in mars.toml"):
        load_policy(str(whole), SETTINGS, tmp_path, device="nonsense")
