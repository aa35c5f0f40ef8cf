"""Cross-encoders against plain forward passes and against `CrossEncoder.predict`, on random weights."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers
from rounding import near
from tiny_encoders import QUERY, TEXTS, bert_config, bert_tokenizer, cross_encoder
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from limrank_plugins import Document, Query, Reranker
from limrank_plugins.backends import cross_encoder as module
from limrank_plugins.backends.cross_encoder import CrossEncoderBackend
from limrank_plugins.backends.local.encoder_inputs import (
    EncoderInput,
    PairEncoder,
    as_tensors,
    in_turn,
    longest,
)
from limrank_plugins.backends.protocols import Closes, Failed, Numbers, ScorePair, ScoresPairs
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.images import Image

sentence_transformers = pytest.importorskip("sentence_transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cross_encoder(tmp_path_factory.mktemp("models") / "ce")


@pytest.fixture(scope="module")
def backend(folder: Path) -> CrossEncoderBackend:
    return CrossEncoderBackend(str(folder), device="cpu")


def scores(backend: CrossEncoderBackend, texts: list[str], query: str = QUERY) -> list[float]:
    replies = backend.score_pairs([ScorePair(query, text) for text in texts])
    assert all(isinstance(reply, Numbers) for reply in replies), replies
    return [reply.values[0] for reply in replies if isinstance(reply, Numbers)]


def plain(folder: Path, texts: list[str], query: str = QUERY) -> list[float]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return [
            model(
                **tokenizer([[query, text]], truncation="only_second", max_length=64, return_tensors="pt")
            ).logits.item()
            for text in texts
        ]


# ---- scores -------------------------------------------------------------------------------------


def test_scores_are_the_models_own(folder: Path, backend: CrossEncoderBackend) -> None:
    assert isinstance(backend, ScoresPairs)
    assert isinstance(backend, Closes)
    found = scores(backend, TEXTS)
    assert found == near(plain(folder, TEXTS))
    assert scores(CrossEncoderBackend(str(folder), device="cpu", exact=True), TEXTS) == plain(folder, TEXTS)
    assert max(found) - min(found) > 0.05, "scores that differ, or this shows nothing"


def test_scores_are_those_of_predict(folder: Path, backend: CrossEncoderBackend) -> None:
    library = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    raw = library.predict([(QUERY, text) for text in TEXTS], activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(scores(backend, TEXTS), raw, rtol=1e-5, atol=1e-5)
    ranked = Reranker("cross-encoder:activation=sigmoid", backend=backend).rank(QUERY, TEXTS)
    chances = library.predict([(QUERY, text) for text in TEXTS])  # one output: sigmoid is its default
    np.testing.assert_allclose(
        [hit.score for hit in ranked], [chances[hit.index] for hit in ranked], atol=1e-5
    )
    assert ranked.score_kind == "probability"
    assert ranked.ids == Reranker("cross-encoder", backend=backend).rank(QUERY, TEXTS).ids


@pytest.mark.parametrize("exact", [False, True])
def test_a_score_depends_on_what_else_is_asked_by_rounding_and_where_exact_not_at_all(
    folder: Path, exact: bool
) -> None:
    backend = CrossEncoderBackend(str(folder), device="cpu", exact=exact)
    together = scores(backend, TEXTS)
    alone = [score for text in TEXTS for score in scores(backend, [text])]
    order = list(range(len(TEXTS)))
    random.Random(1).shuffle(order)
    shuffled = scores(backend, [TEXTS[i] for i in order])
    for others in (alone, [shuffled[order.index(i)] for i in range(len(TEXTS))]):
        assert together == (others if exact else pytest.approx(others, rel=0, abs=1e-5))


def test_padded_batches_give_the_same_scores(folder: Path, backend: CrossEncoderBackend) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pairs = PairEncoder(tokenizer)
    rows = [row for text in TEXTS if (row := pairs.pair(pairs.ids(QUERY), pairs.ids(text), 64))]
    batch = as_tensors(torch, rows, tokenizer, "cpu")
    assert (batch["attention_mask"] == 0).any()
    with torch.inference_mode():
        np.testing.assert_allclose(model(**batch).logits[:, 0], scores(backend, TEXTS), rtol=1e-5, atol=1e-5)


# ---- what is read -------------------------------------------------------------------------------


def test_only_the_passage_is_cut_and_that_is_said(folder: Path, backend: CrossEncoderBackend) -> None:
    long = "milk " * 200
    (reply,) = backend.score_pairs([ScorePair(QUERY, long)])
    assert isinstance(reply, Numbers)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    query = len(tokenizer(QUERY, add_special_tokens=False)["input_ids"])
    assert reply.cut_tokens == 200 - (64 - 3 - query)
    assert reply.usage.prompt_tokens == 64
    assert reply.values[0] == near(plain(folder, [long])[0])
    assert reply.values == near(backend.score_pairs([ScorePair(QUERY, long + "bread")])[0].values)  # type: ignore[union-attr]
    hit = Reranker("cross-encoder", backend=backend).rank(QUERY, [long])[0]
    assert hit.cut_tokens == reply.cut_tokens


def test_a_query_that_fills_the_model_is_a_failure_never_cut(backend: CrossEncoderBackend) -> None:
    full, more = backend.score_pairs([ScorePair("tea " * 60, "milk"), ScorePair("tea " * 61, "milk")])
    assert isinstance(full, Numbers)
    assert isinstance(more, Failed)
    assert "61 tokens, which leave no room for a passage in the 64" in more.reason
    ranking = Reranker("cross-encoder", backend=backend).rank("tea " * 61, ["a", "b"])
    assert [hit.score for hit in ranking] == [None, None]


def test_markers_in_a_passage_stay_text(folder: Path, backend: CrossEncoderBackend) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pairs = PairEncoder(tokenizer)
    ids = pairs.ids("milk [SEP] the [CLS] milk [MASK] [PAD]")
    assert set(ids).isdisjoint(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
    assert (
        pairs.ids("milk [SEP] tea")
        == tokenizer("milk [SEP] tea", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    )
    # As text it is another passage than with the marker, which the plain tokenizer would put there.
    (one,) = scores(backend, ["milk [SEP] tea"])
    assert one != plain(folder, ["milk [SEP] tea"])[0]


def test_a_sentencepiece_vocabulary_that_holds_its_markers_is_no_way_in() -> None:
    """`split_special_tokens` does not help here, so this is more than BERT's case."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(character, -3.0) for character in "abs</>"]
    engine = Tokenizer(models.Unigram(pieces, unk_id=3))
    engine.pre_tokenizer = pre_tokenizers.Metaspace()
    engine.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    engine.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=engine, unk_token="<unk>", pad_token="<pad>", cls_token="<s>", sep_token="</s>"
    )
    assert 2 in tokenizer("b </s> b", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    pairs = PairEncoder(tokenizer)
    assert 2 not in pairs.ids("b </s> b")
    row = pairs.pair(pairs.ids("a"), pairs.ids("b </s> b"), 32)
    assert row is not None
    assert row.types is None or len(row.types) == len(row.ids)
    assert [row.ids[0], *row.ids[-1:]] == [0, 2]
    assert row.ids.count(2) == 3
    harmless = pairs.pair(pairs.ids("a"), pairs.ids("b a"), 32)
    assert harmless == EncoderInput(tokenizer("a", "b a")["input_ids"], harmless.types if harmless else None)


@pytest.mark.parametrize("limit", [8, 12, 20, 64])
def test_pairs_are_the_tokenizers_own(tmp_path: Path, limit: int) -> None:
    tokenizer = bert_tokenizer(tmp_path)
    pairs = PairEncoder(tokenizer)
    for query in ["milk", "why does milk curdle"]:
        for text in TEXTS:
            made = pairs.pair(pairs.ids(query), pairs.ids(text), limit)
            if made is None:
                assert len(pairs.ids(query)) + 3 + bool(text) > limit
                continue
            # As a batch of one: given two texts, the tokenizer takes an empty second one for none.
            wanted = tokenizer([[query, text]], truncation="only_second", max_length=limit)
            assert ([made.ids], [made.types]) == (wanted["input_ids"], wanted["token_type_ids"])
            assert made.cut == len(tokenizer([[query, text]])["input_ids"][0]) - len(made.ids)
            single = pairs.single(pairs.ids(text), limit)
            wanted = tokenizer(text, truncation=True, max_length=limit)
            assert (single.ids, single.types) == (wanted["input_ids"], wanted["token_type_ids"])


def test_how_long_a_row_may_be(tmp_path: Path) -> None:
    tokenizer = bert_tokenizer(tmp_path, model_max_length=10**30)
    assert longest(bert_config(max_position_embeddings=40), tokenizer) == 40
    assert longest(bert_config(max_position_embeddings=40), tokenizer, 30, None) == 30
    roberta = transformers.RobertaConfig(max_position_embeddings=514, pad_token_id=1)
    assert longest(roberta, tokenizer) == 512, "positions are counted from behind the padding's number"
    assert longest(transformers.T5Config(), tokenizer) == 512
    assert list(in_turn([3, 1, 2], 2, alone=False)) == [[1, 2], [0]]
    assert list(in_turn([3, 1, 2], 2, alone=True)) == [[1], [2], [0]]


# ---- failures and options -----------------------------------------------------------------------


def test_a_score_that_is_not_finite_is_a_failure(folder: Path) -> None:
    backend = CrossEncoderBackend(str(folder), device="cpu")
    rows = backend._model.held[0].model.bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        rows[backend._tokenizer.convert_tokens_to_ids("cat")] = float("nan")
    good, bad = backend.score_pairs([ScorePair("tea", "milk"), ScorePair("tea", "cat")])
    assert isinstance(good, Numbers)
    assert isinstance(bad, Failed)
    assert "nan" in bad.reason


def test_images_are_refused_not_ignored(backend: CrossEncoderBackend) -> None:
    image = Image(b"\x89PNG\r\n\x1a\n" + b"0" * 32)
    ranking = Reranker("cross-encoder", backend=backend).rank(
        "milk", ["tea", Document("milk", images=(image,)), "milk"]
    )
    assert [hit.id for hit in ranking if hit.score is None] == ["1"]
    assert "cannot see" in ranking.failures[0].reason
    assert (
        len(Reranker("cross-encoder", backend=backend).rank(Query("q", images=(image,)), ["a"]).failures) == 1
    )


def test_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="has 3 outputs, and which of them is relevance"):
        CrossEncoderBackend(str(cross_encoder(tmp_path / "three", num_labels=3)))
    bert_tokenizer(tmp_path / "mlm").save_pretrained(tmp_path / "mlm")
    transformers.BertForMaskedLM(bert_config()).save_pretrained(tmp_path / "mlm")
    with pytest.raises(BackendError, match=r"is no cross-encoder but a BertForMaskedLM"):
        CrossEncoderBackend(str(tmp_path / "mlm"))
    with pytest.raises(InputError, match="does not exist"):
        CrossEncoderBackend(str(tmp_path / "nothing" / "there"))
    with pytest.raises(BackendError, match="cannot be loaded"):
        CrossEncoderBackend("no/such-model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number >= 1, but got 0"),
        ({"max_length": True}, "max_length must be"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"device": "toaster"}, "device 'toaster' cannot be used"),
    ],
)
def test_bad_options(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CrossEncoderBackend(str(folder), **options)
    with pytest.raises(
        InputError, match="activation must be 'none', 'sigmoid' or 'model', but got 'softmax'"
    ):
        Reranker("cross-encoder:activation=softmax")


def test_identities_differ_where_scores_would(folder: Path, tmp_path: Path) -> None:
    def identity(where: Path, **options: Any) -> str:
        return CrossEncoderBackend(str(where), device="cpu", **options).identity

    other = cross_encoder(tmp_path / "ce", seed=1)
    known = [
        identity(folder),
        identity(folder, max_length=20),
        identity(folder, dtype="bfloat16"),
        identity(other),
        identity(folder, exact=True),
    ]
    assert len(set(known)) == 5
    assert identity(folder, batch_size=2) == known[0]
    assert identity(folder, max_length=1000) == known[0]


def test_saturated_probabilities_are_told_apart_by_their_logit() -> None:
    from scripts import full_backend

    backend = full_backend(score_pairs=lambda query, passage: float(len(passage)))
    ranking = Reranker("cross-encoder:activation=sigmoid", backend=backend).rank("q", ["x" * 50, "x" * 60])
    assert [hit.score for hit in ranking] == [1.0, 1.0]
    assert ranking.ids == ["1", "0"]
    low = full_backend(score_pairs=lambda query, passage: -1000.0)
    assert Reranker("cross-encoder:activation=sigmoid", backend=low).rank("q", ["x"])[0].score == 0.0
    broken = full_backend(score_pairs=lambda query, passage: math.nan)
    assert Reranker("cross-encoder", backend=broken).rank("q", ["x"]).failures[0].reason == "the score is nan"


def test_closing(folder: Path) -> None:
    backend = CrossEncoderBackend(str(folder), device="cpu")
    assert backend.score_pairs([]) == []
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="is closed: make a new one"):
        backend.score_pairs([ScorePair("a", "b")])


# ---- decoders -----------------------------------------------------------------------------------

DOCUMENTS = [
    "acid curdles milk because the proteins clump together.",
    "bread",
    "light bends; iron rusts " * 3,
    "",
]


def decoder(
    folder: Path, own: str | None, configured: str | None, side: str = "right", end: bool = False
) -> Path:
    """A random Qwen2 with a score: what the tokenizer pads with, and what the config says it does."""
    tokenizer = tiny.qwen_tokenizer(padding_side=side)
    tokenizer.pad_token = own
    if end:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="$A <|im_end|>",
            pair="$A $B <|im_end|>",
            special_tokens=[("<|im_end|>", tokenizer.eos_token_id)],
        )
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.35,
        num_labels=1,
        pad_token_id=None if configured is None else tokenizer.convert_tokens_to_ids(configured),
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    transformers.Qwen2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(
    ("own", "configured"),
    [
        (None, None),
        (None, "<|endoftext|>"),
        ("<|im_end|>", "<|endoftext|>"),
        ("<|endoftext|>", None),
        ("<|im_end|>", "<|im_end|>"),
    ],
)
def test_a_decoders_rows_together_are_its_rows_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str | None,
    configured: str | None,
    side: str,
    end: bool,
) -> None:
    folder = decoder(tmp_path / "m", own, configured, side, end)
    backend = CrossEncoderBackend(str(folder), device="cpu", exact=True)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = [backend._rows.row(QUERY, document) for document in DOCUMENTS]
    with torch.inference_mode():
        plain = [model(torch.tensor([row.ids])).logits.item() for row in rows]
    alone = scores(backend, DOCUMENTS)
    # As on a GPU.
    monkeypatch.setattr(module, "in_turn", lambda lengths, size, **_: in_turn(lengths, size, alone=False))
    together = scores(backend, DOCUMENTS)
    assert len(plain) == len(DOCUMENTS)
    assert alone == pytest.approx(plain, rel=1e-5, abs=1e-5)
    assert together == pytest.approx(plain, rel=1e-5, abs=1e-5)
    assert max(plain) - min(plain) > 0.1
