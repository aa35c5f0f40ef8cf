"""Small benchmarks as folders of the hub's layout, whose scores can be computed by hand.

Every set is about letters: a passage that says `good` is relevant, and models that look for the word know it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def put(folder: Path, config: str, split: str, rows: Rows) -> None:
    """Rows of one configuration and split."""
    lines(folder / config / f"{split}.jsonl", rows)


def lines(file: Path, rows: Rows) -> Path:
    """A JSONL file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def run(file: Path, lists: Mapping[str, Sequence[str]], scores: Mapping[str, float] | None = None) -> Path:
    """A TREC run; the scores go by the place in a list unless a document has its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = [
        f"{query} Q0 {d} {rank} {(scores or {}).get(d, float(len(found) - rank))} made\n"
        for query, found in lists.items()
        for rank, d in enumerate(found, start=1)
    ]
    file.write_text("".join(text), "utf-8")
    return file


# Three queries on four passages each would find: a0 … a3 are about alpha, and so on.
WORDS = {"1": "alpha", "2": "beta", "3": "gamma"}
GOOD = {"1": ["a2"], "2": ["b1", "b3"], "3": ["c0"]}


def passages() -> list[tuple[str, str]]:
    """Ids and texts of the twelve passages."""
    found = []
    for word in WORDS.values():
        for number in range(4):
            name = f"{word[0] if word != 'gamma' else 'c'}{number}"
            good = any(name in names for names in GOOD.values())
            found.append((name, f"{word} passage {name}{' which is good' if good else ''}"))
    return found


LISTS = {"1": ["a0", "a1", "a2", "a3"], "2": ["b0", "b1", "b2", "b3"], "3": ["c0", "c1", "c2", "c3"]}


def beir(folder: Path, *, excluded: Mapping[str, Sequence[str]] | None = None) -> Path:
    """BEIR's layout with the split `test`."""
    lines(folder / "corpus.jsonl", [{"_id": d, "title": "", "text": text} for d, text in passages()])
    lines(folder / "queries.jsonl", [{"_id": q, "text": f"what about {w}"} for q, w in WORDS.items()])
    grades = [f"{q}\t{d}\t1\n" for q, names in GOOD.items() for d in names]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(grades))
    if excluded is not None:
        out = [f"{q} {d}\n" for q, names in excluded.items() for d in names]
        (folder / "excluded.txt").write_text("".join(out))
    return folder


def bright(folder: Path, *tasks: str, excluded: Mapping[str, Sequence[str]] | None = None) -> Path:
    """BRIGHT's layout, with reasoning queries that say the word of the next query."""
    following = {"1": "beta", "2": "gamma", "3": "alpha"}
    for task in tasks:
        examples = [
            {
                "id": q,
                "query": f"what about {w}",
                "excluded_ids": list((excluded or {}).get(q, ["N/A"])),
                "gold_ids": GOOD[q],
                "gold_ids_long": GOOD[q],
            }
            for q, w in WORDS.items()
        ]
        put(folder, "examples", task, examples)
        # In another order than the examples: they belong together by id.
        thoughts = [{"id": q, "query": f"thinking of {w}"} for q, w in reversed(following.items())]
        put(folder, "gpt4_reason", task, thoughts)
        put(folder, "documents", task, [{"id": d, "content": text} for d, text in passages()])
        put(folder, "long_documents", task, [{"id": d, "content": f"long {text}"} for d, text in passages()])
    return folder


def followir(folder: Path, task: str = "News21") -> Path:
    """Two queries, each under two instructions; the change takes `a2` and `b1` away."""
    sides = [f"{q}-{side}" for q in ("1", "2") for side in ("og", "changed")]
    put(folder, "queries", "test", [{"_id": s, "text": f"what about {WORDS[s[0]]}"} for s in sides])
    told = {"og": "Everything counts.", "changed": "Nothing good counts."}
    put(folder, "instruction", "test", [{"query-id": s, "instruction": told[s[2:]]} for s in sides])
    put(folder, "corpus", "test", [{"_id": d, "title": "", "text": text} for d, text in passages()])
    grades = [(s, d, int(s.endswith("-og") or d == "b3")) for s in sides for d in GOOD[s[0]]]
    grades += [(s, LISTS[s[0]][0], int(s == "1-changed")) for s in sides]
    put(folder, "default", "test", [{"query-id": q, "corpus-id": d, "score": g} for q, d, g in grades])
    put(folder, "top_ranked", "test", [{"query-id": s, "corpus-ids": LISTS[s[0]]} for s in sides])
    changed = [{"query-id": "1", "corpus-ids": ["a2"]}, {"query-id": "2", "corpus-ids": ["b1"]}]
    put(folder, "qrel_diff", "qrel_diff", changed)
    return folder


def litsearch(folder: Path) -> Path:
    """Two specific questions and a broad one."""
    papers = {name: number for number, (name, _) in enumerate(passages(), start=100)}
    rows = [
        {"query": f"what about {w}", "specificity": int(q != "2"), "corpusids": [papers[d] for d in GOOD[q]]}
        for q, w in WORDS.items()
    ]
    put(folder, "query", "full", rows)
    put(
        folder,
        "corpus_clean",
        "full",
        [{"corpusid": papers[name], "title": "", "abstract": text} for name, text in passages()],
    )
    return folder
