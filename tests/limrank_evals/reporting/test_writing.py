"""The four files of a report: what is in them, and what stops them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evaluations import bright, evaluation, large, sample_evaluation
from report_page import Elements

from limrank_evals.identity import Result
from limrank_evals.published import published
from limrank_evals.reporting import SCHEMA, facts, write_reports
from limrank_evals.reporting.payload import page_payload
from limrank_evals.reporting.query_outcomes import query_outcomes
from limrank_evals.reporting.text_policy import LEVELS
from limrank_plugins.errors import InputError

NAMES = ["report.html", "report.json", "table.md", "table.tex"]


def test_four_files_the_same_every_time(tmp_path: Path):
    found = [sample_evaluation("daily"), sample_evaluation("expert")]
    paths = write_reports(tmp_path / "a" / "b", found)
    assert [path.name for path in paths] == NAMES
    again = write_reports(tmp_path / "c", [sample_evaluation("daily"), sample_evaluation("expert")])
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    assert sorted(os.listdir(tmp_path / "c")) == NAMES


def test_a_report_that_cannot_be_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    one = bright("biology")
    write_reports(tmp_path, [one])
    before = {name: (tmp_path / name).read_bytes() for name in NAMES}
    for wrong, message in (
        ([], "at least one split"),
        ([one, bright("pony"), one], "BRIGHT biology is there twice"),
        ([replace(one, results=())], "BRIGHT biology has no results"),
    ):
        with pytest.raises(InputError, match=message):
            write_reports(tmp_path, wrong)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_reports(tmp_path, [bright("pony")])
    assert {name: (tmp_path / name).read_bytes() for name in sorted(os.listdir(tmp_path))} == before


def test_the_json_holds_what_was_measured(tmp_path: Path):
    one = bright("biology", warnings=("Beware.",))
    write_reports(tmp_path, [one])
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["schema"] == SCHEMA == "limrank report 1"
    assert report["warnings"] == [{"split": "", "text": "Beware."}]
    (split,) = report["splits"]
    assert [Result.from_json(row) for row in split["results"]] == list(one.results)
    assert split["comparisons"]["nDCG@10"]["difference"] == one.comparisons["nDCG@10"].difference
    assert (split["failures"], split["texts"]) == (1, "shown")
    queries = {row["id"]: row for row in split["queries"]}
    assert queries["0"]["values"]["R@5"] == {"first": 1.0, "reranked": 1.0}
    assert queries["1"]["relevant"] == [
        {"id": "d1", "grade": 2, "before": 1, "after": 2, "score": 0.5},
        {"id": "d2", "grade": 1, "before": 3, "after": 3, "score": 0.2},
    ]
    assert queries["2"]["relevant"][1] == {
        "id": "gone",
        "grade": 1,
        "before": None,
        "after": None,
        "score": None,
    }
    assert queries["2"]["failures"] == [{"id": "d0", "reason": "no verdict"}]
    sources = {row["source"] for row in report["published"]}
    assert sources == {r.source for r in published("BRIGHT") if r.identity.split == "biology"}


def test_published_numbers_stand_beside_ours_with_their_sources(tmp_path: Path):
    tasks = [r.identity.split for r in published("BRIGHT") if r.system == "BM25"][:-1]
    paths = write_reports(tmp_path, [bright(task, systems=("BM25", "Rank1-7B")) for task in tasks])
    page, table = (path.read_text("utf-8") for path in (paths[0], paths[2]))
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines() if line[:1] == "|"}
    # Ours come first and keep their names; the published ones of the same name say so.
    assert list(rows)[:4] == ["system", "---", "BM25", "Rank1-7B"]
    assert "| 48.8 [" in rows["Rank1-7B (published)"]
    assert rows["Rank1-7B (published)"].rstrip(" |").endswith("27.5 [3]"), "the mean of all twelve has theirs"
    assert rows["BM25"].count("(") == 13, "an interval for each task and for their mean"
    assert "published: Rank1 (arXiv 2502.18418), table 1" in table
    for result in published("BRIGHT"):
        assert f">{result.system}" in page.replace("&#39;", "'")
        assert result.source in page.replace("&#39;", "'")
    # In a paper the mean comes last; on a screen, first: there it needs no scrolling.
    heads = re.findall(r'<th scope="col">([^<]*)</th>', page)
    assert heads[:3] == ["system", "average", "biology"]
    assert table.splitlines()[0].endswith("| BRIGHT average nDCG@10 |")
    assert "\nMeasures are times 100.\n" in table
    assert re.search(r">LimRank-7B</bdi></th>\s*<td>28.0<sup", page)
    # Not all of the tasks: that mean is another one, and nobody published it.
    write_reports(tmp_path, [bright(task) for task in tasks[:3]])
    table = (tmp_path / "table.md").read_text("utf-8")
    assert "BRIGHT mean of 3 splits nDCG@10" in table.splitlines()[0]
    assert "average" not in table
    assert "ReasonRank" not in table
    assert (tmp_path / "table.tex").read_text("utf-8").count("\\begin{tabular}") == 2, "one for each measure"


def test_the_page_is_one_file_that_asks_for_nothing(tmp_path: Path):
    write_reports(tmp_path, [sample_evaluation("daily"), sample_evaluation("expert", warnings=("Careful.",))])
    page = (tmp_path / "report.html").read_text("utf-8")
    elements = Elements(page)
    addresses = [
        value
        for _, found in elements.tags
        for name in ("src", "href", "action")
        if (value := found.get(name))
    ]
    assert {address[0] for address in addresses if address != "data:,"} == {"#"}
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"\bstyle=|\son\w+=", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    policy = next(f["content"] for _, f in elements.tags if f.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "Careful." in page
    # Every query is in the index, and has its documents.
    index = json.loads(elements.scripts["index"])
    assert [row["id"] for row in index["queries"]] == [f"q{n:02}" for n in range(1, 29)]
    assert {f"query-{n}" for n in range(28)} <= set(elements.scripts)
    assert all(json.loads(elements.scripts[f"query-{n}"])["documents"] for n in range(28))
    ids = [found["id"] for _, found in elements.tags if "id" in found]
    assert len(ids) == len(set(ids))
    for _, found in elements.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert (found.get(name) or ids[0]) in ids
        assert (found.get("href") or "#")[1:] in {"", "ata:,", *ids}


def test_warnings_that_differ_in_numbers_alone_are_told_once():
    tasks = ["biology", "pony", "aops", "leetcode", "economics"]
    found = [
        bright(task, warnings=(f"{n} documents share a score", "Everywhere.")) for n, task in enumerate(tasks)
    ]
    told = facts.warnings(found)
    assert ("", "Everywhere.") in told
    groups = facts.alike([*told, ("pony", "2 queries are odd"), ("foal", "1 query is odd")])
    assert [len(group) for group in groups] == [5, 1, 2]
    assert groups[0][1] == ("pony", "1 documents share a score")


def test_a_first_stage_alone_has_a_report(tmp_path: Path):
    full = bright("biology")
    one = evaluation(full.benchmark, full.first.ranked)
    write_reports(tmp_path, [one])
    page = Elements((tmp_path / "report.html").read_text("utf-8"))
    index = json.loads(page.scripts["index"])
    assert index["tasks"][0]["reranked"] is False
    assert index["queries"][0]["values"][1] == [1.0, None]
    first = json.loads(page.scripts["query-0"])["documents"]
    assert [(row["id"], row["before"], row.get("after")) for row in first] == [
        ("d1", 1, None),
        ("d0", 2, None),
    ]
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["splits"][0]["comparisons"] == {}


def test_texts_are_cut_until_all_fits_and_it_is_said():
    one = large(20, 60, "word " * 1000)
    queries = [query_outcomes(one)]
    seen = []
    for budget in (10**9, 3_000_000, 1_000_000, 10):
        data = page_payload([one], queries, show_gated=False, budget=budget)
        size = sum(map(len, data.details))
        seen.append(LEVELS.index(data.level))
        assert size <= budget or data.level is LEVELS[-1]
        rows = json.loads(data.details[0])["documents"]
        for row in rows:
            matters = row["before"] <= 10 or row["after"] <= 10 or row.get("grade", 0) > 0
            limit = data.level.text if matters else data.level.other
            assert len(row.get("text", "")) <= limit + 40
            assert ("trace" in row) == (matters or data.level is LEVELS[0])
            assert len(row.get("trace", "")) <= data.level.trace + 60
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert seen[-1] == len(LEVELS) - 1
    assert len(set(seen)) >= 3
    first = json.loads(page_payload([one], queries, show_gated=False, budget=10).details[0])["documents"][0]
    assert re.search(r" … \[\d,\d{3} more characters\]$", first["text"])
    assert re.search(r"… \[\d,\d{3} characters left out\] …", first["trace"])
    assert first["trace"].endswith("word "), "the end, where the verdict is, is kept"
