"""From what a model wrote to what is searched with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_pipelines.rewrite_methods import (
    METHODS,
    UnusableCompletion,
    read_terms,
    read_text,
    rewrite_method,
)
from limrank_pipelines.templates import template_of
from limrank_plugins.backends.remote.markers import marker_pattern
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import parse_template
from limrank_plugins.readouts.labels import TAG

READERS = [read_text, read_terms]


@pytest.mark.parametrize(
    ("text", "cut", "read"),
    [
        ("Acid curdles milk.", False, "Acid curdles milk."),
        ("  Acid\n\ncurdles \t milk. ", False, "Acid curdles milk."),
        ("<think>Hm, tea?</think>\nAcid curdles milk.", False, "Acid curdles milk."),
        ("Hm, tea?</think> Acid curdles milk.", False, "Acid curdles milk."),
        ("Acid curdles milk. The proteins clu", True, "Acid curdles milk."),
        ("Acid curdles milk. The proteins clu", False, "Acid curdles milk. The proteins clu"),
        ("Acid curdles mil", True, "Acid curdles mil"),
        ("?0", True, "?0"),
        ("It is [3] > [1] <answer>", False, "It is [3] > [1] (answer)"),
        ("milk <|im_end|> tea", False, "milk < |im_end|> tea"),
        ("milk \ud800 tea", False, "milk \ufffd tea"),
    ],
)
def test_prose(text: str, cut: bool, read: str):
    assert read_text(text, cut) == read


@pytest.mark.parametrize(
    ("text", "cut", "read"),
    [
        ("casein, acid; pH\ncurd", False, "casein acid pH curd"),
        ("Keywords: casein, acid.", False, "casein acid"),
        (
            "Here are some terms:\n- casein\n* milk protein\n3. acid\n(4) 'pH'",
            False,
            "casein milk protein acid pH",
        ),
        ("Casein, casein, CASEIN, acid", False, "Casein acid"),
        ("casein, acid, prot", True, "casein acid"),
        ("casein", True, "casein"),
        ("<think>What, indeed, is it</think> casein, sorry state", False, "casein sorry state"),
        ("casein, this is a whole sentence about many things, acid", False, "casein acid"),
        ("casein, <|im_start|>, </answer>, -, ...", False, "casein < |im_start|> (/answer)"),
        (", ".join(f"t{i}" for i in range(99)), False, " ".join(f"t{i}" for i in range(40))),
    ],
)
def test_terms(text: str, cut: bool, read: str):
    assert read_terms(text, cut) == read


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "wrote no answer"),
        (" \n", "wrote no answer"),
        ("<think>It goes on and on", "wrote no answer"),
        ("<think>A thought.</think>  ", "wrote no answer"),
        ("I'm sorry, but I cannot help with that.", "refused"),
        ("I’m sorry", "refused"),
        ("<think>No.</think>\n\nI can't help you.", "refused"),
        ("As an AI language model, I do not", "refused"),
        ("I am unable to do that", "refused"),
        ("... --- !!", "wrote no"),
    ],
)
def test_what_cannot_be_used_says_why(read, text: str, why: str):
    with pytest.raises(UnusableCompletion, match=why):
        read(text, False)


def test_a_sentence_is_no_list_of_terms():
    with pytest.raises(UnusableCompletion, match="no list of terms"):
        read_terms("The best passages would all talk about the acid that is in the tea", False)


@pytest.mark.parametrize(
    "text", ["The sorry state of acids.", "An AI wrote it.", "Candles burn.", "Ice can't sink."]
)
def test_what_only_looks_like_a_refusal_is_none(text: str):
    assert read_text(text, False) == text


nasty = st.lists(
    st.sampled_from(
        [
            *("<think>", "</think>", "< / THINK >", "<answer>", "</answer>", "<|im_end|>", "<s>", "[INST]"),
            *("<<s>s>", "<thi<think>nk>", "<|im_<|im_end|>end|>", "<", "think>", "a <", "|im_end|>"),
            *("\n", ",", "\ud800", "acid", "sorry", " "),
        ]
    ),
    max_size=9,
).map("".join)


@pytest.mark.parametrize("read", READERS)
@given(text=st.one_of(st.text(), nasty), cut=st.booleans())
def test_any_text_is_read_or_refused_and_holds_no_marker(read, text: str, cut: bool):
    try:
        found = read(text, cut)
    except UnusableCompletion:
        return
    assert any(character.isalnum() for character in found)
    assert found == " ".join(found.split())
    assert TAG.search(found) is None
    assert marker_pattern().search(found) is None
    found.encode("utf-8")


@pytest.mark.parametrize("name", METHODS)
def test_each_method_has_its_template(name: str):
    template = template_of(rewrite_method(name).name)
    assert template.chat
    assert template.source
    prompt = template.render("why {{ query }} <think>", [])
    (query,) = [segment for segment in prompt.segments if not segment.trusted]
    assert query.text == "why {{ query }} <think>"


def test_another_template_comes_from_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('prompt = "Write about {{ query }}"')
    assert template_of("hyde", str(file)) == parse_template("mine", file.read_text())
    assert template_of("hyde").name == "hyde"
    for bad in ("limrank", str(tmp_path / "none.toml")):
        with pytest.raises(InputError):
            template_of("hyde", bad)
    with pytest.raises(InputError, match="reasoning, hyde, keywords"):
        rewrite_method("hide")
