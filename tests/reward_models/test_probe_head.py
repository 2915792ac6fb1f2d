"""The head 'probe': it starts as the probe, is saved and restored to the bit, and keeps no layer that it needs not."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import make_pairs
from tiny_transformers import save_tiny_backbone

from mars_engine.core.config import EncoderConfig, ProbeConfig, RewardModelConfig
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Embeddings, ModelRecord, Pair, TrainingSet, Turn
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.context import render_context
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.transformer.fine_tuning import TransformerTrainer
from mars_engine.reward_models.transformer.probe_start import ProbeSource
from mars_engine.reward_models.transformer.shelf import TransformerShelf

pytestmark = pytest.mark.model

SILENT = SilentProgress()
PAIRS = make_pairs(20, seed=1)
EXAMPLES = TrainingSet.plain(PAIRS)
TOKENS = 96
CONFIG = RewardModelConfig(
    head="probe", batch_size=4, epochs=2, learning_rate=1e-3, checkpoint_every=3, warmup=0.2, device="cpu"
)
UNMOVED = {"learning_rate": 1e-30, "epochs": 1, "precision": "fp32"}
"""Training with these leaves every weight where it began."""
READINGS = ("response", "context", "all")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    texts = [text for pair in PAIRS for text in (render_context(pair.prompt), pair.chosen, pair.rejected)]
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"), "roberta", texts)


class ExactEncoder(CachedEncoder):
    """Reads hidden states in float32, where the cache keeps them as float16."""

    def __init__(self, encoder: SentenceEncoder, folder: Path) -> None:
        super().__init__(encoder, folder)
        self.inner = encoder

    def hidden_states(self, passages: Any, states: Any, *, progress: Any) -> Embeddings:  # noqa: ARG002
        rows = self.inner.tokenize(passages)
        read = self.inner.read_batch(rows, sentence=False, states=states).states
        cut = np.array([[row.context_tokens_cut, row.text_tokens_cut] for row in rows]).T
        return Embeddings(np.hstack([read[state] for state in states]), *cut)


@dataclass(frozen=True)
class Bench:
    """A backbone that is also the probe's encoder, and a place for checkpoints and models."""

    backbone: Path
    root: Path

    def probes(self, max_tokens: int = TOKENS, **settings: Any) -> ProbeTrainer:
        encoder = SentenceEncoder(EncoderConfig(name=str(self.backbone), max_tokens=max_tokens, device="cpu"))
        config = ProbeConfig(**({"layers": "1", "reading": "response", "l2": 0.03} | settings))
        return ProbeTrainer(config, ExactEncoder(encoder, self.root / "embeddings"))

    def trainer(self, probes: ProbeTrainer, encoder_tokens: int = TOKENS, **settings: Any) -> TransformerTrainer:
        config = CONFIG.model_copy(update={"backbone": str(self.backbone), **settings})
        return TransformerTrainer(config, self.root / "checkpoints", ProbeSource(probes, encoder_tokens))

    @property
    def shelf(self) -> TransformerShelf:
        return TransformerShelf(self.root, self.root / "models", self.root / "checkpoints", "cpu", 0)


@pytest.fixture
def bench(backbone, tmp_path) -> Bench:
    return Bench(backbone, tmp_path)


def train(trainer: TransformerTrainer, examples: TrainingSet = EXAMPLES, notes: Any = None) -> Any:
    return trainer.train(examples, progress=SILENT, notes=notes)


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: weight.numpy() for name, weight in model.backbone.model.state_dict().items()}


def rewards(model: Any, pairs: tuple[Pair, ...] = PAIRS) -> np.ndarray:
    scored = model.score(pairs, progress=SILENT)
    return np.concatenate([scored.chosen, scored.rejected])


def record_of(model: Any, artifact: str) -> ModelRecord:
    return ModelRecord(model.id, "transformer", "tuned", {}, {}, artifact, "", 0, datetime.now(UTC))


# -------------------------------------------------------------------------------------------------------------- start


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("layers", ["1", "0,2", "1,2"])
def test_before_a_step_the_rewards_are_the_probe_s(reading, layers, bench):
    probes = bench.probes(reading=reading, layers=layers)
    probe = probes.train(EXAMPLES, progress=SILENT)
    start = train(bench.trainer(probes, **UNMOVED))
    np.testing.assert_allclose(rewards(start), rewards(probe), atol=1e-4)
    assert rewards(probe).std() > 0.05


def test_the_last_token_s_state_is_read_where_the_probe_reads_it(bench):
    probes = bench.probes(pooling="last")
    start = train(bench.trainer(probes, **UNMOVED))
    np.testing.assert_allclose(rewards(start), rewards(probes.train(EXAMPLES, progress=SILENT)), atol=1e-4)


def test_texts_are_cut_as_the_probe_cut_them_and_counted(bench):
    probes = bench.probes(max_tokens=16, reading="context")
    probe = probes.train(EXAMPLES, progress=SILENT)
    start = train(bench.trainer(probes, encoder_tokens=16, **UNMOVED))
    np.testing.assert_allclose(rewards(start), rewards(probe), atol=1e-4)
    cut = start.truncation(PAIRS, progress=SILENT)
    assert cut == probe.truncation(PAIRS, progress=SILENT)
    assert cut.contexts_cut > 0


def test_the_prompt_is_not_read_where_responses_are_read_alone(bench):
    model = train(bench.trainer(bench.probes()))
    other = [Turn("user", "Another prompt altogether?")]
    elsewhere = tuple(Pair.of(other, pair.chosen, pair.rejected) for pair in PAIRS)
    np.testing.assert_array_equal(rewards(model), rewards(model, elsewhere))


def test_layers_above_the_probe_s_are_gone_and_all_others_are_trained(bench):
    probes = bench.probes()
    before, after = weights(train(bench.trainer(probes, **UNMOVED))), weights(train(bench.trainer(probes)))
    assert any(".layer.0." in name for name in after)
    assert not any(".layer.1." in name or "pooler" in name for name in after)
    trained = [name for name in after if "position_ids" not in name and "token_type" not in name]
    # The bias of the highest layer's last norm shifts both sides of a pair alike, so that no margin pulls at it.
    still = [name for name in trained if (before[name] == after[name]).all()]
    assert [name for name in still if not name.endswith("layer.0.output.LayerNorm.bias")] == []
    assert "reward_head.weight" in trained


# ---------------------------------------------------------------------------------------------------------- its files


@pytest.mark.parametrize("lora", [False, True])
def test_a_saved_model_scores_the_same_to_the_bit(lora, bench):
    model = train(bench.trainer(bench.probes(layers="0,1"), lora=lora))
    loaded = bench.shelf.load(record_of(model, bench.shelf.save(model)))
    np.testing.assert_array_equal(rewards(loaded), rewards(model))
    assert loaded.truncation(PAIRS, progress=SILENT) == model.truncation(PAIRS, progress=SILENT)


def test_what_the_card_shows_gives_the_reward_in_plain_transformers(bench, tmp_path):
    without_template = tmp_path / "without"
    texts = [text for pair in PAIRS for text in (render_context(pair.prompt), pair.chosen)]
    save_tiny_backbone(without_template, "roberta", texts)
    (without_template / "chat_template.jinja").unlink()
    pair = Pair.of([Turn("user", "Which planet is the largest?")], "Jupiter.", "Mars.")
    programs, rewards_of_ours = [], []
    for reading, folder in (("response", bench.backbone), ("context", bench.backbone), ("all", without_template)):
        table = replace(bench, backbone=folder)
        model = train(table.trainer(table.probes(reading=reading)))
        saved = tmp_path / table.shelf.save(model)
        card = (saved / "README.md").read_text(encoding="utf-8")
        (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        programs.append(f"folder = {str(saved)!r}\n{program}\nprint(reward.item())")
        rewards_of_ours.append(model.score([pair], progress=SILENT).chosen[0])
        assert "AutoModelForSequenceClassification` and TRL do not load it" in card
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(programs)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert [float(line) for line in done.stdout.splitlines()] == pytest.approx(rewards_of_ours, abs=1e-5)


def test_a_saved_model_without_some_weights_is_refused(bench):
    from safetensors.torch import load_file, save_file

    from mars_engine.reward_models.transformer.model import load_reward_model

    model = train(bench.trainer(bench.probes()))
    folder = bench.root / bench.shelf.save(model)
    kept = load_file(folder / "model.safetensors")
    del kept["reward_head.weight"]
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"reward_head\.weight"):
        load_reward_model("x", folder, device="cpu", batch_tokens=0)


# ----------------------------------------------------------------------------------------------------------- training


@dataclass
class StopAfterEpoch:
    stop: Any

    def add_point(self, metric: str, step: int, value: float) -> None:
        pass

    def add_epoch(self, model_id: str, epoch: int, margins: Any) -> None:  # noqa: ARG002
        if epoch == 1:
            self.stop()


def ctrl_c() -> None:
    import signal

    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("settings", [{}, {"lora": True}, {"early_stopping_patience": 2, "epochs": 3}])
def test_an_interrupted_training_goes_on_exactly(settings, bench):
    probes, settings = bench.probes(), {"trajectory": True, **settings}
    undisturbed = weights(train(replace_root(bench, "one").trainer(probes, **settings)))
    other = replace_root(bench, "two")
    with pytest.raises(KeyboardInterrupt):
        train(other.trainer(probes, **settings), notes=StopAfterEpoch(ctrl_c))
    resumed = weights(train(other.trainer(probes, **settings)))
    assert all((undisturbed[name] == resumed[name]).all() for name in undisturbed)


def replace_root(bench: Bench, name: str) -> Bench:
    return replace(bench, root=bench.root / name)


def test_the_probe_has_not_seen_what_early_stopping_sets_aside(bench, monkeypatch):
    seen: list[TrainingSet] = []
    original = ProbeTrainer.train

    def watch(self: ProbeTrainer, training_set: TrainingSet, **options: Any) -> Any:
        seen.append(training_set)
        return original(self, training_set, **options)

    monkeypatch.setattr(ProbeTrainer, "train", watch)
    train(bench.trainer(bench.probes(), early_stopping_patience=1, validation_percent=25))
    (fitted,) = seen
    assert len(fitted.pairs) == 15


def test_the_id_tells_the_probe_that_it_starts_from(bench):
    one, other = bench.probes(l2=0.03), bench.probes(l2=0.1)
    ids = {
        bench.trainer(one).model_id(EXAMPLES),
        bench.trainer(other).model_id(EXAMPLES),
        bench.trainer(bench.probes(layers="2")).model_id(EXAMPLES),
        bench.trainer(one, head="default", max_tokens=96).model_id(EXAMPLES),
    }
    assert len(ids) == 4
    assert bench.trainer(bench.probes(l2=0.03)).model_id(EXAMPLES) in ids
    same = bench.trainer(one, input_format="concat")  # it does not count under this head
    assert same.model_id(EXAMPLES) in ids


def test_each_head_has_a_learning_rate_that_suits_it(bench):
    probes = bench.probes()
    rates = {
        head: bench.trainer(probes, head=head, learning_rate=rate).config.learning_rate
        for head, rate in (("default", 0.0), ("probe", 0.0))
    }
    assert rates == {"default": 2e-5, "probe": 1e-4}
    named = bench.trainer(probes, learning_rate=1e-4)
    assert named.model_id(EXAMPLES) == bench.trainer(probes, learning_rate=0.0).model_id(EXAMPLES)


# ------------------------------------------------------------------------------------------------------------- errors


def test_another_backbone_than_the_probe_s_encoder_is_refused(bench, tmp_path):
    other = save_tiny_backbone(tmp_path / "other", "roberta", [pair.chosen for pair in PAIRS])
    with pytest.raises(ConfigError, match="is another model"):
        train(bench.trainer(bench.probes(), backbone=str(other)))


def test_sentence_embeddings_are_nothing_to_start_from(bench):
    with pytest.raises(ConfigError, match="sentence embeddings"):
        train(bench.trainer(bench.probes(layers="sentence")))


@pytest.mark.parametrize("architecture", ["llama", "modernbert"])
def test_what_is_not_built_like_bert_is_refused(architecture, tmp_path):
    folder = save_tiny_backbone(tmp_path / "tiny", architecture, [pair.chosen for pair in PAIRS])
    bench = Bench(folder, tmp_path)
    with pytest.raises(ConfigError, match="built like BERT"):
        train(bench.trainer(bench.probes()))


def test_a_model_with_this_head_is_no_backbone_for_another(bench):
    model = train(bench.trainer(bench.probes()))
    folder = bench.root / bench.shelf.save(model)
    with pytest.raises(ConfigError, match="head = 'probe'"):
        train(bench.trainer(bench.probes(), head="default", backbone=str(folder), max_tokens=96))


# -------------------------------------------------------------------------------------------------- packaged encoder


def test_the_packaged_encoder_starts_as_its_probe_and_keeps_no_layer_above(tmp_path):
    encoder = CachedEncoder(SentenceEncoder(EncoderConfig(device="cpu")), tmp_path)
    probes = ProbeTrainer(ProbeConfig(layers="1,3", reading="response", l2=0.03), encoder)
    config = CONFIG.model_copy(update={"backbone": "packaged", **UNMOVED})
    model = train(TransformerTrainer(config, tmp_path, ProbeSource(probes, EncoderConfig().max_tokens)))
    np.testing.assert_allclose(rewards(model), rewards(probes.train(EXAMPLES, progress=SILENT)), atol=1e-4)
    assert {name.split(".")[3] for name in weights(model) if ".layer." in name} == {"0", "1", "2"}
