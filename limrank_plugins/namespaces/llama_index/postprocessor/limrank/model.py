"""The reranker behind the fields of `LimRankRerank`: built late, once, and shared by its copies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.postprocessor.limrank.fields import FIXED, OPTIONS, SETTINGS, LimRankFields
from llama_index.postprocessor.limrank.wording import reworded, to_wording

from limrank_plugins.errors import BackendError, InputError, LimRankError
from limrank_plugins.prompts import Template, load_template
from limrank_plugins.recipes import load_recipe
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store


class Loaded:
    """The reranker that was built at first use; one for all threads, tasks and copies."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reranker: Reranker | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Loaded:
        return self  # a model is not copied with its settings

    def __reduce__(self) -> tuple[type[Loaded], tuple[()]]:
        return Loaded, ()  # and does not travel to other processes


class LimRankModel(LimRankFields):
    """Fields that can be asked for their reranker."""

    _loaded: Loaded = PrivateAttr(default_factory=Loaded)

    def close(self) -> None:
        """Release the model, if it was loaded here. The next use loads it again."""
        with self._loaded.lock:
            loaded, self._loaded.reranker = self._loaded.reranker, None
        if loaded is not None:
            loaded.close()

    def _ready(self) -> Reranker:
        """The reranker, built by the first who asks; with the prompt in its present wording."""
        ready = self.reranker
        if ready is None:
            with self._loaded.lock:
                if self._loaded.reranker is None:
                    self._loaded.reranker = self._build()
                ready = self._loaded.reranker
        wording = self.prompt
        if wording is not None:
            ready = ready.with_template(reworded(self._rewordable(), wording))
        return ready

    def _build(self) -> Reranker:
        options = dict(self.backend_options)
        options |= {name: getattr(self, name) for name in OPTIONS if getattr(self, name) is not None}
        if self.api_key is not None:
            options["api_key"] = self.api_key.get_secret_value()
        store = None if self.store is None else Store(self.store)
        return Reranker(**{name: getattr(self, name) for name in SETTINGS}, store=store, **options)

    def _model_name(self) -> str:
        if self.reranker is not None:
            return self.reranker.backend.identity
        return self.model if self.model is not None else load_recipe(self.recipe).model

    def _redacted(self, text: str) -> str:
        key = "" if self.api_key is None else self.api_key.get_secret_value()
        return text.replace(key, "**********") if key else text

    @contextmanager
    def _without_key(self) -> Iterator[None]:
        """Servers like to quote the key they refuse."""
        try:
            yield
        except Exception as error:
            said = str(error)
            clean = self._redacted(said)
            if clean == said:
                raise
            kind = type(error) if isinstance(error, LimRankError) else BackendError
            raise kind(clean) from None

    def _template(self) -> Template | None:
        if self.reranker is not None:
            return self.reranker.template
        name = self.template if self.template is not None else load_recipe(self.recipe).template
        return None if name is None else load_template(name)

    def _rewordable(self) -> Template:
        template = self._template()
        if template is None or to_wording(template) is None:
            raise InputError(
                f"recipe {self.recipe!r} has no prompt that can be written with {{query}} and {{document}}; "
                "recipes whose prompt loops over documents take template=… with the path of a .toml file"
            )
        return template

    # ---- copies ---------------------------------------------------------------------------------

    def model_copy(self, *, update: dict[str, Any] | None = None, deep: bool = False) -> Self:  # type: ignore[override]
        """A copy. It shares the loaded model unless `update` names something that decides on it."""
        copied = super().model_copy(update=update, deep=deep)
        if update is not None and set(update) & set(FIXED):
            copied._loaded = Loaded()
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo[id(self.reranker)] = self.reranker  # models are shared, settings copied
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[str, Any]:
        if self.reranker is not None:
            raise TypeError(
                "a LimRankRerank with a ready reranker cannot be pickled: name its recipe and model"
            )
        state = super().__getstate__()
        state["__dict__"] = state["__dict__"] | {"api_key": None}
        return state
