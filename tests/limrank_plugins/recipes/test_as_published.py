"""The prompts, orders and choices that released code makes, to the byte; the source stands beside each."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_seq2seq
import torch
import transformers
from scripts import full_backend

from limrank_plugins import Document, Reranker, load_recipe
from limrank_plugins.backends.protocols import Likelihood
from limrank_plugins.backends.scripted import ScriptedBackend
from limrank_plugins.backends.seq2seq import Seq2SeqBackend
from limrank_plugins.cli.show import show_prompt
from limrank_plugins.errors import InputError

# ---- RankZephyr, FIRST, RankLLM -----------------------------------------------------------------

# castorini/rank_llm 8c1c2ed, rank_listwise_os_llm.py with variable_passages, as RankZephyr is run in its
# README and trained (create_variable_length_samples.py of the same commit); run_rank_llm.py has the system's
# message with a full stop, llm_util.py of FIRST the same without.
RANKZEPHYR = """\
I will provide you with 2 passages, each indicated by a numerical identifier []. Rank the passages based on \
their relevance to the search query: why is tea brown.

[1] Title: Tea Content: Tannins are brown.
[2] On page (12) of [A].
Search Query: why is tea brown.
Rank the 2 passages above based on their relevance to the search query. All the passages should be included \
and listed using identifiers, in descending order of relevance. The output format should be [] > [], e.g., \
[2] > [1], Only respond with the ranking results, do not say any word or explain."""
# gangiswag/llm-reranker 2d7cba4, rank_listwise_os_llm.py with variable_passages and use_alpha, as llm_util.py
# runs it; castorini/rank_llm 9f8e196 has the same.
FIRST = """\
I will provide you with 2 passages, each indicated by a alphabetical identifier []. Rank the passages based \
on their relevance to the search query: why is tea brown.

[A] Title: Tea Content: Tannins are brown.
[B] On page [12] of (A).
Search Query: why is tea brown.
Rank the 2 passages above based on their relevance to the search query. All the passages should be included \
and listed using identifiers, in descending order of relevance. The output format should be [] > [], e.g., \
[B] > [A], Only respond with the ranking results, do not say any word or explain."""
SYSTEM = (
    "You are RankLLM, an intelligent assistant that can rank passages based on their relevancy to the query"
)
ASKED = ("why is tea brown", ["Tannins are brown.", "On page [12] of [A]."])
DOCUMENTS = [Document(" Tannins \n are  brown.\n", title="Tea"), Document("On page\t[12] of [A].")]


def prompt(recipe: str, documents: list[Document] = DOCUMENTS, **options: object) -> str:
    """What the user says to the model first."""
    backend = full_backend()
    Reranker(recipe, backend=backend, **options).rank(ASKED[0], documents)
    request = backend.requests[0]
    return "".join(s.text for s in request.prompt.segments if s.role in ("user", ""))


def test_the_trained_wording_to_the_byte(capsys: pytest.CaptureFixture[str]):
    assert prompt("rankgpt") == RANKZEPHYR
    assert prompt("first") == FIRST
    for recipe, wording, stop, begun in (("rankgpt", RANKZEPHYR, ".", ""), ("first", FIRST, "", "[")):
        show_prompt(recipe, query=ASKED[0], document=ASKED[1], instruction=None, as_json=False)
        said = wording.replace("Title: Tea Content: ", "")
        assert capsys.readouterr().out == SYSTEM + stop + said + begun


def test_what_rankllm_asks_today():
    """castorini/rank_llm 1b3cabb, rank_zephyr_template.yaml and rank_zephyr_alpha_template.yaml."""
    only = "Only respond"
    now = "Answer concisely and directly and only respond"
    for recipe, wording in (("rankgpt", RANKZEPHYR), ("first", FIRST)):
        expected = (
            wording.replace(only, now).replace("brown.\n\n[", "brown.\n[").replace("by a alph", "by an alph")
        )
        assert prompt(f"{recipe}:wording=rankllm") == expected
    with pytest.raises(InputError, match="'trained' or 'rankllm'"):
        load_recipe("first:wording=other")


def test_rankllms_insertrank():
    """castorini/rank_llm 1b3cabb, insert_rank_template.yaml, the slip in "passge" included."""
    documents = [Document("Tannins are brown.", prior=7.25), Document("Milk is white.", prior=0.5)]
    assert prompt("insertrank:wording=rankllm", documents) == (
        "I will provide you with 2 passages, each indicated by a numerical identifier []. I will also "
        "provide the BM25 scores from a lexical retrieval system.\n\nRank the passages based on their "
        "relevance to the search query: why is tea brown.\n[1] Tannins are brown.\n"
        "BM25 score for passge [1]: 7.250\n[2] Milk is white.\nBM25 score for passge [2]: 0.500\n"
        "Search Query: why is tea brown.\nRerank the above 2 passages based on their relevance to the query. "
        "Consider both the document content and the BM25 scores as signals for relevance. All the passages "
        "should be included and listed using identifiers, in descending order of relevance. The output "
        "format should be [] > [], e.g., [2] > [1]. Return the ranking as a list of numbers from 1 to 2, "
        "most relevant first. Answer concisely and directly and only respond with the ranking results, do "
        "not say any word or explain."
    )


def test_titles_as_each_checkpoint_knows_them():
    """ReasonRank 06721fd: utils.py. Rank-R1 b36517b: create_dataset.py. ICR 9117e9f: experiments.py."""
    assert "\n[1] Title: Tea Content:  Tannins \n are  brown.\n[2] On page\t(12) of [A].\n" in prompt(
        "reasonrank"
    )
    assert "\n[1] Tea  Tannins \n are  brown.\n\n[2] On page\t(12) of [A].\n" in prompt("rank-r1")
    backend = full_backend()
    Reranker("icr", backend=backend).rank(ASKED[0], DOCUMENTS)
    assert "[2] Tea\n Tannins \n are  brown.\n\nLook" in backend.requests[0].prompts[0].text


def test_how_much_is_read_of_a_passage():
    """300 words (rank_llm, llm-reranker, ICR), 512 tokens (ReasonRank on BRIGHT, Rank-R1 on TREC DL)."""
    limits = {
        name: str(load_recipe(name).load_template().passage.limit)
        for name in (
            "rankgpt",
            "first",
            "insertrank",
            "icr",
            "icr:task=question",
            "reasonrank",
            "rank-r1",
            "limrank",
        )
    }
    assert limits == {
        "rankgpt": "300 words",
        "first": "300 words",
        "insertrank": "300 words",
        "icr": "300 words",
        "icr:task=question": "300 words",
        "reasonrank": "512 tokens",
        "rank-r1": "512 tokens",
        "limrank": "None",
    }
    assert load_recipe("reasonrank:passage_limit=100-tokens").load_template().passage.most_tokens == 100


# ---- Retro* -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "kinds", "condition"),
    [
        ("any", ("query", "document"), "the document can help answer the query"),
        (
            "stackoverflow",
            ("Stack Overflow post", "passage"),
            "the critical concepts or theories discussed in the document can provide references for domain "
            "experts to draft an answer to the query",
        ),
        (
            "theoremqa_theorems",
            ("math problem", "math-related passage"),
            "the theorem described in the document can help solve the problem in the query",
        ),
    ],
)
def test_retros_definitions_of_relevance(task: str, kinds: tuple[str, str], condition: str):
    """VectorSpaceLab/agentic-search b2f2e40, Retro-star: reranker_sglang.py and reranker_prompts.py."""
    said = prompt(f"retro:task={task}", [Document("Tannins.")])
    query, document = kinds
    assert said.startswith(
        f"Here is the **relevance definition** in a retrieval task: Given a query ({query}) and a document "
        f"({document}), the document is relevant to the query if {condition}.\n\n"
        f"Now given a **query** ({query}) and a **document** ({document}) in this retrieval task, your "
    )
    assert said.endswith(
        f"\n\nQuery ({query}):\n[Begin of Query]\nwhy is tea brown\n[End of Query]\n\n"
        f"Document ({document}):\n[Begin of Document]\nTannins.\n[End of Document]\n"
    )


def test_there_is_a_definition_for_each_of_brights_tasks():
    with pytest.raises(
        InputError, match=r"biology, .*pony, aops, theoremqa_questions, theoremqa_theorems, but"
    ):
        load_recipe("retro:task=cooking")


# ---- Rank-R1 ------------------------------------------------------------------------------------

TWICE = "<think>a</think> <answer>[2]</answer> <think>no</think> <answer>[3]</answer>"


@pytest.mark.parametrize(
    ("text", "released", "ours"),
    [
        (TWICE, "1", "2"),
        ("<answer>[2]</answer>", None, "1"),
        ("<think>a</think> <answer>[2]", None, "1"),
        ("<THINK>a</THINK>\n<Answer> [2] </Answer> so", "1", "1"),
        ("<think>a</think> so <answer>[2]</answer>", None, "1"),
        ("<think>a</think> <answer>[2], [3]</answer>", None, None),
    ],
)
def test_the_answer_that_rank_r1s_code_reads(text: str, released: str | None, ours: str | None):
    """ielab/llm-rankers b36517b, run_setwise.py: re.search of the prompt file's pattern in lower case."""
    for recipe, expected in (("rank-r1:answer=released", released), ("rank-r1", ours)):
        ranking = Reranker(recipe, backend=ScriptedBackend(generate=lambda _: text)).rank(
            "q", ["a", "b", "c"]
        )
        assert ranking.failures == ()
        assert ranking.ids[0] == (expected or "0")


# ---- setwise ------------------------------------------------------------------------------------


def groups(recipe: str, relevance: list[int], lazy: bool) -> tuple[list[int], list[tuple[int, ...]]]:
    """The order and the groups asked about, by a model that prefers a larger number, or sometimes nothing."""
    asked: list[tuple[int, ...]] = []

    def choose(prompt: object) -> list[float]:
        shown = tuple(int(s.text) for s in prompt.segments if s.cuttable)
        asked.append(shown)
        silent = lazy and sum(shown) % 3 == 0
        return [0.0 if silent else float(relevance[i]) for i in shown]

    backend = ScriptedBackend(read_labels=choose)
    ranking = Reranker(recipe, backend=backend).rank("q", [str(i) for i in range(len(relevance))])
    return [hit.index for hit in ranking], asked


@pytest.mark.parametrize(
    ("recipe", "lazy", "order", "asked"),
    [
        (
            "setwise:children=2,top=3,sort=released",
            False,
            [2, 6, 3, 0, 1, 4, 5],
            [(2, 5, 6), (1, 3, 4), (0, 3, 2), (0, 5, 6), (0, 3, 6), (0, 5), (5, 3, 0), (5, 1, 4)],
        ),
        (
            "setwise:children=2,top=3,sort=released",
            True,
            [2, 0, 6, 1, 3, 4, 5],
            [(2, 5, 6), (1, 3, 4), (0, 3, 2), (0, 5, 6), (0, 3, 6), (5, 3, 6)],
        ),
    ],
)
def test_the_released_heap(recipe: str, lazy: bool, order: list[int], asked: list[tuple[int, ...]]):
    """What heapSort of ielab/llm-rankers b36517b (llmrankers/setwise.py) asks and answers."""
    assert groups(recipe, [3, 1, 6, 4, 2, 0, 5], lazy) == (order, asked)
    assert groups("setwise:children=2,top=3", [3, 1, 6, 4, 2, 0, 5], lazy) != (order, asked)


@pytest.mark.parametrize(
    ("relevance", "lazy", "order", "asked"),
    [
        (
            [3, 8, 4, 0, 5, 1, 6, 2, 7],
            False,
            [1, 8, 6, 0, 2, 3, 4, 5, 7],
            [
                (5, 6, 7, 8),
                (2, 3, 4, 8),
                (0, 1, 8),
                (2, 6, 7, 5),
                (8, 3, 4, 6),
                (0, 8),
                (6, 2, 7, 5),
                (0, 3, 4, 6),
            ],
        ),
        (
            [3, 8, 4, 0, 5, 1, 6, 2, 7],
            True,
            [0, 1, 8, 2, 3, 4, 5, 6, 7],
            [
                (5, 6, 7, 8),
                (2, 3, 4, 8),
                (0, 1, 8),
                (2, 6, 7, 5),
                (8, 3, 4, 6),
                (1, 8),
                (6, 2, 7, 5),
                (8, 3, 4, 6),
            ],
        ),
    ],
)
def test_the_released_bubble(
    relevance: list[int], lazy: bool, order: list[int], asked: list[tuple[int, ...]]
):
    """The same of its bubble sort, which changes places rather than inserting."""
    assert groups("setwise:schedule=bubble,children=3,top=3,sort=released", relevance, lazy) == (order, asked)


def test_the_released_bubble_goes_wrong_where_ours_does_not():
    relevance = list(range(8))
    released, _ = groups("setwise:schedule=bubble,children=2,top=7,sort=released", relevance, False)
    assert released == [7, 6, 5, 4, 3, 2, 0, 1]
    ours, _ = groups("setwise:schedule=bubble,children=2,top=7", relevance, False)
    assert ours == [7, 6, 5, 4, 3, 2, 1, 0]
    with pytest.raises(InputError, match="'ours' or 'released'"):
        load_recipe("rank-r1:sort=theirs")


# ---- UPR ----------------------------------------------------------------------------------------


def test_uprs_sum_counts_the_end_of_the_question(tmp_path: Path):
    """DevSinghSachan/unsupervised-passage-reranking a05d296, upr.py: labels end in </s>, all are summed."""
    folder = tiny_seq2seq.build(tmp_path / "t5")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    query, titled = "what makes bread rise", Document("bread rises when yeast makes gas", title="bread")
    documents = [titled, Document("acid curdles milk")]
    ranking = Reranker("qlm:wording=upr", backend=Seq2SeqBackend(str(folder))).rank(query, documents)
    labels = tokens(query, return_tensors="pt").input_ids
    assert labels[0, -1] == tokens.eos_token_id
    for hit in ranking:
        text = f"Passage: {hit.document.passage}. Please write a question based on this passage."
        with torch.no_grad():
            logits = model(**tokens(text, return_tensors="pt"), labels=labels).logits
        expected = logits.log_softmax(dim=-1).gather(2, labels.unsqueeze(2)).sum()
        assert hit.score == pytest.approx(float(expected), abs=1e-4)


def test_a_decoder_is_not_asked_for_the_end_of_a_question():
    backend = full_backend()
    Reranker("qlm", backend=backend).rank("q", ["a"])
    (request,) = backend.requests
    assert isinstance(request, Likelihood)
    assert not request.ends
