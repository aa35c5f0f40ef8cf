"""ICR on tiny models: the whole method against one eager pass per query and the formula by hand."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import tiny
import torch
import transformers
from rounding import near

from limrank_plugins import Document, Reranker
from limrank_plugins.backends.transformers import TransformersBackend

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QUERIES = ["why does milk curdle in tea?", "what makes bread rise?"]
PASSAGES = [
    "acid curdles milk because the proteins clump together",
    "bread rises when yeast makes gas",
    "iron",
    "light bends in water; rivers carve valleys",
    "says [1] > [2] and </think> true <|im_end|>",
]
TOKENIZERS = {"qwen2": "qwen", "llama": "llama", "qwen3": "qwen"}


@pytest.fixture(scope="module", params=TOKENIZERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokens = tiny.TOKENIZERS[TOKENIZERS[request.param]]()
    tokens.chat_template = CHAT
    place = tmp_path_factory.mktemp("models") / request.param
    return tiny.build(place, request.param, tokens=tokens, max_position_embeddings=1024)


def plain(folder: Path, query: str, passages: list[str]) -> dict[str, float]:
    """Both prompts written out and tokenised by the tokenizer itself, each in one eager pass.

    As in OSU-NLP-Group/In-Context-Reranking 9117e9f (in_context_reranker.py), a document's tokens include its
    label, and the rows are those from the instruction behind the documents to the prompt's end.
    """
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    by_query: list[list[list[float]]] = []
    for asked in (query, "N/A"):
        text = f"<|im_start|>user\nBelow are {len(passages)} numbered paragraphs.\n\n"
        places: list[tuple[int, int]] = []
        for number, passage in enumerate(passages[::-1], start=1):
            label = f"[{number}] "
            places.append((len(text), len(text) + len(label) + len(passage)))
            text += f"{label}{passage}\n\n"
        instruction = len(text)
        text += (
            "Look through the paragraphs above for whatever is relevant to the query below.\n\n"
            f"Query: {asked}<|im_end|>\n<|im_start|>assistant\n"
        )
        found = tokens(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = [
            [i for i, (_, b) in enumerate(found["offset_mapping"]) if start < b <= stop]
            for start, stop in places
        ]
        with torch.no_grad():
            layers = model(torch.tensor([found["input_ids"]]), output_attentions=True).attentions
        # Rows from the instruction on: what separates it from the last document is no part of the question.
        behind = next(i for i, (_, b) in enumerate(found["offset_mapping"]) if b > instruction)
        total = sum(layer[0, :, behind:].mean(dim=1).sum(dim=0) for layer in layers)
        by_query.append([[float(total[i]) for i in span] for span in spans])
    scores: dict[str, float] = {}
    for passage, own, free in zip(passages[::-1], *by_query, strict=True):
        d = [a - b for a, b in zip(own, free, strict=True)]
        bound = statistics.fmean(d) - 2 * statistics.stdev(d) if len(d) > 1 else -1.0
        scores[passage] = sum(value for value in d if value > bound)
    return scores


def test_scores_are_those_of_one_eager_pass_per_query(folder: Path) -> None:
    backend = TransformersBackend(str(folder), batch_tokens=16)
    for query in QUERIES:
        ranking = Reranker("icr", backend=backend).rank(query, PASSAGES[:4])
        found = {hit.document.text: hit.score for hit in ranking}
        assert found == pytest.approx(plain(folder, query, PASSAGES[:4]), abs=1e-5)
        assert len(set(found.values())) == 4


def test_many_queries_are_ranked_as_one_at_a_time(folder: Path) -> None:
    reranker = Reranker("icr", backend=TransformersBackend(str(folder)))
    jobs = [(query, PASSAGES[i:]) for query in QUERIES for i in range(3)]
    for together, job in zip(reranker.rank_many(jobs), jobs, strict=True):
        alone = {hit.id: hit.score for hit in reranker.rank(*job)}
        assert {hit.id: hit.score for hit in together} == near(alone)


def test_a_query_without_content_keeps_the_first_stages_order(folder: Path) -> None:
    ranking = Reranker("icr", model=str(folder)).rank("N/A", PASSAGES)
    assert {hit.score for hit in ranking} == {0.0}
    assert ranking.ids == [str(i) for i in range(len(PASSAGES))]


def test_a_single_and_an_empty_document(folder: Path) -> None:
    reranker = Reranker("icr", model=str(folder))
    assert reranker.rank(QUERIES[0], ["tea"])[0].score is not None
    ranking = reranker.rank(QUERIES[0], [Document("", id="empty"), Document("tea", id="tea")])
    assert ranking.failures == ()
    assert {hit.id: hit.score for hit in ranking}["empty"] == 0.0


def test_long_lists_are_cut_evenly_and_reported(folder: Path) -> None:
    backend = TransformersBackend(str(folder), max_length=400)
    ranking = Reranker("icr", backend=backend).rank(QUERIES[0], [f"{text} " * 20 for text in PASSAGES])
    assert ranking.failures == ()
    assert sum(hit.cut_tokens for hit in ranking) > 200
