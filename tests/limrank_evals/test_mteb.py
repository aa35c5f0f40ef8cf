"""mteb's pairs put back together to lists, and orders turned into numbers; mteb itself is not needed."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import io
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from scripts import full_backend, passages_of, reranker, unit

from limrank_evals.mteb import MtebReranker
from limrank_evals.predictions import write_predictions
from limrank_evals.runs import arranged, read_run_lines, run_lines_of
from limrank_plugins import Document, Query, Reranker, ScriptedBackend
from limrank_plugins.backends.scripted import ScriptedFailure
from limrank_plugins.errors import BackendError, InputError, MissingExtra
from limrank_plugins.store import Store

TASK = SimpleNamespace(name="Tiny")
Pair = tuple[dict[str, Any], dict[str, Any]]


def query(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"q{number}", "text": f"query {number}", "query": f"query {number}"} | more


def document(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"d{number}", "text": f"passage {number} of the set", "body": "not read"} | more


def batches(rows: Sequence[dict[str, Any]], size: int) -> Iterator[dict[str, list[Any]]]:
    """What a data loader of mteb's gives: columns of so many rows, wherever a query's pairs end."""
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield {name: [row[name] for row in part] for name in part[0]}


def predicted(model: MtebReranker, pairs: Sequence[Pair], size: int = 32) -> list[float]:
    found = model.predict(
        inputs1=batches([one for one, _ in pairs], size),
        inputs2=batches([other for _, other in pairs], size),
        task_metadata=TASK,
        hf_split="test",
        hf_subset="default",
        batch_size=size,
    )
    return found.tolist()


def sorted_by(pairs: Sequence[Pair], scores: Sequence[float]) -> dict[str, list[str]]:
    """The order that trec_eval, and with it mteb, makes of the scores."""
    run: dict[str, dict[str, float]] = {}
    for (one, other), score in zip(pairs, scores, strict=True):
        run.setdefault(one["id"], {})[other["id"]] = score
    return arranged(run_lines_of(run), "trec_eval")


@pytest.mark.parametrize("recipe", ["limrank", "rankgpt:window=4,stride=2", "setwise", "first", "vote"])
@pytest.mark.parametrize(("size", "batch"), [(1, 1), (3, 2), (7, 1), (100, 5)])
def test_any_recipe_gets_whole_lists_and_its_order_comes_out(recipe: str, size: int, batch: int):
    dice = random.Random(3)
    lists = {n: dice.sample(range(12), dice.randint(1, 9)) for n in range(5)}
    pairs = [(query(n), document(d)) for n, found in lists.items() for d in found]
    expected = {
        f"q{n}": reranker(recipe)
        .rank(f"query {n}", [Document(f"passage {d} of the set", id=f"d{d}") for d in found])
        .ids
        for n, found in lists.items()
    }
    made = MtebReranker(reranker(recipe), batch=batch)
    assert sorted_by(pairs, predicted(made, pairs, size)) == expected
    records = made.records["Tiny", "default", "test"]
    assert [record["query_id"] for record in records] == [f"q{n}" for n in lists]


@given(st.permutations([(q, d) for q in range(3) for d in range(4)]))
def test_pairs_in_any_order_are_put_together_by_their_ids(places: list[tuple[int, int]]):
    pairs = [(query(q), document(d)) for q, d in places]
    first: dict[int, list[int]] = {}
    for q, d in places:
        first.setdefault(q, []).append(d)
    shown: list[list[str]] = []

    def read(prompt: Any) -> list[float]:
        shown.append(passages_of(prompt))
        return [unit(text) for text in passages_of(prompt)]

    made = MtebReranker(Reranker("first", backend=full_backend(read_labels=read)))
    found = sorted_by(pairs, predicted(made, pairs, 5))
    # Every query is shown its own candidates, all of them, in first-stage order.
    assert shown == [[document(d)["text"] for d in ds] for ds in first.values()]
    best = sorted(range(4), key=lambda d: -unit(document(d)["text"]))
    assert found == {f"q{q}": [f"d{d}" for d in best] for q in first}


def test_equal_scores_stay_in_first_stage_order_whatever_the_ids():
    same = Reranker("limrank", backend=ScriptedBackend(read_labels=lambda _: (1.0, 1.0)), reasoning="none")
    names = ["m", "z", "a", "10", "9"]
    pairs = [(query(1), document(0, id=name)) for name in names]
    assert sorted_by(pairs, predicted(MtebReranker(same), pairs)) == {"q1": names}


def test_two_queries_of_one_text_are_two_queries():
    pairs = [(query(1, id=name), document(d)) for name in ("a-og", "a-changed") for d in (3, 1, 2)]
    made = MtebReranker(reranker("rankgpt"))
    scores = predicted(made, pairs)
    assert sorted(scores[:3]) == sorted(scores[3:]) == [1, 2, 3]
    assert [len(record["hits"]) for record in made.records["Tiny", "default", "test"]] == [3, 3]


def test_a_failure_keeps_its_place_and_is_counted():
    def read(prompt: Any) -> tuple[float, float]:
        if "passage 1 " in prompt.text:
            raise ScriptedFailure("no answer")
        return (6 * unit(prompt.text), 3.0)

    backend = ScriptedBackend(read_labels=read)
    made = MtebReranker(Reranker("limrank", backend=backend, reasoning="none"), allow_failures=True)
    pairs = [(query(1), document(d)) for d in (0, 1, 2)]
    scores = predicted(made, pairs)
    assert scores[1] == 2.0  # the second of three
    assert made.failures == 1
    (record,) = made.records["Tiny", "default", "test"]
    assert record["failures"] == [{"id": "d1", "reason": "no answer"}]


def test_a_failure_leaves_mteb_nothing_to_keep_and_is_asked_again_alone(tmp_path: Path):
    asked: list[str] = []
    ill = True

    def read(prompt: Any) -> tuple[float, float]:
        asked.append(prompt.text)
        if ill and "passage 1 " in prompt.text:
            raise ScriptedFailure("no answer")
        return (6 * unit(prompt.text), 3.0)

    pairs = [(query(1), document(d)) for d in (0, 1, 2)]
    with Store(tmp_path / "store.sqlite") as store:
        backend = ScriptedBackend(read_labels=read)
        backend.stored = True  # as what a server is asked is
        made = MtebReranker(Reranker("limrank", backend=backend, reasoning="none", store=store))
        with pytest.raises(BackendError, match=r"1 document could not be judged; .*'d1': no answer"):
            predicted(made, pairs)
        assert made.failures == 1
        ill = False
        asked.clear()
        assert sorted(predicted(made, pairs)) == [1.0, 2.0, 3.0]
        assert len(asked) == 1
        assert made.failures == 0


def test_a_document_that_is_there_twice_has_one_place():
    pairs = [(query(1), document(d)) for d in (0, 1, 0)]
    scores = predicted(MtebReranker(reranker()), pairs)
    assert scores[0] == scores[2]
    assert sorted(scores[:2]) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ({"query": "wolves", "instruction": "In Asia.", "text": "wolves In Asia."}, ("wolves", "In Asia.")),
        ({"query": "wolves", "instruction": "", "text": "wolves "}, ("wolves", "")),
        ({"text": "wolves"}, ("wolves", "")),
        (
            {"query": "a: wolves?", "instruction": "Say.", "text": "Say. a: wolves?", "conversation": []},
            ("Say. a: wolves?", ""),
        ),
    ],
)  # fmt: skip
def test_instructions_arrive_as_mteb_gives_them(row: dict[str, Any], asked: tuple[str, str]):
    jobs: list[tuple[Query, list[Document]]] = []
    made = MtebReranker(reranker())
    rank_many = made.reranker.rank_many
    made.reranker.rank_many = lambda given: jobs.extend(given) or rank_many(given)  # type: ignore[method-assign]
    predicted(made, [({"id": "q"} | row, document(1))])
    ((found, documents),) = jobs
    assert (found.text, found.instruction) == asked
    assert documents == [Document("passage 1 of the set", id="d1")]


def test_first_stage_scores_reach_recipes_that_read_them():
    priors = run_lines_of({"q1": {"d1": 3.5, "d2": 1.25}})
    seen: list[str] = []
    backend = full_backend(generate=lambda prompt: seen.append(prompt.text) or "[2] > [1]")
    made = MtebReranker(Reranker("insertrank", backend=backend), priors=priors)
    predicted(made, [(query(1), document(1)), (query(1), document(2))])
    assert "3.5" in seen[0]
    assert "1.25" in seen[0]


def test_pictures_are_handed_on():
    picture = Pillow.new("RGB", (2, 3), (250, 0, 0))
    jobs: list[Any] = []
    made = MtebReranker(reranker(), modalities=("text", "image"))
    made.reranker.rank_many = lambda given: (
        jobs.extend(given)
        or [  # type: ignore[method-assign]
            reranker().rank("x", [Document("y", id=d.id) for d in found]) for _, found in given
        ]
    )
    predicted(made, [(query(1, image=picture), {"id": "d1", "image": picture})])
    ((asked, (shown,)),) = jobs
    assert shown.text == ""
    for image in (*asked.images, *shown.images):
        again = Pillow.open(io.BytesIO(image.data))
        assert (again.size, again.getpixel((0, 0))) == ((2, 3), (250, 0, 0))
    with pytest.raises(InputError, match="no image of Pillow"):
        predicted(made, [(query(1), document(1, image=b"bytes"))])
    with pytest.raises(InputError, match="'d1' is video"):
        predicted(made, [(query(1), document(1, video=[]))])


def broken(kind: str) -> Any:
    """An image that Pillow has opened and cannot read: cut off, or damaged inside."""
    held = io.BytesIO()
    Pillow.new("RGB", (64, 64), (250, 0, 0)).save(held, "PNG")
    data = bytearray(held.getvalue())
    data[50] ^= 255
    return Pillow.open(io.BytesIO(bytes(data[:60]) if kind == "cut off" else bytes(data)))


@pytest.mark.parametrize("kind", ["cut off", "damaged"])
def test_a_broken_image_is_one_failed_document(kind: str):
    picture = Pillow.new("RGB", (2, 3))

    def pairs() -> list[Pair]:
        images = (picture, broken(kind), picture)
        return [(query(1), document(i, image=image)) for i, image in enumerate(images, start=1)]

    made = MtebReranker(reranker(), allow_failures=True, modalities=("text", "image"))
    assert len(predicted(made, pairs())) == 3
    (record,) = made.records["Tiny", "default", "test"]
    ((failed),) = record["failures"]
    assert failed["id"] == "d2"
    assert "the image of 'd2' cannot be used: " in failed["reason"]
    with pytest.raises(BackendError, match="1 document could not be judged"):
        predicted(MtebReranker(reranker(), modalities=("text", "image")), pairs())


def test_a_query_whose_image_is_broken_fails_alone():
    picture = Pillow.new("RGB", (2, 3))
    pairs = [
        (query(1, image=broken("damaged"), text="", query=""), document(1)),
        (query(2, image=picture), document(1)),
    ]
    made = MtebReranker(reranker(), allow_failures=True, modalities=("text", "image"))
    predicted(made, pairs)
    first, second = made.records["Tiny", "default", "test"]
    assert [failed["reason"][:20] for failed in first["failures"]] == ["the image of 'q1' ca"]
    assert second["failures"] == []


def test_what_was_not_read_is_told(caplog: pytest.LogCaptureFixture):
    words = " ".join(f"word{i}" for i in range(400))
    made = MtebReranker(Reranker("mini:pieces=first"))
    predicted(made, [(query(1), document(1)), (query(1), document(2, text=words))])
    assert (made.unread.documents, made.unread.of_documents, made.unread.queries) == (1, 2, 0)
    assert "1 of 2 documents was longer than the model reads" in caplog.text


def test_what_cannot_be_put_together_is_an_error():
    made = MtebReranker(reranker())
    with pytest.raises(InputError, match="query of mteb's has no column 'id', only text"):
        predicted(made, [({"text": "x"}, document(1))])
    both: dict[str, Any] = {"task_metadata": TASK, "hf_split": "test", "hf_subset": "default"}
    with pytest.raises(InputError, match="unequally many"):
        made.predict(batches([query(1)], 1), batches([document(1), document(2)], 1), **both)
    with pytest.raises(InputError, match="the query is empty"):
        predicted(made, [(query(1, query="", text=""), document(1))])
    assert predicted(made, []) == []


def test_the_revision_is_that_of_everything_a_ranking_depends_on():
    one = MtebReranker(reranker("limrank"))
    assert one.revision == MtebReranker(reranker("limrank")).revision
    others = [
        reranker("limrank", reasoning="none"),
        reranker("rankgpt"),
        reranker("limrank", instruction="Find {{ query }}"),
    ]
    assert len({one.revision, *(MtebReranker(other).revision for other in others)}) == 4
    assert one.name == "limrank/limrank"
    combined = Reranker.combined("vote", reranker("rankgpt"))
    assert MtebReranker(combined).name == "limrank/vote-rankgpt"
    with pytest.raises(InputError, match="organisation/name"):
        MtebReranker(reranker(), name="nobody")
    with pytest.raises(InputError, match="batch must be a whole number >= 1, but got"):
        MtebReranker(reranker(), batch=0)


def test_without_mteb_the_card_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "mteb":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert not any(name == "mteb" or name.startswith("mteb.") for name in sys.modules)
    with pytest.raises(MissingExtra, match="pip install 'mteb>=2'"):
        _ = MtebReranker(reranker()).mteb_model_meta


def test_the_page_calls_what_there_is():
    page = (Path(__file__).parents[2] / "docs" / "mteb.md").read_text("utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == 2
    for node in (one for text in snippets for one in ast.walk(ast.parse(text))):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, name.name) for name in node.names)
        called = {
            "MtebReranker": MtebReranker,
            "write_predictions": write_predictions,
            "read_run_lines": read_run_lines,
        }
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in called:
            given = {word.arg or "": None for word in node.keywords}
            inspect.signature(called[node.func.id]).bind(*node.args, **given)
    for name in re.findall(r"`model\.(\w+)`", page):
        assert hasattr(MtebReranker(reranker()), name)
