"""`Reranker`: a recipe run on a backend."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from limrank_plugins import driver
from limrank_plugins.arguments import (
    Thinking,
    as_built,
    as_loaded,
    backend_for,
    calibration_for,
    check_backend,
    check_chunks,
    check_lengths,
    check_on_failure,
    settings_for,
    with_budget_of,
)
from limrank_plugins.backends.protocols import Backend, Closes
from limrank_plugins.backends.remote.addresses import check_written
from limrank_plugins.calibration import Calibration
from limrank_plugins.card import card_arguments, check_card, read_card
from limrank_plugins.checks import finite_number, plain_text
from limrank_plugins.data import Document, Query, Ranking, as_documents, as_query
from limrank_plugins.driver import Addressed
from limrank_plugins.errors import InputError, RankingFailed, one_sentence
from limrank_plugins.failure_log import log_failures
from limrank_plugins.lazy import shallow_copied
from limrank_plugins.parts import build_parts
from limrank_plugins.pieces import piece_rule
from limrank_plugins.prompts import Template
from limrank_plugins.rankings import check_cut, check_threshold, to_ranking
from limrank_plugins.readouts import Readout
from limrank_plugins.recipe import PartRanker
from limrank_plugins.recipes import Recipe, as_recipe, load_recipe
from limrank_plugins.recipes.cascade import auto_reasoning, with_budget
from limrank_plugins.span_attributes import model_name
from limrank_plugins.store import Store
from limrank_plugins.template_choice import choose_template, warn_once
from limrank_plugins.tracing import NoSpans, Spans, Tracer, no_spans
from limrank_plugins.verdicts import Outcome
from limrank_plugins.wrappers.best_piece import by_piece, cut_by
from limrank_plugins.wrappers.budget import Budget
from limrank_plugins.wrappers.once_each import once_each
from limrank_plugins.wrappers.readable import readable_only, show_for

_KEYS = ("api_key", "token")
# One for all: it is held only while a reranker that came out of a pickle is made, parts and all.
_MAKING = threading.RLock()


class Reranker:
    """Ranks documents by what a model says about them. Safe to use from many threads.

    A pickled one holds its arguments, without `api_key` and `token`, and loads its model at first use; a
    backend given as an object travels where it can be pickled itself. A deep copy shares the loaded model,
    which stays the original's to close.

    Args:
        recipe: a recipe's name (with options: `"insertrank:scale=rank"`), or a `Recipe`.
        model: folder, hub name or GGUF file; default: the recipe's checkpoint.
        backend: a backend, or the name of one; default: the recipe's.
        reasoning: `"full"` thinks before every verdict, `"none"` never, `"auto"` only where it can change
            the top of the list (`docs/recipes.md`); default: the recipe's.
        budget: for `reasoning="auto"` and recipe `cascade`: the most that is spent on a query, as in
            `"20 documents"`, `"50000 tokens"`, `"5 seconds"`, or several of them; default: the recipe's.
        samples: reasonings per document, averaged; default 1. For recipes that order or choose: seeded
            permutations of every group, whose outcomes are put to the vote.
        seed: of the sampling; default 0.
        temperature: default 0 for one sample, 0.7 for several.
        top_p: nucleus of the sampling; default 0.95.
        max_reasoning_tokens: budget of the reasoning; then it is closed by force. Default: the
            template's, as `limrank-chat` has one, or else the recipe's.
        cut_to_sentence: reasoning ended by the budget is cut back to its last sentence end.
        instruction: name of a benchmark's instruction, or a text that holds `{{ query }}`; for a recipe whose
            prompt has a place for the task (`qwen3-reranker`) a sentence that says it.
        on_failure: `"mark"` keeps a document that could not be judged at its input position, with
            its reason, and logs a warning for every ranking that has such; `"raise"` raises
            `RankingFailed`.
        store: replies found in it are not asked for again, new ones are put into it. Default: none.
        template: another prompt template for the recipe: a name, or the path of a `.toml` file. Default: the
            recipe's own; where that is a raw completion, it is for weights that were trained with it, and
            other models are asked in a chat (`template_reason` says which it is, and why).
        chunks: a document that is too long for the model is judged by its pieces, which end where sentences
            do: `"max"` gives it the best piece's score, `"first"` the first one's, `"mean-top-2"` the mean of
            the best two; `"max:300 words"` also says how long a piece is at most. Default: its end is not
            read. Only for recipes that score each document alone (`docs/scores.md`).
        calibration: what `limrank calibrate` wrote (a file, or a `Calibration`): a score becomes the
            probability that a document is relevant, and so does `threshold`; the order stays. One that was
            fitted for another recipe is refused; another model, prompt or setting is a warning.
        trace: True makes OpenTelemetry spans with the tracer provider that is set (extra `otel`); or another
            provider (`docs/observability.md`). Default: nothing is traced.
        options: passed to the backend's constructor where the backend is given by name
            (`device`, `dtype`, `adapter`, `revision`, `trust_remote_code`, `max_length`, …).

    Raises:
        InputError: a value that cannot be used, or a label that is not one token of the model.
        CapabilityError: the backend cannot be asked what the recipe needs.
        MissingExtra: an optional dependency is not installed.

    Example:
        >>> from limrank_plugins import Reranker
        >>> passages = ["Bread rises.", "Acid curdles milk."]
        >>> Reranker("mini").rank("why does milk go lumpy in tea", passages).ids
        ['1', '0']
    """

    def __init__(
        self,
        recipe: str | Recipe = "mini",
        model: str | None = None,
        backend: str | Backend | None = None,
        *,
        reasoning: Thinking | None = None,
        budget: str | Budget | None = None,
        samples: int = 1,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float = 0.95,
        max_reasoning_tokens: int | None = None,
        cut_to_sentence: bool = True,
        instruction: str | None = None,
        on_failure: str = "mark",
        store: Store | None = None,
        template: str | None = None,
        chunks: str | None = None,
        calibration: str | os.PathLike[str] | Mapping[str, Any] | Calibration | None = None,
        trace: Any = False,
        **options: Any,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "options")}
        self._made_by: tuple[Any, tuple[Any, ...], dict[str, Any]] = (type(self), (), arguments | options)
        chosen = recipe if isinstance(recipe, Recipe) else load_recipe(plain_text("recipe", recipe))
        for name, text in (("model", model), ("template", template)):
            if text is not None and not isinstance(text, os.PathLike):
                plain_text(name, text)
        self.reasoning: Thinking | None = reasoning if reasoning is not None else chosen.reasoning
        self.budget = None if budget is None else str(budget)
        if reasoning == "auto":
            chosen = auto_reasoning(chosen, budget)
        elif budget is not None:
            chosen = with_budget(chosen, budget)
        self.recipe = chosen
        if store is not None and not isinstance(store, Store):
            raise InputError(f"store must be a Store, as Store(path), but got a {type(store).__name__}")
        knobs: dict[str, Any] = {
            "samples": samples,
            "seed": seed,
            "temperature": temperature,
            "top_p": top_p,
            "max_reasoning_tokens": max_reasoning_tokens,
            "cut_to_sentence": cut_to_sentence,
            "instruction": instruction,
            "chunks": chunks,
        }
        self.settings = settings_for(chosen, reasoning, **knobs)
        check_chunks(chosen, chunks)
        self.on_failure = check_on_failure(on_failure)
        self.calibration = calibration_for(chosen, calibration)
        self._tracer = Tracer(trace, [options.get(name) for name in _KEYS]) if trace is not False else None
        self.store = store
        self.parts: tuple[Reranker, ...] = ()
        self._owns_backend = self._owns_parts = False
        if chosen.parts:
            last = {"model": model, "backend": backend, "template": template, **knobs, **options}
            last["reasoning"] = None if reasoning == "auto" else reasoning
            others = {"seed": seed, "instruction": instruction, "chunks": chunks}
            self.parts, self._owns_parts = build_parts(Reranker, chosen, last, others), True
            self.recipe = as_built(chosen, [part.recipe for part in self.parts])
            self.calibration = calibration_for(self.recipe, self.calibration, loaded=True)
            self.backend: Backend = self.parts[-1].backend
            self.template: Template | None = self.parts[-1].template
            self.template_reason: str = self.parts[-1].template_reason
            self._warn_of_calibration()
            return
        chosen.load_template(template)  # a wrong name is refused before a model is loaded
        self._owns_backend = backend is None or isinstance(backend, str)
        self.backend = backend_for(chosen, backend, model, options)
        self.recipe = chosen = as_loaded(chosen, self.backend)
        self.calibration = calibration_for(chosen, self.calibration, loaded=True)
        choice = choose_template(chosen, template, self.backend)
        self.template, self.template_reason = choice.template, choice.reason
        if max_reasoning_tokens is None:
            self.settings = with_budget_of(self.template, self.settings)
        if choice.is_guess:
            warn_once(f"recipe {chosen.name!r}: {choice.reason}")
        check_backend(chosen, self.settings, self.template, self.backend)
        check_lengths(self.backend, self.template, chunks)
        self._warn_of_calibration()

    @classmethod
    def from_pretrained(cls, path_or_name: str, **overrides: Any) -> Reranker:
        """A reranker as the checkpoint's own card (`limrank.json`) describes it.

        The card may hold `recipe`, `reasoning`, `instruction`, `max_reasoning_tokens`, `calibration`,
        `labels` and `prompt_sha256`; the last two are compared with the recipe's template. `overrides` are
        arguments of `Reranker` and win over the card.

        Raises:
            InputError: no card, a card that is not valid, or one made for another prompt.
        """
        card = read_card(path_or_name)
        reranker = cls(model=path_or_name, **(card_arguments(card) | overrides))
        check_card(card, reranker.template, path_or_name)
        return reranker

    @classmethod
    def combined(
        cls, recipe: str | Recipe, *parts: Reranker, on_failure: str = "mark", store: Store | None = None
    ) -> Self:
        """A recipe made of others, with these rerankers in the place of its own parts.

        They stay yours to close; their `store` and `on_failure` are not used. It is traced as the last one.
        Parts are compared by their scores as they are, so none may have a calibration.

        Raises:
            InputError: the recipe is not made of others, or not of that many, or a part has a calibration.

        Example:
            >>> from limrank_plugins import Reranker
            >>> mini = Reranker("mini")
            >>> Reranker.combined("vote", mini).rank("milk", ["bread", "curdled milk"]).ids
            ['1', '0']
        """
        chosen = as_recipe(recipe)
        if chosen.wrapper is None:
            raise InputError(f"recipe {chosen.name!r} is not made of others; cascade, fuse and vote are")
        if fitted := next((part.recipe.name for part in parts if part.calibration is not None), None):
            raise InputError(
                f"part {fitted!r} has a calibration, which recipe {chosen.name!r} does not use, as it takes "
                f"its parts' scores as they are: give a reranker that was made with calibration=None"
            )
        wrapper = chosen.wrapper.of([part.recipe for part in parts])
        names = ", ".join(part.recipe.name for part in parts)
        kind = wrapper.score_kind
        self = cls.__new__(cls)
        self.recipe = replace(
            chosen,
            name=f"{chosen.name}({names})",
            oracle="order" if kind == "rank" else "score",
            wrapper=wrapper,
            score_kind=kind,
            leaning=next((part.recipe.leaning for part in parts if part.recipe.leaning), ""),
        )
        self.settings, self.on_failure, self.store = parts[-1].settings, check_on_failure(on_failure), store
        self.reasoning, self.budget, self.calibration = parts[-1].reasoning, None, None
        self._tracer = parts[-1]._tracer
        self.parts, self.backend, self.template = tuple(parts), parts[-1].backend, parts[-1].template
        self.template_reason = parts[-1].template_reason
        self._owns_backend = self._owns_parts = False
        self._made_by = cls.combined, (recipe, *parts), {"on_failure": on_failure, "store": store}
        return self

    # ---- ranking --------------------------------------------------------------------------------

    def rank(
        self,
        query: str | Query,
        documents: Iterable[str | Document],
        *,
        top_n: int | None = None,
        threshold: float | None = None,
    ) -> Ranking:
        """Rank the documents of one query. `threshold` filters, then `top_n` cuts.

        Args:
            query: what is searched for.
            documents: the candidates in first-stage order, which breaks ties.
            top_n: how many to keep, at least 1; None keeps all.
            threshold: keep documents with `score >= threshold`; failed ones stay.

        Raises:
            InputError: bad values, or a threshold on scores that are not comparable.
            RankingFailed: with `on_failure="raise"`, for the first document that failed.
        """
        return self.rank_many([(query, documents)], top_n=top_n, threshold=threshold)[0]

    async def arank(
        self,
        query: str | Query,
        documents: Iterable[str | Document],
        *,
        top_n: int | None = None,
        threshold: float | None = None,
    ) -> Ranking:
        """`rank` for async code: nothing blocks the event loop, and served models are asked natively."""
        return (await self.arank_many([(query, documents)], top_n=top_n, threshold=threshold))[0]

    def rank_many(
        self,
        jobs: Iterable[tuple[str | Query, Iterable[str | Document]]],
        *,
        top_n: int | None = None,
        threshold: float | None = None,
    ) -> list[Ranking]:
        """Rank many queries in lockstep: every step puts all queries' requests in one batch."""
        prepared = self._prepare(jobs, top_n, threshold)
        with self._spans(prepared, top_n) as spans:
            outcomes = driver.run(self._program(prepared, spans), self.store)
            return self._rankings(prepared, outcomes, top_n, threshold, spans)

    async def arank_many(
        self,
        jobs: Iterable[tuple[str | Query, Iterable[str | Document]]],
        *,
        top_n: int | None = None,
        threshold: float | None = None,
    ) -> list[Ranking]:
        """`rank_many` for async code."""
        prepared = self._prepare(jobs, top_n, threshold)
        with self._spans(prepared, top_n) as spans:
            outcomes = await driver.arun(self._program(prepared, spans), self.store)
            return self._rankings(prepared, outcomes, top_n, threshold, spans)

    def close(self) -> None:
        """Release the model, if this reranker loaded it. May be called twice."""
        if "backend" not in vars(self):  # out of a pickle, and never used
            return
        if self._owns_backend and isinstance(self.backend, Closes):
            self.backend.close()
        for part in self.parts if self._owns_parts else ():
            part.close()

    def with_template(self, template: Template) -> Self:
        """A reranker that asks with another template and shares the loaded model."""
        reranker = copy.copy(self)
        reranker.parts = tuple(
            part.with_template(template) if part.template == self.template else part for part in self.parts
        )
        reranker.template, reranker.template_reason = template, ""
        reranker._made_by = Reranker.with_template, (self, template), {}
        reranker._warn_of_calibration()
        return reranker

    def with_readout(self, readout: Readout) -> Self:
        """A reranker of the same recipe with another readout of the loaded model."""
        reranker = copy.copy(self)
        reranker.recipe = replace(self.recipe, readout=readout)
        reranker._made_by = Reranker.with_readout, (self, readout), {}
        return reranker

    @property
    def identity(self) -> str:
        """What must be equal for two rankings of the same input to be equal."""
        calibrated = [] if self.calibration is None else [self.calibration.digest]
        return "|".join([self._uncalibrated, *calibrated])

    @property
    def made_for(self) -> str:
        """Names the reranker, its calibration apart: what a calibration says it was fitted with."""
        return hashlib.sha256(self._uncalibrated.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def _uncalibrated(self) -> str:
        prepare = self.recipe.prepare
        parts = [
            self.recipe.name,
            repr((self.recipe.readout, self.recipe.schedule)),
            *([repr(self.recipe.wrapper), *(part.identity for part in self.parts)] if self.parts else []),
            # A plain function's repr holds its address, which no later process would have again.
            "" if prepare is None else getattr(prepare, "__qualname__", repr(prepare)),
            self.backend.identity,
            f"{self.template.digest}{self.template.passage.limit or ''}" if self.template else "",
            repr(self.settings),
            *([] if self.settings.chunks is None else [f"chunks={self.settings.chunks}"]),
        ]
        return "|".join(parts)

    def __repr__(self) -> str:
        if "backend" not in vars(self):  # nothing is loaded for it
            return "Reranker(out of a pickle, not used yet)"
        if self.parts:
            return f"Reranker({self.recipe.name!r}, parts={self.parts!r})"
        template = "" if self.template is None else f", template={self.template.name!r}"
        return f"Reranker({self.recipe.name!r}, {self.backend.identity!r}{template})"

    # ---- copies ---------------------------------------------------------------------------------

    def __copy__(self) -> Self:
        return shallow_copied(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = copy.copy(self)
        if "backend" in vars(self):
            copied._owns_backend = copied._owns_parts = False
        return copied

    def __getstate__(self) -> dict[str, Any]:
        make, values, named = self._made_by
        named = {name: value for name, value in named.items() if name not in _KEYS}
        if isinstance(address := named.get("base_url"), str):
            check_written(address)
        try:
            pickle.dumps((values, named))
        except Exception as error:
            raise TypeError(
                f"this reranker cannot be pickled, as one of its arguments cannot ({one_sentence(error)}): "
                f"name recipe, model and backend instead of giving objects"
            ) from error
        return {"_made_by": (make, values, named)}

    if not TYPE_CHECKING:  # a type checker shall still know which attributes there are

        def __getattr__(self, name: str) -> Any:
            """What a reranker out of a pickle lacks: it is made at first use."""
            if name.startswith("__") or "_made_by" not in vars(self) or "backend" in vars(self):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            with _MAKING:
                if "backend" not in vars(self):
                    make, values, named = self._made_by
                    self.__dict__.update(vars(make(*values, **named)))
            return getattr(self, name)

    # ---- inside ---------------------------------------------------------------------------------

    @property
    def calibration_doubt(self) -> str:
        """A sentence where the calibration was fitted with another model, prompt or setting; else empty."""
        fitted = self.calibration
        if fitted is None or fitted.reranker == self.made_for:
            return ""
        with_what = f"{fitted.model}, or another prompt or setting" if fitted.model else "another reranker"
        difference = f"was fitted with {with_what}, and is used with"
        if not fitted.reranker:
            difference = "does not say which reranker it was fitted with; it is used with"
        # What it was fitted with is a hash in the file: what can be said is what is in use now.
        template = [] if self.template is None else [f"template={self.template.name!r}"]
        now = ", ".join([self.backend.identity, *template, *self.settings.changed])
        return f"the calibration {difference} {now}: see whether it holds there"

    def _warn_of_calibration(self) -> None:
        if doubt := self.calibration_doubt:
            warn_once(f"recipe {self.recipe.name!r}: {doubt}")

    def _prepare(
        self,
        jobs: Iterable[tuple[str | Query, Iterable[str | Document]]],
        top_n: int | None,
        threshold: float | None,
    ) -> list[tuple[Query, list[Document]]]:
        check_cut(top_n, threshold)
        check_threshold(self.recipe, threshold)
        if threshold is not None and self.calibration is not None:
            finite_number("threshold is a probability here: it", threshold, least=0, most=1)
        return [(as_query(query), as_documents(documents)) for query, documents in jobs]

    def _spans(
        self, prepared: Sequence[tuple[Query, list[Document]]], top_n: int | None
    ) -> AbstractContextManager[Spans | NoSpans]:
        if self._tracer is None:
            return no_spans()
        models = dict.fromkeys(model_name(leaf.backend) for leaf in self._leaves())
        return self._tracer.spans(" + ".join(models), self.recipe.name, prepared, top_n)

    def _leaves(self) -> list[Reranker]:
        """Those of its parts that ask a model, or it alone."""
        return [leaf for part in self.parts for leaf in part._leaves()] if self.parts else [self]

    def _program(
        self, prepared: Sequence[tuple[Query, list[Document]]], spans: Spans | NoSpans
    ) -> Addressed[list[Outcome]]:
        programs = [self._judged(query, documents) for query, documents in prepared]
        return driver.together([spans.watch(i, program) for i, program in enumerate(programs)])

    def _judged(self, query: Query, documents: Sequence[Document]) -> Addressed[Outcome]:
        if self.recipe.wrapper is not None:
            rankers = [partial(part._judged, query) for part in self.parts]
            wrapped = partial(self.recipe.wrapper, query, parts=rankers)
            return readable_only(documents, partial(once_each, rank=wrapped))
        rank: PartRanker = partial(self._judged_by_model, query)
        readout, chunks = self.recipe.readout, self.settings.chunks
        if chunks is not None and readout is not None:
            cut = cut_by(self.backend, readout, self.template, self.settings, query)
            rank = partial(by_piece, rank=rank, rule=piece_rule(chunks), cut=cut)
        return readable_only(documents, rank, show_for(self.recipe, self.settings, self.backend))

    def _judged_by_model(self, query: Query, documents: Sequence[Document]) -> Addressed[Outcome]:
        judged = driver.judge(self.recipe, self.template, self.settings, query, documents)
        return driver.on(self.backend, judged)

    def _rankings(
        self,
        prepared: Sequence[tuple[Query, list[Document]]],
        outcomes: Sequence[Outcome],
        top_n: int | None,
        threshold: float | None,
        spans: Spans | NoSpans,
    ) -> list[Ranking]:
        rankings = [
            to_ranking(self.recipe, query, documents, outcome, top_n, threshold, self.calibration)
            for (query, documents), outcome in zip(prepared, outcomes, strict=True)
        ]
        spans.end(rankings)
        if self.on_failure == "raise":
            for failure in (failure for ranking in rankings for failure in ranking.failures):
                raise RankingFailed(f"document {failure.id!r} could not be judged: {failure.reason}")
        log_failures(rankings, [len(documents) for _, documents in prepared])
        return rankings
