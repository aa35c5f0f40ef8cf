"""Only ends of documents are cut, token by token, and never half a character."""

from __future__ import annotations

from itertools import pairwise

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.truncation import EncodedPrompt, fit, inside
from limrank_plugins.errors import InputError
from limrank_plugins.segments import Prompt, Segment

ENCODERS = {name: PromptEncoder(tiny.tokenizer(name)) for name in tiny.TOKENIZERS}
QWEN = ENCODERS["qwen"]
# Whatever may stand in a web page: controls, combining marks, emoji, scripts, private use.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(
    "aéi \n\t<think>/|😀👩‍👧ﬁ", max_size=30
)


def prompt_of(query: str, *documents: str) -> Prompt:
    segments = [Segment("Query: ", shared=True), Segment(query, trusted=False, shared=True)]
    for document in documents:
        segments += [Segment("\nPassage: "), Segment(document, trusted=False, cuttable=True)]
    return Prompt((*segments, Segment("\n<think>")))


@settings(max_examples=150, deadline=None)
@given(
    documents=st.lists(texts, min_size=1, max_size=4),
    share=st.floats(0, 1),
    name=st.sampled_from(list(ENCODERS)),
)
def test_only_ends_of_documents_are_cut(documents: list[str], share: float, name: str) -> None:
    encoder = ENCODERS[name]
    encoded = encoder.encode(prompt_of("why 😀", *documents))
    fixed = len(encoded.ids) - sum(stop - start for start, stop in encoded.cuttable)
    limit = fixed + int(share * (len(encoded.ids) - fixed))
    ids, cut = fit(encoded, limit)
    assert len(ids) <= limit
    assert cut == len(encoded.ids) - len(ids)
    # The same with every token told apart: the beginning of each range is left, and all between them.
    positions, _ = fit(EncodedPrompt(list(range(len(encoded.ids))), encoded.offsets, encoded.cuttable), limit)
    assert ids == [encoded.ids[position] for position in positions]
    inside = {position for start, stop in encoded.cuttable for position in range(start, stop)}
    assert set(range(len(encoded.ids))) - inside <= set(positions)
    for start, stop in encoded.cuttable:
        held = [position for position in positions if start <= position < stop]
        assert held == list(range(start, start + len(held)))
    wanted = min(len(encoded.ids), limit)
    assert len(ids) >= wanted - 3 * len(encoded.cuttable) - 30 * (name in ("unigram", "word"))


@pytest.mark.parametrize("name", ["qwen", "llama"])
def test_a_character_of_several_tokens_is_never_split(name: str) -> None:
    encoder = ENCODERS[name]
    encoded = encoder.encode(prompt_of("why", "😀é😀 acid 漢字漢字"))
    (start, stop) = encoded.cuttable[0]
    assert stop - start > 20
    for limit in range(len(encoded.ids) - (stop - start), len(encoded.ids) + 1):
        ids, _ = fit(encoded, limit)
        assert limit - 3 <= len(ids) <= limit
        assert "�" not in encoder.decode(ids)


def test_the_longest_document_is_cut_first() -> None:
    encoded = EncodedPrompt(
        list(range(300)), [(i, i + 1) for i in range(300)], [(10, 15), (20, 120), (130, 290)]
    )
    ids, cut = fit(encoded, 300 - 60)
    assert (len(ids), cut) == (240, 60)
    assert all(position in ids for position in range(120))
    assert ids[-10:] == list(range(290, 300))
    ids, cut = fit(encoded, 35 + 5 + 21 + 20)
    assert len(ids) == 81
    lengths = [sum(start <= i < stop for i in ids) for start, stop in encoded.cuttable]
    assert lengths[0] == 5
    assert sorted(lengths[1:]) == [20, 21]


def test_a_token_that_also_holds_template_text_stays() -> None:
    document = "acid curdles milk"
    prompt = prompt_of("why", document)
    encoded = QWEN.encode(prompt)
    text = prompt.text
    for start, stop in encoded.cuttable:
        for a, b in encoded.offsets[start:stop]:
            assert text[a:b] in document
    # "Passage: " + "acid": the space belongs to the template, and " a…" is one token with it.
    assert text[slice(*encoded.offsets[encoded.cuttable[0][0] - 1])].startswith(" ")
    assert all(a[0] <= b[0] for a, b in pairwise(encoded.offsets))


def test_spaces_of_the_template_stay_where_the_tokenizer_hides_them_from_offsets() -> None:
    tokens = tiny.qwen_tokenizer()
    tokens.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)  # as GPT-2 and Llama 3
    prompt = prompt_of("why", "acid curdles milk")
    encoded = PromptEncoder(tokens).encode(prompt)
    assert encoded.ids == tokens(prompt.text)["input_ids"]
    assert encoded.cuttable == QWEN.encode(prompt).cuttable


def test_half_characters_at_the_borders_of_a_document_stay() -> None:
    # Template space and half an emoji in one token; half an emoji and the template's newline in another.
    offsets = [(0, 4), (4, 6), (5, 6), (6, 7), (7, 8), (8, 9), (8, 10), (10, 12)]
    assert inside(offsets, (5, 9)) == (3, 5)
    assert inside(offsets[:2], (5, 5)) == (0, 0)


def test_a_prompt_that_cannot_fit_names_both_numbers() -> None:
    encoded = QWEN.encode(prompt_of("why " * 50, "because " * 50))
    fixed = len(encoded.ids) - sum(stop - start for start, stop in encoded.cuttable)
    assert len(fit(encoded, fixed)[0]) == fixed
    with pytest.raises(InputError, match=f"need {fixed} tokens, but there is room for {fixed - 1}: shorten"):
        fit(encoded, fixed - 1)
