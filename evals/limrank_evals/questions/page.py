"""report.html: one page with the tables and every question; nothing is fetched, nothing runs."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from limrank_evals.questions.conditions import CONDITIONS
from limrank_evals.questions.evaluated import QuestionsEvaluated
from limrank_evals.questions.report import drilldown
from limrank_evals.questions.rows import PAIR_HEADS, beside, domain_rows, pair_rows, table_rows, title
from limrank_evals.reporting.shown import clean
from limrank_evals.tables import Cell
from limrank_plugins import __version__


def page(found: QuestionsEvaluated) -> str:
    """One HTML page that needs nothing else and runs nothing; whatever a text holds, it is shown as text."""
    style = "\n".join([_file("limrank_evals.reporting", "page", "report.css"), _mine("questions.css")])
    engine = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    heads, rows = table_rows(found)
    judges = [(CONDITIONS[score.condition], score.judge) for score in found.scores if score.judge]
    return engine.from_string(_mine("report.html.jinja")).render(
        policy=_policy(style),
        style=Markup(style),
        version=__version__,
        title=title(found),
        reader=f"{found.setup.reader}; {found.setup.prompts}",
        gated_shown=not found.gate.closed and any(question.gated for question in found.questions),
        heads=heads,
        rows=rows,
        published=_published(found),
        pair_heads=PAIR_HEADS,
        pairs=pair_rows(found),
        changes=[
            (f"{CONDITIONS[d.first]} → {CONDITIONS[d.second]}", d.won, d.lost) for d in found.differences
        ],
        judges=judges,
        domains=domain_rows(found),
        letters=[(CONDITIONS[score.condition], score.letters) for score in found.scores],
        questions=drilldown(found),
        conditions=CONDITIONS,
        warnings=found.warnings,
        settings={name: "–" if value is None else value for name, value in found.settings.items()},
    )


def _policy(style: str) -> str:
    """This style sheet by its hash, and nothing else: no script, no request."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _mine(name: str) -> str:
    return _file("limrank_evals.questions", "templates", name)


def _file(package: str, *names: str) -> str:
    return resources.files(package).joinpath(*names).read_text("utf-8")


def _published(found: QuestionsEvaluated) -> dict[str, Any] | None:
    table = beside(found)
    if table is None:
        return None

    def shown(cell: Cell | None) -> str:
        return "–" if cell is None else cell.text + "".join(f" [{note}]" for note in cell.notes)

    rows = [[name, *map(shown, cells)] for name, cells in table.rows]
    heads = ["system", *table.heads]
    return {"heads": heads, "rows": rows, "settings": table.settings, "notes": table.notes}
