"""Reranking servers on loopback, each as strict as the real one is about paths, fields and sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts import unit
from servers import Answer, Call

Results = list[dict[str, Any]]


def score(passage: str) -> float:
    """The score that every one of these servers gives a passage."""
    return 0.05 + 0.9 * unit(passage)


def results(passages: list[str], name: str = "relevance_score") -> Results:
    """The results for these passages, best first as servers write them."""
    rows = [{"index": i, name: score(passage)} for i, passage in enumerate(passages)]
    return sorted(rows, key=lambda row: -row[name])


def cohere_like(call: Call) -> Any:
    """The shape of Cohere, Jina, vLLM, infinity, llama-server and Xinference, without faults."""
    return {"results": results(call.body["documents"]), "usage": {"total_tokens": 7}}


def _strict(
    path: str, needed: set[str], allowed: set[str], answer: Callable[[dict[str, Any]], Any]
) -> Callable[[Call], Any]:
    def script(call: Call) -> Any:
        if call.path != path:
            return Answer({"detail": "Not Found"}, 404)
        sent = set(call.body)
        if needed - sent or sent - needed - allowed:
            wrong = sorted((needed - sent) | (sent - needed - allowed))
            detail = [{"loc": ["body", name], "msg": "Field required or not permitted"} for name in wrong]
            return Answer({"detail": detail}, 422)
        return answer(call.body)

    return script


def _cohere(body: dict[str, Any]) -> Any:
    units = -(-len(body["documents"]) // 100)
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": float(units)}}
    return {"id": "x", "results": results(body["documents"])[: body["top_n"]], "meta": meta}


def _voyage(body: dict[str, Any]) -> Any:
    rows = results(body["documents"])[: body["top_k"]]
    usage = {"total_tokens": 7 * len(body["documents"])}
    return {"object": "list", "data": rows, "model": body["model"], "usage": usage}


def _mixedbread(body: dict[str, Any]) -> Any:
    rows = results(body["input"], "score")[: body.get("top_k", 10)]
    usage = {"prompt_tokens": 7 * len(body["input"]), "total_tokens": 7 * len(body["input"])}
    return {"object": "list", "data": rows, "model": body["model"], "usage": usage, "top_k": len(rows)} | {
        "return_input": body["return_input"]
    }


def _tei(body: dict[str, Any]) -> Any:
    size = len(body["texts"])
    if size > 32:
        error = f"batch size {size} > maximum allowed batch size 32"
        return Answer({"error": error, "error_type": "Validation"}, 422)
    return Answer(results(body["texts"], "score"), headers={"x-compute-tokens": str(7 * size)})


def _sglang(body: dict[str, Any]) -> Any:
    meta = {"meta_info": {"prompt_tokens": 7}}
    return [{**row, **meta} for row in results(body["documents"], "score")[: body["top_n"]]]


def _tokens(body: dict[str, Any]) -> Any:
    size = 7 * len(body["documents"])
    rows = results(body["documents"])[: body["top_n"]]
    return {"id": "x", "results": rows, "usage": {"prompt_tokens": size, "total_tokens": size}}


def _vllm(body: dict[str, Any]) -> Any:
    found = _tokens(body)
    for row in found["results"]:
        row["document"] = {"text": body["documents"][row["index"]]}
    return found


def _xinference(body: dict[str, Any]) -> Any:
    tokens = {"input_tokens": 7 * len(body["documents"]), "output_tokens": 0}
    meta = {"api_version": None, "billed_units": None, "tokens": tokens, "warnings": None}
    return {"id": "x", "results": results(body["documents"])[: body["top_n"]], "meta": meta}


COMMON = {"model", "query", "documents"}
SERVERS: dict[str, Callable[[Call], Any]] = {
    "cohere": _strict("/v1/rerank", COMMON, {"top_n", "max_tokens_per_doc", "priority"}, _cohere),
    "jina": _strict("/v1/rerank", COMMON, {"top_n", "return_documents"}, _tokens),
    "voyage": _strict("/v1/rerank", COMMON, {"top_k", "return_documents", "truncation"}, _voyage),
    "mixedbread": _strict(
        "/v1/reranking",
        {"model", "query", "input"},
        {"top_k", "return_input", "rank_fields", "rewrite_query"},
        _mixedbread,
    ),
    "tei": _strict(
        "/v1/rerank",
        {"query", "texts"},
        {"truncate", "raw_scores", "return_text", "truncation_direction"},
        _tei,
    ),
    "vllm": _strict("/v1/rerank", COMMON, {"top_n", "truncate_prompt_tokens", "use_activation"}, _vllm),
    "sglang": _strict("/v1/rerank", COMMON, {"top_n", "instruct", "return_documents"}, _sglang),
    "infinity": _strict("/v1/rerank", COMMON, {"top_n", "return_documents", "raw_scores"}, _tokens),
    "llama-server": _strict("/v1/rerank", COMMON, {"top_n"}, _tokens),
    "xinference": _strict("/v1/rerank", COMMON, {"top_n", "return_documents"}, _xinference),
    "litellm": _strict("/v1/rerank", COMMON, {"top_n", "return_documents", "max_tokens_per_doc"}, _cohere),
}
"""By dialect: a server that refuses what the real one would not know."""
