"""Golden prompts, segments, instructions, and templates of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendered_templates import PASSAGES, QUERY, rendered

from limrank_plugins import prompts
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.prompts import instructed, instructions, load_template, parse_template, template_names
from limrank_plugins.prompts.each import prompt_each
from limrank_plugins.segments import Prompt, Segment, clean_text

GOLDEN = (
    "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.\n"
    "Query: why does bread rise\n"
    "Passage: Yeast makes gas.\n"
    "<think>"
)


def test_the_trained_wording_to_the_byte():
    assert load_template("limrank").render("why does bread rise", ["Yeast makes gas."]).text == GOLDEN


def test_what_follows_a_thought():
    template = load_template("limrank")
    assert (template.no_think, template.close) == ("\n</think>", "\n</think>")
    assert (template.stop, template.labels) == (("</think>",), (" true", " false"))


@pytest.mark.parametrize("name", template_names())
def test_every_template_is_rendered_with_what_its_recipe_gives(name: str) -> None:
    text = rendered(load_template(name)).text
    shown = [passage in text for passage in PASSAGES]
    assert QUERY in text or name in ("mm-embed", "qlm", "qlm-upr")  # their query stands elsewhere
    assert shown in ([True] * 3, [True, False, False])


def test_the_digest_is_of_the_wording_alone():
    template = load_template("limrank")
    again = parse_template("x", '# other comment\nsource = "elsewhere"\n' + _toml(template))
    assert again.digest == template.digest
    assert parse_template("x", _toml(template).replace("Passage:", "Text:")).digest != template.digest


def _toml(template: object) -> str:
    import json

    fields = {k: getattr(template, k) for k in ("prompt", "labels", "stop", "close", "no_think")}
    return "\n".join(f"{k} = {json.dumps(v)}" for k, v in fields.items())


def test_segments_say_what_is_shared_cuttable_and_trusted():
    assert load_template("limrank").render("q", ["d"]).segments == (
        Segment(GOLDEN.split("why")[0], shared=True),
        Segment("q", trusted=False, shared=True),
        Segment("\nPassage: ", shared=True),
        Segment("d", trusted=False, cuttable=True),
        Segment("\n<think>"),
    )


@given(st.text(), st.text())
def test_no_text_reaches_the_template_engine_or_moves_a_border(query: str, document: str):
    for q, d in (
        (query, document),
        ("{{ documents }}", "{% for x in y %}"),
        ("\ue000document:0\ue001", "\ue000query\ue001"),
    ):
        segments = load_template("limrank").render(q, [d]).segments
        assert [s.text for s in segments if not s.trusted] == [clean_text(q), clean_text(d)]
        assert [s.text for s in segments if s.trusted] == [GOLDEN.split("why")[0], "\nPassage: ", "\n<think>"]


def test_the_engine_renders_a_template_once_for_all_documents():
    template = parse_template("own", "prompt = 'Once: {{ query }} {{ document }}'")
    before = prompts._pieces.cache_info().misses
    texts = [template.render("q", [f"document {i}"]).text for i in range(20)]
    assert texts == [f"Once: q document {i}" for i in range(20)]
    assert prompts._pieces.cache_info().misses == before + 1


def test_a_list_of_documents_can_be_looped_over():
    template = parse_template(
        "many", 'prompt = "{{ query }}{% for d in documents %} [{{ loop.index }}] {{ d }}{% endfor %}"'
    )
    prompt = template.render("q", ["a", "b", "c"])
    assert prompt.text == "q [1] a [2] b [3] c"
    assert [s.text for s in prompt.segments if s.cuttable] == ["a", "b", "c"]
    assert prompt.shared_text == "q [1] "


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("prompt = ", "is not TOML"),
        ('text = "x"', "unknown fields"),
        ('labels = ["a"]', "no field 'prompt'"),
    ],
)
def test_bad_templates_are_named(toml: str, said: str):
    with pytest.raises(InputError, match=said):
        parse_template("mine", toml)


@pytest.mark.parametrize("prompt", ["{{ nothing }}", "{{ query", "{{ query.__class__.__mro__ }}"])
def test_a_template_cannot_name_what_it_is_not_given(prompt: str):
    with pytest.raises(InputError, match="mine"):
        parse_template("mine", f'prompt = "{prompt}"').render("q", ["d"])


def test_a_template_of_ones_own(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text('prompt = "{{ document }} answers {{ query }}?"\nlabels = ["yes", "no"]\n')
    assert load_template(str(file)).render("q", ["d"]).text == "d answers q?"
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        load_template(str(tmp_path / "nowhere.toml"))
    with pytest.raises(InputError, match="limrank"):
        load_template("nowhere")
    assert "limrank" in template_names()


def test_instructions_cover_the_benchmarks_and_hold_the_query():
    names = instructions()
    wanted = {"bright", "bright/aops", "bright/leetcode", "bright/pony", "bright/theoremqa_questions"}
    wanted |= {"bright/theoremqa_theorems", "followir", "beir/scifact", "beir/arguana", "beir/trec-covid"}
    wanted |= {"beir/climate-fever", "beir/dbpedia-entity", "beir/fiqa", "beir/nfcorpus", "beir/scidocs"}
    assert wanted <= set(names)
    for name in names:
        assert instructed(Query("MY QUERY"), name).count("MY QUERY") == 1
        assert "{{" not in instructed(Query("MY QUERY"), name)


def test_a_querys_own_instruction_is_appended_unless_it_is_the_query():
    assert instructed(Query("cats", instruction="Only black ones."), None) == "cats Only black ones."
    assert instructed(Query("cats", instruction=" cats "), None) == "cats"
    assert instructed(Query("cats", instruction="Black."), "followir") == "cats Black."
    assert instructed(Query("a {{ query }} b"), "Find: {{ query }}!") == "Find: a {{ query }} b!"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("é \U0001f600", "é \U0001f600"),
        ("a\ud800b", "a\ufffdb"),
        ("\ud83d\ude00", "\U0001f600"),
    ],
)
def test_lone_surrogates_are_replaced(text: str, clean: str):
    assert clean_text(text) == clean
    clean_text(text).encode("utf-8")


@pytest.mark.parametrize("name", ["limrank", "limrank-chat", "qwen3-reranker", "ragvl", "qlm"])
def test_prompts_about_one_document_each_are_those_of_each_alone(name: str):
    template = load_template(name)

    def render(text: str, images: tuple[Image, ...]) -> Prompt:
        return template.render("q {{ document }}", [text], images=[images]).then(Segment("!"))

    texts = ["plain", "", "{{ query }} \ud800 \N{SNOWMAN}", "shown", "plain"]
    shown = {3: (Image(b"GIF89a1"), Image(b"GIF89a2"))}
    documents = [Document(text, images=shown.get(i, ())) for i, text in enumerate(texts)]
    alone = [render(text, document.images) for text, document in zip(texts, documents, strict=True)]
    assert prompt_each(documents, texts, render) == alone
    assert prompt_each([], [], render) == []
