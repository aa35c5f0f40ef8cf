"""`Rewriter`: a query becomes the query that is searched with, by what a model writes about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from limrank_pipelines.rewrite_methods import (
    METHODS,
    Method,
    UnusableCompletion,
    harmless,
    rewrite_method,
)
from limrank_pipelines.templates import template_of
from limrank_plugins.backends.protocols import Backend, Failed, Program
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Query, Usage, as_query
from limrank_plugins.prompts import instructed
from limrank_plugins.readouts.lockstep import forgetting, together
from limrank_plugins.store import Store
from limrank_plugins.writer import Writer


def rewriter_names() -> list[str]:
    """The rewriters that come with the package."""
    return list(METHODS)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A query before and after.

    Search with `query`; rerank and answer with `original`, which is what somebody wanted to know.

    Attributes:
        original: the query as it came.
        query: the one to search with: the same id, instruction and images; the original itself
            where no text could be used.
        passages: what was written and is used, a text for each sample. For vectors, HyDE searches
            with the mean of the original's and the passages' (arXiv 2212.10496, section 3.2).
        failure: why the original stands, or None.
        repairs: texts that could not be used, beside others that could.
        usage: what it cost.
    """

    original: Query
    query: Query
    passages: tuple[str, ...] = ()
    failure: str | None = None
    repairs: int = 0
    usage: Usage = Usage()


class Rewriter(Writer):
    """Rewrites queries for the first stage. Safe to use from many threads.

    `reasoning` searches with the model's reasoning about what would help (BRIGHT), `hyde` with
    passages that could be the answer (HyDE), `keywords` with words that passages may have instead.
    A text that cannot be used (none, a refusal, reasoning without an end, no list of terms) is
    left out and counted; where there is none left, the query stays as it is and says why.

    Args:
        method: `"reasoning"`, `"hyde"` or `"keywords"`.
        model: folder, hub name or GGUF file of an instruction-tuned model.
        backend: a backend that writes, or the name of one; default `"transformers"`.
        samples: texts per query, all of which are searched with; default 1, for `hyde` 8.
        repeat: how often the original stands before them: 0 leaves it out (default of `reasoning`),
            default otherwise 1; query2doc repeats it 5 times before a long passage, so that BM25 does
            not forget it.
        seed: of the sampling; default 0.
        temperature: default 0 for one sample, 0.7 for several.
        top_p: nucleus of the sampling; default 1.
        max_tokens: the budget of a text, reasoning before it included; default 1,024 for
            `reasoning`, 512 for `hyde`, 256 for `keywords`. Give models that reason much more.
        template: the path of a `.toml` file with another template (`limrank_plugins.prompts`).
        store: completions found in it are not asked for again, new ones are put into it. Default: none.
        options: passed to the backend's constructor where the backend is given by name.

    Raises:
        InputError: a value that cannot be used.
        CapabilityError: the backend cannot write.
        MissingExtra: an optional dependency is not installed.
    """

    def __init__(
        self,
        method: str = "reasoning",
        model: str | None = None,
        backend: str | Backend = "transformers",
        *,
        samples: int | None = None,
        repeat: int | None = None,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float = 1.0,
        max_tokens: int | None = None,
        template: str | None = None,
        store: Store | None = None,
        **options: Any,
    ) -> None:
        self.method: Method = rewrite_method(method)
        self.repeat = whole_number("repeat", self.method.repeat if repeat is None else repeat, least=0)
        super().__init__(
            template_of(method, template),
            model,
            backend,
            purpose="a rewriter",
            max_tokens=self.method.max_tokens if max_tokens is None else max_tokens,
            samples=self.method.samples if samples is None else samples,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            store=store,
            options=options,
        )

    def __call__(self, query: str | Query) -> Query:
        """The query to search with."""
        return self.rewrite(query).query

    def rewrite(self, query: str | Query) -> Rewrite:
        """Rewrite one query.

        Raises:
            InputError: the query is empty.
        """
        return self.rewrite_many([query])[0]

    async def arewrite(self, query: str | Query) -> Rewrite:
        """`rewrite` for async code: nothing blocks the event loop."""
        return (await self.arewrite_many([query]))[0]

    def rewrite_many(self, queries: Iterable[str | Query]) -> list[Rewrite]:
        """Rewrite many queries in one batch, in their order."""
        return self.run(self._program([as_query(query) for query in queries]))

    async def arewrite_many(self, queries: Iterable[str | Query]) -> list[Rewrite]:
        """`rewrite_many` for async code."""
        return await self.arun(self._program([as_query(query) for query in queries]))

    @property
    def identity(self) -> str:
        """What must be equal for two rewritings of the same query to be equal."""
        sampling = (self.samples, self.seed, self.temperature, self.top_p, self.max_tokens)
        return repr((self.method.name, self.template.digest, self.repeat, sampling, self.backend.identity))

    # ---- inside ---------------------------------------------------------------------------------

    def _program(self, queries: list[Query]) -> Program[list[Rewrite]]:
        return together([forgetting(self._rewrite(query), _is_unwritten) for query in queries])

    def _rewrite(self, query: Query) -> Program[Rewrite]:
        prompt = self.template.render(instructed(query, None), [], query_images=query.images)
        replies = yield [self.request(prompt, sample) for sample in range(self.samples)]
        usage, passages, problems = Usage(), [], []
        for reply in map(self.usable, replies):
            usage = usage + reply.usage
            try:
                if isinstance(reply, Failed):
                    raise UnusableCompletion(reply.reason)
                passages.append(self.method.read(reply.text, reply.finish == "length"))
            except UnusableCompletion as problem:
                problems.append(str(problem))
        if not passages:
            return Rewrite(query, query, failure=problems[0], usage=usage)
        # Once more together: the end of one and the beginning of the next must not make a marker.
        text = " ".join([*[query.text] * self.repeat, harmless(" ".join(passages))])
        return Rewrite(query, replace(query, text=text), tuple(passages), None, len(problems), usage)


def _is_unwritten(rewrite: Rewrite) -> bool:
    return rewrite.failure is not None
