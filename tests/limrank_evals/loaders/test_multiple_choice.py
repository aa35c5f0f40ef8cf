"""Questions with a key, and a gated set whose texts are nowhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from limrank_evals.loaders.multiple_choice import MultipleChoice, load_gpqa, load_questions
from limrank_plugins.errors import InputError, LimRankWarning

ROW = {"_id": "q1", "question": "Which?", "choices": ["one", "two", "three"], "answer": "B", "module": "m"}


def put(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_letters_and_places_are_keys(tmp_path: Path):
    path = put(tmp_path / "x.jsonl", ROW, {**ROW, "_id": "q2", "answer": 2})
    found = load_questions(path)
    assert found[0] == MultipleChoice("q1", "Which?", ("one", "two", "three"), "B")
    assert found[1].answer == "C"
    assert found[0].shown() == {
        key: ROW["_id" if key == "id" else key] for key in ("id", "question", "choices", "answer")
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "D"}, "3 options and the key 'D'"),
        ({"answer": "AB"}, "the key 'AB'"),
        ({"answer": 3}, "no option number 3"),
        ({"answer": None}, "'answer' cannot be None"),
        ({"choices": "one"}, "'choices' cannot be 'one'"),
        ({"choices": []}, "1 to 26 options"),
        ({"question": 7}, "'question' cannot be 7"),
    ],
)
def test_bad_questions_are_named(tmp_path: Path, change: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        load_questions(put(tmp_path / "x.jsonl", {**ROW, **change}))


def test_domains_and_ids_as_sets_have_them(tmp_path: Path):
    bare = {key: ROW[key] for key in ("question", "choices", "answer")}
    mmlu = load_questions(
        put(tmp_path / "mmlu.jsonl", {**bare, "subject": "law"}, {**bare, "subject": "art"})
    )
    assert [(q.id, q.domain) for q in mmlu] == [("1", "law"), ("2", "art")]
    assert load_questions(put(tmp_path / "x.jsonl", ROW))[0].domain == ""
    assert load_questions(tmp_path / "x.jsonl", domain="module")[0].domain == "m"
    assert load_questions(put(tmp_path / "y.jsonl", {**ROW, "domain": "d", "subject": "s"}))[0].domain == "d"
    with pytest.raises(InputError, match="'chapter' cannot be None"):
        load_questions(tmp_path / "x.jsonl", domain="chapter")
    with pytest.raises(InputError, match="no file"):
        load_questions(tmp_path / "none.jsonl")


def test_sets_need_questions_of_their_own_ids(tmp_path: Path):
    with pytest.raises(InputError, match="no questions"):
        load_questions(put(tmp_path / "x.jsonl"))
    with pytest.raises(InputError, match="these repeat: 'q1'"):
        load_questions(put(tmp_path / "x.jsonl", ROW, ROW))


SECRET = "What is the\n\nsecret, exactly?"


def gpqa(path: Path, count: int = 198, domain: str | None = None) -> Path:
    names = ["Record ID", "Question", "Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3))]
    more = [] if domain is None else [domain]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names + ["High-level domain" for _ in more])
        writer.writerows([[f"rec{i}", SECRET, "hidden right", "w1", "w2", "w3", *more] for i in range(count)])
    return path


def test_gpqa_has_domains(tmp_path: Path):
    path = gpqa(tmp_path / "gpqa.csv", domain="Physics")
    assert {question.domain for question in load_gpqa(path)} == {"Physics"}
    assert {question.domain for question in load_gpqa(gpqa(tmp_path / "bare.csv"))} == {""}
    with pytest.raises(InputError, match="no column 'Subdomain'"):
        load_gpqa(path, domain="Subdomain")


def test_what_is_shown_of_a_gated_set_may_be_no_text(tmp_path: Path):
    """Columns that are mixed up must not bring questions into reports as ids or domains."""
    long = {**ROW, "_id": "the secret " * 9}
    with pytest.raises(InputError, match="longer than 80 characters") as caught:
        load_questions(put(tmp_path / "x.jsonl", long), gated=True)
    assert "secret" not in str(caught.value)
    assert load_questions(tmp_path / "x.jsonl")[0].id == long["_id"]
    with pytest.raises(InputError, match="longer than 80 characters"):
        load_questions(put(tmp_path / "y.jsonl", {**ROW, "module": "m" * 81}), gated=True, domain="module")
    for load in (
        lambda: load_questions(put(tmp_path / "z.jsonl", ROW), gated=True, domain="question"),
        lambda: load_gpqa(gpqa(tmp_path / "gpqa.csv"), domain="Correct Answer"),
    ):
        with pytest.raises(InputError, match="domains of a gated set are shown"):
            load()


def test_gpqa_is_read_whole_and_not_shown(tmp_path: Path):
    found = load_gpqa(gpqa(tmp_path / "gpqa_diamond.csv"))
    assert len(found) == 198
    assert found[0].question == SECRET, "blank lines within a cell are part of it"
    assert (found[0].answer, found[0].choices[0]) == ("A", "hidden right")
    shown = json.dumps(found[0].shown()) + repr(found[0])
    assert "secret" not in shown
    assert "hidden" not in shown
    assert found[0].shown()["sha256"] == found[1].shown()["sha256"]
    assert found[0].shown(show_gated=True)["question"] == SECRET


def test_errors_about_gated_sets_quote_nothing(tmp_path: Path):
    with pytest.raises(InputError, match="5, but 198"):
        load_gpqa(gpqa(tmp_path / "few.csv", 5))
    assert len(load_gpqa(tmp_path / "few.csv", strict=False)) == 5
    (tmp_path / "odd.csv").write_text("Question\nthe secret\n")
    bad = put(tmp_path / "x.jsonl", {"_id": "q", "question": ["the secret"], "choices": ["a"], "answer": "A"})
    for load in (lambda: load_gpqa(tmp_path / "odd.csv"), lambda: load_questions(bad, gated=True)):
        with pytest.raises(InputError) as caught:
            load()
        assert "secret" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    with pytest.raises(InputError, match=r"GPQA is gated: accept its terms .* `hf auth login`"):
        load_gpqa(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": " "}, "the question has no text"),
        ({"question": "\u200b"}, "the question has no text"),
        ({"choices": ["one", "", "three"]}, "option B has no text"),
        ({"choices": ["one", "two", "\u2060"]}, "option C has no text"),
        ({"choices": ["one", None, "three"]}, "option B has no text"),
        ({"choices": [str(i) for i in range(27)]}, "1 to 26 options, but this has 27"),
    ],
)
def test_questions_that_nobody_can_answer_are_named(tmp_path: Path, change: dict[str, object], message: str):
    path = put(tmp_path / "x.jsonl", {**ROW, "_id": "q0"}, {**ROW, **change})
    with pytest.raises(InputError, match=f"x.jsonl, question 'q1': .*{message}"):
        load_questions(path)


def test_two_equal_options_are_told_and_kept(tmp_path: Path):
    path = put(tmp_path / "x.jsonl", {**ROW, "_id": "q0"}, {**ROW, "choices": ["one", "two", "one "]})
    with pytest.warns(LimRankWarning, match=r"x.jsonl: 1 question has two equal options, as 'q1'"):
        assert len(load_questions(path)) == 2


def test_numbers_are_options(tmp_path: Path):
    assert load_questions(put(tmp_path / "x.jsonl", {**ROW, "choices": [1, 2.5]}))[0].choices == ("1", "2.5")
