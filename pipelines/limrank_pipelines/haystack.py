"""The assembly as a Haystack pipeline: `build_pipeline` in Python, `load_pipeline` from YAML.

Import it where haystack-ai is installed: `pip install 'limrank[haystack]'`.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from limrank_plugins.errors import InputError, require

require("haystack", "haystack", "limrank_pipelines.haystack")

from haystack import GeneratedAnswer, Pipeline

from limrank_pipelines.haystack_parts import (
    LimRankFirstStage,
    LimRankQuestion,
    LimRankReader,
    LimRankRewriter,
)

__all__ = [
    "LimRankFirstStage",
    "LimRankQuestion",
    "LimRankReader",
    "LimRankRewriter",
    "ask",
    "aask",
    "build_pipeline",
    "load_pipeline",
]

_TRUSTED = "limrank_pipelines.haystack_parts"
"""What Haystack 3 is to trust beside its own when it loads such a pipeline."""


def build_pipeline(
    retriever: Any,
    *,
    rewriter: LimRankRewriter | None = None,
    ranker: Any = None,
    reader: LimRankReader | None = None,
    pipeline_class: type[Any] = Pipeline,
) -> Any:
    """Rewrite, retrieve, rerank, read, as `RagPipeline` does, of Haystack components.

    The pipeline has one input, `question.query`; `ask` knows it. Where a document has a title of its own
    in `meta["title"]` (those of `LimRankFirstStage` and of `LimRankBM25Retriever(index_path=…)` have), give
    the ranker `meta_fields_to_embed=["title"], embedding_separator=" "`, so that it reads what the
    reader reads.

    Args:
        retriever: a component with an input `query` and an output `documents`: Haystack's own, ours of
            `haystack_integrations`, or `LimRankFirstStage`. Its number of documents is its own.
        rewriter: default: none.
        ranker: a `LimRankRanker`, or any component with inputs `query` and `documents` and an output
            `documents`; how many the reader sees is its `top_k`; default: none.
        reader: default: none; the pipeline then ends in documents.
        pipeline_class: `haystack.AsyncPipeline` where `ask` is not enough with Haystack 2.

    Returns:
        The pipeline. `dumps` writes it as YAML, `load_pipeline` reads that.

    Raises:
        InputError: the retriever has no such input or output.
    """
    _check(retriever, ["query"], "retriever")
    pipeline = pipeline_class()
    pipeline.add_component("question", LimRankQuestion())
    pipeline.add_component("retriever", retriever)
    if rewriter is not None:
        pipeline.add_component("rewriter", rewriter)
        pipeline.connect("question.query", "rewriter.query")
        pipeline.connect("rewriter.query", "retriever.query")
    else:
        pipeline.connect("question.query", "retriever.query")
    last = "retriever"
    for name, part in (("ranker", ranker), ("reader", reader)):
        if part is not None:
            _check(part, ["query", "documents"], name)
            pipeline.add_component(name, part)
            pipeline.connect("question.query", f"{name}.query")
            pipeline.connect(f"{last}.documents", f"{name}.documents")
            last = name
    return pipeline


def load_pipeline(
    yaml: str, *, allowed_modules: Sequence[str] = (), pipeline_class: type[Any] = Pipeline
) -> Any:
    """The pipeline that `dumps` wrote. Haystack 3 is told to trust the components of this module.

    Args:
        yaml: the text.
        allowed_modules: further modules to trust, see Haystack's `Pipeline.loads`; Haystack 2 needs none.
        pipeline_class: as for `build_pipeline`.
    """
    # Haystack 2 trusts every module, and before some release there was no such argument.
    knows = "allowed_modules" in inspect.signature(pipeline_class.loads).parameters
    trusted = {"allowed_modules": [_TRUSTED, *allowed_modules]} if knows else {}
    return pipeline_class.loads(yaml, **trusted)


def ask(pipeline: Any, question: str) -> dict[str, Any]:
    """Run a pipeline of `build_pipeline`.

    Returns:
        What its components gave, by name, the retriever's and the ranker's documents included; and
        `answer`: the `GeneratedAnswer`, or None.
    """
    parts = [name for name in ("retriever", "ranker", "rewriter", "reader") if _has(pipeline, name)]
    outputs = pipeline.run({"question": {"query": question}}, include_outputs_from=set(parts))
    return _with_answer(outputs)


async def aask(pipeline: Any, question: str) -> dict[str, Any]:
    """`ask` for async code; with Haystack 2, of an `AsyncPipeline`."""
    parts = [name for name in ("retriever", "ranker", "rewriter", "reader") if _has(pipeline, name)]
    outputs = await pipeline.run_async({"question": {"query": question}}, include_outputs_from=set(parts))
    return _with_answer(outputs)


def _with_answer(outputs: dict[str, Any]) -> dict[str, Any]:
    answers: list[GeneratedAnswer] = outputs.get("reader", {}).get("answers", [])
    return outputs | {"answer": answers[0] if answers else None}


def _has(pipeline: Any, name: str) -> bool:
    return name in pipeline.graph.nodes


def _check(part: Any, inputs: Sequence[str], name: str) -> None:
    parameters = inspect.signature(part.run).parameters if hasattr(part, "run") else {}
    lacking = [wanted for wanted in inputs if wanted not in parameters]
    if lacking:
        raise InputError(f"{name} must be a component with inputs {inputs}, but has no {lacking[0]!r}")
