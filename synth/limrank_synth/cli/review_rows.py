"""`limrank synth review`: rows before human eyes, and the reviewed set out of what they decided."""

from __future__ import annotations

import webbrowser
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_plugins.cli import common, reports_errors
from limrank_plugins.data import check_unique
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json_object
from limrank_plugins.outputs import check_apart, check_output
from limrank_plugins.wording import number_of
from limrank_synth.guidelines import Guidelines, load_guidelines
from limrank_synth.records import LabelledPassage
from limrank_synth.review.current_decisions import CurrentDecisions
from limrank_synth.review.decision import row_hash
from limrank_synth.review.decision_log import DecisionLog
from limrank_synth.review.review_session import ReviewSession
from limrank_synth.review.reviewed_set import RESOLUTIONS, apply
from limrank_synth.review.reviewer_agreement import compare, disagreements
from limrank_synth.review.sampling import AUDIT, stratified
from limrank_synth.review.server import ReviewServer
from limrank_synth.run_files import REPORT, ROWS, read_rows, write_rejections, write_rows


@reports_errors
def review(
    rows: Annotated[Path, typer.Argument(help="A run's folder, or a file of rows.")],
    sample: Annotated[int, typer.Option(help="Rows in the stratified sample.")] = AUDIT,
    everything: Annotated[bool, typer.Option("--all", help="Every row, no sample.")] = False,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    reviewer: Annotated[
        str | None, typer.Option(help="Your name. Default: the page asks.", show_default=False)
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Where decisions go. Default: review.jsonl beside the rows.", show_default=False),
    ] = None,
    guidelines: Annotated[
        Path | None, typer.Option(help="Default: those of the run, or the shipped ones.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    summary: Annotated[
        bool, typer.Option("--summary", help="No page: show progress and agreement so far.")
    ] = False,
    apply_log: Annotated[
        bool, typer.Option("--apply", help="No page: write the reviewed set to --output.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The reviewed rows.", show_default=False)
    ] = None,
    rejected: Annotated[
        Path | None,
        typer.Option(help="With --apply: what was rejected, with reasons.", show_default=False),
    ] = None,
    resolution: Annotated[
        str,
        typer.Option(
            "--disagreements", help=f"With --apply, where reviewers differ: {', '.join(RESOLUTIONS)}."
        ),
    ] = "drop",
    unreviewed: Annotated[
        str, typer.Option(help="With --apply, rows that nobody decided on: drop, keep.")
    ] = "drop",
    as_json: common.AsJson = False,
) -> None:
    """Review rows on a local page: accept, reject, edit."""
    source = rows / ROWS if rows.is_dir() else rows
    labelled = list(read_rows(source))
    if not labelled:
        raise InputError(f"{source} holds no rows")
    check_unique([row.id for row in labelled], f"row id in {source}")
    where = log if log is not None else log_beside(source)
    if where.suffix == ".gz":
        raise InputError(f"{where}: lines cannot be appended to a compressed log")
    if apply_log:
        _apply(labelled, source, where, output, rejected, resolution, unreviewed, as_json)
        return
    if output is not None or rejected is not None:
        raise InputError("--output and --rejected belong to --apply")
    shown = labelled if everything else stratified(labelled, sample, seed)
    if summary:
        _summarise(labelled, shown, where, as_json)
        return
    check_output(where, source)
    session = ReviewSession(
        labelled, DecisionLog(where), guidelines_of(source, guidelines), shown=shown, reviewer=reviewer
    )
    _serve(session, port, len(shown), len(labelled), where, open_page)


def log_beside(rows: Path) -> Path:
    """A run's log is `review.jsonl` in its folder; another file's has that file's name in front."""
    name = rows.name.removesuffix(".gz").removesuffix(".jsonl")
    return rows.with_name("review.jsonl" if rows.name == ROWS else f"{name}.review.jsonl")


def _serve(session: ReviewSession, port: int, shown: int, total: int, log: Path, open_page: bool) -> None:
    with ReviewServer(session, port=port) as server:
        common.say(f"{shown:,} of {number_of(total, 'row')}; decisions go to {log}")
        common.say(f"review at {server.url} (Ctrl-C ends it)")
        if open_page and not webbrowser.open(server.url):
            common.say("no browser could be opened; open the address yourself")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            common.say(f"ended; every decision is in {log}")


def _apply(
    rows: list[LabelledPassage],
    source: Path,
    log: Path,
    output: Path | None,
    rejected: Path | None,
    resolution: str,
    unreviewed: str,
    as_json: bool,
) -> None:
    if output is None:
        raise InputError("--apply needs --output, the file of the reviewed rows")
    if unreviewed not in ("drop", "keep"):
        raise InputError(f"--unreviewed is drop or keep, but got {unreviewed!r}")
    sources = {source.resolve(), log.resolve()}
    check_apart(output=output, rejected=rejected)
    for file in (output, rejected):
        if file is not None and file.resolve() in sources:
            raise InputError(f"{file} is what is reviewed, or its log; neither is ever overwritten")
        if file is not None:
            check_output(file, source, log)
    if not log.is_file():
        raise InputError(f"there is no log {str(log)!r}: nothing was reviewed, or --log is elsewhere")
    standing = _standing(rows, log)
    done = apply(rows, standing, resolution=resolution, keep_unreviewed=unreviewed == "keep")
    write_rows(output, done.rows)
    if rejected is not None:
        write_rejections(rejected, done.rejections)
    if as_json:
        common.emit(
            {
                "rows": len(done.rows),
                "rejected": len(done.rejections),
                "disputed": done.disputed,
                "unreviewed": done.unreviewed,
                "stale": len(standing.stale),
            }
        )
        return
    common.say(
        f"{number_of(len(done.rows), 'row')} in {output}: {len(done.rejections):,} rejected, "
        f"{len(done.disputed):,} disputed ({resolution}), {done.unreviewed:,} unreviewed ({unreviewed})"
    )


def _summarise(rows: list[LabelledPassage], shown: list[LabelledPassage], log: Path, as_json: bool) -> None:
    standing = _standing(rows, log)
    ids = [row.id for row in shown]
    progress: dict[str, dict[str, Any]] = {}
    for name in standing.reviewers:
        mine = standing.of(name)
        done = [mine[row] for row in ids if row in mine]
        progress[name] = {
            "decided": len(done),
            **Counter(entry.action for entry in done),
            "reasons": dict(Counter(entry.reason for entry in done if entry.reason).most_common()),
        }
    pairs = compare(standing, ids)
    at_odds = disagreements(standing, ids)
    if as_json:
        common.emit(
            {
                "rows": len(ids),
                "reviewers": progress,
                "agreement": [asdict(pair) | {"rows": pair.rows} for pair in pairs],
                "disagreements": {
                    row: {name: entry.as_json() for name, entry in decisions.items()}
                    for row, decisions in at_odds.items()
                },
            }
        )
        return
    for name, counts in progress.items():
        parts = [f"{counts.get(action, 0)} {action}ed" for action in ("accept", "reject", "edit")]
        reasons = ", ".join(f"{reason} {count}" for reason, count in counts["reasons"].items())
        common.tell(
            f"{name}: {counts['decided']} of {len(ids)} decided, {', '.join(parts)}"
            + (f" ({reasons})" if reasons else "")
        )
    for pair in pairs:
        kappa = "not defined (only one answer was given)" if pair.kappa is None else f"{pair.kappa:.3f}"
        common.tell(
            f"{pair.first} and {pair.second}: {number_of(pair.rows, 'row')} in common, "
            f"{pair.agreement:.1%} agree, Cohen's kappa {kappa}"
        )
    for row, decisions in at_odds.items():
        common.tell(f"disputed: {row}: " + ", ".join(f"{name} {e.action}" for name, e in decisions.items()))
    if not progress:
        common.tell(f"nothing is decided yet: {log} holds no decision on these rows")


def _standing(rows: list[LabelledPassage], log: Path) -> CurrentDecisions:
    journal = DecisionLog(log)
    standing = CurrentDecisions({row.id: row_hash(row) for row in rows}).add(journal.news())
    for problem in journal.problems:
        common.say(problem)
    if standing.stale:
        common.say(
            f"not counted: {number_of(len(standing.stale), 'decision')} on rows that have changed or are gone"
        )
    return standing


def guidelines_of(source: Path, chosen: Path | None) -> Guidelines:
    """Those that are named; or those the run was made with, which its report names."""
    if chosen is not None:
        return load_guidelines(chosen)
    report = source.with_name(REPORT)
    named: Any = None
    if source.name == ROWS and report.is_file():
        settings = read_json_object(report, fix="name the --guidelines").get("settings", {})
        if not isinstance(settings, dict):
            raise InputError(f"{report} is no report of a run; name the --guidelines")
        named = settings.get("guidelines")
    return load_guidelines(named)
