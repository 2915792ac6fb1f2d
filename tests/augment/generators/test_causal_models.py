"""Small causal models as generators: passages in the chat template, samples by seed, echoes refused, plain errors."""

from pathlib import Path
from typing import Any

import pytest
from tiny_causal import CHAT_TEMPLATE, save_tiny_causal
from tiny_transformers import save_tiny_backbone

from mars_engine.augment.generators.causal import CausalParaphraser, CausalRefiner
from mars_engine.augment.generators.causal.manner import echoes_of, plain_rewriting, refine_search
from mars_engine.augment.generators.causal.writer import load_writer
from mars_engine.augment.generators.passages.fitness import find_fault
from mars_engine.augment.generators.passages.writing import Written
from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest, RefineRequest
from mars_engine.core.config import CausalConfig
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Turn

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("one_thread")]

SILENT = SilentProgress()
TEXTS = (
    "You rewrite texts for research on preference data.",
    "Answer with one JSON object. Answer with nothing else. Texts on data.",
    "You answer with data, and nothing else, for research.",
)
KEPT = "\n\n```python\nprint('data')\n```\n\n"
INSTRUCTIONS = "Rewrite texts. Answer with one text.\nAnswer texts for research."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_causal(tmp_path_factory.mktemp("models") / "tiny", ends_soon=True)


def settings(folder: Path | str, **changes: Any) -> CausalConfig:
    given = {"instructions": INSTRUCTIONS, "max_tokens": 40, "min_length_percent": 0, "device": "cpu"}
    return CausalConfig(model=str(folder), **(given | changes))


def paraphrase(folder: Path | str, texts: tuple[str, ...], *, count: int = 2, seed: int = 0, **changes: Any) -> Any:
    requests = [ParaphraseRequest(f"k{number}", text, count, seed) for number, text in enumerate(texts)]
    return CausalParaphraser(settings(folder, **changes), progress=SILENT).paraphrase(requests)


def candidates(answers: list[Generation]) -> list[tuple[str, ...]]:
    return [answer.candidates for answer in answers]


def what_is_read(folder: Path, texts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[str]:
    """Return what the model is given to go on from, special tokens included, padding left out."""
    writer = load_writer(folder, instructions=("",), device="cpu", precision="auto", batch_tokens=0)
    read: list[str] = []
    generate = writer.model.generate

    def note(**given: Any) -> Any:
        for ids, mask in zip(given["input_ids"], given["attention_mask"], strict=True):
            read.append(writer.tokenizer.decode(ids[mask.bool()]))
        return generate(**given)

    monkeypatch.setattr(writer.model, "generate", note)
    paraphrase(folder, texts, **changes)
    return read


def test_each_passage_is_read_in_the_chat_template_under_each_instruction_in_turn(tiny, monkeypatch):
    read = what_is_read(tiny, TEXTS[:1], monkeypatch, count=2, spare=2)
    assert len(read) == 4
    for instruction in INSTRUCTIONS.splitlines():
        system = instruction.replace(".", "").split()
        mine = [text for text in read if all(word in text.split("user")[0] for word in system)]
        assert len(mine) == 2
    assert all("preference" in text.split("user")[1] and text.rstrip().endswith("]") for text in read)


def test_code_stays_to_the_letter_and_long_texts_are_read_in_passages(tiny, monkeypatch):
    text = f"{TEXTS[0]} {TEXTS[1]} {TEXTS[0]} {TEXTS[2]}{KEPT}{TEXTS[2]}"
    (answer,) = paraphrase(tiny, (text,), count=3, spare=6)
    assert answer.provenance["passages"] > 2
    assert answer.candidates
    assert all(candidate.count(KEPT) == 1 for candidate in answer.candidates)
    read = what_is_read(tiny, (text,), monkeypatch, spare=0)
    assert not any("print" in each for each in read)


def test_the_same_seed_gives_the_same_texts_alone_and_in_any_batch_and_another_seed_others(tiny):
    together = candidates(paraphrase(tiny, TEXTS))
    assert all(together)
    assert candidates(paraphrase(tiny, TEXTS)) == together
    assert [candidates(paraphrase(tiny, (text,)))[0] for text in TEXTS] == together
    assert candidates(paraphrase(tiny, TEXTS, batch_tokens=1)) == together
    assert candidates(paraphrase(tiny, TEXTS, seed=1)) != together
    assert all(len(set(some)) == len(some) for some in together)


def test_the_refiner_rewrites_the_side_asked_for_and_draws_bolder_at_every_try(tiny):
    search = refine_search(settings(tiny, temperature=0.5, refiner_temperature=1.5, spare=2), 3)
    assert search.temperatures == (0.5, 0.75, 1.0, 1.25, 1.5)
    refiner = CausalRefiner(settings(tiny), progress=SILENT)
    prompt = (Turn("user", "Texts?"),)
    asked = [RefineRequest("a", prompt, TEXTS[0], TEXTS[1], side, 2, 0) for side in ("chosen", "rejected")]
    swapped = [RefineRequest("a", prompt, TEXTS[1], TEXTS[0], side, 2, 0) for side in ("rejected", "chosen")]
    found = candidates(refiner.refine(asked))
    assert found == candidates(refiner.refine(swapped))
    assert found[0] != found[1]


def test_an_answer_that_repeats_the_instruction_is_none():
    lines = CausalConfig().instruction_lines
    assert len(lines) == 2
    instructions = echoes_of(lines)
    for echo in (
        lines[1],
        "Rewrite the input text to make it more concise while preserving its core meaning. The cat sat.",
        "you're an AI assistant for  text re-writing.",
    ):
        found = find_fault(
            Written(echo, finished=True), "The cat sat.", instructions=instructions, min_length_percent=0
        )
        assert found == "a repetition of the instruction"
    plain = Written("A cat was sitting.", finished=True)
    assert find_fault(plain, "The cat sat.", instructions=instructions, min_length_percent=0) is None


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ('Here is a more concise version: "The cat sat."', "The cat sat."),
        ("Here's the rewritten text: The cat sat.", "The cat sat."),
        ("Sure, here it is: The cat sat.", "The cat sat."),
        ("Here is the cat. It sat.", "Here is the cat. It sat."),
        ("The cat: it sat.", "The cat: it sat."),
        ('"The cat sat."', '"The cat sat."'),
    ],
)
def test_an_announcement_before_the_rewriting_is_left_out(answer, text):
    assert plain_rewriting(answer) == text


def test_the_card_names_the_model_and_all_that_texts_depend_on(tiny):
    one = CausalParaphraser(settings(tiny), progress=SILENT).card
    assert one.settings["model"] == "tiny"
    assert one == CausalParaphraser(settings(tiny, batch_tokens=9), progress=SILENT).card
    assert one != CausalParaphraser(settings(tiny, top_p=0.5), progress=SILENT).card
    refiner = CausalRefiner(settings(tiny), progress=SILENT).card
    assert refiner.settings["refiner_temperature"] == 1.2


def test_models_that_cannot_do_it_are_refused_in_plain_words(tmp_path, tiny):
    with pytest.raises(ModelError, match="has no chat template"):
        paraphrase(save_tiny_causal(tmp_path / "base", chat_template=False), TEXTS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="has no tokenizer"):
        paraphrase(tmp_path / "empty", TEXTS)
    for architecture, said in (("deberta-v2", "cannot be loaded as a causal"), ("roberta", "lacks weights")):
        encoder = save_tiny_backbone(tmp_path / architecture, architecture, TEXTS)
        (encoder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
        with pytest.raises(ModelError, match=said):
            paraphrase(encoder, TEXTS)
    with pytest.raises(ConfigError, match=r"causal.max_tokens = 4000 takes [\d,]+ tokens"):
        paraphrase(tiny, TEXTS, max_tokens=4000)
    with pytest.raises(ModelError, match="cannot be used"):
        paraphrase(tiny, TEXTS, device="cuda:9")


def test_the_packaged_model_shortens_a_text(packaged_lm_folder):
    text = "The mitochondria is the powerhouse of the cell. It makes ATP, which the cell uses for energy."
    lines = CausalConfig().instruction_lines
    (answer,) = paraphrase(
        "packaged", (text,), count=1, spare=1, instructions=lines[0], min_length_percent=40, temperature=0.2
    )
    assert packaged_lm_folder.is_dir()
    assert "cell" in answer.candidates[0]
    assert answer.candidates[0] != text
