"""The folder of an evaluation: its settings, and for every split the runs, judgements and results.

    settings.json    what makes it this evaluation; another setting into the same folder is refused
    store.sqlite     what was found and ranked so far, unless another store is named
    <split>/         first-stage.run, rankings.jsonl, qrels.trec, result.json

Everything but the store is a pure function of it: an evaluation that was killed and started again ends with
the same bytes. Files are written whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from limrank_evals.evaluation.evaluated import Evaluated
from limrank_evals.judgements import Qrels
from limrank_plugins.errors import InputError
from limrank_plugins.io import check_trec_ids, read_lines, write_run, write_whole

SCHEMA = "limrank evaluation 1"
SETTINGS, STORE = "settings.json", "store.sqlite"
FIRST_STAGE, RANKINGS, QRELS, RESULT = "first-stage.run", "rankings.jsonl", "qrels.trec", "result.json"
_REPORTS = ("report.html", "report.json", "table.md", "table.tex")


def prepare(folder: Path, *, fresh: bool = False) -> None:
    """Make the folder of an evaluation, or see that it is one; `fresh` removes what one left there.

    Raises:
        InputError: it is a file, or holds other files.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the evaluation")
    folder.mkdir(parents=True, exist_ok=True)
    there = (folder / SETTINGS).is_file()
    # A run that was refused before it had settings leaves nothing but its store.
    others = [one.name for one in folder.iterdir() if not one.name.startswith(STORE)]
    if others and not there:
        raise InputError(f"{folder} holds other files ({min(others)}) and no {SETTINGS}: name another folder")
    if fresh:
        _remove(folder, _read(folder / SETTINGS)["splits"] if there else {})


class Output:
    """A folder of an evaluation, there already or new; `prepare` it first.

    Args:
        folder: where.
        settings: what all its splits have in common, as JSON.

    Raises:
        InputError: the folder holds an evaluation with other settings; they are named.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        file = folder / SETTINGS
        self._settings = json.loads(json.dumps({"schema": SCHEMA, **settings, "splits": {}}))
        if file.is_file():
            there = _read(file)
            self._refuse(_differences(_common(there), _common(self._settings)))
            self._settings["splits"] = there["splits"]

    def check(self, split: str, facts: Mapping[str, Any]) -> None:
        """See that a split that is there was made of the same: its texts, judgements, first stage.

        Raises:
            InputError: it was made of something else.
        """
        known = self._settings["splits"].get(split, {})
        differences = _differences(known, json.loads(json.dumps(facts))) if known else []
        self._refuse([f"{split}: {one}" for one in differences])

    def write(self, split: str, facts: Mapping[str, Any], evaluated: Evaluated) -> None:
        """Write the settings and a split's files; the results last.

        Not before there is something to guard: whoever corrects a mistake is not told that it was another
        setting.
        """
        self._settings["splits"][split] = dict(facts)
        write_whole(self.folder / SETTINGS, _as_json(self._settings))
        place = self.folder / split
        ids = [query.id for query in evaluated.benchmark.queries]
        ranked = [
            {"query_id": q, "hits": _hits(evaluated.first.ranked[q])}
            for q in ids
            if q in evaluated.first.ranked
        ]
        in_columns = _fits(evaluated)
        write_run(place / (FIRST_STAGE if in_columns else "first-stage.jsonl"), ranked, tag="first-stage")
        if evaluated.reranked is not None:
            write_run(place / RANKINGS, evaluated.records)
        write_whole(
            place / (QRELS if in_columns else "qrels.tsv"), _judged(evaluated.benchmark.qrels, in_columns)
        )
        results = [result.as_json() for result in evaluated.results]
        write_whole(place / RESULT, _as_json(results))

    def _refuse(self, differences: Sequence[str]) -> None:
        if differences:
            raise InputError(
                f"{self.folder} holds an evaluation with other settings: {'; '.join(differences)}. "
                f"Name another --output, or start it over with --fresh"
            )


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads("\n".join(line for _, line in read_lines(file)))
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}): it is no evaluation's") from error
    if (
        not isinstance(found, dict)
        or found.get("schema") != SCHEMA
        or not isinstance(found.get("splits"), dict)
    ):
        raise InputError(f"{file} is no evaluation's of this version: its schema must be {SCHEMA!r}")
    return found


def _common(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "splits"}


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], where: str = "") -> list[str]:
    """What is set otherwise, in words: `depth is 100 there, 10 here`."""
    found = []
    for name in dict.fromkeys([*there, *here]):
        old, new = there.get(name), here.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{where}{name}.")
        elif old != new:
            found.append(f"{where}{name} is {json.dumps(old)} there, {json.dumps(new)} here")
    return found


def _remove(folder: Path, splits: Iterable[str]) -> None:
    """Take away what an evaluation writes, and nothing else; the settings last."""
    for split in splits:
        place = folder / split
        if place.parent == folder and place.is_dir():  # a name that was tampered with leads nowhere else
            for name in (FIRST_STAGE, "first-stage.jsonl", RANKINGS, QRELS, "qrels.tsv", RESULT):
                (place / name).unlink(missing_ok=True)
            if not any(place.iterdir()):
                place.rmdir()
    stores = (f"{STORE}{ending}" for ending in ("", "-wal", "-shm", ".guard"))
    for name in (*_REPORTS, *stores, SETTINGS):
        (folder / name).unlink(missing_ok=True)


def _fits(evaluated: Evaluated) -> bool:
    """Whether every id can stand in TREC's columns."""
    benchmark = evaluated.benchmark
    documents = {d for found in evaluated.first.ranked.values() for d in found}
    documents |= {d for grades in benchmark.qrels.values() for d in grades}
    try:
        check_trec_ids([*benchmark.qrels, *(query.id for query in benchmark.queries)], "query id")
        check_trec_ids(documents, "document id")
    except InputError:
        return False
    return True


def _hits(documents: Sequence[str]) -> list[dict[str, Any]]:
    return [{"id": document, "rank": rank} for rank, document in enumerate(documents, start=1)]


def _judged(qrels: Qrels, in_columns: bool) -> bytes:
    if in_columns:
        lines = [f"{q} 0 {d} {grade}\n" for q, grades in qrels.items() for d, grade in grades.items()]
    else:
        lines = ["query-id\tcorpus-id\tscore\n"]
        lines += [f"{q}\t{d}\t{grade}\n" for q, grades in qrels.items() for d, grade in grades.items()]
    return "".join(lines).encode("utf-8", "backslashreplace")


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )
