"""Transformers as reward models: each architecture trains, is saved, and scores the same in plain transformers."""

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import make_pairs
from tiny_transformers import ARCHITECTURES, Architecture, save_tiny_backbone

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.errors import ConfigError, ModelError, NotReadyError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import DatasetRecord, ModelEvidence, ModelRecord, Pair, TrainingSet, Turn
from mars_engine.embeddings.context import render_context
from mars_engine.reward_models.transformer.fine_tuning import TransformerTrainer

pytestmark = pytest.mark.model

SILENT = SilentProgress()
PAIRS = make_pairs(12)
CONFIG = RewardModelConfig(
    input_format="pair", max_tokens=96, batch_size=4, epochs=2, learning_rate=1e-3, warmup=0.0, device="cpu"
)
PLAIN_SCORES = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
assert not any(name.startswith("mars_engine") for name in sys.modules)
asked = json.load(sys.stdin)
scores = {}
for folder in asked["folders"]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        texts = tokenizer(asked["prompts"], asked["responses"], padding=True, return_tensors="pt")
        scores[folder] = model(**texts).logits[:, 0].double().tolist()
print(json.dumps(scores))
"""


def texts_of(pairs: tuple[Pair, ...]) -> list[str]:
    return [text for pair in pairs for text in (render_context(pair.prompt), pair.chosen, pair.rejected)]


@pytest.fixture(scope="module")
def backbones(tmp_path_factory) -> dict[Architecture, Path]:
    root = tmp_path_factory.mktemp("backbones")
    return {each: save_tiny_backbone(root / each, each, texts_of(PAIRS)) for each in ARCHITECTURES}


@dataclass(frozen=True)
class Trained:
    model: Any
    folder: Path
    backbone: Path


def raiser(error: Exception) -> Any:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise error

    return fail


def train(backbone: Path, checkpoints: Path, *, pairs: tuple[Pair, ...] = PAIRS, **settings: Any) -> Any:
    config = CONFIG.model_copy(update={"backbone": str(backbone), **settings})
    return TransformerTrainer(config, checkpoints).train(TrainingSet.plain(pairs), progress=SILENT)


@pytest.fixture(scope="module")
def trained(backbones, tmp_path_factory) -> dict[str, Trained]:
    """Each architecture trained and saved, and RoBERTa and Llama once more through LoRA."""
    from mars_engine.reward_models.transformer.shelf import TransformerShelf

    root = tmp_path_factory.mktemp("trained")
    shelf = TransformerShelf(root, root / "models", root / "checkpoints", "cpu", 8192)
    made = {}
    for architecture, backbone in backbones.items():
        for lora in (False, True) if architecture in ("roberta", "llama") else (False,):
            # Differences of rewards alone say nothing of the head's bias; centring does.
            model = train(backbone, root / "checkpoints", lora=lora, center_rewards_coefficient=0.01)
            made[f"{architecture}{' lora' * lora}"] = Trained(model, root / shelf.save(model), backbone)
    return made


@pytest.fixture(scope="module")
def plain_scores(trained) -> dict[str, list[float]]:
    """The rewards that a fresh process computes with plain transformers: all chosen sides, then all rejected ones."""
    asked = {
        "folders": [str(each.folder) for each in trained.values()],
        "prompts": [render_context(pair.prompt) for pair in PAIRS] * 2,
        "responses": [pair.chosen for pair in PAIRS] + [pair.rejected for pair in PAIRS],
    }
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_SCORES],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    scores = json.loads(done.stdout)
    return {name: scores[str(each.folder)] for name, each in trained.items()}


CASES = (*ARCHITECTURES, "roberta lora", "llama lora")


@pytest.mark.parametrize("case", CASES)
def test_a_fresh_process_with_plain_transformers_gives_the_same_rewards(case, trained, plain_scores):
    rewards = trained[case].model.score(PAIRS, progress=SILENT)
    np.testing.assert_allclose([*rewards.chosen, *rewards.rejected], plain_scores[case], atol=1e-6, rtol=0)
    assert np.ptp(rewards.chosen) > 1e-3  # they tell answers apart


@pytest.mark.parametrize("case", CASES)
def test_every_trainable_parameter_changed(case, trained):
    """Against the backbone; the head is compared with the one that the seed gives."""
    from mars_engine.reward_models.transformer.backbone import load_backbone

    before = dict(load_backbone(trained[case].backbone, CONFIG).model.named_parameters())
    after = dict(trained[case].model.backbone.model.named_parameters())
    assert before.keys() == after.keys()
    unchanged = {name for name in before if np.array_equal(before[name].detach(), after[name].detach())}
    if "lora" not in case:
        assert unchanged == set()
    else:  # the linear layers' weights and the head; embeddings, norms and biases are left alone
        head = {name for name in before if name.startswith(("classifier", "score"))}
        left = {name for name in before if "embed" in name or "norm" in name.lower() or name.endswith("bias")}
        assert unchanged == left - head


def reward_by_card(folder: Path) -> float:
    """Run the lines of Python that a model's card shows."""
    (lines,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"folder": str(folder)}
    exec(lines, names)  # noqa: S102
    return float(names["reward"])


CARD_PAIR = Pair.of([Turn("user", "Which planet is the largest?")], "Jupiter.", "Mars.")


@pytest.mark.parametrize("case", ["roberta", "llama"])
def test_what_a_card_shows_gives_the_model_s_own_reward(case, trained):
    rewards = trained[case].model.score([CARD_PAIR], progress=SILENT)
    assert reward_by_card(trained[case].folder) == pytest.approx(rewards.chosen[0], abs=1e-6)


def test_a_saved_model_says_how_it_reads_pairs_and_is_obeyed(backbones, tmp_path):
    from mars_engine.reward_models.transformer.model import load_reward_model
    from mars_engine.reward_models.transformer.shelf import TransformerShelf

    model = train(backbones["llama"], tmp_path / "checkpoints", input_format="chat", max_tokens=90, epochs=1)
    shelf = TransformerShelf(tmp_path, tmp_path / "models", tmp_path / "checkpoints", "cpu", 8192)
    folder = tmp_path / shelf.save(model)
    config = json.loads((folder / "config.json").read_text())
    assert config["mars"] == {"input_format": "chat", "max_tokens": 90}
    loaded = load_reward_model(model.id, folder, device="cpu", batch_tokens=8192)
    assert (loaded.backbone.pairs.input_format, loaded.backbone.pairs.max_tokens) == ("chat", 90)
    np.testing.assert_array_equal(
        loaded.score(PAIRS, progress=SILENT).chosen, model.score(PAIRS, progress=SILENT).chosen
    )
    assert "Input format `chat`, at most 90 tokens" in (folder / "README.md").read_text()
    own = model.score([CARD_PAIR], progress=SILENT).chosen[0]
    assert reward_by_card(folder) == pytest.approx(own, abs=1e-6)
    assert not (tmp_path / "checkpoints" / model.id).exists()  # of no more use
    with pytest.raises(ConfigError, match="trained on the input format 'chat'"):
        train(folder, tmp_path / "checkpoints", input_format="pair", max_tokens=90)


def shelved(model, root: Path) -> tuple[Any, ModelRecord]:
    from mars_engine.reward_models.transformer.shelf import TransformerShelf

    shelf = TransformerShelf(root, root / "models", root / "checkpoints", "cpu", 8192)
    place = shelf.save(model)
    return shelf, ModelRecord(model.id, "transformer", "", {}, {}, place, "", 0, datetime(2026, 1, 1, tzinfo=UTC))


def test_the_card_tells_of_the_pairs_and_the_figures_known_later(trained, tmp_path):
    shelf, record = shelved(trained["roberta"].model, tmp_path)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    dataset = DatasetRecord("d", "a|b`c", "x", "trl", "train", "0123abcd", now, 1234)
    for accuracy in (0.5, 0.625):  # what is said later takes the place of what was said before
        shelf.describe(record, ModelEvidence((dataset,), 40, accuracy, 0.6789))
    card = (tmp_path / record.artifact / "README.md").read_text(encoding="utf-8")
    assert "| `a/b'c` | train | 1,234 | 0123abcd |" in card
    assert "On the 40 held-out pairs it ranks 62.5% the right way round, with a mean log-loss of 0.6789." in card
    assert "50.0%" not in card
    assert card.index("## Training") < card.index("## Pairs and figures") < card.index("## Limits")
    assert shelf.holds(record)


def test_a_full_disk_leaves_no_part_of_a_model_and_the_others_whole(trained, tmp_path, monkeypatch):
    from mars_engine.reward_models.transformer.shelf import TransformerShelf

    shelf = TransformerShelf(tmp_path, tmp_path / "models", tmp_path / "checkpoints", "cpu", 8192)
    first, second = trained["roberta"].model, trained["llama"].model
    before = sorted(path.name for path in (tmp_path / shelf.save(first)).iterdir())
    (tmp_path / "checkpoints" / second.id).mkdir(parents=True)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(type(second.backbone.tokenizer), "save_pretrained", raiser(full))
    with pytest.raises(ModelError, match=r"cannot be written: .*No space left on device.*make room on the disk"):
        shelf.save(second)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [first.id]
    assert sorted(path.name for path in (tmp_path / "models" / first.id).iterdir()) == before
    assert (tmp_path / "checkpoints" / second.id).is_dir()  # from which the training is finished again


def test_a_damaged_model_is_not_loaded_but_written_anew(trained, tmp_path):
    model = trained["roberta"].model
    shelf, record = shelved(model, tmp_path)
    assert shelf.holds(record)
    weights = tmp_path / record.artifact / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not shelf.holds(record)
    with pytest.raises(ModelError, match="missing or damaged"):
        shelf.load(record)
    shelf.save(model)
    scored = shelf.load(record).score(PAIRS, progress=SILENT)
    np.testing.assert_array_equal(scored.chosen, model.score(PAIRS, progress=SILENT).chosen)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rewards_do_not_depend_on_the_batch(architecture, trained):
    from dataclasses import replace

    model = trained[architecture].model
    pairs = [Pair.of(pair.prompt, pair.chosen * (1 + n % 3), pair.rejected) for n, pair in enumerate(PAIRS)]
    together = model.score(pairs, progress=SILENT)
    alone = [replace(model, batch_tokens=64).score([pair], progress=SILENT) for pair in reversed(pairs)][::-1]
    np.testing.assert_allclose(together.chosen, [each.chosen[0] for each in alone], atol=1e-5, rtol=0)
    np.testing.assert_allclose(together.rejected, [each.rejected[0] for each in alone], atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", [*CASES, "packaged"])
def test_what_the_reward_does_not_depend_on_is_left_out_while_scoring_alone(case, trained):
    import torch

    from mars_engine.reward_models.transformer.backbone import load_backbone
    from mars_engine.reward_models.transformer.fine_tuning import find_backbone_folder
    from mars_engine.reward_models.transformer.first_token import last_layer_for_first_token

    backbone = load_backbone(find_backbone_folder(case), CONFIG) if case == "packaged" else trained[case].model.backbone
    model = backbone.model.eval()
    rows = backbone.pairs.tokenize(PAIRS[:4], progress=SILENT)
    inputs = backbone.padding.pad([row.chosen for row in rows])
    states: list[tuple[int, ...]] = []
    last = getattr(model, model.base_model_prefix)
    watch = (last.encoder.layer[-1].output if hasattr(last, "encoder") else last).register_forward_hook(
        lambda _module, _given, output: states.append(tuple(getattr(output, "last_hidden_state", output).shape))
    )
    with torch.inference_mode():
        whole = model(**inputs).logits
        with last_layer_for_first_token(model) as is_shorter:
            short = model(**inputs).logits
        again = model(**inputs).logits
    watch.remove()
    torch.testing.assert_close(short, whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(again, whole, atol=0, rtol=0)
    assert is_shorter == (case.split()[0] in {"deberta-v2", "roberta", "packaged"})
    assert [state[1] for state in states] == [states[0][1], 1 if is_shorter else states[0][1], states[0][1]]


# ------------------------------------------------------------------------------------------------------ bad backbones


@pytest.fixture
def twin_tokens(tmp_path) -> Path:
    """A decoder whose padding token is its end token, as many are published."""
    from transformers import AutoTokenizer

    folder = save_tiny_backbone(tmp_path / "twin", "llama", texts_of(PAIRS))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["pad is end", "no pad"])
def test_a_decoder_without_a_padding_token_of_its_own_is_repaired(kind, tmp_path, twin_tokens):
    """The reward is read at the last token, the end token of the chat template, and padding changes nothing."""
    import torch

    folder = (
        twin_tokens
        if kind == "pad is end"
        else save_tiny_backbone(tmp_path / "padless", "llama", texts_of(PAIRS), pad=False)
    )
    model = train(folder, tmp_path / "checkpoints", input_format="chat")
    assert model.backbone.pad_token_added
    assert model.backbone.tokenizer.pad_token_id != model.backbone.tokenizer.eos_token_id
    rewards = model.score(PAIRS, progress=SILENT)
    for row, reward in zip(model.backbone.pairs.tokenize(PAIRS, progress=SILENT), rewards.chosen, strict=True):
        ids = torch.tensor([row.chosen.token_ids])
        assert ids[0, -1] == model.backbone.tokenizer.eos_token_id
        with torch.no_grad():
            hidden = model.backbone.model.model(ids).last_hidden_state[:, -1]
            assert model.backbone.model.score(hidden).item() == pytest.approx(reward, abs=1e-5)


def test_a_checkpoint_with_two_outputs_is_refused(tmp_path, backbones):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(backbones["roberta"], num_labels=2, dtype=torch.float32)
    model.save_pretrained(tmp_path / "two")
    AutoTokenizer.from_pretrained(backbones["roberta"]).save_pretrained(tmp_path / "two")
    with pytest.raises(ModelError, match=r"has 2 outputs\. Expected: one output"):
        train(tmp_path / "two", tmp_path / "checkpoints")


def test_a_backbone_without_a_tokenizer_is_refused(tmp_path, backbones):
    from transformers import AutoModel

    AutoModel.from_pretrained(backbones["modernbert"]).save_pretrained(tmp_path / "mute")
    with pytest.raises(ModelError, match="has no tokenizer"):
        train(tmp_path / "mute", tmp_path / "checkpoints")


def test_an_encoder_without_a_padding_token_is_refused(tmp_path):
    folder = save_tiny_backbone(tmp_path / "padless", "modernbert", texts_of(PAIRS), pad=False)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    with pytest.raises(ModelError, match="has no padding token"):
        train(folder, tmp_path / "checkpoints")


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"max_tokens": 200}, "takes 127 tokens at most"), ({"device": "cuda:7"}, "device 'cuda:7' cannot be used")],
)
def test_settings_that_do_not_fit_are_refused(settings, said, tmp_path, backbones):
    with pytest.raises((ConfigError, ModelError), match=said):
        train(backbones["roberta"], tmp_path / "checkpoints", **settings)


def test_a_folder_that_holds_no_transformer_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json that can be used"):
        train(tmp_path, tmp_path / "checkpoints")


@pytest.mark.parametrize(("count", "said"), [(0, "there are no pairs"), (1, "there is only one pair")])
def test_one_pair_is_not_enough(count, said, tmp_path, backbones):
    with pytest.raises(NotReadyError, match=f"{said} to train on"):
        train(backbones["roberta"], tmp_path / "checkpoints", pairs=PAIRS[:count])
