"""Analyse a run: what judgements, kinds, a first stage and another run say of its errors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from limrank_evals.comparison import USUAL, Resampling, compare_values
from limrank_evals.errors.candidates import Candidates, candidates_of
from limrank_evals.errors.confusion import confusion_of
from limrank_evals.errors.contrast import contrasts_of
from limrank_evals.errors.detailed_run import DetailedRun, RunHit, detailed_run_of
from limrank_evals.errors.error_analysis import Analysis, RunComparison
from limrank_evals.errors.error_budget import budget_of
from limrank_evals.errors.kinds import Wish, agreeing
from limrank_evals.errors.mishaps import false_claims_of, mishaps_of
from limrank_evals.errors.query_failures import query_failures_of
from limrank_evals.errors.relevant_counts import DEFAULT_BINS, Bin, parse_bins, relevant_counts_of
from limrank_evals.errors.tie_counts import ties_of
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.exclusion import check_judgements, count_excluded
from limrank_evals.judgements import Qrels
from limrank_evals.measures import coverage, measure, parse_measure
from limrank_evals.runs import Ranked, unfinished
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of, verb_for


def analyse(
    listing: DetailedRun,
    qrels: Qrels,
    *,
    first: Ranked | None = None,
    kinds: Mapping[str, Mapping[str, str]] | None = None,
    wishes: Mapping[str, Wish] | None = None,
    against: DetailedRun | None = None,
    name: str = "nDCG@10",
    top: int | None = None,
    bins: Sequence[Bin] | None = None,
    excluded: Mapping[str, Collection[str]] | None = None,
    depth: int | None = None,
    resampling: Resampling = USUAL,
) -> Analysis:
    """Analyse the errors of a run.

    Args:
        listing: `limrank_evals.errors.detailed_run.read_detailed_run` or `detailed_run_of`.
        qrels: grades by query and document; above 0 is relevant.
        first: the first stage's order; without it the run's own documents are taken for the candidates.
        kinds: `limrank_evals.errors.kinds.read_kinds` or `kinds_from_grades`.
        wishes: what queries want; all want direct answers by default. Only with kinds.
        against: another run over the same queries, to compare with.
        name: the measure of the budget.
        top: how many documents are the top; default: the measure's cut, or 10.
        bins: of the number of relevant documents; default `1,2,3-5,6-10,11-`.
        excluded: documents that must not count, by query; they go before every cut.
        depth: how many documents were reranked: so many of the run are looked at, and so many of the
            first stage's are the candidates. Default: all of the run, and see `candidates_of`.
        resampling: how intervals and tests are made, the test of trend included.

    Raises:
        InputError: a value that cannot be used, files that do not belong together, or a measure
            without a ceiling.
    """
    if wishes is not None and kinds is None:
        raise InputError("--wants needs the kinds of passages, too: give --kinds or --direct-grade")
    if excluded is not None:
        check_judgements(qrels, excluded)
    cutoff = getattr(parse_measure(name), "params", {}).get("cutoff") if name != "p-MRR" else None
    top = top if top is not None else cutoff or 10
    whole_number("top", top, least=1)
    removed = count_excluded(listing.ranked, excluded or {})
    run = listing.only(excluded or {}, depth)
    ranked = run.ranked
    covered = coverage(ranked, qrels)
    for what, other in (("first stage", first), ("other run", None if against is None else against.lists)):
        if other is not None and not any(query in qrels for query in other):
            raise InputError(f"no query of the {what} is judged: it does not belong to these judgements")
    candidates = candidates_of(ranked, first, excluded or {}, depth)
    budget = budget_of(run, candidates.ranked, candidates.first, qrels, name)
    few = relevant_counts_of(qrels, bins if bins is not None else parse_bins(DEFAULT_BINS))
    warnings = covered.warnings() + unfinished(listing.state)
    if against is not None:
        warnings += unfinished(against.state, "other run")
    warnings += _about(candidates)
    if few.outside:
        warnings.append(
            f"{number_of(len(few.outside), 'query')} with relevant documents "
            f"{verb_for(len(few.outside), 'are')} in no bin"
        )
    used: Mapping[str, Mapping[str, str]] = {}
    confusion, false_claims = None, None
    if kinds is not None:
        used, about_kinds = _usable(kinds, qrels, ranked, wishes)
        warnings += about_kinds
        confusion = confusion_of(run.lists, used, wishes)
        false_claims = false_claims_of(run, used, qrels, top)
        if not confusion.sorts:
            raise InputError(
                "no query has ranked passages of two sorts: kinds and run do not belong together"
            )
    compared = None
    if against is not None:
        compared = _against(against.only(excluded or {}, depth), run, qrels, name, used, wishes, resampling)
        if compared.left_out:
            warnings.append(
                f"{number_of(compared.left_out, 'document')} with a kind "
                f"{verb_for(compared.left_out, 'are')} not ranked and judged in both runs: no pair "
                f"of the comparison has them"
            )
    counts = covered.counts() | {"excluded_removed": removed, "strangers": candidates.strangers}
    return Analysis(
        listing=run,
        qrels=qrels,
        budget=budget,
        failing=query_failures_of(ranked, candidates, qrels, top),
        few=few,
        ties=ties_of(run, qrels),
        mishaps=mishaps_of(run, qrels),
        confusion=confusion,
        false_claims=false_claims,
        against=compared,
        kinds=used,
        counts=counts,
        resampling=resampling,
        warnings=tuple(warnings),
    )


def analyse_evaluated(evaluated: SplitEvaluation, **options: Any) -> Analysis:
    """The errors of a split that was evaluated: of its reranker, or of its first stage where it has none.

    Args:
        evaluated: what `limrank_evals.evaluation.split_evaluation` describes.
        options: of `analyse`; judgements, exclusions and first stage are the split's own.
    """
    arguments: dict[str, Any] = {
        "name": evaluated.measures[0],
        "excluded": evaluated.benchmark.excluded,
    } | options
    place = f"{evaluated.benchmark.name} {evaluated.benchmark.split}".strip()
    if evaluated.reranked is not None:
        arguments = {"first": evaluated.first.ranked} | arguments
        return analyse(detailed_run_of(evaluated.records, place), evaluated.benchmark.qrels, **arguments)
    lists = {
        query: tuple(RunHit(document, rank) for rank, document in enumerate(documents, start=1))
        for query, documents in evaluated.first.ranked.items()
    }
    return analyse(DetailedRun(lists), evaluated.benchmark.qrels, **arguments)


def _about(candidates: Candidates) -> list[str]:
    """What is to be said about what there was to rank."""
    if candidates.first is None:
        return ["no first stage is given: the run's own documents are taken for all its candidates"]
    warnings = []
    if candidates.strangers:
        warnings.append(
            f"{number_of(candidates.strangers, 'document')} of the run "
            f"{verb_for(candidates.strangers, 'are')} not among the first stage's: "
            f"they count as candidates all the same"
        )
    if candidates.missing:
        warnings.append(
            f"the run lacks {number_of(candidates.missing, 'document')} that the first stage has above "
            "others of the run: "
            f"if it was cut after ranking, say how many documents were ranked (--depth)"
        )
    return warnings


def _usable(
    kinds: Mapping[str, Mapping[str, str]],
    qrels: Qrels,
    ranked: Ranked,
    wishes: Mapping[str, Wish] | None,
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The kinds that judgements do not contradict, and what is to be said about the others."""
    used, contradicted = agreeing(kinds, qrels)
    warnings = []
    if contradicted:
        warnings.append(f"kinds that contradict the judgements: {contradicted}; they are in no pair")
    unranked = sum(query not in ranked for query in used)
    if unranked:
        warnings.append(f"queries with kinds that the run lacks: {unranked}; they have no pair")
    strangers = sum(query not in used for query in wishes or {})
    if strangers:
        warnings.append(f"queries that have an entry in the file of wants, but no kinds: {strangers}")
    return used, warnings


def _against(
    first: DetailedRun,
    second: DetailedRun,
    qrels: Qrels,
    name: str,
    kinds: Mapping[str, Mapping[str, str]],
    wishes: Mapping[str, Wish] | None,
    resampling: Resampling,
) -> RunComparison:
    values = [measure(run.ranked, qrels, [name]).per_query[name] for run in (first, second)]
    compared = compare_values(values[0], values[1], resampling)
    if not kinds:
        return RunComparison(compared)
    return RunComparison(compared, *contrasts_of(first, second, kinds, wishes, resampling))
