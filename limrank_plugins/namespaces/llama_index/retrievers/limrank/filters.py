"""LlamaIndex's `MetadataFilters` over nodes, as its own vector store reads them, nested ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores import FilterCondition, MetadataFilter, MetadataFilters

from limrank_plugins.errors import InputError

try:
    from llama_index.core.vector_stores.utils import build_metadata_filter_fn
except ImportError:  # llama-index-core 0.13
    from llama_index.core.vector_stores.simple import (  # type: ignore[attr-defined,no-redef]
        _build_metadata_filter_fn as build_metadata_filter_fn,
    )

_Test = Callable[[Mapping[str, Any]], bool]


def node_filter(filters: MetadataFilters) -> Callable[[BaseNode], bool]:
    """Whether a node's metadata match.

    Raises:
        ValueError: when a node is looked at, for a value that cannot be compared with the filter's.
    """
    test = _all_tests(filters)
    return lambda node: test(node.metadata)


def _all_tests(filters: MetadataFilters) -> _Test:
    tests = [
        _all_tests(each) if isinstance(each, MetadataFilters) else _test(each) for each in filters.filters
    ]
    if filters.condition == FilterCondition.OR:
        return lambda metadata: any(test(metadata) for test in tests)
    if filters.condition == FilterCondition.NOT:
        return lambda metadata: not any(test(metadata) for test in tests)
    return lambda metadata: all(test(metadata) for test in tests)


def _test(one: MetadataFilter) -> _Test:
    alone = MetadataFilters(filters=[one])

    def matches(metadata: Mapping[str, Any]) -> bool:
        try:
            return build_metadata_filter_fn(lambda _: metadata, alone)("")
        except TypeError as error:
            raise InputError(
                f"filter {one.key!r} {one.operator.value} {one.value!r} does not fit the metadata value "
                f"{metadata.get(one.key)!r}: {error}"
            ) from error

    return matches
