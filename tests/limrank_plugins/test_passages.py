"""How documents come into prompts: titles, white space, limits, and what is said of what was left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from scripts import full_backend, passages_of

from limrank_plugins import Document, Query, Reranker, load_recipe
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.truncation import fit
from limrank_plugins.backends.request_keys import request_key
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import load_template, parse_template
from limrank_plugins.prompts.passages import PassageLayout, passage_limit
from limrank_plugins.readouts import Settings
from limrank_plugins.segments import Prompt, Segment

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("text", ["300 words", "300-words", "300words"])
def test_limits_as_they_are_written(text: str):
    assert str(passage_limit(text)) == "300 words"


@pytest.mark.parametrize("text", ["300", 300, "0 words", "-1 tokens", "300 letters", "", None, True])
def test_what_is_no_limit_is_refused_where_the_recipe_is_named(text: object):
    with pytest.raises(InputError, match="number of words or tokens"):
        passage_limit(text)
    if isinstance(text, str) and text:
        with pytest.raises(InputError, match="number of words or tokens"):
            load_recipe(f"rankgpt:passage_limit={text}")


def test_titles_white_space_and_words():
    document = Document(" one\ntwo  three\u2003four ", title="A {{ text }} {{ title }}")
    layout = PassageLayout("Title: {{ title }} Content: {{ text }}", "single", passage_limit("9 words"))
    assert layout.written(document) == "Title: A {{ text }} {{ title }} Content:"
    assert layout.words_cut(document) == 4
    assert PassageLayout("{{ title }}\n{{ text }}", "trim").written(document) == (
        "A {{ text }} {{ title }}\n one\ntwo  three\u2003four"
    )
    assert PassageLayout().written(document) == document.passage
    kept = PassageLayout(limit=passage_limit("3 words")).written(Document(" one\ntwo  three\u2003four "))
    assert kept == " one\ntwo  three"
    assert PassageLayout(limit=passage_limit("4 words")).written(Document("a b c d ")) == "a b c d "


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('titled = "{{ text }}"', "once each"),
        ('white_space = "none"', "keep, trim, single"),
        ('limit = "many"', "number of words or tokens"),
        ("words = 3", "may hold"),
    ],
)
def test_a_wrong_table_is_named(table: str, said: str):
    with pytest.raises(InputError, match=said):
        parse_template("mine", f'prompt = "{{{{ document }}}}"\n[passage]\n{table}\n')


def test_words_that_were_cut_are_reported_and_an_option_changes_how_many():
    long = Document("word " * 340, id="long")
    documents = [long, Document("short one", id="short")]
    for recipe, left in (
        ("rankgpt", 300),
        ("first", 300),
        ("icr", 300),
        ("rankgpt:passage_limit=20-words", 20),
        ("insertrank:passage_limit=none", 340),
    ):
        backend = full_backend()
        ranking = Reranker(recipe, backend=backend).rank("q", documents)
        assert {hit.id: hit.cut_tokens for hit in ranking} == {"long": 340 - left, "short": 0}
        request = backend.requests[0]
        prompt = request.prompts[0] if recipe == "icr" else request.prompt
        assert sorted(len(text.split()) for text in passages_of(prompt)) == [2, left]
    ranking = Reranker("cascade:first=prior,then=rankgpt", backend=full_backend()).rank("q", documents)
    assert {hit.id: hit.cut_tokens for hit in ranking} == {"long": 40, "short": 0}


@pytest.mark.parametrize("name", tiny.TOKENIZERS)
def test_a_limit_in_tokens_leaves_so_many_of_every_passage(name: str):
    encoder = PromptEncoder(tiny.tokenizer(name))
    texts = ["acid curdles milk because " * 9, "tea", "bread rises when yeast " * 5]
    segments = [Segment("Query: why")]
    for text in texts:
        segments += [Segment("\nPassage: "), Segment(text, trusted=False, cuttable=True, most=7)]
    encoded = encoder.encode(Prompt((*segments, Segment("\n<think>"))))
    whole = [stop - start for start, stop in encoded.cuttable]
    ids, cut = fit(encoded, 10_000)
    assert cut == len(encoded.ids) - len(ids) == sum(max(0, size - 7) for size in whole) > 20
    kept = [encoded.ids[start : start + min(7, stop - start)] for start, stop in encoded.cuttable]
    places = [i for part in kept for i in part]
    fixed = [t for i, t in enumerate(encoded.ids) if not any(a <= i < b for a, b in encoded.cuttable)]
    assert sorted(ids) == sorted([*fixed, *places])
    # A context that is too short even so takes more of the longest.
    assert len(fit(encoded, len(ids) - 3)[0]) == len(ids) - 3


def test_tokens_that_were_cut_are_shared_out_over_the_long_passages(tmp_path: Path):
    tokens = tiny.qwen_tokenizer()
    tokens.chat_template = CHAT
    folder = tiny.build(tmp_path / "m", "qwen2", tokens=tokens, max_position_embeddings=4096)
    passages = ["acid curdles milk because " * 40, "tea", "acid curdles milk because " * 20]
    sizes = [len(tokens(text, add_special_tokens=False)["input_ids"]) for text in passages]
    backend = TransformersBackend(str(folder))
    for limit in (30, 16):
        recipe = f"reasonrank:passage_limit={limit}-tokens"
        ranking = Reranker(recipe, backend=backend, reasoning="none").rank("why", passages)
        found = [next(hit.cut_tokens for hit in ranking if hit.index == i) for i in range(3)]
        assert found == pytest.approx([max(0, size - limit) for size in sizes], abs=6)
        assert found[1] == 0
    ranking = Reranker("reasonrank:passage_limit=none", backend=backend, reasoning="none").rank(
        "why", passages
    )
    assert {hit.cut_tokens for hit in ranking} == {0}


def asked(recipe: str, passage: str = "a b c"):
    chosen = load_recipe(recipe)
    program = chosen.readout.ask(
        Query("q"), [Document(passage), Document("d")], chosen.load_template(), Settings()
    )
    return next(program)[0]


def test_stored_replies_are_those_to_the_same_prompt_and_limit():
    def key(recipe: str, passage: str = "a b c") -> bytes:
        return request_key("model", asked(recipe, passage))

    assert key("rankgpt") == key("rankgpt:passage_limit=3-words"), "the same bytes are asked"
    assert key("rankgpt") != key("rankgpt:passage_limit=2-words")
    assert key("rankgpt:passage_limit=2-words") == key("rankgpt:passage_limit=2-words", "a b and more")
    assert key("rankgpt") != key("rankgpt:wording=rankllm")
    assert (
        key("reasonrank") != key("reasonrank:passage_limit=none") != key("reasonrank:passage_limit=9-tokens")
    )
    limited = [
        Reranker(name, backend=full_backend()) for name in ("rankgpt", "rankgpt:passage_limit=2-words")
    ]
    assert limited[0].identity != limited[1].identity


def test_the_digest_knows_the_wording_and_not_the_limit():
    template, other = load_template("rankgpt"), load_recipe("rankgpt:passage_limit=none").load_template()
    assert other.passage.limit is None
    assert other.digest == template.digest, "a checkpoint's card fits, however much is read"
    bare = parse_template("x", 'prompt = "{{ document }}"')
    titled = parse_template("x", 'prompt = "{{ document }}"\n[passage]\ntitled = "{{ title }}: {{ text }}"\n')
    assert bare.digest != titled.digest
    assert (
        bare.digest == parse_template("x", 'prompt = "{{ document }}"\n[passage]\nlimit = "3 words"\n').digest
    )
