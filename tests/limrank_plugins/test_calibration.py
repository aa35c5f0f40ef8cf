"""Calibrations: what is read from a file, what becomes of scores, order and thresholds, at every door."""

from __future__ import annotations

import json
import logging
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import full_backend, logits

from limrank_plugins import Document, Query, Reranker, ScriptedBackend, ScriptedFailure, load_recipe
from limrank_plugins.calibration import Calibration, Isotonic, Platt, as_calibration
from limrank_plugins.data import Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import load_template
from limrank_plugins.rankings import to_ranking
from limrank_plugins.verdicts import Outcome

STEPS = Isotonic((0.2, 0.4, 0.6), (0.1, 0.1, 0.9))
numbers = st.floats(-1e6, 1e6)
shares = st.floats(0, 1)


@st.composite
def isotonics(draw: Any) -> Isotonic:
    scores = sorted(draw(st.sets(numbers, min_size=1, max_size=8)))
    values = draw(
        st.lists(st.one_of(shares, st.sampled_from([0.0, 0.5, 1.0])), min_size=len(scores), max_size=8)
    )
    return Isotonic(tuple(scores), tuple(sorted(values[: len(scores)])))


curves = st.one_of(isotonics(), st.builds(Platt, st.floats(1e-3, 1e3), numbers))
verdicts = st.lists(
    st.builds(
        Verdict, st.one_of(st.none(), numbers, st.sampled_from([0.0, 1.0])), st.sampled_from([0.1, 0.2])
    ),
    max_size=10,
)


def calibration(curve: Isotonic | Platt = STEPS, **more: Any) -> Calibration:
    return Calibration(curve, "limrank", "probability", **more)


@given(isotonics(), numbers)
def test_isotonic_is_linear_between_its_knots(curve: Isotonic, score: float):
    assert curve(score) == pytest.approx(np.interp(score, curve.scores, curve.probabilities), abs=1e-9)


@pytest.mark.parametrize("z", [-1e300, -800, -3.5, 0, 2.25, 800, 1e300])
def test_platt_is_the_logistic_function(z: float):
    with np.errstate(over="ignore"):
        assert Platt(2.0, 0.5)((z - 0.5) / 2) == pytest.approx(float(1 / (1 + np.exp(-np.float64(z)))))


@given(curves, st.lists(numbers, min_size=2))
def test_no_curve_falls(curve: Isotonic | Platt, scores: list[float]):
    probabilities = [curve(score) for score in sorted(scores)]
    assert probabilities == sorted(probabilities)
    assert 0 <= min(probabilities) <= max(probabilities) <= 1


@given(curves, verdicts, st.one_of(st.none(), shares))
def test_the_order_is_the_scores_and_the_threshold_is_a_probability(
    curve: Isotonic | Platt, judged: list[Verdict], threshold: float | None
):
    recipe, outcome = load_recipe("limrank"), Outcome(tuple(judged))
    documents = [Document("text", id=str(i)) for i in range(len(judged))]
    plain = to_ranking(recipe, Query("q"), documents, outcome)
    ranking = to_ranking(recipe, Query("q"), documents, outcome, None, threshold, calibration(curve))
    kept = [h for h in plain if h.score is None or threshold is None or curve(h.score) >= threshold]
    ids = [hit.id for hit in ranking]
    judged_ids = [hit.id for hit in ranking if hit.score is not None]
    assert judged_ids == [hit.id for hit in kept if hit.score is not None]
    assert [hit.id for hit in ranking if hit.score is None] == [h.id for h in kept if h.score is None]
    assert all(h.score == curve(judged[h.index].score) for h in ranking if h.score is not None)
    assert (ranking.score_kind, ranking.comparable) == ("probability", True)
    if threshold is None:
        assert ids == plain.ids


def test_equal_probabilities_keep_the_order_of_the_scores():
    backend = ScriptedBackend(read_labels=logits)
    passages = [f"passage {i}" for i in range(12)]
    level = calibration(Isotonic((0.0, 1.0), (0.5, 0.5)))
    plain = Reranker("limrank", backend=backend, reasoning="none").rank("q", passages)
    ranking = Reranker("limrank", backend=backend, reasoning="none", calibration=level).rank("q", passages)
    assert ranking.ids == plain.ids
    assert {hit.score for hit in ranking} == {0.5}


# ---- files ----------------------------------------------------------------------------------------


def test_a_file_holds_numbers_and_comes_back_as_it_was(tmp_path: Path):
    for curve in (STEPS, Platt(0.1 + 0.2, -1 / 3)):
        made = calibration(curve, model="m", reranker="0" * 64, facts={"ece_after": 0.25, "ece_before": None})
        made.write(tmp_path / "c.json")
        assert as_calibration(tmp_path / "c.json") == made
        assert as_calibration(json.loads((tmp_path / "c.json").read_text())) == made


GOOD = calibration().as_json()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "limrank calibration 2"}, "is no calibration"),
        ({"method": "pickle"}, "is no calibration"),
        ({"method": ["isotonic"]}, "is no calibration"),
        ({"trust_remote_code": True}, "which no file may set"),
        ({"slope": 1.0}, "which no file may set"),
        ({"recipe": None}, "recipe must be a text"),
        ({"scores": [0.2, 0.4]}, "2 scores but 3 probabilities"),
        ({"scores": []}, "scores must be a list"),
        ({"scores": "abc"}, "scores must be a list"),
        ({"scores": [0.2, 0.2, 0.6]}, "scores must rise"),
        ({"scores": [0.2, math.nan, 0.6]}, "scores must be a finite number"),
        ({"scores": [0.2, 10**400, 0.6]}, "scores must be a finite number"),
        ({"scores": [0.2, True, 0.6]}, "scores must be a finite number"),
        ({"probabilities": [0.1, 0.05, 0.9]}, "probabilities must not fall"),
        ({"probabilities": [0.1, 0.1, 1.1]}, "probabilities must be a number >= 0 and <= 1"),
        ({"probabilities": [-0.1, 0.1, 1.0]}, "probabilities must be a number >= 0 and <= 1"),
        ({"probabilities": [0.1, None, 1.0]}, "probabilities must be a number"),
        ({"facts": {"ece_after": "low"}}, "ece_after must be a finite number"),
        ({"facts": [1]}, "facts must be an object"),
        ({"method": "platt", "slope": 0, "intercept": 0, "scores": ...}, "which no file may set"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, change: dict[str, Any], said: str):
    file = tmp_path / "c.json"
    file.write_text(json.dumps({k: v for k, v in (GOOD | change).items() if v is not ...}))
    with pytest.raises(InputError, match=said) as caught:
        as_calibration(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("slope", "said"), [(0, "slope must be a number > 0"), (-1.0, "slope"), (math.inf, "slope")]
)
def test_a_logistic_curve_must_rise(slope: float, said: str):
    platt = {"format": GOOD["format"], "method": "platt", "recipe": "limrank", "score_kind": "probability"}
    with pytest.raises(InputError, match=said):
        as_calibration(platt | {"slope": slope, "intercept": 0})
    with pytest.raises(InputError, match="has no 'intercept'"):
        as_calibration(platt | {"slope": 1.0})


def test_what_is_no_calibration(tmp_path: Path):
    (tmp_path / "c.json").write_bytes(pickle.dumps(STEPS))
    with pytest.raises(InputError):
        as_calibration(tmp_path / "c.json")
    with pytest.raises(InputError, match="there is no"):
        as_calibration(tmp_path / "absent.json")
    with pytest.raises(InputError, match="a file or a Calibration, but got int"):
        as_calibration(5)  # type: ignore[arg-type]


# ---- a reranker -----------------------------------------------------------------------------------


def made(identity: str = "scripted", **more: Any) -> Reranker:
    backend = ScriptedBackend(read_labels=logits, identity=identity)
    return Reranker("limrank", backend=backend, reasoning="none", **more)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("rankgpt", "gives an order and no scores"),
        ("mini", "not comparable between queries"),
        ("rank1", "fitted for recipe 'limrank'"),
    ],
)
def test_a_recipe_that_it_does_not_fit_is_refused(recipe: str, said: str):
    with pytest.raises(InputError, match=said):
        Reranker(recipe, backend=full_backend(), calibration=calibration())


def test_another_model_or_prompt_is_told_once(caplog: pytest.LogCaptureFixture):
    here = "one that no other test asks"
    right = calibration(model="m-right", reranker=made(here).made_for)
    with caplog.at_level(logging.WARNING):
        fitting = made(here, calibration=right)
        assert not caplog.records
        made(here, calibration=calibration(model="m-other", reranker="0" * 64))
        made(here, calibration=calibration(model="m-other", reranker="0" * 64))
        made(here, calibration=calibration())
        fitting.with_template(load_template("limrank-chat"))
    said = [record.message for record in caplog.records]
    assert len(said) == 3
    assert "fitted with m-other" in said[0]
    assert "does not say which reranker" in said[1]
    assert "fitted with m-right" in said[2]


def test_each_setting_that_differs_from_the_fitting_is_told_once(caplog: pytest.LogCaptureFixture):
    here = "another that no other test asks"
    fitted = calibration(model="m", reranker=made(here).made_for)
    with caplog.at_level(logging.WARNING):
        for more in (
            {"chunks": "max:5 words"},
            {"instruction": "Find {{ query }}"},
            {"chunks": "max:9 words"},
        ):
            for _ in range(2):
                made(here, calibration=fitted, **more)
    said = [record.message for record in caplog.records]
    assert len(said) == 3
    assert "chunks='max:5 words': see" in said[0]
    assert "instruction='Find {{ query }}': see" in said[1]
    assert "chunks='max:9 words': see" in said[2]
    assert all("template='limrank'" in each for each in said)


def test_a_threshold_outside_of_probabilities_is_refused():
    reranker = made(calibration=calibration())
    with pytest.raises(InputError, match=r"threshold is a probability here: it must be .* but got 3"):
        reranker.rank("q", ["a"], threshold=3)
    assert made().rank("q", ["a"], threshold=3).ids == []


def test_it_is_part_of_the_identity_and_not_of_whom_it_is_for(tmp_path: Path):
    calibration().write(tmp_path / "c.json")
    plain, one, same = made(), made(calibration=calibration()), made(calibration=tmp_path / "c.json")
    other = made(calibration=calibration(Platt(1.0, 0.0)))
    assert one.identity == same.identity
    assert len({plain.identity, one.identity, other.identity}) == 3
    assert plain.made_for == one.made_for == other.made_for


def test_a_failed_document_has_no_probability():
    def read(prompt: Any) -> tuple[float, ...]:
        if "broken" in prompt.text:
            raise ScriptedFailure("cannot read it")
        return logits(prompt)

    backend = ScriptedBackend(read_labels=read)
    reranker = Reranker("limrank", backend=backend, reasoning="none", calibration=calibration())
    ranking = reranker.rank("q", ["a", "broken", "c"], threshold=1.0)
    assert [(hit.id, hit.score) for hit in ranking] == [("1", None)]


@pytest.mark.usefixtures("scripted")
def test_a_pickled_one_reads_its_file_again(file: str):
    reranker = Reranker("limrank", reasoning="none", calibration=file)
    again = pickle.loads(pickle.dumps(reranker))
    assert [hit.score for hit in again.rank("q", TEXTS)] == expected(file)


@pytest.mark.usefixtures("scripted")
def test_a_card_carries_it(tmp_path: Path):
    (tmp_path / "limrank.json").write_text(
        json.dumps({"recipe": "limrank", "reasoning": "none", "calibration": calibration().as_json()})
    )
    reranker = Reranker.from_pretrained(str(tmp_path))
    assert reranker.calibration == calibration()
    assert Reranker.from_pretrained(str(tmp_path), calibration=None).calibration is None


# ---- doors ----------------------------------------------------------------------------------------

TEXTS = [f"passage {i}" for i in range(8)]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever backend a recipe names is a script."""

    class Built(ScriptedBackend):
        def __init__(self, model: str = "", **options: Any) -> None:
            super().__init__(read_labels=logits)

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Built)


@pytest.fixture
def file(tmp_path: Path) -> str:
    calibration(Platt(3.0, -1.0)).write(tmp_path / "c.json")
    return str(tmp_path / "c.json")


def expected(file: str, threshold: float | None = None) -> list[float | None]:
    return [hit.score for hit in made(calibration=file).rank("q", TEXTS, threshold=threshold)]


@pytest.mark.usefixtures("scripted")
def test_llama_index_takes_it(file: str):
    pytest.importorskip("llama_index.core")
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.limrank import LimRankRerank

    rerank = LimRankRerank(reasoning="none", calibration=file, threshold=0.6)
    found = rerank.postprocess_nodes([NodeWithScore(node=TextNode(text=t)) for t in TEXTS], query_str="q")
    assert [node.score for node in found] == expected(file, 0.6)
    assert 0 < len(found) < len(TEXTS)


@pytest.mark.usefixtures("scripted")
def test_haystack_takes_it(file: str):
    pytest.importorskip("haystack")
    from haystack import Document as HaystackDocument
    from haystack_integrations.components.rankers.limrank import LimRankRanker

    ranker = LimRankRanker(reasoning="none", calibration=file, score_threshold=0.6)
    again = LimRankRanker.from_dict(ranker.to_dict())
    found = again.run(query="q", documents=[HaystackDocument(content=text) for text in TEXTS])
    assert [document.score for document in found["documents"]] == expected(file, 0.6)
    assert found["meta"]["score_kind"] == "probability"


@pytest.mark.usefixtures("scripted")
def test_langchain_takes_it(file: str):
    pytest.importorskip("langchain_core")
    from langchain_core.documents import Document as LangChainDocument

    from limrank_plugins.langchain import LimRankCompressor

    compressor = LimRankCompressor(options={"reasoning": "none", "calibration": file}, threshold=0.6)
    found = compressor.compress_documents([LangChainDocument(page_content=text) for text in TEXTS], "q")
    assert [document.metadata["relevance_score"] for document in found] == expected(file, 0.6)


def test_what_the_documentation_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "scores.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/scores.md", "exec"), {})
    assert capsys.readouterr().out == "[('1', 0.78)]\n"
