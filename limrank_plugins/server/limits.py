"""How much the server takes on, in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields

from limrank_plugins.checks import finite_number, whole_number


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may hold, how many are accepted at a time, and how long one may take.

    A request that holds more is answered 413, one too many 429, one that takes longer 503. At most
    `queue` × `body` bytes of requests are held at a time.

    Attributes:
        body: bytes of a request's body.
        documents: documents of a request.
        document_characters: characters of one document.
        query_characters: characters of the query.
        characters: characters of all documents of a request together.
        queue: requests accepted at a time: those that are read, those that wait and those that are ranked.
        seconds: how long a request may wait and be ranked; and how long its answer may wait to be read, where
            `limrank serve` sends it.
        body_seconds: how long a body may take to arrive; then 408.
        batch_seconds: how long the first request waits for others to be ranked with.
        batch_characters: no request is added to a batch that holds as many characters, each document
            counted with its query.

    Raises:
        InputError: a value that is no whole number > 0 or, for seconds, no number > 0.
    """

    body: int = 8 << 20
    documents: int = 1_000
    document_characters: int = 200_000
    query_characters: int = 32_000
    characters: int = 4_000_000
    queue: int = 64
    seconds: float = 600.0
    body_seconds: float = 30.0
    batch_seconds: float = 0.005
    batch_characters: int = 400_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "batch_seconds":
                finite_number(f"Limits.{field.name}", value, least=0)
            elif field.name.endswith("seconds"):
                finite_number(f"Limits.{field.name}", value, above=0)
            else:
                whole_number(f"Limits.{field.name}", value, least=1)
