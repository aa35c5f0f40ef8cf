"""Files as people have them, through the commands that name a corpus; no model is asked."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from small_pdfs import pdf
from typer.testing import CliRunner

from limrank_plugins.cli import build_app, whole_command
from limrank_plugins.errors import LimRankWarning

FILES = {
    "c.jsonl": '{"contents": "sour milk"}\n{"contents": "bread"}\n',
    "c.json": '[{"content": "sour milk"}, {"content": "bread"}]',
    "c.csv": "Passage;Note\nsour milk;x\nbread;y\n",
    "c.tsv": "text\tnote\nsour milk\tx\nbread\ty\n",
    "c.txt": "sour milk",
    "c.md": "# Sour\nmilk",
    "c.html": "<title>Sour</title><p>milk</p><script>x</script>",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line in this process, in an empty folder."""
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)

    def command(*words: object, code: int = 0) -> Result:
        done = CliRunner().invoke(build_app(), [str(word) for word in words])
        assert done.exit_code == code, done.stderr
        return done

    return command


def hits(done: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["hits"]
    return found


def search(*words: object) -> tuple[object, ...]:
    return ("search", *words, "--recipe", "prior", "--json")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", FILES)
def test_every_kind_is_searched(run: Callable[..., Result], name: str, encoding: str):
    Path(name).write_text(FILES[name], encoding)
    (hit,) = hits(run(*search(name, "sour")))
    line = {"c.jsonl": "#1", "c.json": "#1", "c.csv": "#2", "c.tsv": "#2"}.get(name, "")
    assert hit["id"] == name + line
    assert "milk" in hit["text"]


def test_parquet_is_searched(run: Callable[..., Result]):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra files")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"id": [1, 2], "about": ["sour milk", "bread"]}), "c.parquet")
    assert [hit["id"] for hit in hits(run(*search("c.parquet", "sour", "--field", "about")))] == ["1"]


def test_a_folder_of_pdfs_is_searched_with_pages_and_what_is_left_out_is_said(run: Callable[..., Result]):
    pytest.importorskip("pypdf", reason="needs the extra files")
    pytest.importorskip("semantic_text_splitter", reason="needs the extra files")
    Path("docs").mkdir()
    pages = ["\n".join(f"Bread is made in {way} ways." for way in range(60)), "Acid makes milk curdle."]
    Path("docs/report.pdf").write_bytes(pdf(*pages, title="On bread"))
    Path("docs/broken.pdf").write_bytes(b"%PDF-1.4")
    Path("docs/old.csv").write_bytes("text\ncrème brûlée\n".encode("cp1252"))
    with pytest.warns(LimRankWarning) as notes:
        done = run("search", "docs", "why does milk curdle?", "--recipe", "prior")
    said = [str(note.message) for note in notes]
    assert any("1 of 3 files in docs was not read: broken.pdf is no PDF that can be read" in s for s in said)
    assert any("is not UTF-8 and is read as cp1252" in s for s in said)
    assert "On bread (report.pdf#3, page 2)" in " ".join(done.stdout.split())
    again = "1 of 3 files in docs was not read"
    with pytest.warns(LimRankWarning, match=again):
        (hit,) = hits(run(*search("docs", "milk")))
    assert (hit["id"], hit["file"], hit["page"]) == ("report.pdf#3", "report.pdf", 2)
    with pytest.warns(LimRankWarning, match=again):
        answer = json.loads(run("ask", "docs", "milk?", "--recipe", "prior", "--json").stdout)
    assert [(p["id"], p["page"]) for p in answer["passages"]] == [("report.pdf#3", 2)]


def test_the_way_a_corpus_is_read_is_an_option_everywhere(run: Callable[..., Result]):
    pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")
    text = " ".join(f"Milk is sour in {way} ways." for way in range(20))
    Path("c.csv").write_text(f"id,Name,About\nd,Dairy,{text}\n")
    Path("q.csv").write_text("qid,question\nq,sour milk\n")
    reading = ("--field", "about", "--title-field", "name", "--passages", "60 words, overlap 6")
    ids = ["d#1", "d#2", "d#3"]
    found = hits(run(*search("c.csv", "sour", *reading)))
    assert sorted(hit["id"] for hit in found) == ids
    assert {hit["title"] for hit in found} == {"Dairy"}
    built = json.loads(run("index", "c.csv", *reading, "--json").stdout)
    assert built["documents"] == 3
    answer = json.loads(run("ask", "c.csv", "sour?", "--recipe", "prior", *reading, "--json").stdout)
    assert sorted(passage["id"] for passage in answer["passages"]) == ids
    ranked = ("rerank", "-q", "q.csv", "-c", "c.csv", "--recipe", "prior")
    run(*ranked, *reading, "-o", "run.trec")
    columns = [line.split() for line in Path("run.trec").read_text().splitlines()]
    assert sorted((query, document) for query, _, document, *_ in columns) == [("q", i) for i in ids]
    run(
        "bulk",
        "-q",
        "q.csv",
        "-c",
        "c.csv",
        "--run",
        "run.trec",
        "--recipe",
        "prior",
        *reading,
        "-o",
        "parts",
    )
    record = json.loads(Path("parts/part-00000.jsonl").read_text())
    assert sorted(hit["id"] for hit in record["hits"]) == ids
    run(*ranked, "--field", "about", "-o", "run.trec")
    assert Path("run.trec").read_text().split()[2] == "d", "another reading is another job"
    done = run(*search("c.csv", "sour"), code=2)
    assert "c.csv, line 1: no column of 'id', 'Name', 'About' is named as texts are" in done.stderr
    done = run("index", "c.csv", "--passages", "300", code=2)
    assert "passages must be a length such as '300 words'" in done.stderr


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (["--recipe", "mni"], "there is no recipe 'mni'; did you mean mini?"),
        (["--recipe", "Limrank-"], "did you mean limrank"),
        (["--top-n", "0"], "--top-n must be a whole number >= 1, but got 0"),
        (["--k", "0"], "--k"),
    ],
)
@pytest.mark.parametrize("command", [["search", "c.txt", "x"], ["ask", "c.txt", "x"], ["rerank"]])
def test_what_cannot_be_meant_is_refused_before_the_work(
    run: Callable[..., Result], command: list[str], option: list[str], why: str
):
    Path("c.txt").write_text("milk")
    Path("q.tsv").write_text("1\tmilk\n")
    files = ["--queries", "q.tsv", "--corpus", "c.txt", "-o", "o.run"] if command == ["rerank"] else []
    done = run(*command, *files, *option, code=2)
    assert why in done.stderr.replace("\n", " ")
    assert "indexing" not in done.stderr


def test_a_threshold_on_scores_of_one_list_is_refused_before_the_work(run: Callable[..., Result]):
    Path("c.txt").write_text("milk")
    Path("q.tsv").write_text("1\tmilk\n")
    ranked = ("rerank", "--queries", "q.tsv", "--corpus", "c.txt", "-o", "o.run", "--recipe", "mini")
    for command in (("search", "c.txt", "x"), ranked):
        done = run(*command, "--threshold", "0.5", code=2)
        said = done.stderr.replace("\n", " ")
        assert "--threshold=0.5 has no meaning here: scores of recipe 'mini' are not comparable" in said
        assert "use --top-n" in said
        assert "indexing" not in said


def test_judgements_with_grades_of_a_table_of_floats(run: Callable[..., Result]):
    pytest.importorskip("ir_measures", reason="needs the extra evals")
    Path("run.trec").write_text("q Q0 a 1 2 t\nq Q0 b 2 1 t\n")
    scores = []
    for qrels in ("q 0 b 1\n", "query-id\tcorpus-id\tscore\nq\tb\t1.0\n", "qid,doc_id,relevance\nq,b,1.0\n"):
        Path("qrels.tsv").write_text(qrels)
        done = run("eval", "run", "run.trec", "--qrels", "qrels.tsv", "-m", "RR@10", "--json")
        scores.append(json.loads(done.stdout)["RR@10"])
    assert scores == [0.5, 0.5, 0.5]


def test_the_page_on_your_files(run: Callable[..., Result], capsys: pytest.CaptureFixture[str]):
    """Its snippets print what is shown; its commands are commands."""
    pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")
    pytest.importorskip("llama_index.core", reason="needs the extra llama-index")
    page = (Path(__file__).parents[2] / "docs" / "your-files.md").read_text("utf-8")
    names: dict[str, object] = {}
    snippets = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == page.count("```python") == 2
    for code, shown in snippets:
        exec(compile(code, "docs/your-files.md", "exec"), names)
        assert capsys.readouterr().out == shown
    commands = whole_command().commands
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    for words in (shlex.split(line) for line in lines if not line.startswith("pip")):
        known = {name for parameter in commands[words[1]].params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known
