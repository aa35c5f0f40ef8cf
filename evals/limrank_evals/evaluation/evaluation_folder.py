"""The folder of an evaluation: its settings, and for every split the runs, judgements and results.

    settings.json    what makes it this evaluation; another setting into the same folder is refused
    store.sqlite     what was found and ranked so far, unless another store is named
    <split>/         first-stage.run, rankings.jsonl, qrels.trec, result.json

Everything but the store is a pure function of it: an evaluation that was killed and started again ends with
the same bytes. Files are written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.guarded_folders import (
    SETTINGS,
    differences,
    files_of,
    plain,
    read_settings,
    refuse,
)
from limrank_evals.judgements import judgement_lines
from limrank_plugins.errors import InputError
from limrank_plugins.io import check_trec_ids, write_run
from limrank_plugins.outputs import write_json, write_whole

SCHEMA = "limrank evaluation 1"
FIRST_STAGE, RANKINGS, QRELS, RESULT = "first-stage.run", "rankings.jsonl", "qrels.trec", "result.json"
_REPORTS = ("report.html", "report.json", "table.md", "table.tex")


def split_files(folder: Path) -> list[Path]:
    """What an evaluation has written into its folder; see `begun_anew.working_on`.

    Raises:
        InputError: the folder is another kind of evaluation's.
    """
    splits = _read(folder)["splits"] if (folder / SETTINGS).is_file() else {}
    # A name that was tampered with leads nowhere else.
    places = [place for split in splits if (place := folder / split).parent == folder and place.is_dir()]
    names = (FIRST_STAGE, "first-stage.jsonl", RANKINGS, QRELS, "qrels.tsv", RESULT)
    written = [file for place in places for name in names if (file := place / name).is_file()]
    return [*written, *files_of(folder, _REPORTS)]


class EvaluationFolder:
    """A folder of an evaluation, there already or new; hold it with `working_in`.

    Args:
        folder: where.
        settings: what all its splits have in common, as JSON.

    Raises:
        InputError: the folder holds an evaluation with other settings; they are named.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._settings = plain({"schema": SCHEMA, **settings, "splits": {}})
        if (folder / SETTINGS).is_file():
            there = _read(folder)
            refuse(folder, differences(_common(there), _common(self._settings)))
            self._settings["splits"] = there["splits"]

    def check(self, split: str, facts: Mapping[str, Any]) -> None:
        """See that a split that is there was made of the same: its texts, judgements, first stage.

        Raises:
            InputError: it was made of something else.
        """
        known = self._settings["splits"].get(split, {})
        differing = differences(known, plain(facts)) if known else []
        refuse(self.folder, [f"{split}: {difference}" for difference in differing])

    def write(self, split: str, facts: Mapping[str, Any], evaluated: SplitEvaluation) -> None:
        """Write the settings and a split's files; the results last.

        Not before there is something to guard: whoever corrects a mistake is not told that it was another
        setting.
        """
        self._settings["splits"][split] = dict(facts)
        write_json(self.folder / SETTINGS, self._settings)
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
            place / (QRELS if in_columns else "qrels.tsv"),
            judgement_lines(
                evaluated.benchmark.qrels, in_columns=in_columns, by_model=evaluated.benchmark.by_model
            ),
        )
        write_json(place / RESULT, [result.as_json() for result in evaluated.results])


def _read(folder: Path) -> dict[str, Any]:
    settings = read_settings(folder, SCHEMA)
    if not isinstance(settings.get("splits"), dict):
        raise InputError(f"{folder / SETTINGS} has no splits: it is no evaluation's")
    return settings


def _common(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "splits"}


def _fits(evaluated: SplitEvaluation) -> bool:
    """Whether every id can stand in TREC's columns."""
    benchmark = evaluated.benchmark
    documents = {d for ids in evaluated.first.ranked.values() for d in ids}
    documents |= {d for grades in benchmark.qrels.values() for d in grades}
    try:
        check_trec_ids([*benchmark.qrels, *(query.id for query in benchmark.queries)], "query id")
        check_trec_ids(documents, "document id")
    except InputError:
        return False
    return True


def _hits(documents: Sequence[str]) -> list[dict[str, Any]]:
    return [{"id": document, "rank": rank} for rank, document in enumerate(documents, start=1)]
