"""Whatever queries, documents and models say stays text; what is gated is in no file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evaluations import HOSTILE, evaluation, hostile
from hypothesis import given
from hypothesis import strategies as st
from report_page import Elements

from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.reporting import write_reports
from limrank_evals.reporting.payload import safe_json
from limrank_evals.reporting.text_policy import clean, ends, head
from limrank_plugins.data import Document, Query


def test_hostile_texts_stay_texts(tmp_path: Path):
    one = hostile()
    write_reports(tmp_path, [one])
    bytes_of = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert not any(b"\x00" in content or b"\x1b" in content for content in bytes_of.values())
    page = Elements(bytes_of["report.html"].decode("utf-8"))
    plain = Elements((write_plain(tmp_path / "plain") / "report.html").read_text("utf-8"))
    # Not an element more, and none with another name, than the same report has with harmless texts.
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(found) for _, found in page.tags] == [sorted(found) for _, found in plain.tags]
    detail = json.loads(page.scripts["query-0"])
    assert detail["text"] == clean(HOSTILE)
    assert detail["documents"][0]["trace"] == clean(HOSTILE)
    assert detail["documents"][1]["failure"] == clean(HOSTILE)
    assert json.loads(bytes_of["report.json"])["splits"][0]["queries"][0]["text"].startswith("</script>")
    assert "<script" not in bytes_of["table.md"].decode("utf-8")
    latex = bytes_of["table.tex"].decode("utf-8")
    assert "\\$x\\$ \\% |" in latex


def write_plain(folder: Path) -> Path:
    names = {HOSTILE: "text"}
    one = hostile()
    swap = lambda text: text.replace(HOSTILE, names[HOSTILE])  # noqa: E731
    benchmark = Benchmark(
        swap(one.benchmark.name),
        swap(one.benchmark.split),
        tuple(Query(swap(q.text), swap(q.id or ""), swap(q.instruction)) for q in one.benchmark.queries),
        tuple(Document(swap(d.text), swap(d.id or ""), swap(d.title)) for d in one.benchmark.documents),
        {swap(q): {swap(d): g for d, g in found.items()} for q, found in one.benchmark.qrels.items()},
        licence="text",
        variant="text",
    )
    first = {swap(q): [swap(d) for d in found] for q, found in one.first.ranked.items()}
    hits = [
        {"id": "d1", "score": 0.5, "explanation": "text"},
        {"id": "dtext", "score": None, "failure": "text"},
    ]
    write_reports(
        folder,
        [
            evaluation(
                benchmark,
                first,
                dict.fromkeys(first, hits),
                systems=("first text", "second text"),
                warnings=("text",),
            )
        ],
    )
    return folder


@given(st.text(st.characters(codec=None), max_size=60))
def test_no_text_leaves_its_element(text: str):
    shown = str(safe_json({"a": clean(text)}))
    assert not set("<>&\u2028\u2029") & set(shown)
    assert json.loads(shown) == {"a": clean(text)}
    shown.encode("utf-8")


@given(st.text(max_size=80), st.integers(0, 60))
def test_cut_texts_say_how_much_is_missing(text: str, most: int):
    for cut in (head(text, most), ends(text, most)):
        if len(text) <= most:
            assert cut == text
        elif most:
            assert f"{len(text) - most}" in cut
            assert cut.startswith(text[: min(most, 2 * most // 3)].rstrip())
    if len(text) > most and text[-1:].strip():
        assert not most or most - 2 * most // 3 == 0 or ends(text, most).endswith(text[-1])


CANARY = "xyzzy-canary"


@pytest.mark.parametrize("shown", [False, True], ids=["hidden", "shown"])
def test_texts_of_gated_sets_are_in_no_file(tmp_path: Path, shown: bool):
    queries = (Query(f"what is {CANARY}-1?", "q1", f"mind {CANARY}-2"),)
    documents = (Document(f"a text {CANARY}-3", "d1", f"a title {CANARY}-4"), Document("other", "d2"))
    after = {
        "q1": [
            {"id": "d2", "score": 0.9, "explanation": f"it says {CANARY}-5"},
            {"id": "d1", "score": None, "failure": f"no verdict in {CANARY}-6"},
        ]
    }
    benchmark = Benchmark("GPQA-diamond RAG", "diamond", queries, documents, {"q1": {"d1": 1}})
    one = evaluation(benchmark, {"q1": ["d1", "d2"]}, after, gated=True)
    write_reports(tmp_path, [one], show_gated=shown)
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [f"{CANARY}-{n}".encode() in everything for n in range(1, 7)] == [shown] * 6
    page = (tmp_path / "report.html").read_text("utf-8")
    assert ("Gated texts inside." in page) is shown
    assert ("hashes in their place" in page) is not shown
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    query = report["splits"][0]["queries"][0]
    assert report["splits"][0]["texts"] == ("shown" if shown else "hashes")
    if not shown:
        assert query["text"].startswith("sha256:")
        assert len({query["text"], query["instruction"], query["failures"][0]["reason"]}) == 3
        again = json.loads(Elements(page).scripts["query-0"])
        assert again["text"] == query["text"], "one text has one hash"
        assert again["documents"][0]["trace"].startswith("sha256:")


def test_one_gated_split_hides_nothing_of_another(tmp_path: Path):
    open_set = Benchmark(
        "Open", "", (Query("free text", "q1"),), (Document("free", "d1"),), {"q1": {"d1": 1}}
    )
    one = evaluation(open_set, {"q1": ["d1"]}, {"q1": [{"id": "d1", "score": 1.0}]})
    other = replace(one, benchmark=replace(open_set, name="Closed"), gated=True)
    write_reports(tmp_path, [one, other])
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert [split["texts"] for split in report["splits"]] == ["shown", "hashes"]
    assert report["splits"][0]["queries"][0]["text"] == "free text"
