"""Tiny random sequence-to-sequence models: each sentence is read, no batch changes a text, and errors are plain."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_seq2seq import POSITIONS, save_tiny_bart, save_tiny_t5
from tiny_transformers import save_tiny_backbone

from mars_engine.augment.generators.passages.writing import Search
from mars_engine.augment.generators.protocols import Generation, Paraphraser, ParaphraseRequest, Refiner, RefineRequest
from mars_engine.augment.generators.seq2seq import Seq2SeqParaphraser, Seq2SeqRefiner
from mars_engine.augment.generators.seq2seq.generators import refine_search
from mars_engine.core.config import Seq2SeqConfig
from mars_engine.core.errors import ConfigError, GenerationError, ModelError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Prompt, Side, Turn

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("one_thread")]

SILENT = SilentProgress()
SHORT = (
    "The tap drips.",
    "Please call me when you are at home, so that we can talk about the garden.",
    "I came home to green leaves.",
    "Most of the rain fell in the night, and in the morning the street was dry again.",
)
LONG = """Keep the tomatoes in the sun. Give them water in the morning, and never in the heat of the day.
Most people give too much. The soil should be damp, but it should not be wet, or else the roots will rot, and
then the leaves turn yellow, and after some days the whole plant is lost, which would be a pity after so much work!

1. Take a can. Fill it.
2. Pour slowly.

Then run `water()` once:

```python
def water():
    return "enough"  # Stop here. Really.
```

That is all. Have a good harvest, and send me a picture of the first red one!
"""
KEPT = (
    "\n\n1. Take a can. Fill it.\n2. Pour slowly.\n\nThen run `water()` once:\n\n```python\ndef water():\n"
    '    return "enough"  # Stop here. Really.\n```\n\n'
)
TEXTS = (*SHORT, LONG)
TRAINING = (*TEXTS, "How do I water tomatoes? In the sun? Yes, at home. Say it. user: it assistant: it")
LIMIT = 60


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> Path:
    return save_tiny_t5(tmp_path_factory.mktemp("models") / "t5", TRAINING)


@pytest.fixture(scope="module")
def bart(tmp_path_factory) -> Path:
    return save_tiny_bart(tmp_path_factory.mktemp("models") / "bart", TRAINING)


def settings(folder: Path, **changes: Any) -> Seq2SeqConfig:
    return Seq2SeqConfig(model=str(folder), max_tokens=LIMIT, min_length_percent=0, device="cpu", **changes)


def paraphraser(folder: Path, **changes: Any) -> Seq2SeqParaphraser:
    return Seq2SeqParaphraser(settings(folder, **changes), progress=SILENT)


def ask(texts: tuple[str, ...], *, count: int = 2, seed: int = 0) -> list[ParaphraseRequest]:
    return [ParaphraseRequest(f"k{number}", text, count, seed) for number, text in enumerate(texts)]


def candidates(answers: list[Generation]) -> list[tuple[str, ...]]:
    return [answer.candidates for answer in answers]


@contextmanager
def what_is_read(folder: Path) -> Iterator[list[tuple[int, ...]]]:
    """Note the token ids of each text that the model's encoder reads, padding left out."""
    from mars_engine.augment.generators.seq2seq.model import load_writer

    model = load_writer(folder, device="cpu", precision="auto", batch_tokens=0).model
    read: list[tuple[int, ...]] = []

    def note(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        for ids, mask in zip(kwargs["input_ids"], kwargs["attention_mask"], strict=True):
            read.append(tuple(ids[mask.bool()].tolist()))

    hook = model.get_encoder().register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield read
    finally:
        hook.remove()


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


# ------------------------------------------------------------------------------------------------- what the model reads


def test_every_sentence_of_a_long_text_is_read_whole_and_code_and_lists_come_out_to_the_letter(t5):
    with what_is_read(t5) as read:
        (answer,) = paraphraser(t5).paraphrase(ask((LONG,)))
    tokenizer = tokenizer_of(t5)
    assert len(tokenizer(LONG)["input_ids"]) > 3 * LIMIT
    assert all(len(ids) <= LIMIT for ids in read)
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in read]
    assert all(text.startswith("paraphrase: ") for text in texts)
    assert all(ids[-1] == tokenizer.eos_token_id for ids in read)
    seen = [text.removeprefix("paraphrase: ").strip() for text in texts]
    before, after = (part.split() for part in LONG.split(KEPT))
    seen.sort(key=LONG.replace("\n", " ").index)
    assert " ".join(seen).split() == [*before, *after]
    assert answer.provenance is not None
    assert answer.provenance["sentences cut between words"] > 0
    assert answer.provenance["kept"] == {"list items": 2, "code, formulas and addresses": 1, "code": 1}
    assert len(answer.candidates) == 2
    for text in answer.candidates:
        assert text.count(KEPT) == 1
        assert text.count("\n") == LONG.count("\n")
        assert "Keep the tomatoes in the sun." not in text


def test_a_sentence_with_letters_that_the_tokenizer_lacks_is_kept(t5):
    text = "The tap drips. 蛇口 drips. I came home."
    with what_is_read(t5) as read:
        (answer,) = paraphraser(t5).paraphrase(ask((text,)))
    assert tokenizer_of(t5).unk_token_id not in {token for ids in read for token in ids}
    assert answer.provenance is not None
    assert answer.provenance["kept"] == {"letters that the model does not know": 1}
    assert all(" 蛇口 drips. " in each for each in answer.candidates)


def test_a_text_is_read_once_for_all_its_candidates(t5):
    with what_is_read(t5) as read:
        paraphraser(t5).paraphrase(ask((SHORT[0], SHORT[1], SHORT[0])))
    assert len(read) == 2


# ------------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("decoding", ["diverse", "beam", "sample"])
@pytest.mark.parametrize("model", ["t5", "bart"])
def test_no_batch_changes_a_text(model, decoding, request):
    folder = request.getfixturevalue(model)
    alone = [paraphraser(folder, decoding=decoding, batch_tokens=1).paraphrase([each])[0] for each in ask(TEXTS)]
    together = paraphraser(folder, decoding=decoding, batch_tokens=100_000).paraphrase(ask(TEXTS))
    turned = paraphraser(folder, decoding=decoding).paraphrase(ask(TEXTS)[::-1])[::-1]
    assert candidates(together) == candidates(turned) == candidates(alone)
    assert together == turned == alone
    assert all(candidates(together))
    assert len({text for each in candidates(together) for text in each}) > 2


def test_what_is_drawn_depends_on_text_and_seed_alone(t5):
    import torch

    draw = paraphraser(t5, decoding="sample")
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = draw.paraphrase(ask(SHORT))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert draw.paraphrase(ask(SHORT)) == first
    other = draw.paraphrase(ask(SHORT, seed=1))
    assert all(set(one).isdisjoint(two) for one, two in zip(candidates(first), candidates(other), strict=True))
    for decoding in ("diverse", "beam"):
        same = paraphraser(t5, decoding=decoding)
        assert same.paraphrase(ask(SHORT)) == same.paraphrase(ask(SHORT, seed=1))


def test_a_new_process_draws_the_same(t5):
    import subprocess
    import sys

    code = (
        "import json, sys, torch; torch.set_num_threads(1); torch.manual_seed(int(sys.argv[2]))\n"
        "from mars_engine.core.config import Seq2SeqConfig\n"
        "from mars_engine.augment.generators.protocols import ParaphraseRequest\n"
        "from mars_engine.augment.generators.seq2seq import Seq2SeqParaphraser\n"
        "from mars_engine.core.progress import SilentProgress\n"
        "config = Seq2SeqConfig.model_validate_json(sys.argv[1])\n"
        "requests = [ParaphraseRequest('k', text, 2, 0) for text in json.load(sys.stdin)]\n"
        "answers = Seq2SeqParaphraser(config, progress=SilentProgress()).paraphrase(requests)\n"
        "print(json.dumps([answer.candidates for answer in answers]))"
    )
    config = settings(t5, decoding="sample")
    said = subprocess.run(
        [sys.executable, "-c", code, config.model_dump_json(), "77"],
        input=json.dumps(SHORT),
        capture_output=True,
        text=True,
        check=True,
    )
    here = Seq2SeqParaphraser(config, progress=SILENT).paraphrase(ask(SHORT))
    assert [tuple(each) for each in json.loads(said.stdout)] == candidates(here)


# ------------------------------------------------------------------------------------------------------------ decoding


def test_diverse_beams_take_turns_and_pay_for_words_that_others_took():
    import torch

    from mars_engine.augment.generators.seq2seq.decoding import DiverseBeams

    scores = torch.tensor([[5.0, 4.5, 1.0, 0.0]] * 3 + [[0.0, 1.0, 2.0, 9.0]] * 3)
    beams = DiverseBeams(torch.tensor([3]), beams=3, penalty=2.0)
    begun = torch.zeros((6, 1), dtype=torch.long)
    left = beams(begun, scores)
    assert left.isfinite().sum(dim=1).tolist() == [1] * 6
    assert left.argmax(dim=1).tolist() == [0, 1, 0, 3, 3, 3]  # 5; 5-2 < 4.5; 5-2 > 4.5-2; an end is never penalised
    ended = torch.tensor([[0, 0], [0, 3], [0, 0], [0, 0], [0, 0], [0, 0]])
    assert beams(ended, scores).argmax(dim=1)[:3].tolist() == [0, 1, 1]  # what has ended takes no word from others


@pytest.mark.parametrize("model", ["t5", "bart"])
def test_the_first_of_diverse_beams_is_plain_greedy_search(model, request):
    import torch

    from mars_engine.augment.generators.seq2seq.decoding import decode
    from mars_engine.augment.generators.seq2seq.model import load_writer

    writer = load_writer(request.getfixturevalue(model), device="cpu", precision="fp32", batch_tokens=0)
    inputs = writer.tokenizer(list(SHORT[:2]), padding=True, return_tensors="pt")
    search = Search("diverse", (1.0,) * 3, top_p=1.0, diversity_penalty=4.0, no_repeat_ngram=3)
    found = decode(
        writer.model, inputs.input_ids, inputs.attention_mask, search, torch.zeros((2, 3)), max_new_tokens=30
    )
    plain = writer.model.generate(
        inputs.input_ids, attention_mask=inputs.attention_mask, max_new_tokens=30, num_beams=1, no_repeat_ngram_size=3
    )
    pad, end = writer.tokenizer.pad_token_id, writer.tokenizer.eos_token_id

    def bare(ids: list[int]) -> list[int]:
        return [token for token in ids if token not in (pad, end)]

    assert [bare(beams[0]) for beams in found] == [bare(row) for row in plain[:, 1:].tolist()]
    assert all(len({tuple(beam) for beam in beams}) == 3 for beams in found)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.6), (1.0, 0.01)])
def test_sampling_draws_each_token_as_often_as_it_is_likely(temperature, top_p):
    import torch

    from mars_engine.augment.generators.seq2seq.decoding import SeededSampling

    rows = 40_000
    scores = torch.tensor([0.3, 2.0, -1.0, 1.2, 0.0, -40.0])
    draw = SeededSampling(
        torch.tensor([5]), seeds=torch.arange(rows), temperatures=torch.full((rows,), temperature).double(), top_p=top_p
    )
    wanted = torch.softmax(scores.double() / temperature, dim=0)
    order = wanted.argsort(descending=True)
    kept = order[wanted[order].cumsum(0) - wanted[order] < top_p]
    nucleus = torch.zeros_like(wanted).scatter(0, kept, wanted[kept])
    expected = (nucleus / nucleus.sum()).numpy()
    for step in (1, 2):
        begun = torch.zeros((rows, step), dtype=torch.long)
        drawn = draw(begun, scores.repeat(rows, 1)).argmax(dim=1)
        counts = np.bincount(drawn.numpy(), minlength=6)
        assert (np.abs(counts - rows * expected) <= 4 * np.sqrt(rows * expected * (1 - expected)) + 1e-6).all()
        if step == 1:
            assert torch.allclose(draw.mean_log_probabilities, torch.log_softmax(scores.double(), dim=0)[drawn])


def test_noise_has_the_moments_of_gumbels_law_and_depends_on_seed_step_and_token():
    import torch

    from mars_engine.augment.generators.seq2seq.decoding import gumbel_noise

    seeds, tokens = torch.arange(-300, 300), torch.arange(500).repeat(600, 1)
    noise = gumbel_noise(seeds, 3, tokens)
    assert abs(float(noise.mean()) - 0.5772) < 0.01  # Euler's constant
    assert abs(float(noise.var()) - np.pi**2 / 6) < 0.02
    assert len(noise.unique()) == noise.numel()
    assert torch.equal(noise[7:9, 40:60], gumbel_noise(seeds[7:9], 3, tokens[7:9, 40:60]))
    correlations = np.corrcoef([noise[0], noise[1], gumbel_noise(seeds[:1], 4, tokens[:1])[0], noise[0].roll(1)])
    assert np.abs(correlations - np.eye(4)).max() < 0.15


def test_more_candidates_change_no_seeds_that_were_there():
    from mars_engine.augment.generators.passages.writing import Asked, seeds_of

    assert seeds_of(Asked("text", 3), 4)[:2] == seeds_of(Asked("text", 3), 2)
    seeds = [*seeds_of(Asked("text", 3), 4), *seeds_of(Asked("text", 4), 4), *seeds_of(Asked("other", 3), 4)]
    assert len(set(seeds)) == 12


def test_a_text_that_does_not_end_is_refused(tmp_path):
    folder = save_tiny_t5(tmp_path / "endless", TRAINING)
    generation = json.loads((folder / "generation_config.json").read_text())
    del generation["exponential_decay_length_penalty"]
    generation["suppress_tokens"] = [generation["eos_token_id"]]
    (folder / "generation_config.json").write_text(json.dumps(generation))
    (answer,) = paraphraser(folder).paraphrase(ask(SHORT[:1]))
    assert answer.candidates == ()
    assert answer.failure.endswith("most candidates were not finished at the length limit")


def test_what_a_models_own_configuration_says_of_decoding_changes_nothing(t5, tmp_path):
    import shutil

    folder = tmp_path / "t5"
    shutil.copytree(t5, folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    generation |= {"num_beams": 7, "num_beam_groups": 7, "diversity_penalty": 1.0, "min_length": 30, "max_length": 3}
    generation |= {"do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0, "length_penalty": 3.0}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    for decoding in ("diverse", "beam", "sample"):
        ours = paraphraser(folder, decoding=decoding).paraphrase(ask(SHORT[:2]))
        assert ours == paraphraser(t5, decoding=decoding).paraphrase(ask(SHORT[:2]))


# -------------------------------------------------------------------------------------------------------- the refiner

PROMPT = (Turn("user", "How do I water tomatoes?"), Turn("assistant", "In the sun?"), Turn("user", "Yes, at home."))


def refine(
    folder: Path, *, side: Side = "rejected", count: int = 3, seed: int = 0, prompt: Prompt = PROMPT, **changes: Any
) -> Generation:
    one = RefineRequest("key", prompt, SHORT[1], SHORT[3], side, count, seed)
    (answer,) = Seq2SeqRefiner(settings(folder, **changes), progress=SILENT).refine([one])
    return answer


def test_it_is_a_refiner_that_rewrites_the_side_asked_for(t5):
    refiner: Refiner = Seq2SeqRefiner(settings(t5), progress=SILENT)
    assert refiner.refine([]) == []
    for side, text in (("rejected", SHORT[3]), ("chosen", SHORT[1])):
        with what_is_read(t5) as read:
            answer = refine(t5, side=side)
        assert [tokenizer_of(t5).decode(ids, skip_special_tokens=True) for ids in read] == [f"paraphrase: {text}"]
        assert len(answer.candidates) == 3
        assert text not in answer.candidates
        assert refine(t5, side=side) == answer
        assert set(refine(t5, side=side, seed=1).candidates).isdisjoint(answer.candidates)


def test_its_tries_get_bolder(t5):
    temperatures = refine_search(settings(t5, temperature=0.5, refiner_temperature=2.0, spare=1), 3).temperatures
    assert temperatures == (0.5, 1.0, 1.5, 2.0)
    shy = refine(t5, temperature=0.0001, refiner_temperature=0.0001, spare=0)
    assert len(shy.candidates) == 1  # all tries say the same
    assert shy.failure == "only 1 of 3 different rewritings were fit to use"
    rising = refine(t5, temperature=0.0001, refiner_temperature=3.0, spare=0)
    assert rising.candidates[0] == shy.candidates[0]
    assert len(set(rising.candidates)) == 3


def test_a_template_tells_the_model_of_the_prompt_and_the_other_answer(t5):
    template = "Say {answer} for {prompt} and not {other}"
    with what_is_read(t5) as read:
        refine(t5, refiner_template=template, refiner_max_tokens=400)
    words = " ".join(f"{turn.role}: {turn.content}" for turn in PROMPT)
    said = [tokenizer_of(t5).decode(ids, skip_special_tokens=True) for ids in read]
    assert said == [f"Say {SHORT[3]} for {words} and not {SHORT[1]}"]


def test_a_prompt_of_one_turn_is_told_as_it_is(t5):
    with what_is_read(t5) as read:
        refine(t5, prompt=PROMPT[:1], refiner_template="{prompt} {answer}", refiner_max_tokens=400)
    said = [tokenizer_of(t5).decode(ids, skip_special_tokens=True) for ids in read]
    assert said == [f"{PROMPT[0].content} {SHORT[3]}"]


def test_where_prompt_and_other_answer_leave_no_room_it_says_so(t5):
    answer = refine(t5, refiner_template="{prompt} {other} {answer}", refiner_max_tokens=16)
    assert answer.candidates == ()
    assert answer.failure == "what surrounds the passage leaves it no room in 16 tokens"


def test_the_refiner_may_have_a_model_of_its_own(t5, bart):
    with what_is_read(bart) as read:
        assert refine(t5, refiner_model=str(bart)).candidates
    assert len(read) == 1
    card = Seq2SeqRefiner(settings(t5, refiner_model=str(bart)), progress=SILENT).card
    assert card.settings["model"] == "bart"


# --------------------------------------------------------------------------------------------------------------- cards


def test_the_cards_name_the_weights_and_what_the_texts_depend_on(t5, bart):
    def fingerprint(folder: Path = t5, kind: Any = Seq2SeqParaphraser, **changes: Any) -> str:
        return kind(settings(folder, **changes), progress=SILENT).card.fingerprint

    first: Paraphraser = paraphraser(t5)
    assert first.card.name == "seq2seq-paraphraser"
    assert not first.card.stand_in
    assert first.card.settings["model"] == "t5"
    assert len(str(first.card.settings["weights"])) == 24
    others = {"prefix": "say: ", "beams": 9, "spare": 0, "decoding": "beam", "diversity_penalty": 1.0}
    others |= {"no_repeat_ngram": 0, "list_items": True, "precision": "fp32"}
    changed = {fingerprint(**{name: value}) for name, value in others.items()}
    assert len(changed | {fingerprint(), fingerprint(bart)}) == len(others) + 2
    assert fingerprint(batch_tokens=7) == fingerprint(temperature=2.0) == fingerprint(refiner_temperature=3.0)
    refining = {"refiner_temperature": 3.0, "refiner_template": "{answer}", "refiner_model": str(bart), "top_p": 0.5}
    changed = {fingerprint(kind=Seq2SeqRefiner, **{name: value}) for name, value in refining.items()}
    assert len(changed | {fingerprint(kind=Seq2SeqRefiner), fingerprint()}) == len(refining) + 2


def test_another_folder_with_the_same_files_has_the_same_card_and_other_weights_another(t5, tmp_path):
    import shutil

    shutil.copytree(t5, tmp_path / "t5")
    assert paraphraser(tmp_path / "t5").card == paraphraser(t5).card
    other = save_tiny_t5(tmp_path / "other" / "t5", TRAINING, seed=1)
    assert paraphraser(other).card.settings["model"] == "t5"
    assert paraphraser(other).card.fingerprint != paraphraser(t5).card.fingerprint


def test_a_card_for_display_downloads_nothing(monkeypatch):
    def no_download(name: str, *, local_files_only: bool = False) -> str:
        from huggingface_hub.errors import LocalEntryNotFoundError

        assert local_files_only, f"{name} would be downloaded"
        raise LocalEntryNotFoundError("it is not there")

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_download)
    card = Seq2SeqParaphraser(Seq2SeqConfig(), progress=SILENT, may_download=False).card
    assert card.settings["model"] == "humarin/chatgpt_paraphraser_on_T5_base"
    assert "not on this machine yet" in str(card.settings["weights"])


# -------------------------------------------------------------------------------------------------------------- errors


def test_a_tokenizer_that_is_nothing_but_a_sentencepiece_file_is_read(t5, tmp_path):
    folder = save_tiny_t5(tmp_path / "t5", TRAINING, spiece_alone=True)
    assert not (folder / "tokenizer.json").exists()
    assert candidates(paraphraser(folder).paraphrase(ask(SHORT))) == candidates(paraphraser(t5).paraphrase(ask(SHORT)))


def fail(folder: Path | str, kind: type[Exception] = ModelError, **changes: Any) -> str:
    config = Seq2SeqConfig(model=str(folder), **changes)
    with pytest.raises(kind) as failed:
        Seq2SeqParaphraser(config, progress=SILENT).paraphrase(ask(SHORT[:1]))
    return str(failed.value)


def test_a_folder_without_a_tokenizer_says_so(t5, tmp_path):
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((t5 / name).read_bytes())
    assert "has no tokenizer" in fail(tmp_path)


def test_a_model_that_is_no_sequence_to_sequence_model_says_so(tmp_path):
    folder = save_tiny_backbone(tmp_path / "roberta", "roberta", TEXTS)
    assert "is a roberta, which is no sequence-to-sequence model. Expected: a sequence-to-sequence model" in fail(
        folder
    )
    said = fail("packaged")
    assert "is a bert, which is no sequence-to-sequence model" in said
    assert "check 'model' under [seq2seq]" in said


def test_weights_that_are_missing_or_damaged_are_told(t5, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "t5"
    shutil.copytree(t5, folder)
    weights = load_file(t5 / "model.safetensors")
    half = {name: weight for name, weight in weights.items() if "decoder.block.1" not in name}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lacks weights, such as decoder.block.1." in fail(folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    assert "cannot be loaded as a sequence-to-sequence model" in fail(folder)
    (folder / "config.json").write_text("no json")
    assert "has no config.json that can be used" in fail(folder)


def test_a_model_of_the_hub_that_is_not_there_says_so_in_plain_words(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = fail("nobody/no-such-paraphraser")
    assert "'nobody/no-such-paraphraser' is neither a folder nor a model that the hub would give" in said
    assert "correct 'model' under [seq2seq] in mars.toml" in said
    assert "is neither a folder nor" in fail("no hub id at all!")


def test_a_limit_beyond_the_positions_of_a_model_is_refused(bart):
    said = fail(bart, ConfigError, max_tokens=POSITIONS + 1)
    assert f"seq2seq.max_tokens = {POSITIONS + 1}, but {bart} reads {POSITIONS} tokens at most" in said
    assert "lower max_tokens under [seq2seq]" in said


def test_a_device_that_is_not_there_is_told(t5):
    assert "set device under [seq2seq]" in fail(t5, device="nowhere")


def test_too_little_memory_is_told_with_what_to_do(t5, monkeypatch):
    import torch

    def run_out(*_arguments: Any, **_options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("mars_engine.augment.generators.seq2seq.model.decode", run_out)
    assert "lower batch_tokens under [seq2seq]" in fail(t5, GenerationError, device="cpu")


def test_half_precision_writes_too(t5):
    for answer in paraphraser(t5, precision="bf16").paraphrase(ask(SHORT[:2])):
        assert answer.candidates
