"""One cell of a zoo in a process of its own: a recipe, or the first stage alone, on one collection.

`python -m limrank_evals.zoo.cell` reads its order from stdin as one line of JSON and ends when stdin does, so
it never outlives who started it. It tells on stdout, a JSON object a line, how far it is and why it failed;
what it found is in `cell.json` of its folder.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limrank_evals.benchmark_evaluation import evaluate_splits
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.evaluation.systems import instructs_by_default
from limrank_evals.guarded_folders import SETTINGS, claim
from limrank_evals.zoo.chance import chance
from limrank_evals.zoo.collections import Collection
from limrank_evals.zoo.costs import SUMS, CostedReranker, Costs, Unserved, peak_bytes, unserved
from limrank_plugins import template_choice
from limrank_plugins.arguments import named_backend, takes
from limrank_plugins.backends import backend_class
from limrank_plugins.backends.protocols import Backend, Closes
from limrank_plugins.errors import BackendError, LimRankError
from limrank_plugins.failure_log import told_by_caller
from limrank_plugins.files import read_json_object
from limrank_plugins.outputs import write_json
from limrank_plugins.secrecy import hiding
from limrank_plugins.store import Store

CELL, MEASURE = "cell.json", "nDCG@10"
KEYS = ("api_key", "token")
SCHEMA = "limrank zoo cell 1"
_OF_RERANKER = ("recipe", "reasoning", "budget", "seed", "max_reasoning_tokens")


def work(order: Mapping[str, Any], progress: Callable[[int, int], None]) -> None:
    """Evaluate a cell and write its `cell.json`.

    Args:
        order: `folder`, `store`, `collection`, `queries`, `first_stage`, `depth`, `batch`, `seed`,
            `source`, and `reranker`: arguments of `Reranker`, or None for the first stage alone.
        progress: called with (finished, all) queries.

    Raises:
        LimRankError: what loading, searching and ranking raise.
    """
    folder, arguments = Path(order["folder"]), order["reranker"]
    claim(folder)
    with Store(order["store"]) as store:
        record = (
            _evaluated(order, None, progress, store) if arguments is None else _ranked(order, progress, store)
        )
    settings = read_json_object(folder / SETTINGS) if (folder / SETTINGS).is_file() else {"splits": {}}
    write_json(
        folder / CELL,
        {
            "schema": SCHEMA,
            # What a model on this machine wrote is its result: it would write the same again.
            "final": not record.get("failures") or not _is_served(arguments),
            "collection": order["collection"]["label"],
            "recipe": None if arguments is None else arguments["recipe"],
            **record,
            "made of": settings["splits"].get(order["collection"]["split"]),
            "source": order["source"],
        },
    )


def _ranked(order: Mapping[str, Any], progress: Callable[[int, int], None], store: Store) -> dict[str, Any]:
    """What a recipe found and cost, or why the model cannot serve it or judged nothing."""
    arguments = dict(order["reranker"])
    recipe, backend = arguments.pop("recipe"), _backend(arguments)
    nothing = {"values": None, "system": recipe}
    costs = None
    try:
        # Replies of a served model were paid for and may differ; a model on this machine writes the same.
        kept = store if _is_served(order["reranker"]) else None
        with unserved():
            reranker = CostedReranker(recipe, backend=backend, store=kept, **arguments)
        costs = reranker.keep_costs(store, adds=kept is not None)
        return {**_evaluated(order, reranker, progress, store), "prompt": reranker.template_reason}
    except Unserved as error:
        if _is_served(order["reranker"]):
            raise
        return {**nothing, "unserved": True, "why": str(error)}
    except BackendError:
        if costs is None or _is_served(order["reranker"]) or not (spent := _judged_nothing(costs)):
            raise
        return nothing | spent
    finally:
        if isinstance(backend, Closes):
            backend.close()


def _backend(arguments: dict[str, Any]) -> Backend:
    """The backend, made of those arguments that are its own."""
    own = {name: arguments.pop(name) for name in list(arguments) if name not in _OF_RERANKER}
    name, model, dtype = own.pop("backend"), own.pop("model"), own.pop("dtype", None)
    if dtype is not None and takes(name, "dtype"):
        own["dtype"] = dtype
    return named_backend(name, model, own)


def _evaluated(
    order: Mapping[str, Any],
    reranker: CostedReranker | None,
    progress: Callable[[int, int], None],
    store: Store,
) -> dict[str, Any]:
    """Evaluate into the cell's folder; what came out."""
    collection = Collection(**order["collection"])
    task = collection.task(order["queries"])
    with told_by_caller():
        [(_, evaluated)] = evaluate_splits(
            task,
            [collection.split],
            collection.source,
            Path(order["folder"]),
            store=store,
            reranker=reranker,
            options={option.name: option.default for option in task.options()},
            first_stage=order["first_stage"],
            depth=order["depth"],
            batch=order["batch"],
            measures=[MEASURE],
            instruct=reranker is not None and instructs_by_default(reranker.recipe.name),
            seed=order["seed"],
            progress=lambda _, finished, of: progress(finished, of),
        )
    query_ids = [query.id for query in evaluated.benchmark.queries]
    found = _outcome(evaluated)
    if reranker is None:
        judged = {query: evaluated.benchmark.qrels.get(query, {}) for query in found["values"]}
        found["chance"] = chance(evaluated.first.ranked, judged, MEASURE)
    return found | _spent(None if reranker is None else reranker.costs, query_ids)


def _is_served(arguments: Mapping[str, Any] | None) -> bool:
    """Whether another process or machine answers: it may fail now and answer later."""
    return (
        arguments is not None
        and "base_url" in inspect.signature(backend_class(arguments["backend"])).parameters
    )


def _outcome(evaluated: SplitEvaluation) -> dict[str, Any]:
    result = evaluated.results[-1]
    return {
        "system": result.system,
        "identity": result.as_json()["identity"],
        "values": dict(evaluated.last.measured.per_query[MEASURE]),
        "ties": evaluated.last.ties,
        "failures": evaluated.failures,
        "why": next((f["reason"] for record in evaluated.records for f in record["failures"]), None),
        "repairs": sum(record["repairs"] for record in evaluated.records),
        "documents": sum(len(record["hits"]) for record in evaluated.records),
        "unread": asdict(evaluated.unread),
    }


def _spent(costs: Costs | None, query_ids: list[str]) -> dict[str, Any]:
    """What the cell's queries cost together; of the first stage its peak memory is known alone."""
    records = [] if costs is None else costs.of(query_ids)
    cost = {name: round(sum(record[name] for record in records), 3) for name in SUMS}
    peak = max([peak_bytes(), *(record["peak_bytes"] for record in records)])
    return {"cost": None if costs is None else cost, "queries": len(query_ids), "peak_bytes": peak}


def _judged_nothing(costs: Costs) -> dict[str, Any]:
    """What was spent on a cell all of whose documents failed; {} where that is not what happened."""
    ids = list(costs.job)
    records = costs.of(ids)
    # One document alone is no order: listwise recipes ask nothing about it.
    ranked = [record for record in records if record["documents"] > 1 or record["failures"]]
    documents, failures = (sum(record[name] for record in ranked) for name in ("documents", "failures"))
    if not documents or failures < documents:
        return {}
    why = f"judged nothing: {records[0]['reason']}"
    return {"why": why, "failures": failures, "documents": documents, "repairs": 0, **_spent(costs, ids)}


# ---- the process ------------------------------------------------------------------------------------


def main() -> int:
    """Do what stdin says."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no message
    from limrank_plugins.cli.terminal import guard  # only in a process of its own: it loads typer

    guard()
    logging.getLogger(template_choice.__name__).setLevel(logging.ERROR)  # the zoo says it, once for all cells
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it is interrupted, too, and ends it

    def tell(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    with open(0, "rb", buffering=0, closefd=False) as stdin:
        order = json.loads(stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    arguments = order["reranker"] or {}
    try:
        with hiding([arguments.get(key) for key in KEYS]):
            work(order, lambda finished, of: tell(progress=[finished, of]))
    except (LimRankError, OSError, MemoryError) as error:
        tell(failed=str(error) or type(error).__name__)
        return 1
    return 0


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
