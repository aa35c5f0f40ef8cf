"""What goes into a reranker and what comes out: queries, documents, hits, rankings, usage.

All of it is immutable. A caller's objects are never changed; a ranking points back at them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Literal, NamedTuple, overload

from limrank_plugins.checks import is_finite, plain_text
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.wording import shortened

ScoreKind = Literal[
    "probability",
    "similarity",
    "grade",
    "logit",
    "likelihood",
    "attention",
    "prior",
    "relevance",
    "fused",
    "rank",
]
"""What a score is: P(relevant), a similarity (of vectors or of terms), an expected grade, a raw logit, the
mean log-likelihood of the query, attention paid to the document, the first stage's own score, whatever a
service calls relevance, several scores made one, or derived from the rank."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for.

    Attributes:
        text: the query as the user wrote it; not blank.
        id: its identifier in queries, runs and qrels; empty where there is none.
        instruction: what else makes a document relevant (FollowIR); appended after the text
            with a space, unless it is the text itself, as Rank1 does.
        images: shown before the text, to models that can see.
    """

    text: str
    id: str = ""
    instruction: str = ""
    images: tuple[Image, ...] = ()

    def __post_init__(self) -> None:
        for name in ("text", "id", "instruction"):
            plain_text(f"Query.{name}", getattr(self, name))
        if not self.text.strip():
            raise InputError(f"the query is empty: got {self.text!r}; give at least one word")
        object.__setattr__(self, "images", _images(self.images, "Query.images"))


@dataclass(frozen=True, slots=True)
class Document:
    """One candidate passage.

    Attributes:
        text: the passage. It may be empty (the model then judges an empty passage).
        id: its identifier. Documents without one are called by their input position, "0", "1", …
        title: read before the text, joined by a space, as mteb and Rank1 do.
        prior: the first stage's score, higher is better, or None where there was no first stage.
        meta: anything of the caller's; handed back untouched, never read.
        images: shown before the text, to models that can see; any other model refuses the document.
        captioned: its text says what its images show: a model that cannot see judges it by the text rather
            than refuse it, and so does a recipe that is not made for images where nobody knows whether
            the model sees.
        unreadable: why it cannot be judged, where that is known beforehand (an image that is damaged): it
            fails with this reason, and no model is asked about it.
        body: where the passage itself begins and ends in `text`, if other text (metadata) stands around it,
            in characters: a long document is split there, and what is around stands with every piece.
    """

    text: str
    id: str | None = None
    title: str = ""
    prior: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    images: tuple[Image, ...] = ()
    captioned: bool = False
    unreadable: str = ""
    body: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        plain_text("Document.text", self.text)
        plain_text("Document.title", self.title)
        if self.id is not None:
            plain_text("Document.id", self.id)
        if self.prior is not None and not is_finite(self.prior):
            raise InputError(
                f"the prior of document {self.id!r} is {shortened(repr(self.prior))}: give a finite number, "
                f"or None for none"
            )
        if self.body is not None and not 0 <= self.body[0] <= self.body[1] <= len(self.text):
            raise InputError(f"Document.body must lie in 0 to {len(self.text)}, but is {self.body}")
        object.__setattr__(self, "images", _images(self.images, "Document.images"))

    @property
    def passage(self) -> str:
        """What a model reads: title and text, joined by a space."""
        return f"{self.title} {self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Usage:
    """What a ranking cost. Adds up with `+`.

    Attributes:
        prompt_tokens: tokens of every prompt, as if each had been computed on its own.
        shared_tokens: those of `prompt_tokens` that were not computed again: another document of the same
            query had them computed already, or a server says that it had them in its cache.
        generated_tokens: tokens written by the model.
        calls: requests to the model.
        cached: requests answered without asking: from the store, or as a repetition within the list.
        seconds: model time, a batch's wall time shared out equally over its requests.
        cost: dollars of those calls whose price is known.
        priced: how many calls that are; see `known_cost`.
        searches: search units that a reranking service charged.
        uncertain: tries without a usable reply that a server may have charged for all the same.
        neutralised: markers such as `</think>` in queries and passages that were made ordinary text, each
            time a model read them.
    """

    prompt_tokens: int = 0
    shared_tokens: int = 0
    generated_tokens: int = 0
    calls: int = 0
    cached: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    uncertain: int = 0
    neutralised: int = 0
    searches: float = 0.0
    priced: int = 0

    @property
    def known_cost(self) -> float | None:
        """Dollars; None where the price of a call is not known. Replies from the store cost nothing."""
        return self.cost if self.priced >= self.calls else None

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.shared_tokens + other.shared_tokens,
            self.generated_tokens + other.generated_tokens,
            self.calls + other.calls,
            self.cached + other.cached,
            self.seconds + other.seconds,
            self.cost + other.cost,
            self.uncertain + other.uncertain,
            self.neutralised + other.neutralised,
            self.searches + other.searches,
            self.priced + other.priced,
        )

    @classmethod
    def total(cls, usages: Iterable[Usage]) -> Usage:
        """All of them added up, by field: much faster than one `+` after another."""
        return cls(*map(sum, zip(*map(_USAGE_FIELDS, usages), strict=True)))


_USAGE_FIELDS = attrgetter(*(each.name for each in fields(Usage)))


@dataclass(frozen=True, slots=True)
class Piece:
    """The piece of a long document that decided its score (`chunks=`, or a window that `mini` read).

    Attributes:
        text: what the model read of the document's text.
        start: where it begins in `Document.text`, in characters.
        end: where it ends.
        of: how many pieces the document was split into.
    """

    text: str
    start: int
    end: int
    of: int

    def counted_from(self, place: int) -> Piece:
        """The same piece, in the places of a text that begins there in `Document.text`."""
        return replace(self, start=self.start - place, end=self.end - place)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a recipe says about one document, before anything is sorted.

    Attributes:
        score: higher is better; None where the document could not be judged.
        tie: breaks equal scores before the first stage does (for reasoning scores, which
            saturate: the unreasoned probability), or None where it is not known.
        explanation: the model's reasoning, or None.
        failure: why there is no score, or None.
        cut_tokens: tokens of the document that did not fit and were not read; words, where the recipe's
            passage limit is one of words.
        query_cut_tokens: tokens of the query that were not read, where an encoder cuts it.
        repairs: malformed or unusable replies that were repaired or left out on the way.
        usage: what the verdict cost.
        piece: of a document that was judged by its pieces, the one that decided.
    """

    score: float | None
    tie: float | None = None
    explanation: str | None = None
    failure: str | None = None
    cut_tokens: int = 0
    repairs: int = 0
    usage: Usage = Usage()
    query_cut_tokens: int = 0
    piece: Piece | None = None

    def with_cost_of(self, other: Verdict) -> Verdict:
        """This verdict, with what another one on the same document cost added to its own cost."""
        return replace(
            self,
            cut_tokens=max(self.cut_tokens, other.cut_tokens),
            query_cut_tokens=max(self.query_cut_tokens, other.query_cut_tokens),
            repairs=self.repairs + other.repairs,
            usage=self.usage + other.usage,
        )


class Failure(NamedTuple):
    """A document that could not be judged, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One document of a ranking.

    Attributes:
        id: the document's identifier (its input position where it had none).
        document: the document as it was passed in.
        index: its position in the input, from 0.
        rank: its position in the ranking, from 1.
        score: see `Ranking.score_kind`; None for a failed document and for methods without scores.
        explanation: the model's reasoning, where the recipe reasons.
        failure: why the document was not judged, or None.
        cut_tokens: tokens of the document the model did not read because they did not fit, or were over
            the recipe's passage limit; words, where that is one of words.
        piece: of a document that was too long and judged by its pieces, the one that decided; its
            `explanation` is this one's, too.
    """

    id: str
    document: Document
    index: int
    rank: int
    score: float | None
    explanation: str | None = None
    failure: str | None = None
    cut_tokens: int = 0
    piece: Piece | None = None


@dataclass(frozen=True, slots=True)
class Ranking(Sequence[Hit]):
    """The documents of one query, best first. A sequence of `Hit`.

    Attributes:
        query: what was searched for.
        hits: the ranked documents. Failed ones stand at their input position, marked.
        recipe: the name of the recipe that made it.
        score_kind: what `Hit.score` is.
        comparable: whether a score means the same in the ranking of another query.
        usage: what it cost.
        failures: every document that could not be judged, also those cut off by `top_n`.
        repairs: replies that were malformed and repaired, see the recipe's documentation.
        query_cut_tokens: tokens of the query that the model did not read because they did not fit.
    """

    query: Query
    hits: tuple[Hit, ...]
    recipe: str
    score_kind: ScoreKind
    comparable: bool
    usage: Usage = Usage()
    failures: tuple[Failure, ...] = ()
    repairs: int = 0
    query_cut_tokens: int = 0

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    @property
    def cost(self) -> float | None:
        """Dollars that the ranking cost.

        None where the price of a call is not known, as for a model on this machine; never 0 for that. 0.0:
        nothing was asked, or all replies were in the store. Tries that brought no answer are not in it:
        see `Usage.uncertain`.
        """
        return self.usage.known_cost

    @property
    def ids(self) -> list[str]:
        """The identifiers, best first."""
        return [hit.id for hit in self.hits]

    def run_scores(self) -> list[float]:
        """Strictly decreasing scores for formats that demand a number (TREC, `/rerank`).

        They are the rank counted backwards (the last hit has 1.0), whatever the recipe: trec_eval
        breaks ties by document id, so scores that saturate would be reordered. The model's own
        scores stay in `Hit.score`.
        """
        return [float(len(self.hits) - position) for position in range(len(self.hits))]


def as_query(query: str | Query) -> Query:
    """Accept a plain string wherever a query is wanted."""
    return query if isinstance(query, Query) else Query(plain_text("query", query))


def as_documents(documents: Iterable[str | Document]) -> list[Document]:
    """Accept plain strings among documents and give everything without an id its position as id.

    Raises:
        InputError: an item is neither `str` nor `Document`, or identifiers repeat (they are named).
    """
    named = list(named_documents(documents))
    check_unique([document.id or "" for document in named], "document id")
    return named


def named_documents(documents: Iterable[str | Document]) -> Iterator[Document]:
    """As `as_documents`, one by one and without a look at whether identifiers repeat."""
    if isinstance(documents, str | Document):
        raise InputError(f"documents must be a list, but got one {type(documents).__name__}: wrap it in [ ]")
    for position, item in enumerate(documents):
        if isinstance(item, str):
            item = Document(item)
        elif not isinstance(item, Document):
            raise InputError(f"document {position} must be str or Document, but got {type(item).__name__}")
        yield item if item.id is not None else replace(item, id=str(position))


def check_unique(ids: Sequence[str], what: str) -> None:
    """Raise an `InputError` naming the repeated identifiers, if any."""
    repeated = [identifier for identifier, count in Counter(ids).items() if count > 1]
    if repeated:
        shown = ", ".join(repr(identifier) for identifier in repeated[:5])
        more = f" and {len(repeated) - 5} more" if len(repeated) > 5 else ""
        raise InputError(f"every {what} must be unique, but these repeat: {shown}{more}")


def _images(value: Iterable[Image], name: str) -> tuple[Image, ...]:
    images = tuple(value)
    strangers = [type(item).__name__ for item in images if not isinstance(item, Image)]
    if strangers:
        raise InputError(
            f"{name} must hold Image objects, but got {strangers[0]}: Image.open(path) makes one"
        )
    return images
