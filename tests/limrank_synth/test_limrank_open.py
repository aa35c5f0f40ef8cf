"""LimRank-Open is what its card says: counts, splits, words, verdicts, filters, figures, and who reads it."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from limrank_plugins import samples
from limrank_plugins.cli import build_app
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_documents, read_queries
from limrank_plugins.qrels import read_qrels
from limrank_synth import load_open
from limrank_synth.limrank_open import SPLITS, figures, open_files, read_sources, row_files
from limrank_synth.pointwise_layout import problem
from limrank_synth.records import INTENTS, LabelledPassage

ROWS = {split: load_open(split) for split in SPLITS}
ALL = load_open("all")
TOO_EASY = {"sleep-awake-lead", "foot-step-child", "micro-flat-plate", "geo-sea-level-tide"}


def groups(rows: list[LabelledPassage]) -> dict[str, list[LabelledPassage]]:
    found = defaultdict(list)
    for row in rows:
        found[row.query_id].append(row)
    return found


def last_words(row: LabelledPassage) -> str:
    return " ".join(re.split(r"(?<=[.!?])\s+", row.trace)[-2:]).casefold()


# ---- what is in it --------------------------------------------------------------------------------


def test_enough_of_everything():
    counts = {split: len(groups(rows)) for split, rows in ROWS.items()}
    assert counts["train"] >= 220
    assert counts["dev"] == 30
    assert counts["test"] == 50
    kinds = Counter(rows[0].kind for rows in groups(ALL).values())
    assert abs(kinds["daily-life"] - kinds["expert"]) <= 0.1 * kinds.total()
    assert len({row.domain for row in ALL}) >= 16
    assert len({row.domain for row in ROWS["test"]} - {row.domain for row in ROWS["train"]}) >= 3
    assert {row.difficulty for row in ALL} == {"easy", "medium", "hard"}
    assert len({row.passage for row in ALL if 60 <= len(row.passage.split()) <= 200}) >= 1800


def test_splits_share_no_query_passage_or_topic():
    for field in ("query_id", "query", "passage"):
        seen = Counter(value for rows in ROWS.values() for value in {getattr(row, field) for row in rows})
        assert seen.most_common(1)[0][1] == 1, seen.most_common(1)
    topics = Counter(
        topic for rows in ROWS.values() for topic in {row.meta["topic"].casefold() for row in rows}
    )
    assert topics.most_common(1)[0][1] == 1, topics.most_common(1)
    assert len({row.id for row in ALL}) == len(ALL)


def test_every_query_has_its_answers_and_hard_negatives():
    for name, rows in groups(ALL).items():
        intents = Counter(row.intent for row in rows)
        assert intents["direct"] >= 1, name
        assert sum(number for intent, number in intents.items() if intent.startswith("indirect:")) >= 1, name
        negatives = {intent: n for intent, n in intents.items() if intent.startswith("negative:")}
        assert sum(negatives.values()) >= 4, name
        assert len(negatives) >= 2, name
        shared = {(row.query, row.kind, row.domain, row.difficulty, row.meta["persona"]) for row in rows}
        assert len(shared) == 1, name
        assert len(rows[0].meta["thought"].split()) >= 90, name


def test_every_row_is_sound():
    for row in ALL:
        intent = INTENTS[row.intent]
        assert (row.relevant, row.false_claim) == (intent.relevant, intent.false_claim), row.id
        assert row.votes == (row.relevant,), row.id
        assert problem(row) is None, "it can be trained on as it is"
        shipped = "document_id" in row.meta
        assert (45 if shipped else 60) <= len(row.passage.split()) <= 200, row.id
        assert 40 <= len(row.trace.split()) <= 120, row.id
        assert re.search(r"relevan(?:t|ce)\b", last_words(row)), f"the trace of {row.id} ends in its verdict"
        assert all(source.licence == "CC0-1.0" and source.commercial for source in row.sources), row.id


def test_personas_and_topics_are_all_different():
    personas = Counter(rows[0].meta["persona"] for rows in groups(ALL).values())
    assert personas.most_common(1)[0][1] == 1, personas.most_common(1)


def test_the_sample_collection_is_its_first_train_groups():
    first = list(groups(ROWS["train"]).values())[: len(samples.queries())]
    assert [rows[0].query for rows in first] == [query.text for query in samples.queries()]
    passages = {document.id: document.passage for document in samples.documents()}
    for query, rows in zip(samples.queries(), first, strict=True):
        judged = {row.meta["document_id"]: row for row in rows if "document_id" in row.meta}
        grades = samples.qrels()[str(query.id)]
        # Negatives that BM25 does not find among 2,000 passages are too easy to be in the set.
        kept = {name: grade > 0 for name, grade in grades.items() if name not in TOO_EASY}
        assert {name: row.relevant for name, row in judged.items()} == kept
        assert all(row.passage == passages[name] for name, row in judged.items())


# ---- the card -------------------------------------------------------------------------------------


def test_the_cards_figures_are_those_of_the_rows():
    card = (open_files("test")[0].parent / "README.md").read_text("utf-8")
    begin, end = "<!-- figures -->\n\n", "\n<!-- end of figures -->"
    assert card.count(begin) == card.count(end) == 1
    assert card.partition(begin)[2].partition(end)[0] == figures.tables()


def test_what_the_set_promises():
    assert figures.bm25_ndcg(ROWS["test"], ALL) < 0.5
    assert figures.near_duplicates(ALL) < 0.01
    for size in (1, 2, 3):
        shares = figures.overlap(ALL, size)
        assert shares.relevant <= shares.irrelevant
    rejected = figures.rejected(ALL)
    assert rejected == dict.fromkeys(rejected, 0), "held to the synthesizer's filters"
    judged = figures.second_judgement(ALL)
    assert judged.items == len(ROWS["dev"]) + len(ROWS["test"])
    assert judged.kappa is not None
    assert judged.kappa >= 0.7


def test_files_are_small():
    assert all(path.stat().st_size < 5_000_000 for path in open_files())


# ---- who reads it ---------------------------------------------------------------------------------


def test_its_name_stands_for_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert list(read_sources("limrank-open:dev")) == ROWS["dev"]
    assert list(read_sources("limrank-open")) == ALL
    with pytest.raises(
        InputError, match=r"limrank-open has no split 'tset'; there are: train, dev, test, all"
    ):
        row_files("limrank-open:tset")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "limrank-open").mkdir()
    assert row_files("limrank-open") == [Path("limrank-open/rows.jsonl")], "a folder of one's own comes first"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_test_collection_with_the_whole_pool(tmp_path: Path):
    folder = tmp_path / "open"
    wanted = ("--format", "trec", "--split", "test", "--corpus", "limrank-open", "-o", folder)
    run("synth", "export", "limrank-open:test", *wanted)
    assert len(list(read_documents(folder / "corpus.jsonl"))) == len({row.passage for row in ALL})
    assert len(read_queries(folder / "queries.jsonl")) == 50
    grades = read_qrels(folder / "qrels" / "test.tsv")
    assert sum(map(len, grades.values())) == len(ROWS["test"])
    assert grades == read_qrels(folder / "qrels.txt")
    assert json.loads((folder / "export.json").read_text("utf-8"))["options"]["corpus"] == len(ALL)


@pytest.mark.parametrize(
    "layout", ["rows", "trl", "llama-factory", "listwise", "setwise", "pairs", "triples"]
)
def test_training_exports(layout: str, tmp_path: Path):
    run("synth", "export", "limrank-open:dev", "--format", layout, "-o", tmp_path / "made")
    summary = json.loads((tmp_path / "made" / "export.json").read_text("utf-8"))
    assert summary["rows"] == len(ROWS["dev"])
    assert summary["left_out"] == {}
    assert [licence["licence"] for licence in summary["licences"]] == ["CC0-1.0"]


def test_the_page_shows_rows_as_they_are():
    page = (Path(__file__).parents[2] / "docs" / "limrank-open.md").read_text("utf-8")
    flat = " ".join(re.sub(r"^> ?", "", page, flags=re.MULTILINE).split())
    rows = {row.id: row for row in ROWS["train"]}
    shown = re.findall(r"row `([^`]+)`", page)
    assert len(shown) == 12
    assert len({rows[name].query for name in shown}) == 6
    for name in shown:
        for text in (rows[name].query, rows[name].passage, rows[name].trace):
            assert " ".join(text.split()) in flat, name
    counts = (len(groups(ALL)), len({row.passage for row in ALL}))
    assert f"{counts[0]} queries" in page
    assert f"{counts[1]:,} passages" in page
