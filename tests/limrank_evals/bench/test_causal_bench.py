"""`limrank bench scoring` and `generation` on a tiny model: equal work for all; what it costs, counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="not installed: pip install 'limrank[transformers]'")

import tiny
from limrank_command import limrank

from limrank_evals.bench import floor, generation, scoring
from limrank_evals.bench.causal import PlainModel, Work, plain_model, work
from limrank_evals.bench.scoring_peers import PEERS
from limrank_evals.cli import bench
from limrank_plugins import Reranker
from limrank_plugins.backends.protocols import Generate, Generated
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import load_template
from limrank_plugins.segments import Prompt, Segment

QUERY = "why does milk curdle in tea"
PASSAGES = [
    "acid curdles milk because the proteins clump together",
    "bread rises when yeast makes gas",
    "rivers carve valleys; light bends in water; iron rusts in moist air",
    "tea is slightly acid",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("models") / "qwen2")


def test_scoring_says_how_much_faster_and_that_scores_agree(folder: Path, tmp_path: Path):
    rows = [json.dumps({"_id": str(i), "text": text}) for i, text in enumerate(PASSAGES)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows), "utf-8")
    options = ["--model", folder, "--corpus", "corpus.jsonl", "--query", QUERY, "--json"]
    options += ["--passages", "3", "--rounds", "2", "--precision", "float32"]
    printed = json.loads(limrank(tmp_path, "bench", "scoring", *options).stdout)
    exact = printed["peers"]
    assert all(peer["name"].endswith(", float32") for peer in exact)
    assert printed["rounds"] == 2
    assert [peer["name"].rsplit(", ", 1)[0] for peer in exact[:2]] == [
        "transformers, one by one",
        "transformers, padded batches of 32",
    ]
    assert all(peer["ratio"] > 0 and peer["max_score_difference"] < 1e-5 for peer in exact)
    measured = {peer["name"].rpartition(", ")[0] for peer in exact[2:]}
    assert measured | set(printed["not_measured"]) == {peer.name for peer in PEERS}
    assert not measured & set(printed["not_measured"])
    llama = "llama-cpp-python, Llama.eval"
    assert "not installed" in printed["not_measured"][llama] or "--gguf" in printed["not_measured"][llama]
    bound = printed["floor"][0]
    assert (bound["precision"], bound["pairs"]) == ("float32", 3)
    assert 0 < bound["needed_gflop"] < bound["loop_gflop"]
    assert 0 < bound["share_of_peak"] < 1


def test_generation_says_that_tokens_are_equal(folder: Path, capsys: pytest.CaptureFixture[str]):
    subject = generation.Generation(str(folder), Work(QUERY, PASSAGES), 8)
    contests = subject.contests()
    bench.report("generation", contests, {"versions": {}}, rounds=3, as_json=True, texts=True)
    printed = capsys.readouterr()
    peers = json.loads(printed.out)["peers"]
    assert printed.err.count("same tokens: yes") == len(peers)
    assert [peer["equal_tokens"] for peer in peers] == [True, True]
    assert len(subject.tokens) == len(PASSAGES)
    assert all(tokens == 8 for tokens in subject.tokens) == (subject.ended == 0)
    assert all("max_score_difference" not in peer and peer["ratio"] > 0 for peer in peers)


def test_texts_differ_where_a_token_does():
    same = generation.digests([("a", 1), ("b", 2)])
    assert (generation.digests([("a", 1), ("b", 2)]) == same).all()
    assert (generation.digests([("a", 1), ("c", 2)]) != same).any()
    assert (generation.digests([("a", 1), ("b", 3)]) != same).any()


def test_an_empty_corpus_is_refused(tmp_path: Path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "1", "text": " "}\n', "utf-8")
    with pytest.raises(InputError, match="holds no text"):
        work(3, corpus)
    assert len(work(3).passages) == 3


# ---- what must not grow: passes, positions, operations -------------------------------------------


def weights(plain: PlainModel) -> int:
    """Of the decoder's linear layers, by its config."""
    config = plain.model.config
    heads = config.num_attention_heads + 2 * config.num_key_value_heads
    size = config.hidden_size // config.num_attention_heads
    attention = config.hidden_size * size * heads + config.num_attention_heads * size * config.hidden_size
    per_layer: int = attention + 3 * config.hidden_size * config.intermediate_size
    return per_layer * int(config.num_hidden_layers)


def prompts(end: str) -> list[Prompt]:
    template = load_template("limrank")
    return [template.render(QUERY, [text]).then(Segment(end)) for text in PASSAGES]


def test_scoring_computes_what_is_needed_and_no_position_more(folder: Path):
    with plain_model(str(folder), "float32") as plain:
        rows = plain.ids(prompts(load_template("limrank").no_think))
        reranker = Reranker("limrank", backend=plain.ours(), reasoning="none", template="limrank")
        reranker.rank(QUERY, PASSAGES)  # now the model has been asked what it can do
        with floor.counted(plain.model) as counts:
            reranker.rank(QUERY, PASSAGES)
        needed = floor.needed_positions(rows)
        assert needed < sum(map(len, rows)) - 8 * (len(rows) - 1), "what they have in common is read once"
        assert counts.passes == 2, "what they have in common, and all that follows as one row"
        assert counts.positions == needed
        assert counts.flops == 2 * weights(plain) * needed


def test_generation_computes_each_position_once(folder: Path):
    with plain_model(str(folder), "float32") as plain:
        requests = [Generate(prompt, stop=(), max_tokens=12) for prompt in prompts("")]
        backend = plain.ours()
        with floor.counted(plain.model) as counts:
            replies = backend.generate(requests)
        lengths = [reply.usage.generated_tokens for reply in replies if isinstance(reply, Generated)]
        assert len(lengths) == len(PASSAGES)
        # The last token of a text is not read.
        needed = floor.needed_positions(plain.ids(prompts(""))) + sum(lengths) - len(lengths)
        assert counts.positions == needed
        assert counts.flops == 2 * weights(plain) * needed
        assert counts.passes <= 1 + len(lengths) + max(lengths) - 1


def test_the_loop_that_is_compared_reads_every_prompt_in_full(folder: Path):
    job = Work(QUERY, PASSAGES)
    with plain_model(str(folder), "float32") as plain:
        rows = plain.ids(prompts(load_template("limrank").no_think))
        read = scoring._in_batches(plain, rows, [0, 1], 1)
        bound = floor.floor(plain.model, rows, "float32", read)
        assert bound.loop_gflop == pytest.approx(2e-9 * weights(plain) * sum(map(len, rows)))
        assert bound.needed_gflop == pytest.approx(2e-9 * weights(plain) * floor.needed_positions(rows))
        seconds = bound.needed_gflop / bound.peak_gflop_per_second
        assert bound.share_of_peak(2000 * seconds / len(job.passages)) == pytest.approx(0.5)
        assert bound.share_of_loop_ratio(bound.loop_gflop / bound.needed_gflop) == pytest.approx(1.0)
