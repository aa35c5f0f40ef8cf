"""The index: training's score is the index's, rows are dictionaries, and half an index is an error."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoders import QUERY, TEXTS, tilde, tildev2

from limrank_plugins import Document, folders
from limrank_plugins.backends.local.encoder_inputs import as_tensors
from limrank_plugins.backends.protocols import Failed, Numbers, ScorePair
from limrank_plugins.backends.tildev2 import Expansion, TILDEv2, TILDEv2Index
from limrank_plugins.backends.tildev2.backend import TILDEv2Backend
from limrank_plugins.backends.tildev2.quantise import quantised
from limrank_plugins.backends.tildev2.sparse import Sparse, sparse, stacked
from limrank_plugins.errors import BackendError, InputError

QUERIES = [QUERY, "milk milk acid", "cheese", "the of in", "how do rivers carve valleys when iron rusts"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TILDEv2:
    return TILDEv2.load(str(tildev2(tmp_path_factory.mktemp("models") / "tildev2")), device="cpu")


@pytest.fixture(scope="module")
def expansion(tmp_path_factory: pytest.TempPathFactory) -> Expansion:
    return Expansion.load(str(tilde(tmp_path_factory.mktemp("models") / "tilde")), top=40, device="cpu")


@pytest.fixture(scope="module")
def index(model: TILDEv2) -> TILDEv2Index:
    return TILDEv2Index.build(TEXTS, model)


def scores(index: TILDEv2Index, query: str, texts: list[str]) -> list[float]:
    rows = index.find(texts)
    assert None not in rows
    return [float(score) for score in index.rows.scores(index.terms.query(query), rows)]


def training_scores(model: TILDEv2, expansion: Expansion | None) -> torch.Tensor:
    """Every query with every passage as training does it: weight where the tokens match, max, sum."""
    tokens = [model.terms.tokens(text) for text in TEXTS]
    added = expansion.expand(tokens, model) if expansion else [[] for _ in TEXTS]
    scores = torch.zeros(len(QUERIES), len(TEXTS), dtype=torch.float64)
    for d, (own, more) in enumerate(zip(tokens, added, strict=True)):
        batch = as_tensors(torch, [model.layout(own, more)], model.tokenizer, "cpu")
        with torch.inference_mode():
            weights = model.module["tok_proj"](model.module["bert"](**batch).last_hidden_state).relu()[
                0, :, 0
            ]
        for q, query in enumerate(QUERIES):
            asked = torch.tensor(model.terms.query(query))
            if len(asked):
                matches = asked[:, None] == batch["input_ids"][0][None, :]  # query × passage
                best = (weights[None, :] * matches).max(dim=1).values  # float32
                scores[q, d] = best.double().sum()
    return scores


@pytest.mark.parametrize("expanded", [False, True])
def test_trainings_score_is_the_indexs(model: TILDEv2, expansion: Expansion, expanded: bool) -> None:
    chosen = expansion if expanded else None
    built = TILDEv2Index.build(TEXTS, model, expansion=chosen)
    expected = training_scores(model, chosen)
    found = torch.tensor([scores(built, query, TEXTS) for query in QUERIES], dtype=torch.float64)
    assert (found - expected).abs().max().item() == 0.0
    assert (expected > 0).sum() > 8
    if expanded:
        alone = training_scores(model, None)
        assert ((expected > 0) & (alone == 0)).any(), "an expansion finds what the passage did not say"


def test_rows_are_dictionaries_of_the_largest_weight(model: TILDEv2, index: TILDEv2Index) -> None:
    for text, row in zip(TEXTS, index.find(TEXTS), strict=True):
        laid = model.layout(model.terms.tokens(text))
        best: dict[int, float] = {}
        for token, weight in zip(laid.ids, model.weigh([laid])[0], strict=True):
            if token not in model.terms.stopped and weight > 0:
                best[token] = max(best.get(token, 0.0), weight)
        start, end = index.rows.indptr[row], index.rows.indptr[row + 1]
        ids = index.rows.indices[start:end].tolist()
        assert dict(zip(ids, index.rows.values[start:end].tolist(), strict=True)) == best
        assert ids == sorted(ids)
    assert index.rows.indices.dtype == np.int32, "16 bits would not hold every vocabulary"


def test_passages_that_read_the_same_are_one(model: TILDEv2) -> None:
    calls: list[int] = []
    twice = [Document("milk", title="acid"), Document("acid milk"), "acid milk", "tea"]
    built = TILDEv2Index.build(twice, model, on_progress=calls.append)
    assert (len(built), calls) == (2, [2])
    assert built.find(["acid milk", "nowhere", "tea"])[1] is None
    assert len(set(built.find(["acid milk", "tea"]))) == 2


def test_documents_that_cannot_be_indexed(model: TILDEv2, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there are no documents to index"):
        TILDEv2Index.build([], model)
    with pytest.raises(InputError, match="bits must be 8, 16 or None for float32, but got 4"):
        TILDEv2Index.build(["a"], model, bits=4)
    monkeypatch.setattr(model, "weigh", lambda rows, **_: [[float("nan")] * len(row.ids) for row in rows])
    with pytest.raises(BackendError, match=r"document 'd7' cannot be indexed: .* not finite"):
        TILDEv2Index.build([Document("milk", id="d7")], model)


# ---- scoring ------------------------------------------------------------------------------------

entries = st.dictionaries(st.integers(0, 12), st.floats(0.0078125, 8, width=32), max_size=8)
tokens = st.lists(st.integers(0, 14), max_size=10)


def made(rows: list[dict[int, float]]) -> Sparse:
    return stacked([sparse(list(row), list(row.values()), ()) for row in rows])


@given(rows=st.lists(entries, min_size=1, max_size=6), query=tokens)
@settings(max_examples=200, deadline=None)
def test_compressed_rows_score_like_dictionaries(rows: list[dict[int, float]], query: list[int]) -> None:
    chosen = [*range(len(rows)), 0]
    found = made(rows).scores(query, chosen)
    expected = [sum(rows[i].get(token, 0.0) for token in query) for i in chosen]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    assert found.tolist() == made(rows).scores(query[::-1], chosen).tolist()
    alone = [made(rows).scores(query, [i])[0] for i in chosen]
    assert found.tolist() == alone


@given(rows=st.lists(entries, min_size=1, max_size=6), query=tokens)
@settings(max_examples=100, deadline=None)
def test_a_score_is_the_sum_over_the_querys_tokens(rows: list[dict[int, float]], query: list[int]) -> None:
    built = made(rows)
    chosen = range(len(rows))
    parts = [built.scores([token] * times, chosen) for token, times in Counter(query).items()]
    whole = built.scores(query, chosen)
    np.testing.assert_allclose(whole, np.sum(parts, axis=0) if parts else 0, rtol=1e-12)


@given(row=entries, query=tokens, token=st.integers(0, 14), weight=st.floats(0, 8, width=32))
@settings(max_examples=200, deadline=None)
def test_one_more_token_never_lowers_a_score(
    row: dict[int, float], query: list[int], token: int, weight: float
) -> None:
    before = sparse(list(row), list(row.values()), ()).scores(query, [0])[0]
    more = sparse([*row, token], [*row.values(), weight], ()).scores(query, [0])[0]
    assert more >= before


def test_nothing_asked_or_nobody_there() -> None:
    built = made([{1: 1.0}, {}])
    assert built.scores([], [0, 1]).tolist() == [0.0, 0.0]
    assert built.scores([1], []).tolist() == []
    assert made([{}]).scores([1], [0]).tolist() == [0.0]


# ---- quantisation -------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
@given(values=st.lists(st.floats(0, 1e4, width=32, allow_subnormal=False), min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_quantised_weights_keep_their_order_up_to_one_step(bits: int, values: list[float]) -> None:
    weights = np.asarray(values, dtype=np.float32)
    codes, step = quantised(weights, bits)
    assert codes.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert step == float(weights.max()) / (2**bits - 1)
    order = np.argsort(weights, kind="stable")
    assert (np.diff(codes[order].astype(int)) >= 0).all(), "an order is never turned round"
    if step > 0:
        assert codes.max() == 2**bits - 1, "the whole range is used"
        assert np.abs(codes * step - weights).max() <= step * (0.5 + 1e-6)
        apart = np.diff(weights[order].astype(np.float64)) > step * (1 + 1e-6)
        assert (np.diff(codes[order].astype(int))[apart] > 0).all(), "more than a step apart stays apart"


@pytest.mark.parametrize("bits", [8, 16])
def test_a_quantised_index_scores_like_its_steps(model: TILDEv2, index: TILDEv2Index, bits: int) -> None:
    built = TILDEv2Index.build(TEXTS, model, bits=bits)
    step = built.about["step"]
    assert step == pytest.approx(float(index.rows.values.max()) / (2**bits - 1))
    for query in QUERIES:
        exact, near = scores(index, query, TEXTS), scores(built, query, TEXTS)
        room = step / 2 * len(built.terms.query(query)) + 1e-9
        np.testing.assert_allclose(near, exact, atol=room)
        assert all(near[i] > near[j] for i in range(8) for j in range(8) if exact[i] > exact[j] + 2 * room), (
            "an order within the room may go, any other stays"
        )


def test_weights_that_are_all_zero() -> None:
    codes, step = quantised(np.zeros(3, dtype=np.float32), 8)
    assert (codes.tolist(), step) == ([0, 0, 0], 0.0)
    assert quantised(np.zeros(0, dtype=np.float32), 16)[1] == 0.0


# ---- on disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [None, 8, 16])
@pytest.mark.parametrize("mmap", [True, False])
def test_what_is_saved_is_what_is_loaded(
    model: TILDEv2, tmp_path: Path, bits: int | None, mmap: bool
) -> None:
    built = TILDEv2Index.build(TEXTS, model, bits=bits)
    built.save(tmp_path / "index")
    loaded = TILDEv2Index.load(tmp_path / "index", mmap=mmap)
    assert isinstance(loaded.rows.values, np.memmap) is mmap
    assert (loaded.identity, dict(loaded.about)) == (built.identity, dict(built.about))
    for query in QUERIES:
        assert scores(loaded, query, TEXTS) == scores(built, query, TEXTS)
    assert loaded.cut.tolist() == built.cut.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"], "nothing is left beside it"


def test_it_knows_what_it_was_made_of(model: TILDEv2, expansion: Expansion, index: TILDEv2Index) -> None:
    others = [
        TILDEv2Index.build(TEXTS, model, expansion=expansion),
        TILDEv2Index.build(TEXTS, model, bits=16),
        TILDEv2Index.build(TEXTS[:-1], model),
        index,
    ]
    assert len({other.identity for other in others}) == 4
    assert TILDEv2Index.build(TEXTS[::-1], model).identity == index.identity, "the order is no matter"


def test_only_an_index_is_replaced(index: TILDEv2Index, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")
    (tmp_path / "index" / "values.npy").unlink()
    index.save(tmp_path / "index")
    assert len(TILDEv2Index.load(tmp_path / "index")) == len(TEXTS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match="holds something that is no index: choose another folder"):
        index.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "dear"


def test_a_failed_save_leaves_the_old_index(
    model: TILDEv2, index: TILDEv2Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.save(tmp_path / "index")
    other = TILDEv2Index.build(["milk"], model)

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full)
        with pytest.raises(OSError, match="no space"):
            other.save(tmp_path / "index")
    assert TILDEv2Index.load(tmp_path / "index").identity == index.identity
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.fixture
def saved(index: TILDEv2Index, tmp_path: Path) -> Path:
    index.save(tmp_path / "index")
    return tmp_path / "index"


@pytest.mark.parametrize("name", ["keys", "indptr", "indices", "values", "cut"])
def test_half_an_index_is_an_error(saved: Path, name: str) -> None:
    file = saved / f"{name}.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-4])
    with pytest.raises(InputError, match=rf"{name}\.npy has \d+ bytes instead of \d+; build the index again"):
        TILDEv2Index.load(saved)
    file.write_bytes(b"\0" * len(whole))
    with pytest.raises(InputError, match=rf"{name}\.npy is corrupt"):
        TILDEv2Index.load(saved)
    file.unlink()
    with pytest.raises(InputError, match=rf"{name}\.npy is missing"):
        TILDEv2Index.load(saved)


def test_arrays_that_do_not_fit_each_other(saved: Path, index: TILDEv2Index) -> None:
    body = json.loads((saved / "manifest.json").read_text())
    del body["checksums"]  # as earlier versions wrote it
    (saved / "manifest.json").write_text(json.dumps(body))
    wrong = np.array(index.rows.indptr)
    wrong[1], wrong[2] = wrong[2] + 1, wrong[1]
    np.save(saved / "indptr.npy", wrong)
    with pytest.raises(InputError, match="its rows must begin at 0, grow and end at"):
        TILDEv2Index.load(saved)
    np.save(saved / "indptr.npy", index.rows.indptr)
    np.save(saved / "keys.npy", index.keys[::-1])
    with pytest.raises(InputError, match="the passages' hashes must ascend"):
        TILDEv2Index.load(saved)


def put(saved: Path, name: str, array: np.ndarray[Any, Any]) -> None:
    """Replaces an array of an index, as earlier versions wrote it, without checksums."""
    body = json.loads((saved / "manifest.json").read_text())
    body.pop("checksums", None)
    (saved / "manifest.json").write_text(json.dumps(body))
    np.save(saved / f"{name}.npy", array)


@pytest.mark.parametrize(
    ("name", "value"), [("values", np.nan), ("values", np.inf), ("values", -1), ("indices", -1), ("cut", -1)]
)
@pytest.mark.parametrize("mmap", [False, True])
def test_a_number_that_no_index_holds_is_refused(saved: Path, name: str, value: float, mmap: bool) -> None:
    wrong = np.load(saved / f"{name}.npy")
    wrong[-1] = value
    put(saved, name, wrong)
    with pytest.raises(InputError, match=rf"{name}\.npy is corrupt \(its numbers must be .*build the index"):
        TILDEv2Index.load(saved, mmap=mmap)


@pytest.mark.parametrize("step", [float("nan"), float("inf"), -1.0])
def test_a_step_that_is_no_weight_is_refused(model: TILDEv2, tmp_path: Path, step: float) -> None:
    TILDEv2Index.build(TEXTS, model, bits=8).save(tmp_path / "i")
    file = tmp_path / "i" / "manifest.json"
    body = json.loads(file.read_text())
    body["about"]["step"] = step
    file.write_text(json.dumps(body))
    with pytest.raises(InputError, match=r"manifest\.json is corrupt \(step must be .*build the index again"):
        TILDEv2Index.load(tmp_path / "i")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1])
def test_damage_that_stays_on_disk_fails_the_documents_it_is_in(
    saved: Path, index: TILDEv2Index, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    damaged = 2
    wrong = np.array(index.rows.values)
    wrong[index.rows.indptr[damaged] : index.rows.indptr[damaged + 1]] = value
    put(saved, "values", wrong)
    monkeypatch.setattr(folders, "_WHOLE", 0)
    loaded = TILDEv2Index.load(saved)
    text = next(text for text in TEXTS if index.find([text]) == [damaged])
    requests = [ScorePair(text, passage) for passage in TEXTS]
    replies = TILDEv2Backend(index=loaded).score_pairs(requests)
    for passage, reply in zip(TEXTS, replies, strict=True):
        if index.find([passage]) == [damaged]:
            assert isinstance(reply, Failed)
            assert "build the index again" in reply.reason
        else:
            assert isinstance(reply, Numbers)
            assert list(reply.values) == scores(index, text, [passage])


def test_a_folder_that_is_no_index(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no index at .*limrank expand"):
        TILDEv2Index.load(tmp_path / "nowhere")
    manifest = saved / "manifest.json"
    body = json.loads(manifest.read_text())
    for change, message in [
        ({"kind": "bm25s"}, "holds 'bm25s'"),
        ({"format": 9}, "format 9"),
        ({"about": {}}, "is corrupt"),
        ({"about": body["about"] | {"bits": 7}}, "is corrupt"),
    ]:
        manifest.write_text(json.dumps(body | change))
        with pytest.raises(InputError, match=message):
            TILDEv2Index.load(saved)
    manifest.write_text("{")
    with pytest.raises(InputError, match="is corrupt"):
        TILDEv2Index.load(saved)
    manifest.unlink()
    with pytest.raises(InputError, match=r"an incomplete one: it has no manifest\.json"):
        TILDEv2Index.load(saved)


def test_a_tokenizer_that_is_gone(saved: Path) -> None:
    manifest = saved / "manifest.json"
    body = json.loads(manifest.read_text())
    body["files"] = {name: size for name, size in body["files"].items() if "tokenizer/" not in name}
    manifest.write_text(json.dumps(body))
    shutil.rmtree(saved / "tokenizer")
    with pytest.raises(InputError, match="tokenizer is corrupt"):
        TILDEv2Index.load(saved)
