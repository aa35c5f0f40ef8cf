"""Every recipe on a real, tiny model of the kind it is made for: what only a model can break.

`test_contract.py` asks scripts; here the same registry is asked with weights, so that batching, caching
and padding are in play. On a CPU in float32 a query's scores must not depend, but for rounding, on which
other queries are ranked with it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_encoders
import tiny_seq2seq
import tiny_vision
import torch
from chats import YES_NO
from rounding import near

from limrank_plugins import Reranker, load_recipe, recipe_names

torch.set_num_threads(1)
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = ["acid curdles milk", "bread rises", "light bends", "iron rusts in air", "rivers carve", "a thought"]
JOBS = [
    ("why does milk curdle", WORDS),
    ("why does bread rise", WORDS[::-1]),
    ("why does milk curdle", WORDS[:3]),
    ("why does light bend", ["light bends", "light bends", "bread rises when yeast makes gas"]),
]


def chat_model(folder: Path) -> Path:
    tokens = tiny.qwen_tokenizer(words=YES_NO)
    tokens.chat_template = CHAT
    return tiny.build(folder, tokens=tokens, max_position_embeddings=4096)


def gliclass(folder: Path) -> Path:
    from limrank_plugins.backends.gliclass import GLiClass

    encoder = tiny_encoders.encoder(folder / "encoder")
    torch.manual_seed(5)
    GLiClass.create(str(encoder)).save_pretrained(folder / "model")
    return folder / "model"


def sentence_encoder(folder: Path) -> Path:
    return tiny_encoders.encoder(folder)


MODELS: dict[str, Callable[[Path], Path]] = {
    "transformers": chat_model,
    "encoder": sentence_encoder,
    "cross-encoder": tiny_encoders.cross_encoder,
    "tildev2": tiny_encoders.tildev2,
    "gliclass": gliclass,
    "seq2seq": tiny_seq2seq.build,
    "vision": lambda folder: tiny_vision.build(folder, max_position_embeddings=4096),
}
OPTIONS: dict[str, dict[str, Any]] = {"encoder": {"dtype": "float32"}}
# A recipe made of others is run on one tiny model where one will do.
PARTS = {
    "cascade": "cascade:first=prior,then=limrank,top=3",
    "fuse": "fuse:parts=prior+limrank",
    "vote": "vote:of=limrank,times=2",
    "symmetrise": "symmetrise:of=first",
}
WITHOUT = {"none", "rerank-api"}  # no model, or one that others serve: test_rerank_api.py asks stand-ins
RECIPES = [PARTS.get(name, name) for name in recipe_names() if load_recipe(name).backend not in WITHOUT]
WAYS = [(name, {}) for name in RECIPES] + [("limrank", {"reasoning": way}) for way in ("none", "auto")]

# Their scores do not depend on what else is in the list ("auto" thinks only about the top of it).
POINTWISE = [way for way in WAYS if load_recipe(way[0]).comparable and way[1] != {"reasoning": "auto"}]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}
    letters = " ".join(chr(ord("A") + i) for i in range(26))

    def folder(backend: str) -> Path:
        if backend not in made:
            with pytest.MonkeyPatch.context() as patch:
                # Labels that are to be one token each must be known as words.
                words = "\nYes\nNo\nTrue\nFalse\nyes\nno"
                known = [f": {letters}", words, ": Yes No True False"] * 60
                patch.setattr(tiny, "CORPUS", [*tiny.CORPUS, *known])
                made[backend] = MODELS[backend](tmp_path_factory.mktemp("models") / backend)
        return made[backend]

    return folder


@pytest.fixture(params=WAYS, ids=[f"{name}-{options}" for name, options in WAYS])
def made(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Reranker:
    name, options = request.param
    backend = load_recipe(name).backend
    given = {"device": "cpu"} | OPTIONS.get(backend, {}) | options
    return Reranker(name, str(folders(backend)), max_reasoning_tokens=12, **given)


def test_many_queries_are_ranked_as_one_at_a_time(made: Reranker):
    together = made.rank_many(JOBS)
    for ranking, (query, documents) in zip(together, JOBS, strict=True):
        alone = made.rank(query, documents)
        assert ranking.failures == alone.failures
        assert {h.id: h.explanation for h in ranking} == {h.id: h.explanation for h in alone}
        assert {h.id: h.score for h in ranking} == near({h.id: h.score for h in alone})
        # What a random model writes names no document and holds no grade, which is a failure; everything
        # else it is asked, it answers.
        assert all("the model" in failure.reason for failure in ranking.failures)


@pytest.mark.parametrize("made", POINTWISE, indirect=True, ids=[f"{n}-{o}" for n, o in POINTWISE])
def test_the_order_of_the_documents_does_not_change_a_pointwise_score(made: Reranker):
    query, documents = JOBS[0]
    one = {hit.document.text: hit.score for hit in made.rank(query, documents)}
    other = {hit.document.text: hit.score for hit in made.rank(query, documents[::-1][1:])}
    assert {text: one[text] for text in other} == near(other)
