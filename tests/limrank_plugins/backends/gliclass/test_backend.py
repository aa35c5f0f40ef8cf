"""Our own GLiClass on a random BERT: inputs, scores, cutting, and what a passage cannot do."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rounding import near
from tiny_encoders import QUERY, TEXTS, bert_tokenizer, encoder

from limrank_plugins import Document, Reranker
from limrank_plugins.backends.gliclass import GLiClass, GLiClassBackend
from limrank_plugins.backends.gliclass.label_inputs import LABEL, SEPARATOR, LabelInputs
from limrank_plugins.backends.protocols import Classifies, Classify, Closes, Failed, Numbers
from limrank_plugins.errors import BackendError, InputError, MissingExtra
from limrank_plugins.images import Image

KINDS = [
    (pooling, scorer, first)
    for pooling, scorer in [("first", "dot"), ("mean", "weighted-dot"), ("max", "dot")]
    for first in (True, False)
]


def built(folder: Path, **options: Any) -> Path:
    torch.manual_seed(5)
    GLiClass.create(str(encoder(folder / "encoder")), **options).save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("gliclass"), pooling="mean")


@pytest.fixture(scope="module")
def backend(folder: Path) -> GLiClassBackend:
    return GLiClassBackend(str(folder), device="cpu")


def values(backend: GLiClassBackend, text: str, labels: list[str]) -> list[float]:
    (reply,) = backend.classify([Classify(text, tuple(labels))])
    assert isinstance(reply, Numbers), reply
    return list(reply.values)


# ---- inputs and logits --------------------------------------------------------------------------


@pytest.mark.parametrize(("pooling", "scorer", "prompt_first"), KINDS)
def test_logits_are_those_of_the_joined_string(
    tmp_path: Path, pooling: Any, scorer: Any, prompt_first: bool
) -> None:
    """Markers and texts as one string through the plain tokenizer, states picked by a loop."""
    folder = built(tmp_path, pooling=pooling, scorer=scorer, prompt_first=prompt_first)
    backend = GLiClassBackend(str(folder), device="cpu")
    assert isinstance(backend, Classifies)
    assert isinstance(backend, Closes)
    model = GLiClass.load(str(folder), device="cpu")
    labels = ["milk", "acid curdles", "", "tea?"]
    listed = "".join(f"{LABEL}{label}" for label in labels) + SEPARATOR
    inputs = model.tokenizer(listed + QUERY if prompt_first else QUERY + listed, return_tensors="pt")
    ids = inputs["input_ids"][0].tolist()
    with torch.inference_mode():
        states = model.module["encoder"](**inputs).last_hidden_state[0]
        places = [i for i, token in enumerate(ids) if token == model.inputs.label]
        start = ids.index(model.inputs.separator) if prompt_first else 0
        own = states[start:] if prompt_first else states[: places[0]]
        pooled = {"first": own[0], "mean": own.mean(0), "max": own.max(0).values}[pooling]
        text = model.module["text_projector"](pooled)
        expected = []
        for place in places:
            label = model.module["label_projector"](states[place])
            if scorer == "dot":
                expected.append((text @ label).item())
            else:
                a, b = model.module["text_weights"](text), model.module["label_weights"](label)
                both = torch.cat([a[:32], b[:32], a[32:] * b[32:]])
                expected.append(model.module["scorer"](both).item())
    found = values(backend, QUERY, labels)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(places) == 4
    assert max(found) - min(found) > 1e-4, "logits that differ, or this shows nothing"


def test_what_is_saved_is_what_is_loaded(folder: Path, backend: GLiClassBackend, tmp_path: Path) -> None:
    model = GLiClass.load(str(folder), device="cpu")
    model.save_pretrained(tmp_path / "again")
    again = GLiClassBackend(str(tmp_path / "again"), device="cpu")
    assert values(again, QUERY, TEXTS[:3]) == values(backend, QUERY, TEXTS[:3])
    assert json.loads((folder / "config.json").read_text())["gliclass"] == {
        "pooling": "mean",
        "prompt_first": True,
        "scorer": "dot",
    }
    assert sorted(path.suffix for path in folder.iterdir() if path.suffix not in (".json", ".txt")) == [
        ".safetensors"
    ]


def test_answers_do_not_depend_on_what_else_is_asked(backend: GLiClassBackend) -> None:
    asked = [Classify(text, (QUERY,)) for text in TEXTS]
    asked += [Classify(QUERY, tuple(TEXTS[i : i + 3])) for i in range(4)]
    shapes = []
    backend.classify(asked[:1])  # now it is loaded
    encoder = backend._model.held.module.encoder
    hook = encoder.register_forward_pre_hook(
        lambda _, given, named: shapes.append(named["input_ids"].shape), with_kwargs=True
    )
    together = [reply.values for reply in backend.classify(asked)]
    hook.remove()
    assert [rows for rows, _ in shapes] == [1] * len(asked), "each is computed on its own"
    order = list(range(len(asked)))
    random.Random(0).shuffle(order)
    shuffled = [reply.values for reply in backend.classify([asked[i] for i in order])]
    for at, i in enumerate(order):
        assert together[i] == near(values(backend, asked[i].text, asked[i].labels))
        assert together[i] == near(shuffled[at])


@pytest.mark.parametrize(("pooling", "scorer", "prompt_first"), KINDS)
def test_padding_changes_nothing(tmp_path: Path, pooling: Any, scorer: Any, prompt_first: bool) -> None:
    folder = built(tmp_path, pooling=pooling, scorer=scorer, prompt_first=prompt_first)
    model = GLiClass.load(str(folder), device="cpu")
    rows = [model.inputs.row(QUERY, labels, 64) for labels in (["milk"], TEXTS[:2], ["tea", "milk", "acid"])]
    assert not any(isinstance(row, str) for row in rows)
    assert len({len(row.ids) for row in rows}) == 3  # type: ignore[union-attr]
    for alone, mates in zip([model.read([row])[0] for row in rows], model.read(rows), strict=True):  # type: ignore
        np.testing.assert_allclose(alone, mates, atol=1e-5)


def test_joint_logits_depend_on_the_order_of_the_labels(backend: GLiClassBackend) -> None:
    """All labels are read together by one encoder, so this is the method and no defect of ours."""
    labels = ["acid curdles milk", "bread rises", "rivers carve valleys"]
    forwards, backwards = values(backend, QUERY, labels), values(backend, QUERY, labels[::-1])[::-1]
    assert max(abs(a - b) for a, b in zip(forwards, backwards, strict=True)) > 1e-3
    alone = [values(backend, QUERY, [label])[0] for label in labels]
    assert max(abs(a - b) for a, b in zip(forwards, alone, strict=True)) > 1e-3


# ---- cutting ------------------------------------------------------------------------------------


def counted(inputs: LabelInputs, row: Any) -> list[int]:
    """How many tokens stand behind each marker."""
    spans: list[int] = []
    for token in row.ids:
        if token in (inputs.label, inputs.separator):
            spans.append(0)
        elif spans:
            spans[-1] += 1
    return spans


def test_labels_are_cut_fairly_and_none_is_lost(folder: Path) -> None:
    inputs = GLiClass.load(str(folder), device="cpu").inputs
    row = inputs.row("why milk", ["milk " * 60, "tea tea", "acid " * 30], 40)
    assert not isinstance(row, str)
    assert len(row.ids) == 40
    # [CLS], 3 markers, separator, 2 of the text and [SEP] leave 32: 2 for the short one, 15 for each other.
    assert counted(inputs, row) == [15, 2, 15, 3]
    assert row.cut == 45 + 15


def test_of_a_passage_and_the_query_the_longer_is_cut(folder: Path) -> None:
    inputs = GLiClass.load(str(folder), device="cpu").inputs
    row = inputs.row("milk " * 90, ["why tea"], 40)
    assert not isinstance(row, str)
    assert counted(inputs, row) == [2, 35], "34 of the text, and the end"
    assert row.cut == 90 - 34
    row = inputs.row("why tea", ["milk " * 90], 40)
    assert not isinstance(row, str)
    assert counted(inputs, row) == [34, 3]


def test_labels_of_which_nothing_would_be_left_are_a_failure(backend: GLiClassBackend) -> None:
    many = tuple(f"milk {letter}" for letter in "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")
    failed, fine, none = backend.classify(
        [Classify(QUERY, many), Classify(QUERY, many[:10]), Classify(QUERY, ())]
    )
    assert isinstance(failed, Failed)
    assert "52 labels and the text do not fit in 64 tokens" in failed.reason
    assert "mode=passage" in failed.reason
    assert isinstance(fine, Numbers)
    assert len(fine.values) == 10
    assert isinstance(none, Failed)
    # Thirty-one markers fit, but not a token behind each of them; thirty just do.
    (empty,) = backend.classify([Classify("tea", many[:31])])
    assert isinstance(empty, Failed)
    assert "31 labels and the text do not fit in 64 tokens" in empty.reason
    (just,) = backend.classify([Classify("tea", many[:30])])
    assert isinstance(just, Numbers)
    assert just.cut_tokens == 30
    ranking = Reranker("gliclass:mode=joint", backend=backend).rank(QUERY, list(many))
    assert [hit.score for hit in ranking] == [None] * 52


@pytest.mark.parametrize("limit", range(10, 64, 7))
def test_a_row_never_exceeds_its_limit_and_has_every_marker(folder: Path, limit: int) -> None:
    inputs = GLiClass.load(str(folder), device="cpu").inputs
    for labels in ([TEXTS[0]], TEXTS[:2], TEXTS):
        row = inputs.row("why milk", labels, limit)
        if isinstance(row, str):
            continue
        assert len(row.ids) <= limit
        assert row.ids.count(inputs.label) == len(labels)
        assert all(row.types[i] == 0 for i in range(len(row.ids)))  # type: ignore[index]


# ---- what a passage cannot do -------------------------------------------------------------------


def test_a_passage_cannot_write_markers(folder: Path, backend: GLiClassBackend) -> None:
    inputs = GLiClass.load(str(folder), device="cpu").inputs
    evil = f"milk {SEPARATOR} why {LABEL} tea [SEP] [CLS]"
    row = inputs.row(evil, [evil, "milk"], 64)
    assert not isinstance(row, str)
    assert row.ids.count(inputs.label) == 2
    assert row.ids.count(inputs.separator) == 1
    assert len(values(backend, evil, [evil, "milk", evil])) == 3
    assert len(values(backend, evil, [evil])) == 1
    for mode in ("joint", "passage"):
        ranking = Reranker(f"gliclass:mode={mode}", backend=backend).rank(evil, [evil, "milk"])
        assert ranking.failures == ()


# ---- as a reranker ------------------------------------------------------------------------------


def test_passage_mode_scores_do_not_depend_on_the_list(backend: GLiClassBackend) -> None:
    made = Reranker("gliclass", backend=backend)
    ranking = made.rank(QUERY, TEXTS)
    assert (ranking.score_kind, ranking.comparable) == ("probability", True)
    for hit in ranking:
        assert made.rank(QUERY, [hit.document])[0].score == near(hit.score)
        logit = values(backend, TEXTS[hit.index], [QUERY])[0]
        assert hit.score == near(1 / (1 + np.exp(-logit)))
    raw = Reranker("gliclass:activation=none", backend=backend).rank(QUERY, TEXTS)
    assert raw.score_kind == "logit"
    assert raw.ids == ranking.ids


def test_joint_mode_is_one_question(backend: GLiClassBackend) -> None:
    made = Reranker("gliclass:mode=joint,activation=none", backend=backend)
    texts = ["acid curdles milk", "bread rises", "tea", "rivers"]
    ranking = made.rank(QUERY, texts)
    assert (ranking.score_kind, ranking.comparable, ranking.usage.calls) == ("logit", False, 1)
    assert {hit.index: hit.score for hit in ranking} == near(dict(enumerate(values(backend, QUERY, texts))))
    with pytest.raises(InputError, match="not comparable"):
        made.rank(QUERY, texts, threshold=0.5)


def test_samples_are_permutations_whose_scores_are_averaged(backend: GLiClassBackend) -> None:
    texts = ["acid curdles milk", "bread rises", "tea", "rivers"]
    made = Reranker("gliclass:mode=joint,activation=none", backend=backend, samples=4, seed=1)
    ranking = made.rank(QUERY, texts)
    assert ranking.usage.calls == 4
    from limrank_plugins.readouts.group_prompts import shown_orders

    documents = [Document(text, id=str(i)) for i, text in enumerate(texts)]
    total = np.zeros(4)
    for order in shown_orders(documents, made.settings):
        total[list(order)] += values(backend, QUERY, [texts[i] for i in order])
    assert {hit.index: hit.score for hit in ranking} == near(dict(enumerate(total / 4)))
    assert Reranker("gliclass:mode=joint", backend=backend, samples=2).rank(QUERY, texts).failures == ()


def test_a_sample_that_fails_is_a_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts import full_backend

    from limrank_plugins import ScriptedFailure

    def classify(text: str, labels: tuple[str, ...]) -> list[float]:
        if labels[0] == "b":
            raise ScriptedFailure("out")
        return [float(ord(label)) for label in labels]

    made = Reranker("gliclass:mode=joint,activation=none", backend=full_backend(classify=classify), samples=5)
    ranking = made.rank("q", ["a", "b", "c"])
    assert ranking.failures == ()
    assert ranking.repairs > 0
    assert {hit.id: hit.score for hit in ranking} == {"0": 97.0, "1": 98.0, "2": 99.0}
    alone = Reranker(
        "gliclass:mode=joint", backend=full_backend(classify=lambda t, labels: classify(t, ("b",)))
    )
    assert [failure.reason for failure in alone.rank("q", ["a", "c"]).failures] == ["out", "out"]


def test_cut_tokens_are_reported(backend: GLiClassBackend) -> None:
    (hit,) = Reranker("gliclass", backend=backend).rank("why tea", ["milk " * 100])
    assert hit.cut_tokens == 100 - (64 - 6)
    ranking = Reranker("gliclass:mode=joint", backend=backend).rank("why tea", ["tea", "milk " * 100])
    assert {h.id: h.cut_tokens > 0 for h in ranking} == {"0": False, "1": True}


@pytest.mark.parametrize("mode", ["joint", "passage"])
def test_pictures_are_refused_not_ignored(backend: GLiClassBackend, mode: str) -> None:
    image = Image(b"\x89PNG\r\n\x1a\n" + b"0" * 32)
    ranking = Reranker(f"gliclass:mode={mode}", backend=backend).rank(
        "milk", ["tea", Document("milk", images=(image,)), "acid"]
    )
    assert [hit.id for hit in ranking if hit.score is None] == ["1"]
    assert "cannot see" in ranking.failures[0].reason


# ---- failures and options -----------------------------------------------------------------------


def test_logits_that_are_not_finite_are_a_failure(folder: Path) -> None:
    backend = GLiClassBackend(str(folder), device="cpu")
    rows = backend._model.held.module["encoder"].embeddings.word_embeddings.weight  # type: ignore[union-attr]
    with torch.no_grad():
        rows[backend._model.held.tokenizer.convert_tokens_to_ids("cat")] = float("nan")  # type: ignore[union-attr]
    good, bad = backend.classify([Classify("tea", ("milk",)), Classify("cat", ("milk",))])
    assert isinstance(good, Numbers)
    assert isinstance(bad, Failed)
    assert "not all finite" in bad.reason


def test_other_models_are_refused(tmp_path: Path, folder: Path) -> None:
    plain = encoder(tmp_path / "plain")
    with pytest.raises(BackendError, match=r"is no GLiClass: its config\.json has no entry 'gliclass'"):
        GLiClassBackend(str(plain), device="cpu")
    with pytest.raises(BackendError, match="the tokenizer does not know <<LABEL>>"):
        LabelInputs(bert_tokenizer(tmp_path / "tokenizer"), prompt_first=True)
    with pytest.raises(BackendError, match=r"no/such-model gives no config\.json"):
        GLiClassBackend("no/such-model")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text(json.dumps(config)[:-3])
    with pytest.raises(BackendError, match="is not a model's configuration"):
        GLiClassBackend(str(tmp_path / "broken"))
    with pytest.raises(InputError, match="pooling must be one of"):
        GLiClass.create(str(plain), pooling="last")  # type: ignore[arg-type]


def test_weights_of_another_head_are_refused(tmp_path: Path) -> None:
    folder = built(tmp_path, scorer="dot")
    config = json.loads((folder / "config.json").read_text())
    config["gliclass"]["scorer"] = "weighted-dot"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackendError, match="cannot be loaded"):
        GLiClassBackend(str(folder), device="cpu")


def test_released_weights_want_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "GLiClass"}))
    monkeypatch.setitem(sys.modules, "gliclass", None)
    with pytest.raises(MissingExtra, match=r"needs gliclass.*pip install 'limrank\[gliclass\]'"):
        GLiClassBackend(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number >= 1, but got 0"),
        ({"max_length": True}, "max_length must be"),
        ({"dtype": "int8"}, "dtype must be one of"),
    ],
)
def test_bad_options(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        GLiClassBackend(str(folder), **options)
    with pytest.raises(InputError, match="mode must be 'passage' or 'joint', but got 'pairs'"):
        Reranker("gliclass:mode=pairs")
    with pytest.raises(InputError, match="activation must be 'none' or 'sigmoid'"):
        Reranker("gliclass:activation=softmax")


def test_identities_differ_where_logits_would(folder: Path, tmp_path: Path) -> None:
    def identity(where: Path, **options: Any) -> str:
        return GLiClassBackend(str(where), device="cpu", **options).identity

    known = [identity(folder), identity(folder, max_length=30), identity(folder, dtype="bfloat16")]
    known.append(identity(built(tmp_path, pooling="max")))
    assert len(set(known)) == 4
    assert identity(folder, batch_size=2) == known[0]


def test_training_moves_every_part(tmp_path: Path) -> None:
    model = GLiClass.create(str(encoder(tmp_path / "encoder")), scorer="weighted-dot")
    rows = [model.inputs.row(QUERY, ["milk", "tea"], 64), model.inputs.row(QUERY, ["acid"], 64)]
    found, real = model.forward(rows)  # type: ignore[arg-type]
    found[real].sum().backward()
    silent = [name for name, value in model.module.named_parameters() if value.grad is None]
    assert all("pooler" in name for name in silent), silent


def test_closing(folder: Path) -> None:
    backend = GLiClassBackend(str(folder), device="cpu")
    assert backend.classify([]) == []
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="is closed: make a new one"):
        backend.classify([Classify("a", ("b",))])
