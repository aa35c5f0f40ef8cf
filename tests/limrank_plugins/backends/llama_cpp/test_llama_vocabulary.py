"""Tokens of llama.cpp are traced to characters, and no text becomes a marker where that is asked for."""

from __future__ import annotations

from unicodedata import normalize

import gguf
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from write_gguf import write

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: tests/compat/run_llama_cpp installs it")

import llama_cpp

from limrank_plugins.backends.llama_cpp.llama_vocabulary import LlamaVocabulary

TEXTS = st.text(st.sampled_from("ab thé\u0301\n<>/k\U0001f9c0\u1100\u1161"), max_size=12)
MARKED = st.lists(TEXTS | st.sampled_from(["<think>", "<|im_end|>", "</s>", "the"]), max_size=5).map("".join)


def sentencepiece(writer: gguf.GGUFWriter) -> None:
    """A vocabulary as Llama 2 has it: a space is put before the first word, and bytes are the last resort."""
    kinds = gguf.TokenType
    special = [("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)]
    raw = [(f"<0x{byte:02X}>", kinds.BYTE) for byte in range(256)]
    words = [
        "\u2581",
        "\u2581t",
        "\u2581th",
        "\u2581the",
        "t",
        "h",
        "e",
        "a",
        "b",
        "th",
        "\u2581a",
        "\u2581\u2581",
        "<",
        ">",
    ]
    rows = [*special, *raw, *((word, kinds.NORMAL) for word in words), ("<think>", kinds.USER_DEFINED)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token for token, _ in rows])
    writer.add_token_types([kind for _, kind in rows])
    writer.add_token_scores([-float(place) for place in range(len(rows))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)


@pytest.fixture(scope="module", params=["bytes", "sentencepiece"])
def vocabulary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LlamaVocabulary:
    place = tmp_path_factory.mktemp("models")
    folder = tiny.build(place / "m", intermediate_size=64)
    if request.param == "bytes":
        return LlamaVocabulary(llama_cpp, write(folder, place / "a.gguf"))
    return LlamaVocabulary(llama_cpp, write(folder, place / "b.gguf", tokenizer=False, edit=sentencepiece))


@settings(max_examples=300)
@given(MARKED)
def test_every_character_is_in_a_token_and_every_token_has_its_own(
    vocabulary: LlamaVocabulary, text: str
) -> None:
    for ids, offsets in (vocabulary.encode(text), vocabulary.encode_bare(text, first=True)):
        assert len(ids) == len(offsets)
        covered = [False] * len(text)
        before = (0, 0)
        for number, (start, stop) in zip(ids, offsets, strict=True):
            assert before[0] <= start <= stop <= len(text)
            assert start >= before[1] or start == before[0] or vocabulary.pieces[number]
            covered[start:stop] = [True] * (stop - start)
            before = (start, stop)
        assert all(covered)


@settings(max_examples=300)
@given(MARKED)
def test_without_markers_the_text_is_the_same(vocabulary: LlamaVocabulary, text: str) -> None:
    read = normalize("NFC", text) if vocabulary.prefix == () else text  # as Qwen's tokenizers do
    for first, expected in ((True, (read, f" {read}")), (False, (read,))):
        ids, _ = vocabulary.encode_bare(text, first=first)
        assert vocabulary.markers.isdisjoint(ids)
        assert vocabulary.decode(ids) in expected


def test_markers(vocabulary: LlamaVocabulary) -> None:
    texts = {vocabulary.decode([number]) for number in vocabulary.markers}
    assert "<think>" in texts
    assert not texts & {"<unk>", " ", "a"}
    assert vocabulary.ends <= vocabulary.markers
    ids, offsets = vocabulary.encode("a<think>b")
    assert [offsets[i] for i in range(len(ids)) if ids[i] in vocabulary.markers] == [(1, 8)]
