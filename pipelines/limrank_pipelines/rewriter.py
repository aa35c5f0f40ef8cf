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
    wording,
)
from limrank_pipelines.writing import drawn_at, nucleus, whole, writing_backend
from limrank_plugins import driver
from limrank_plugins.backends.protocols import (
    Backend,
    Closes,
    Failed,
    Generate,
    Generated,
    Program,
    Reply,
    Request,
)
from limrank_plugins.data import Query, Usage, as_query
from limrank_plugins.prompts import instructed
from limrank_plugins.store import Store


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


class Rewriter:
    """Rewrites queries for the first stage. Safe to use from many threads.

    `reasoning` searches with the model's thoughts about what would help (BRIGHT), `hyde` with
    passages that could be the answer (HyDE), `keywords` with words that passages may have instead.
    A text that cannot be used (none, a refusal, a thought without an end, no list of terms) is
    left out and counted; where there is none left, the query stays as it is and says why.

    Args:
        method: `"reasoning"`, `"hyde"` or `"keywords"`.
        model: folder or hub name of an instruction-tuned model.
        backend: a backend that writes, or the name of one; default `"transformers"`.
        samples: texts per query, all of which are searched with; default 1, for `hyde` 8.
        repeat: how often the original stands before them: 0 leaves it out (default of `reasoning`),
            default otherwise 1; query2doc repeats it 5 times before a long passage, so that BM25 does
            not forget it.
        seed: of the sampling; default 0.
        temperature: default 0 for one sample, 0.7 for several.
        top_p: nucleus of the sampling; default 1.
        max_tokens: the budget of a text, a thought before it included; default 1,024 for
            `reasoning`, 512 for `hyde`, 256 for `keywords`. Give models that think much more.
        template: the path of a `.toml` file with another wording (`limrank_plugins.prompts`).
        store: texts found in it are not written again, new ones are put into it. Default: none.
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
        self.template = wording(self.method, template)
        self.samples = whole("samples", samples, self.method.samples, least=1)
        self.repeat = whole("repeat", repeat, self.method.repeat, least=0)
        self.max_tokens = whole("max_tokens", max_tokens, self.method.max_tokens, least=1)
        self.seed = whole("seed", seed, 0, least=None)
        self.temperature = drawn_at(temperature, self.samples)
        self.top_p = nucleus(top_p)
        self.store = store
        self._owns_backend = isinstance(backend, str)
        self.backend = writing_backend("a rewriter", backend, model, options)

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
        asked = [as_query(query) for query in queries]
        return driver.run(driver.on(self.backend, self._program(asked)), self.store)

    async def arewrite_many(self, queries: Iterable[str | Query]) -> list[Rewrite]:
        """`rewrite_many` for async code."""
        asked = [as_query(query) for query in queries]
        return await driver.arun(driver.on(self.backend, self._program(asked)), self.store)

    def close(self) -> None:
        """Release the model, if this rewriter loaded it. May be called twice."""
        if self._owns_backend and isinstance(self.backend, Closes):
            self.backend.close()

    @property
    def identity(self) -> str:
        """What must be equal for two rewritings of the same query to be equal."""
        drawn = (self.samples, self.seed, self.temperature, self.top_p, self.max_tokens)
        return repr((self.method.name, self.template.digest, self.repeat, drawn, self.backend.identity))

    # ---- inside ---------------------------------------------------------------------------------

    def _program(self, queries: list[Query]) -> Program[list[Rewrite]]:
        if not queries:
            return []
        replies = yield [request for query in queries for request in self._requests(query)]
        return [
            self._rewritten(query, replies[i * self.samples : (i + 1) * self.samples])
            for i, query in enumerate(queries)
        ]

    def _requests(self, query: Query) -> list[Request]:
        prompt = self.template.render(instructed(query, None), [], query_images=query.images)
        return [
            Generate(
                prompt,
                stop=self.template.stop,
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                seed=self.seed,
                sample=sample,
            )
            for sample in range(self.samples)
        ]

    def _rewritten(self, query: Query, replies: list[Reply]) -> Rewrite:
        usage, passages, problems = Usage(), [], []
        for reply in replies:
            usage = usage + reply.usage
            try:
                passages.append(self._read(reply))
            except UnusableCompletion as problem:
                problems.append(str(problem))
        if not passages:
            return Rewrite(query, query, failure=problems[0], usage=usage)
        # Once more together: the end of one and the beginning of the next must not make a marker.
        text = " ".join([*[query.text] * self.repeat, harmless(" ".join(passages))])
        return Rewrite(query, replace(query, text=text), tuple(passages), None, len(problems), usage)

    def _read(self, reply: Reply) -> str:
        if isinstance(reply, Failed):
            raise UnusableCompletion(reply.reason)
        if not isinstance(reply, Generated):
            raise TypeError(f"a backend answered a writing question with {type(reply).__name__}")
        return self.method.read(reply.text, reply.finish == "length")
