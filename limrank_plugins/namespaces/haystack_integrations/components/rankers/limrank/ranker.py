"""`LimRankRanker`: a reasoning reranker as a Haystack component."""

import inspect
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.utils import ComponentDevice, Secret
from haystack_integrations.components.rankers.limrank._backend import API_KEY, HUB_TOKEN, check_model_kwargs
from haystack_integrations.components.rankers.limrank._core import RankerCore, checked_top_k
from haystack_integrations.components.rankers.limrank._keys import serialised


@component
class LimRankRanker(RankerCore):
    """Ranks documents by P(relevant) as a language model judges it, with or without thinking first.

    The score is in [0, 1] and means the same for every query, so `score_threshold` can be used; where
    another `recipe` gives scores without that property, a threshold is a `ValueError`. The retriever's
    score breaks ties. Duplicates (one id) are asked about once: the one with the highest score stays.

    A document that could not be judged keeps its input position, with `score=None`; why is in
    `meta["failures"]`. The same holds for all of them if the model fails as a whole, or if the query is
    blank: then the first `top_k` documents come back in their input order. `raise_on_failure=True`
    raises instead. Arguments that cannot be used and missing packages are always raised.

    Example:
        ```python
        from haystack import Document
        from haystack_integrations.components.rankers.limrank import LimRankRanker

        ranker = LimRankRanker(recipe="mini", top_k=1)
        documents = [Document(content="Bread rises."), Document(content="Acid curdles milk.")]
        ranker.run(query="why does milk go lumpy in tea", documents=documents)["documents"]
        ```
    """

    def __init__(
        self,
        *,
        recipe: str = "limrank",
        model: str | None = None,
        backend: str | None = None,
        device: ComponentDevice | None = None,
        token: Secret | None = HUB_TOKEN,
        api_key: Secret | None = API_KEY,
        api_base_url: str | None = None,
        top_k: int = 10,
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        reasoning: str | None = None,
        budget: str | None = None,
        samples: int = 1,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float = 0.95,
        max_reasoning_tokens: int | None = None,
        cut_to_sentence: bool = True,
        instruction: str | None = None,
        template: str | None = None,
        explanation_meta_field: str | None = None,
        cache_path: str | None = None,
        model_kwargs: dict[str, Any] | None = None,
        raise_on_failure: bool = False,
    ) -> None:
        """Nothing is loaded here; `warm_up` does that, and `run` calls it where needed.

        Args:
            recipe: the ranking method; `limrank recipes` lists them.
            model: folder or hub name of the weights, or the served model's name; default: the recipe's.
            backend: how the model is run (`"transformers"`, `"openai"`, …); default: the recipe's.
            device: where a local model runs; default: the backend chooses.
            token: for gated weights on the Hugging Face hub.
            api_key: for served models.
            api_base_url: where the model is served.
            top_k: how many documents to return.
            score_threshold: only documents with at least this score, and those that could not be judged.
            meta_fields_to_embed: meta values that are read before the content.
            embedding_separator: between those values and the content.
            reasoning: `"full"` thinks before every verdict, `"none"` never, `"auto"` where it can change the
                top of the list; default: the recipe's.
            budget: for `reasoning="auto"` and recipe `cascade`, as in `"20 documents, 5 seconds"`.
            samples: thoughts per document, whose scores are averaged.
            seed: of the sampling.
            temperature: default 0 for one sample, 0.7 for several.
            top_p: nucleus of the sampling.
            max_reasoning_tokens: budget of a thought, which is then closed by force; None: the recipe's.
            cut_to_sentence: a thought ended by the budget loses its unfinished sentence.
            instruction: name of a benchmark's instruction, or a text that holds `{{ query }}`.
            template: another prompt template: a name, or the path of a `.toml` file.
            explanation_meta_field: write the model's reasoning into this field of the documents' meta.
                Default: it is only in the output `meta`, so that no later prompt shows it unasked.
            cache_path: SQLite file of answers that need not be asked again; processes may share it.
            model_kwargs: more arguments of the backend (`dtype`, `adapter`, `revision`, …), JSON-able.
            raise_on_failure: raise where a document could not be judged, instead of keeping its place.

        Raises:
            ValueError: a value that cannot be used; the message names it.
        """
        RankerCore.__init__(self, recipe)  # not super(): @component makes a new class, which breaks its cell
        self.recipe = recipe
        self.model = model
        self.backend = backend
        self.device = device
        self.token = token
        self.api_key = api_key
        self.api_base_url = api_base_url
        self.top_k = checked_top_k(top_k)
        self.score_threshold = self.checked_threshold(score_threshold)
        self.meta_fields_to_embed = meta_fields_to_embed
        self.embedding_separator = embedding_separator
        self.reasoning = reasoning
        self.budget = budget
        self.samples = samples
        self.seed = seed
        self.temperature = temperature
        self.top_p = top_p
        self.max_reasoning_tokens = max_reasoning_tokens
        self.cut_to_sentence = cut_to_sentence
        self.instruction = instruction
        self.template = template
        self.explanation_meta_field = explanation_meta_field
        self.cache_path = cache_path
        self.model_kwargs = model_kwargs
        self.raise_on_failure = raise_on_failure
        check_model_kwargs(model_kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary.

        Raises:
            ValueError: a secret made with `Secret.from_token`, which must not be written down.
        """
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        return default_to_dict(self, **{name: serialised(name, getattr(self, name)) for name in names})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "LimRankRanker":
        """The component that `to_dict` described."""
        # A copy, because Haystack 2.x puts the restored secrets into the dictionary it is given.
        return default_from_dict(cls, data | {"init_parameters": dict(data.get("init_parameters", {}))})

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """Rank documents. `score_threshold` filters, then `top_k` cuts.

        Args:
            query: what is searched for.
            documents: the candidates, in the retriever's order; they are not changed.
            top_k: how many to return; default: as initialised.
            score_threshold: the least score; default: as initialised.

        Returns:
            `documents`: new documents, best first, with `score` set (None: could not be judged).
            `meta`: `recipe`, `model`, `score_kind`, `usage` (tokens, calls, seconds), `failures` (a list of
            `id` and `reason`), `repairs`, and, by document id, `explanations`, `retrieval_scores` and
            `cut_tokens` (of documents that did not fit).

        Raises:
            ValueError: a value that cannot be used.
            RuntimeError: with `raise_on_failure`, a document could not be judged.
        """
        job = self._job(query, documents, top_k, score_threshold)
        settled = self._settled(job)
        if settled is not None:
            return settled
        reranker = self._loaded()
        try:
            ranking = reranker.rank(
                job.query, self._candidates(job), top_n=job.top_k, threshold=job.threshold
            )
        except Exception as error:  # noqa: BLE001 - the failure policy decides
            problem = error
        else:
            return self._judged(job, ranking)
        return self._failed(job, problem)

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """`run` for async pipelines: nothing blocks the event loop, served models are asked natively."""
        job = self._job(query, documents, top_k, score_threshold)
        settled = self._settled(job)
        if settled is not None:
            return settled
        reranker = await self._loaded_async()
        try:
            ranking = await reranker.arank(
                job.query, self._candidates(job), top_n=job.top_k, threshold=job.threshold
            )
        except Exception as error:  # noqa: BLE001 - the failure policy decides
            problem = error
        else:
            return self._judged(job, ranking)
        return self._failed(job, problem)
