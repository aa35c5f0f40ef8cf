"""What came of a judging: the judgements, marked as a model's, and what is to be known of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from limrank_evals.comparison import Mean, Resampling
from limrank_evals.judgements import MARK, MARK_SCHEMA, Qrels, judgement_lines
from limrank_evals.judging.agreement import (
    MEASURE,
    Estimate,
    GradeAgreement,
    SystemAgreement,
    grade_agreement,
    system_agreement,
)
from limrank_evals.judging.pooling import PooledRun
from limrank_evals.judging.relevance_judge import HIGHEST
from limrank_evals.measures import measure
from limrank_evals.tables import Grid, ends_text, value_text
from limrank_plugins import __version__
from limrank_plugins.errors import InputError
from limrank_plugins.io import check_trec_ids
from limrank_plugins.outputs import write_json, write_json_lines, write_whole
from limrank_plugins.wording import number_of, verb_for

SCHEMA = "limrank eval judge 1"
_COLUMNS, _TABLE, _EACH, _REPORT, _TABLES = (
    "qrels.trec", "qrels.tsv", "judgements.jsonl", "report.json", "table.md",
)  # fmt: skip
OUTPUTS = (_COLUMNS, _TABLE, _EACH, MARK, _REPORT, _TABLES)


class JudgedPair(NamedTuple):
    """A query and a document by their ids, and what the judge made of them; see `GradeReply`."""

    query: str
    document: str
    grade: int | None
    text: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Judging:
    """What came out.

    Attributes:
        pairs: the pool, in its order.
        judge: the model and how it was asked, as JSON.
        asked: calls, tokens and dollars, those of earlier parts included; `stopped` says why not all
            was asked.
        means: by run: nDCG@10 by the model's judgements.
        grades: how far they agree with people's; None without those.
        systems: how far the order of the runs does.
        settings: what else the numbers depend on, as JSON.
        warnings: what a reader must know beside the numbers, a sentence each.
    """

    pairs: tuple[JudgedPair, ...]
    judge: Mapping[str, Any]
    asked: Mapping[str, Any]
    means: Mapping[str, Mean | None]
    grades: GradeAgreement | None
    systems: SystemAgreement | None
    settings: Mapping[str, Any]
    warnings: tuple[str, ...]

    @property
    def qrels(self) -> Qrels:
        """The judgements."""
        return _qrels(self.pairs)

    @property
    def failures(self) -> list[JudgedPair]:
        """The pairs without a grade."""
        return [pair for pair in self.pairs if pair.grade is None]

    def counts(self) -> dict[int, int]:
        """How often each grade was given."""
        counted = Counter(pair.grade for pair in self.pairs)
        return {grade: counted[grade] for grade in range(HIGHEST + 1)}

    def as_json(self) -> dict[str, Any]:
        """For machines; see docs/judging.md."""
        failures = self.failures
        return {
            "schema": SCHEMA,
            "judge": dict(self.judge),
            "queries": len({pair.query for pair in self.pairs}),
            "pairs": len(self.pairs),
            "judged": len(self.pairs) - len(failures),
            "grades": {str(grade): count for grade, count in self.counts().items()},
            "runs": {name: mean and mean.as_json() for name, mean in self.means.items()},
            "agreement": self.grades and self.grades.as_json(),
            "systems": self.systems and self.systems.as_json(),
            **self.asked,
            "failures": [
                {"query": pair.query, "document": pair.document, "reason": pair.failure} for pair in failures
            ],
            "settings": {**self.settings, "version": __version__},
            "warnings": list(self.warnings),
        }


def build_judging(
    pairs: Sequence[JudgedPair],
    runs: Sequence[PooledRun],
    *,
    judge: Mapping[str, Any],
    asked: Mapping[str, Any],
    settings: Mapping[str, Any],
    human: Qrels | None = None,
    relevant: tuple[int, int] = (1, 2),
    resampling: Resampling,
    notes: Sequence[str] = (),
) -> Judging:
    """Measure the runs by the judgements, and compare these with people's.

    Args:
        pairs: of the pool, at least one of them with a grade.
        runs: whose passages were judged.
        judge: for the report, as JSON, and so are `asked` and `settings`.
        asked: see `Judging`.
        settings: see `Judging`.
        human: people's judgements, where there are some.
        relevant: from which grade on a passage is relevant, people's and the model's.
        resampling: how intervals are made.
        notes: what else to know.
    """
    qrels = _qrels(pairs)
    failed = sum(pair.grade is None for pair in pairs)
    warnings = [*notes]
    if failed:
        warnings.append(
            f"{number_of(failed, 'pair')} {verb_for(failed, 'have')} no grade, and "
            f"{verb_for(failed, 'count')} as not relevant where runs are measured"
        )
    grades = systems = None
    if human is not None:
        grades = grade_agreement(human, qrels, resampling, relevant=relevant)
        systems = system_agreement(runs, human, qrels, resampling)
        warnings += grades.notes if grades else ["no pair was judged by people and by the model"]
        if systems is not None and len(systems.means) < 4:
            warnings.append(
                f"Kendall's tau of {number_of(len(systems.means), 'run')} has few values: judge more runs"
            )
    return Judging(
        tuple(pairs),
        judge,
        asked,
        {run.name: _mean(run, qrels, resampling) for run in runs},
        grades,
        systems,
        settings,
        tuple(warnings),
    )


def write_judging(folder: Path, judging: Judging) -> None:
    """Write the judgements with their mark, every pair, report and tables, each all or nothing."""
    qrels = judging.qrels
    in_columns = _fits(qrels)
    name, other = (_COLUMNS, _TABLE) if in_columns else (_TABLE, _COLUMNS)
    mark = {
        "schema": MARK_SCHEMA,
        "qrels": name,
        **judging.judge,
        "scale": [0, HIGHEST],
        "failures": len(judging.failures),
    }
    write_json(folder / MARK, mark)
    write_whole(folder / name, judgement_lines(qrels, in_columns=in_columns, by_model=True))
    (folder / other).unlink(missing_ok=True)
    write_json_lines(folder / _EACH, (pair._asdict() for pair in judging.pairs))
    write_json(folder / _REPORT, judging.as_json())
    text = "\n".join(grid.markdown() for grid in judging_grids(judging))
    write_whole(folder / _TABLES, text.encode("utf-8", "backslashreplace"))


def judging_grids(judging: Judging) -> list[Grid]:
    """The tables: grades, agreement, people's grades against the model's, and the runs."""
    counts = judging.counts()
    grids = [Grid(["grade", *map(str, counts)], [["pairs", *(f"{count:,}" for count in counts.values())]])]
    if (grades := judging.grades) is not None:
        people, model = grades.relevant
        of = f"{number_of(grades.pairs, 'pair')}, {number_of(grades.queries, 'query')}"
        rows = [
            _estimate_row("same grade", grades.same),
            _estimate_row("kappa, plain", grades.plain),
            _estimate_row("kappa, quadratic weights", grades.quadratic),
            _estimate_row(f"kappa, relevant (people ≥ {people}, model ≥ {model})", grades.binary),
        ]
        grids.append(Grid([f"agreement on {of}", "value", "interval"], rows))
        heads = ["people's grade", *(f"model {grade}" for grade in counts)]
        rows = [[str(grade), *(f"{count:,}" for count in row)] for grade, row in enumerate(grades.table)]
        grids.append(Grid(heads, rows))
    if (systems := judging.systems) is not None:
        rows = [[name, value_text(p), value_text(m)] for name, (p, m) in systems.means.items()]
        rows.append(["Kendall's tau", value_text(systems.tau.value), ends_text(systems.tau.interval)])
        over = f"{MEASURE} over {number_of(systems.queries, 'query')}"
        grids.append(Grid([over, "people's", "the model's"], rows))
    else:
        rows = [
            [name, value_text(mean and mean.mean), ends_text(mean and mean.interval)]
            for name, mean in judging.means.items()
        ]
        grids.append(Grid(["run", f"{MEASURE} (the model's)", "interval"], rows))
    return grids


def _estimate_row(name: str, estimate: Estimate) -> list[str]:
    return [name, value_text(estimate.value), ends_text(estimate.interval)]


def _mean(run: PooledRun, qrels: Qrels, resampling: Resampling) -> Mean | None:
    if not any(query in qrels for query in run.ranked):
        return None
    return resampling.mean(list(measure(run.ranked, qrels, [MEASURE]).per_query[MEASURE].values()))


def _qrels(pairs: Sequence[JudgedPair]) -> Qrels:
    qrels: Qrels = {}
    for pair in pairs:
        if pair.grade is not None:
            qrels.setdefault(pair.query, {})[pair.document] = pair.grade
    return qrels


def _fits(qrels: Qrels) -> bool:
    """Whether every id can stand in TREC's columns."""
    try:
        check_trec_ids(qrels, "query id")
        check_trec_ids((document for grades in qrels.values() for document in grades), "document id")
    except InputError:
        return False
    return True
