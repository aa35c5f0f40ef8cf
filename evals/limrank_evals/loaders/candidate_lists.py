"""Lists of candidates from a first stage's run, and which documents they need."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from limrank_evals.judgements import Qrels
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_run
from limrank_plugins.wording import number_of


def run_lists(run: str | os.PathLike[str], queries: Collection[str]) -> dict[str, list[str]]:
    """The lists of a first stage's run, those of other queries left out.

    Raises:
        InputError: a line that is none, or no list for any of the queries.
    """
    lists = {
        query: [candidate.document_id for candidate in candidates]
        for query, candidates in read_run(run).items()
        if query in queries
    }
    if not lists:
        raise InputError(
            f"{os.fspath(run)} has no list for any of the {number_of(len(queries), 'query')}: it is of "
            "another set"
        )
    return lists


def listed_or_judged(lists: Mapping[str, Collection[str]], qrels: Qrels) -> set[str]:
    """The documents that are in a list or judged: all that reranking and measuring need."""
    return {d for ids in (*lists.values(), *qrels.values()) for d in ids}
