"""First stages by description: `bm25s`, `bm25s:k1=1.2,language=german`, `bm25q+dense:model=folder`.

Options follow a colon; of `dense` they are those of `EncoderBackend`. Several with `+` between are fused by
reciprocal ranks (`limrank_pipelines.HybridRetriever`).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_evals.splits import GIVEN
from limrank_plugins.backends import backend_class
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import (
    Retriever,
    build_retriever,
    retriever_class,
    retriever_names,
    takes_language,
)
from limrank_plugins.retrievers.languages import AUTO, DEFAULT, language_named

_DENSE = "dense"


@dataclass(frozen=True, slots=True)
class RetrieverSpec:
    """What a description stands for.

    Attributes:
        name: with every option that was given and every number that was not; the version settles the rest.
        digest: changes where what it finds in equal texts may change.
        parts: names and options.
    """

    name: str
    digest: str
    parts: tuple[tuple[str, Mapping[str, Any]], ...]

    @contextmanager
    def index(self, corpus: Sequence[Document]) -> Iterator[Retriever]:
        """The corpus, indexed; models are closed afterwards."""
        from limrank_pipelines.hybrid import HybridRetriever  # most evaluations fuse nothing

        with ExitStack() as held:
            retrievers = []
            for name, options in self.parts:
                arguments = dict(options)
                if name == _DENSE:
                    encoder = backend_class("encoder")(**options)
                    held.callback(encoder.close)
                    arguments = {"backend": encoder}
                retrievers.append(build_retriever(name, corpus, **arguments))
            yield retrievers[0] if len(retrievers) == 1 else HybridRetriever(retrievers)


def names_retriever(spec: str) -> bool:
    """Whether a description names retrievers, or the lists that come with a benchmark, and no file."""
    return spec == GIVEN or all(part.partition(":")[0] in retriever_names() for part in _split(spec))


def with_language(spec: str, language: str) -> str:
    """The description with this language for each of its retrievers that finds words and has none yet.

    Raises:
        InputError: there is no such language, or none of them has one.
    """
    if language == DEFAULT:
        return spec
    named = language if language == AUTO else language_named(language)
    parts = _split(spec) if names_retriever(spec) and spec != GIVEN else []
    bases = [part.partition(":")[0] for part in parts]
    if not any(takes_language(base) for base in bases):
        raise InputError(
            f"first stage {spec!r} has no language to choose, but --language is {language}: leave it out, or "
            f"take bm25s"
        )
    for place, (part, base) in enumerate(zip(parts, bases, strict=True)):
        if takes_language(base) and "language" not in _options(part, part.partition(":")[2]):
            parts[place] = f"{part}{',' if ':' in part else ':'}language={named}"
    return "+".join(parts)


def retriever_spec(spec: str) -> RetrieverSpec:
    """Read a description.

    Raises:
        InputError: an option that a retriever does not have, or one that is not written `option=value`.
    """
    parts, names, digests = [], [], []
    for part in _split(spec):
        base, _, written = part.partition(":")
        options = _options(part, written)
        parts.append((base, options))
        names.append(_name(base, options))
        model = options.get("model")
        weights = _fingerprint(model) if base == _DENSE and isinstance(model, str) else ""
        digests.append([base, options, weights])
    name = names[0] if len(names) == 1 else f"{' + '.join(names)}, fused by reciprocal ranks"
    return RetrieverSpec(name, json.dumps([name, digests], sort_keys=True), tuple(parts))


def _split(spec: str) -> list[str]:
    """At a `+` that a retriever's name stands behind: options may hold others."""
    known = "|".join(re.escape(name) for name in retriever_names())
    return re.split(rf"\+(?=(?:{known})(?:[:+]|$))", spec)


def _options(spec: str, written: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for option in filter(None, written.split(",")):
        key, equals, value = (piece.strip() for piece in option.partition("="))
        if not equals or not key.isidentifier() or not value:
            raise InputError(
                f"a retriever's options are written name:option=value,option=value, but got {spec!r}"
            )
        try:
            options[key] = json.loads(value)
        except (ValueError, RecursionError):
            options[key] = value
    return options


def _name(base: str, options: Mapping[str, Any]) -> str:
    makes: Callable[..., Any] = backend_class("encoder") if base == _DENSE else retriever_class(base).build
    known = {
        name: option for name, option in inspect.signature(makes).parameters.items() if name != "documents"
    }
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"retriever {base!r} has no option {', '.join(unknown)}; there are: {', '.join(known)}"
        )
    shown = {
        name: options.get(name, option.default)
        for name, option in known.items()
        # How a model is run moves its vectors by roundings only, but for precision, which is said if given.
        if name in options or name == "model" or (base != _DENSE and isinstance(option.default, int | float))
    }
    text = ", ".join(f"{name}={value}" for name, value in shown.items())
    return f"{base} ({text})" if text else base


def _fingerprint(model: str) -> str:
    """Of a folder of weights; a name on the hub stands for itself, with `revision`."""
    from limrank_plugins.backends.local.fingerprint import folder_fingerprint

    return folder_fingerprint(Path(model), recursive=True) if Path(model).is_dir() else ""
