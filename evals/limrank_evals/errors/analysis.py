"""The error analysis of a run: everything of this package put together, for people and for machines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from limrank_evals.comparing import Comparison, compare_values
from limrank_evals.errors.budget import Budget, Resampling, budget_of
from limrank_evals.errors.candidates import candidates_of
from limrank_evals.errors.confusion import Case, Confusion, confusion_of
from limrank_evals.errors.contrast import Contrast, contrasts_of
from limrank_evals.errors.failing import Failing, failing_of
from limrank_evals.errors.few import DEFAULT_BINS, Bin, ByCount, by_count, parse_bins
from limrank_evals.errors.kinds import Wish, agreeing
from limrank_evals.errors.listing import Listed, Listing, listing_of
from limrank_evals.errors.mishaps import FalseClaims, Mishaps, false_claims_of, mishaps_of
from limrank_evals.errors.ties import Ties, ties_of
from limrank_evals.evaluated import Evaluated
from limrank_evals.exclusion import check_judgements, count_excluded
from limrank_evals.judgements import Qrels, relevant
from limrank_evals.measures import Coverage, coverage, measure, parse_measure
from limrank_evals.runs import Ranked
from limrank_evals.stats.intervals import RESAMPLES
from limrank_plugins.errors import InputError

SCHEMA = "limrank eval errors 1"


@dataclass(frozen=True, slots=True)
class Against:
    """The run compared with another one, which is the first of the two everywhere.

    Attributes:
        measure: the main measure of both.
        contrasts: of what they confuse; empty without kinds.
        left_out: documents with a kind that only one of the runs ranked and judged, or none.
    """

    measure: Comparison
    contrasts: tuple[Contrast, ...] = ()
    left_out: int = 0

    def as_json(self, most: int) -> dict[str, Any]:
        """For machines; see docs/errors.md."""
        return {
            "measure": self.measure.as_json(most),
            "confusion": [contrast.as_json(most) for contrast in self.contrasts],
            "left_out": self.left_out,
        }


@dataclass(frozen=True, slots=True)
class Analysis:
    """Where a run goes wrong; each part is described in its own module.

    Attributes:
        listing: the run that was looked at, without excluded documents and cut.
        budget, failing, few: always there.
        confusion, false_claims: None without kinds.
        ties: None where the model gave no scores.
        mishaps: None where the run does not say.
        against: None without a second run.
        kinds: those that were used.
        counts: of queries and documents.
        warnings: what a reader must know, a sentence each.
    """

    listing: Listing
    coverage: Coverage
    qrels: Qrels = field(repr=False)
    budget: Budget
    failing: Failing
    few: ByCount
    ties: Ties | None
    mishaps: Mishaps | None
    confusion: Confusion | None
    false_claims: FalseClaims | None
    against: Against | None
    kinds: Mapping[str, Mapping[str, str]]
    counts: Mapping[str, int]
    resampling: Resampling
    warnings: tuple[str, ...]

    def misordered(self, most: int) -> list[dict[str, Any]]:
        """The queries that lost most by ordering, worst first, equal ones by id."""
        budget = self.budget
        worst = sorted(budget.achieved, key=lambda query: (-budget.lost_by_ordering(query), query))
        ranked = self.listing.ranked
        told = []
        for query in worst[: max(0, most)]:
            if budget.lost_by_ordering(query) <= 0:
                break
            good = set(relevant(self.qrels, query))
            best = next((r for r, d in enumerate(ranked.get(query, ()), start=1) if d in good), None)
            told.append(
                {
                    "query": query,
                    "achieved": budget.achieved[query],
                    "ceiling": budget.ceiling[query],
                    "first_stage": None if budget.first is None else budget.first[query],
                    "relevant": len(good),
                    "best_relevant_rank": best,
                }
            )
        return told

    def as_json(self, most: int = 10, *, explanations: bool = False) -> dict[str, Any]:
        """For machines; see docs/errors.md for the schema.

        Args:
            most: how many cases of each list.
            explanations: with the model's reasoning about confused passages, which can quote them.
        """
        level = self.resampling.level
        return {
            "measure": self.budget.measure,
            "top": self.failing.top,
            "budget": {**self.budget.as_json(self.resampling), "cases": self.misordered(most)},
            "failing": self.failing.as_json(level, most),
            "by_relevant": self.few.as_json(self.budget, self.failing, self.resampling),
            "confusion": None if self.confusion is None else self._confused(most, explanations),
            "false_claims": None if self.false_claims is None else self.false_claims.as_json(level, most),
            "ties": None if self.ties is None else self.ties.as_json(most),
            "mishaps": None if self.mishaps is None else self.mishaps.as_json(self.failing.top, most),
            "against": None if self.against is None else self.against.as_json(most),
            "counts": dict(self.counts),
            "warnings": list(self.warnings),
            "schema": SCHEMA,
        }

    def _confused(self, most: int, explanations: bool) -> dict[str, Any]:
        assert self.confusion is not None
        one = self.confusion
        return {
            **{
                name: [relation.as_json(self.resampling) for relation in relations]
                for name, relations in (
                    ("sorts", one.sorts),
                    ("negatives", one.negatives),
                    ("matrix", one.matrix),
                )
            },
            "counts": dict(one.counts),
            "cases": [_told(case, explanations) for case in one.cases(self.kinds, most)],
        }


def analyse(
    listing: Listing,
    qrels: Qrels,
    *,
    first: Ranked | None = None,
    kinds: Mapping[str, Mapping[str, str]] | None = None,
    wishes: Mapping[str, Wish] | None = None,
    against: Listing | None = None,
    name: str = "nDCG@10",
    top: int | None = None,
    bins: Sequence[Bin] | None = None,
    excluded: Mapping[str, Collection[str]] | None = None,
    depth: int | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Analysis:
    """Analyse the errors of a run.

    Args:
        listing: `limrank_evals.errors.listing.read_listing` or `listing_of`.
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
        level: of the intervals.
        resamples: of the bootstrap, the randomisation test and the test of trend.
        seed: of all three.

    Raises:
        InputError: a value that cannot be used, files that do not belong together, or a measure
            without a ceiling.
    """
    if wishes is not None and kinds is None:
        raise InputError("what queries want is asked of kinds: give --kinds or --direct-grade")
    if excluded is not None:
        check_judgements(qrels, excluded)
    cutoff = getattr(parse_measure(name), "params", {}).get("cutoff") if name != "p-MRR" else None
    top = top if top is not None else cutoff or 10
    if top < 1:
        raise InputError(f"top must be > 0, but is {top}")
    removed = count_excluded(listing.ranked, excluded or {})
    run = listing.only(excluded or {}, depth)
    ranked, resampling = run.ranked, Resampling(level, resamples, seed)
    covered = coverage(ranked, qrels)
    candidates = candidates_of(ranked, first, excluded or {}, depth)
    budget = budget_of(run, candidates.ranked, candidates.first, qrels, name)
    few = by_count(qrels, bins if bins is not None else parse_bins(DEFAULT_BINS))
    warnings = covered.warnings()
    if candidates.strangers:
        warnings.append(
            f"{candidates.strangers} documents of the run are not among the first stage's: "
            f"they count as candidates all the same"
        )
    if candidates.first is None:
        warnings.append("no first stage is given: the run's own documents are taken for all its candidates")
    if candidates.missing:
        warnings.append(
            f"the run lacks {candidates.missing} documents that the first stage has above others of the run: "
            f"if it was cut after ranking, say how many documents were ranked (--depth)"
        )
    if few.outside:
        warnings.append(f"{len(few.outside)} queries with relevant documents are in no bin")
    used: Mapping[str, Mapping[str, str]] = {}
    confusion, false_claims = None, None
    if kinds is not None:
        used, told = _usable(kinds, qrels, ranked, wishes)
        warnings += told
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
                f"{compared.left_out} documents with a kind are not ranked and judged in both runs: no pair "
                f"of the comparison has them"
            )
    counts = covered.counts() | {"excluded_removed": removed, "strangers": candidates.strangers}
    return Analysis(
        listing=run,
        coverage=covered,
        qrels=qrels,
        budget=budget,
        failing=failing_of(ranked, candidates, qrels, top),
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


def analyse_evaluated(evaluated: Evaluated, **options: Any) -> Analysis:
    """The errors of a split that was evaluated: of its reranker, or of its first stage where it has none.

    Args:
        evaluated: what `limrank_evals.evaluated` describes.
        options: of `analyse`; judgements, exclusions and first stage are the split's own.
    """
    given: dict[str, Any] = {
        "name": evaluated.measures[0],
        "excluded": evaluated.benchmark.excluded,
    } | options
    place = f"{evaluated.benchmark.name} {evaluated.benchmark.split}".strip()
    if evaluated.reranked is not None:
        given = {"first": evaluated.first.ranked} | given
        return analyse(listing_of(evaluated.records, place), evaluated.benchmark.qrels, **given)
    lists = {
        query: tuple(Listed(document, rank) for rank, document in enumerate(found, start=1))
        for query, found in evaluated.first.ranked.items()
    }
    return analyse(Listing(lists), evaluated.benchmark.qrels, **given)


def _usable(
    kinds: Mapping[str, Mapping[str, str]],
    qrels: Qrels,
    ranked: Ranked,
    wishes: Mapping[str, Wish] | None,
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The kinds that judgements do not contradict, and what is to be said about the others."""
    used, contradicted = agreeing(kinds, qrels)
    told = []
    if contradicted:
        told.append(f"kinds that contradict the judgements: {contradicted}; they are in no pair")
    unranked = sum(query not in ranked for query in used)
    if unranked:
        told.append(f"queries with kinds that the run lacks: {unranked}; they have no pair")
    strangers = sum(query not in used for query in wishes or {})
    if strangers:
        told.append(f"queries of which it is said what they want, but that have no kinds: {strangers}")
    return used, told


def _against(
    first: Listing,
    second: Listing,
    qrels: Qrels,
    name: str,
    kinds: Mapping[str, Mapping[str, str]],
    wishes: Mapping[str, Wish] | None,
    resampling: Resampling,
) -> Against:
    values = [measure(run.ranked, qrels, [name]).per_query[name] for run in (first, second)]
    compared = compare_values(*values, **asdict(resampling))
    if not kinds:
        return Against(compared)
    return Against(compared, *contrasts_of(first, second, kinds, wishes, resampling))


def _told(case: Case, explanations: bool) -> dict[str, Any]:
    def one(listed: Listed, kind: str) -> dict[str, Any]:
        told = {"document": listed.document, "kind": kind, "rank": listed.rank, "score": listed.score}
        return told | ({"explanation": listed.explanation} if explanations else {})

    return {
        "query": case.query,
        "worse": one(case.worse, case.worse_kind),
        "better": one(case.better, case.better_kind),
    }
