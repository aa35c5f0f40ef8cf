"""`Reranker`: a recipe run on a backend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from limrank_plugins import driver
from limrank_plugins.arrange import check_cut, to_ranking
from limrank_plugins.backends import backend_class, backend_names
from limrank_plugins.backends.protocols import Backend, ChecksLabels, Closes, Program
from limrank_plugins.card import card_arguments, check_card, read_card
from limrank_plugins.data import Document, Query, Ranking, as_documents, as_query
from limrank_plugins.driver import Outcome
from limrank_plugins.errors import CapabilityError, InputError, RankingFailed
from limrank_plugins.prompts import Template, instructed, load_template
from limrank_plugins.readouts import Reasoning, Settings
from limrank_plugins.recipes import Recipe, load_recipe
from limrank_plugins.store import Store


class Reranker:
    """Ranks documents by what a model says about them. Safe to use from many threads.

    Args:
        recipe: a recipe's name (with options: `"insertrank:scale=rank"`), or a `Recipe`.
        model: folder or hub name; default: the recipe's checkpoint.
        backend: a backend, or the name of one; default: the recipe's.
        reasoning: `"full"` thinks before every verdict, `"none"` never; default: the recipe's.
        samples: thoughts per document, averaged; default 1. For recipes that order or choose: seeded
            permutations of every group, whose answers are put to the vote.
        seed: of the sampling; default 0.
        temperature: default 0 for one sample, 0.7 for several.
        top_p: nucleus of the sampling; default 0.95.
        max_reasoning_tokens: budget of a thought; then it is closed by force. Default: the recipe's.
        cut_to_sentence: a thought ended by the budget is cut back to its last sentence end.
        instruction: name of a benchmark's instruction, or a text that holds `{{ query }}`.
        on_failure: `"mark"` keeps a document that could not be judged at its input position, with
            its reason; `"raise"` raises `RankingFailed`.
        store: answers found in it are not asked again, new ones are put into it. Default: none.
        template: another prompt template for the recipe: a name, or the path of a `.toml` file.
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
        reasoning: Reasoning | None = None,
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
        **options: Any,
    ) -> None:
        self.recipe = load_recipe(recipe) if isinstance(recipe, str) else recipe
        self.settings = _settings(
            self.recipe,
            reasoning=reasoning,
            samples=samples,
            seed=seed,
            temperature=temperature,
            top_p=top_p,
            max_reasoning_tokens=(
                self.recipe.max_reasoning_tokens if max_reasoning_tokens is None else max_reasoning_tokens
            ),
            cut_to_sentence=cut_to_sentence,
            instruction=instruction,
        )
        if on_failure not in ("mark", "raise"):
            raise InputError(f"on_failure must be 'mark' or 'raise', but got {on_failure!r}")
        self.on_failure = on_failure
        self.store = store
        named = template if template is not None else self.recipe.template
        self.template: Template | None = load_template(named) if named is not None else None
        self._owns_backend = backend is None or isinstance(backend, str)
        self.backend = _backend(self.recipe, backend, model, options)
        self._check_backend()

    @classmethod
    def from_pretrained(cls, path_or_name: str, **overrides: Any) -> Reranker:
        """A reranker as the checkpoint's own card (`limrank.json`) describes it.

        The card may hold `recipe`, `reasoning`, `instruction`, `max_reasoning_tokens`, `labels` and
        `prompt_sha256`; the last two are compared with the recipe's template. `overrides` are
        arguments of `Reranker` and win over the card.

        Raises:
            InputError: no card, a card that is not valid, or one made for another prompt.
        """
        card = read_card(path_or_name)
        made = cls(model=path_or_name, **(card_arguments(card) | overrides))
        check_card(card, made.template, path_or_name)
        return made

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
        """Rank many queries in lockstep: every step puts all queries' questions in one batch."""
        prepared = self._prepare(jobs, top_n, threshold)
        found = driver.run(self._program(prepared), self.backend, self.store)
        return self._rankings(prepared, found, top_n, threshold)

    async def arank_many(
        self,
        jobs: Iterable[tuple[str | Query, Iterable[str | Document]]],
        *,
        top_n: int | None = None,
        threshold: float | None = None,
    ) -> list[Ranking]:
        """`rank_many` for async code."""
        prepared = self._prepare(jobs, top_n, threshold)
        found = await driver.arun(self._program(prepared), self.backend, self.store)
        return self._rankings(prepared, found, top_n, threshold)

    def close(self) -> None:
        """Release the model, if this reranker loaded it. May be called twice."""
        if self._owns_backend and isinstance(self.backend, Closes):
            self.backend.close()

    @property
    def identity(self) -> str:
        """What must be equal for two rankings of the same input to be equal."""
        s = self.settings
        prepare = self.recipe.prepare
        parts = [
            self.recipe.name,
            repr((self.recipe.readout, self.recipe.schedule)),
            # A plain function's repr holds its address, which no later process would have again.
            "" if prepare is None else getattr(prepare, "__qualname__", repr(prepare)),
            self.backend.identity,
            self.template.digest if self.template else "",
            repr(s),
        ]
        return "|".join(parts)

    # ---- inside ---------------------------------------------------------------------------------

    def _check_backend(self) -> None:
        for capability in self.recipe.readout.needs(self.settings):
            if not isinstance(self.backend, capability):
                having = [n for n in backend_names() if _has(backend_class(n), capability)]
                raise CapabilityError(
                    f"recipe {self.recipe.name!r} needs a backend that {_verb(capability)}, which "
                    f"{self.backend.name!r} cannot be asked; these can: {', '.join(having) or 'none'}"
                )
        if self.template is not None and self.template.labels and isinstance(self.backend, ChecksLabels):
            self.backend.check_labels(self.template.labels, self.template.close)
        instructed(Query("check"), self.settings.instruction)

    def _prepare(
        self,
        jobs: Iterable[tuple[str | Query, Iterable[str | Document]]],
        top_n: int | None,
        threshold: float | None,
    ) -> list[tuple[Query, list[Document]]]:
        check_cut(top_n, threshold)
        if threshold is not None and not self.recipe.comparable:
            raise InputError(
                f"threshold={threshold} has no meaning here: scores of recipe {self.recipe.name!r} are not "
                f"comparable between lists; use top_n, or a recipe with comparable scores such as 'limrank'"
            )
        return [(as_query(query), as_documents(documents)) for query, documents in jobs]

    def _program(self, prepared: Sequence[tuple[Query, list[Document]]]) -> Program[list[Outcome]]:
        return driver.together(
            [driver.judge(self.recipe, self.template, self.settings, q, ds) for q, ds in prepared]
        )

    def _rankings(
        self,
        prepared: Sequence[tuple[Query, list[Document]]],
        found: Sequence[Outcome],
        top_n: int | None,
        threshold: float | None,
    ) -> list[Ranking]:
        rankings = [
            to_ranking(self.recipe, query, documents, outcome, top_n, threshold)
            for (query, documents), outcome in zip(prepared, found, strict=True)
        ]
        if self.on_failure == "raise":
            for failure in (failure for ranking in rankings for failure in ranking.failures):
                raise RankingFailed(f"document {failure.id!r} could not be judged: {failure.reason}")
        return rankings


def _settings(recipe: Recipe, *, reasoning: Reasoning | None, **others: Any) -> Settings:
    if reasoning is not None and reasoning not in ("full", "none"):
        raise InputError(f"reasoning must be 'full' or 'none', but got {reasoning!r}")
    if reasoning == "full" and recipe.reasoning is None:
        raise InputError(f"recipe {recipe.name!r} has no reasoning to switch on; leave reasoning out")
    for name in ("samples", "max_reasoning_tokens"):
        value = others[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be a whole number > 0, but got {value!r}")
    if isinstance(others["seed"], bool) or not isinstance(others["seed"], int):
        raise InputError(f"seed must be a whole number, but got {others['seed']!r}")
    temperature = others["temperature"]
    if temperature is not None and not (math.isfinite(temperature) and temperature >= 0):
        raise InputError(f"temperature must be >= 0, but got {temperature!r}")
    if not 0 < others["top_p"] <= 1:
        raise InputError(f"top_p must be in (0, 1], but got {others['top_p']!r}")
    chosen = reasoning if reasoning is not None else recipe.reasoning
    # Of a group, several samples are several permutations, which differ without any drawing.
    if others["samples"] > 1 and recipe.oracle == "score":
        if chosen != "full":
            raise InputError(
                f"samples={others['samples']} needs reasoning='full': a forward pass has one outcome"
            )
        if temperature == 0:
            raise InputError(
                "samples > 1 at temperature 0 would be the same thought again: give a temperature > 0"
            )
    return Settings(reasoning=chosen if chosen is not None else "none", **others)


def _backend(
    recipe: Recipe, backend: str | Backend | None, model: str | None, options: dict[str, Any]
) -> Backend:
    if backend is not None and not isinstance(backend, str):
        given = [*(["model"] if model is not None else []), *options]
        if given:
            raise InputError(f"{', '.join(given)}: give them to the backend itself, which is already made")
        return backend
    kind = backend_class(backend if backend is not None else recipe.backend)
    try:
        made: Backend = kind(model if model is not None else recipe.model, **options)
    except TypeError as error:
        # Only the call itself: a TypeError from further down is a bug and stays one.
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        raise InputError(f"backend {kind.name!r} has no such option: {error}") from error
    return made


def _verb(capability: type[Any]) -> str:
    return (capability.__doc__ or capability.__name__).split(".")[0].lower()


def _has(kind: type[Any], capability: type[Any]) -> bool:
    methods = [name for name in vars(capability) if not name.startswith("_")]
    return all(hasattr(kind, name) for name in methods)
