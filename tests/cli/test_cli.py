"""The command line through the real process: output, exit codes, files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest
from limrank_command import run_limrank
from needs import needs_mini

from limrank_plugins import samples

pytestmark = needs_mini


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests here, so that the sample collection is encoded once."""
    return tmp_path_factory.mktemp("cli-cache")


def limrank(
    cache: Path, *arguments: object, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    variables = {"LIMRANK_CACHE": str(cache), "COLUMNS": "200", **environment}
    done = run_limrank(arguments, cwd=Path.cwd(), env={**os.environ, **variables})
    assert done.returncode == code, done.stderr + done.stdout
    return done


def put(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    corpus = put(
        tmp_path / "corpus.jsonl",
        {
            "_id": "yeast",
            "title": "Yeast",
            "text": "Yeast eats sugar and gives off gas, which lifts the dough.",
        },
        {"_id": "steel", "title": "Steel", "text": "Rust never sleeps on a bread knife."},
        {"_id": "moon", "title": "Moon", "text": "The moon rises later every day."},
    )
    queries = put(
        tmp_path / "queries.jsonl",
        {"_id": "q1", "text": "why does bread dough rise"},
        {"_id": "q2", "text": "when does the moon rise"},
        {"_id": "q3", "text": "zebra xylophone"},
    )
    return corpus, queries


def test_search_shows_before_and_after_and_says_which_default_is_used(cache: Path):
    done = limrank(cache, "search", "samples", samples.queries()[0].text)
    assert "rank" in done.stdout
    assert "was" in done.stdout
    assert "--recipe limrank --model songtingyu/limrank" in done.stderr
    assert "--recipe limrank" not in done.stdout


def test_search_as_json_for_machines(cache: Path):
    done = limrank(
        cache, "search", "samples", samples.queries()[0].text, "--top-n", 3, "--json", "--recipe", "mini"
    )
    found = json.loads(done.stdout)
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert {"id", "score", "title", "text", "first_stage_rank", "first_stage_score"} <= set(found["hits"][0])
    assert found["recipe"] == "mini"
    assert "embedded default" not in done.stderr, "it was asked for by name"


def test_the_index_is_built_once_and_an_edited_corpus_is_another(cache: Path, small: tuple[Path, Path]):
    corpus, _ = small
    assert "indexing" in limrank(cache, "search", corpus, "bread").stderr
    assert "indexing" not in limrank(cache, "search", corpus, "bread").stderr
    with corpus.open("a") as stream:
        stream.write('{"_id": "new", "text": "bread and butter"}\n')
    done = limrank(cache, "search", corpus, "butter", "--json")
    assert [hit["id"] for hit in json.loads(done.stdout)["hits"]] == ["new"]


def test_index_into_a_folder(cache: Path, small: tuple[Path, Path], tmp_path: Path):
    told = json.loads(limrank(cache, "index", small[0], "-o", tmp_path / "ix", "--json").stdout)
    expected = {"retriever": "bm25s", "documents": 3, "folder": str(tmp_path / "ix"), "language": "english"}
    assert told == expected
    assert "there already" in limrank(cache, "index", small[0], "-o", tmp_path / "ix", code=2).stderr


def test_a_query_that_matches_nothing_finds_nothing(cache: Path, small: tuple[Path, Path]):
    done = limrank(cache, "search", small[0], "zebra", "--json")
    assert json.loads(done.stdout)["hits"] == []
    assert "no passage" in done.stderr
    done = limrank(cache, "search", small[0], "zebra", "--recipe", "prior")
    assert "by meaning (--retriever dense), or name the language" in done.stderr.replace("\n", " ")
    assert done.stdout == "", "an empty table is shown"
    assert "--option" in limrank(cache, "search", small[0], "zebra", "--option", "x", code=2).stderr


def test_several_first_stages_are_refused_with_where_they_are_fused(cache: Path, small: tuple[Path, Path]):
    done = limrank(cache, "search", small[0], "bread", "--retriever", "bm25s+dense", code=2)
    assert "`limrank ask` and `limrank eval` fuse" in " ".join(done.stderr.split())


def test_where_fewer_match_than_are_shown_it_is_said(cache: Path, small: tuple[Path, Path]):
    def told(*arguments: object, **environment: str) -> str:
        return limrank(cache, "search", small[0], *arguments, **environment).stderr

    assert "1 of 3 passages shares a word with the query\n" in told("bread")
    assert "2 of 3 passages share a word with the query\n" in told("bread, sugar")
    assert "\x1b[2m1 of 3 passages" in told("bread", FORCE_COLOR="1"), "dim on a terminal"
    # As many as asked for, all there are, JSON (which counts candidates), and none, which has its own line.
    for arguments in (
        ["bread", "--top-n", "1"],
        ["bread", "--k", "1"],
        ["bread, sugar, moon"],
        ["bread", "--json"],
        ["zebra"],
    ):
        assert "of 3 passages" not in told(*arguments), arguments


@pytest.mark.parametrize("name", ["out.trec", "out.trec.gz", "out.jsonl", "out.jsonl.gz"])
def test_rerank_searches_first_and_writes_a_run(
    cache: Path, small: tuple[Path, Path], tmp_path: Path, name: str
):
    from limrank_plugins.io import read_run

    done = limrank(cache, "rerank", "--queries", small[1], "--corpus", small[0], "-o", tmp_path / name)
    run = read_run(tmp_path / name)
    assert run["q1"][0].document_id == "yeast"
    assert run["q2"][0].document_id == "moon"
    assert "q3" not in run
    assert "1 had no candidates" in done.stderr
    again = json.loads(
        limrank(cache, "rerank", "-q", small[1], "-c", small[0], "-o", tmp_path / name, "--json").stdout
    )
    assert again["computed"] == 0
    assert again["resumed"] == 3


def test_rerank_says_of_which_texts_only_a_part_was_read(cache: Path, tmp_path: Path):
    words = " ".join(f"bread{i}" for i in range(300))
    (tmp_path / "c.jsonl").write_text(
        "".join(
            json.dumps({"_id": f"d{i}", "text": f"yeast {text}"}) + "\n" for i, text in enumerate(["", words])
        )
    )
    (tmp_path / "q.jsonl").write_text(json.dumps({"_id": "q", "text": "yeast"}) + "\n")
    files = ("-q", tmp_path / "q.jsonl", "-c", tmp_path / "c.jsonl", "-o", tmp_path / "o.trec")
    command = ("rerank", *files, "--recipe", "mini:pieces=first")
    assert "; 1 of 2 documents was longer than the model reads" in limrank(cache, *command).stderr
    told = json.loads(limrank(cache, *command, "--json").stdout)
    assert (told["cut_documents"], told["cut_queries"]) == (1, 0)


def test_rerank_takes_a_run_and_cuts(cache: Path, small: tuple[Path, Path], tmp_path: Path):
    from limrank_plugins.io import read_run

    run = tmp_path / "first.trec"
    run.write_text("q1 Q0 moon 1 3.0 t\nq1 Q0 yeast 2 2.0 t\nq2 Q0 steel 1 1.0 t\n")
    limrank(
        cache, "rerank", "-q", small[1], "-c", small[0], "--run", run, "-o", tmp_path / "o.trec", "--top-n", 1
    )
    found = read_run(tmp_path / "o.trec")
    assert {query: [c.document_id for c in cs] for query, cs in found.items()} == {
        "q1": ["yeast"],
        "q2": ["steel"],
    }


def test_unknown_ids_in_a_run_are_named(cache: Path, small: tuple[Path, Path], tmp_path: Path):
    run = tmp_path / "first.trec"
    for line, said in (
        ("q1 Q0 ghost 1 3.0 t", "ghost"),
        ("q9 Q0 moon 1 3.0 t", "q9"),
        ("q1 Q0 moon 1 nan t", "nan"),
    ):
        run.write_text(line + "\n")
        done = limrank(
            cache, "rerank", "-q", small[1], "-c", small[0], "--run", run, "-o", tmp_path / "o", code=2
        )
        assert said in done.stderr
        assert not (tmp_path / "o").exists()


def test_ids_a_trec_file_cannot_hold_stop_before_the_work(cache: Path, tmp_path: Path):
    corpus = put(tmp_path / "c.jsonl", {"_id": "my doc", "text": "bread"})
    queries = put(tmp_path / "q.jsonl", {"_id": "q", "text": "bread"})
    done = limrank(cache, "rerank", "-q", queries, "-c", corpus, "-o", tmp_path / "o.trec", code=2)
    assert "'my doc'" in done.stderr
    limrank(cache, "rerank", "-q", queries, "-c", corpus, "-o", tmp_path / "o.jsonl")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "nowhere", "q"], "there is no corpus 'nowhere'"),
        (["search", "samples", "  "], "the query is empty"),
        (["search", "samples", "q", "--top-n", "0"], "--top-n must be"),
        (["search", "samples", "q", "--k", "0"], "k"),
        (["search", "samples", "bread", "--recipe", "magic"], "there is no recipe 'magic'"),
        (["search", "samples", "bread", "--retriever", "magic"], "magic"),
        (["search", "samples", "bread", "--reasoning", "auto"], "reasoning"),
        (
            ["search", "samples", "bread", "--recipe", "limrank", "--model", "/no/such/model"],
            "/no/such/model",
        ),
        (["prompt", "show", "mini"], "no prompt"),
        (["search", "samples", "bread", "--option", "nonsense"], "key=value"),
        (["search", "samples", "bread", "--option", "nonsense=1"], "'encoder' has no such option"),
        (["search", "samples", "bread", "--option", "batch_siz=1"], "did you mean batch_size?"),
        (["search", "samples", "bread", "--retriever", "bm25"], "'bm25'; did you mean bm25s or bm25q?"),
        (["search", "samples"], "query"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_exit_code_two_and_one_line(cache: Path, arguments: list[str], said: str):
    done = limrank(cache, *arguments, code=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_empty_corpus_is_named(cache: Path, tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("")
    assert "is empty" in limrank(cache, "search", tmp_path / "empty.jsonl", "q", code=2).stderr
    (tmp_path / "folder").mkdir()
    assert (
        "holds no file that can be read" in limrank(cache, "search", tmp_path / "folder", "q", code=2).stderr
    )


def test_feedback_searches_again_with_the_rankings_vector(cache: Path, tmp_path: Path):
    """`prior` ranks as the first stage does: learning its order moves the vector and so the scores."""
    arguments = ["search", "samples", "milk in tea", "--retriever", "dense", "--recipe", "prior", "--k", "5"]
    plain = json.loads(limrank(cache, *arguments, "--json").stdout)
    again = json.loads(limrank(cache, *arguments, "--feedback", "--json").stdout)
    assert len(again["hits"]) == len(plain["hits"]) == 5
    assert again["hits"][0]["id"] == plain["hits"][0]["id"]
    assert [hit["first_stage_score"] for hit in again["hits"]] != [
        hit["first_stage_score"] for hit in plain["hits"]
    ]
    done = limrank(cache, "search", "samples", "milk", "--feedback", code=2)
    assert "--feedback moves a query's vector: name --retriever dense, not bm25s" in done.stderr


def test_a_folder_of_texts_is_a_corpus(cache: Path, tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("bread rises\nslowly")
    (tmp_path / "sub" / "b.md").write_text("the moon rises")
    found = json.loads(limrank(cache, "search", tmp_path, "moon", "--json").stdout)
    assert [hit["id"] for hit in found["hits"]] == ["sub/b.md"]


def test_recipes(cache: Path):
    listed = json.loads(limrank(cache, "recipes", "--json").stdout)
    assert {"limrank", "rank1", "mini"} <= {recipe["name"] for recipe in listed}
    for recipe in listed:
        assert recipe["oracle"] in ("score", "order", "select")
        assert recipe["needs"] or recipe["parts"] or recipe["name"] == "prior"
        assert recipe["licence"]
    assert "songtingyu/limrank" in limrank(cache, "recipes").stdout


def test_prompt_show_prints_the_bytes_of_the_prompt(cache: Path):
    done = limrank(cache, "prompt", "show", "limrank", "--query", "a {{ b }}", "--document", "c [d]")
    assert done.stdout == (
        "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.\n"
        "Query: a {{ b }}\nPassage: c [d]\n<think>"
    )
    segments = json.loads(limrank(cache, "prompt", "show", "limrank", "--json").stdout)["segments"]
    assert [s["trusted"] for s in segments] == [True, False, True, False, True]
    assert "limrank" in limrank(cache, "prompt", "list").stdout


def test_doctor(cache: Path):
    findings = {f["name"]: f for f in json.loads(limrank(cache, "doctor", "--json").stdout)}
    assert findings["default model"]["ok"]
    assert all(f["ok"] or f["fix"] for f in findings.values())
    extras = set(metadata("limrank").get_all("Provides-Extra")) - {"all", "dev", "docs"}
    assert extras <= set(findings)
    for package in ("openai", "datasketch", "py3langid", "matplotlib", "datasets"):
        assert re.search(rf"(^|, ){package} \d|no {package}(,|$)", findings["synth"]["found"])
    assert "default model" in limrank(cache, "doctor").stdout


def test_demo(cache: Path):
    done = limrank(cache, "demo")
    assert "direct" in done.stdout
    assert "Over all 28 queries" in done.stdout
    told = json.loads(limrank(cache, "demo", "--json").stdout)
    assert told["queries"] == 28
    assert told["among_first_five"]["mini"] > told["among_first_five"]["bm25s"]


def test_version_and_help(cache: Path):
    assert limrank(cache, "--version").stdout.strip() == "0.1.0"
    for command in ("search", "index", "rerank", "recipes", "prompt", "doctor", "demo"):
        assert command in limrank(cache, "--help").stdout
        limrank(cache, command, "--help")


def test_control_characters_of_a_passage_do_not_reach_the_terminal(cache: Path, tmp_path: Path):
    corpus = put(
        tmp_path / "c.jsonl",
        {"_id": "x", "title": "[red]t[/red]", "text": "bread \x1b[31m \u202e [bold]b \ud800"},
    )
    done = limrank(cache, "search", corpus, "bread", PYTHONIOENCODING="ascii")
    assert "\x1b[31m" not in done.stdout
    assert "[red]t[/red]" in done.stdout
    assert "[bold]b" in done.stdout


def test_a_reader_that_goes_away_is_not_an_error(cache: Path):
    program = Path(sys.executable).with_name("limrank")
    with subprocess.Popen(
        [str(program), "prompt", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LIMRANK_CACHE": str(cache)},
        text=True,
    ) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert "Traceback" not in errors


def test_a_served_model_by_address(cache: Path):
    pytest.importorskip("openai", reason="needs pip install 'limrank[openai]'")
    from servers import LoopbackServer, toy

    with LoopbackServer(toy) as server:
        done = limrank(
            cache,
            "search", "samples", "bread", "--recipe", "limrank", "--reasoning", "none", "--backend", "openai",
            "--model", "m", "--option", f"base_url={server.url}", "--option", "concurrency=4", "--json",
        )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert all(0 <= hit["score"] <= 1 for hit in found["hits"])
