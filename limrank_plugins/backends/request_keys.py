"""What a reply is stored under: the SHA-256 of a JSON list that says which model was asked what.

Stores are full of such keys: what was a request's key in one version must be so in the next.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

from limrank_plugins.backends.protocols import (
    Attend,
    Classify,
    Encode,
    Generate,
    Likelihood,
    ReadLabels,
    Request,
    ScorePair,
)
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt, Segment

_FORMAT = 1
"""Of packed replies; a change of it makes older stored answers unknown rather than misread."""
_encoded = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def request_key(identity: str, request: Request) -> bytes:
    """32 bytes that are equal for equal questions to interchangeable models, and only for those."""
    return RequestKeys(identity)(request)


class RequestKeys:
    """`request_key` for requests that are put to one model together: what they share is encoded once.

    The requests must be kept as long as this is used, as it knows their segments by their place in memory.

    Args:
        identity: the backend's.
    """

    def __init__(self, identity: str) -> None:
        self._start = f"[{_FORMAT},{_encoded(identity)}"
        self._segments: dict[int, str] = {}

    def __call__(self, request: Request) -> bytes:
        """The key of one of them."""
        text = f'{self._start},"{request.method}",{self._parts(request)}]'
        return hashlib.sha256(text.encode("ascii")).digest()

    def _parts(self, request: Request) -> str:
        """The items of the list that say what is asked."""
        if isinstance(request, ReadLabels):
            return f"{self._prompt(request.prompt)},{_labels(request.labels)}"
        if isinstance(request, Generate):
            r = request
            how = _generation(r.labels, r.stop, r.max_tokens, r.temperature, r.top_p, r.seed, r.sample)
            return f"{self._prompt(r.prompt)},{how}"
        if isinstance(request, Likelihood):
            ends = ["ends"] if request.ends else []
            return f"{self._prompt(request.prompt)},{_listed(request.continuation, *ends)}"
        if isinstance(request, Attend):
            return f"[{','.join(map(self._prompt, request.prompts))}]"
        return _listed(*_plain(request))

    def _prompt(self, prompt: Prompt) -> str:
        known = self._segments
        encoded = []
        for segment in prompt.segments:
            text = known.get(id(segment))
            if text is None:
                text = known[id(segment)] = _segment(segment)
            encoded.append(text)
        return f"[{','.join(encoded)}]"


def _plain(request: Request) -> list[Any]:
    """What is asked without a prompt."""
    if isinstance(request, Encode):
        images = [[_image(image) for image in request.images]] if request.images else []
        windows = [{"windows": request.windows, "heading": request.heading}] if request.windows > 1 else []
        return [request.role, request.text, *images, *windows]
    if isinstance(request, ScorePair):
        return [request.query, request.passage]
    if isinstance(request, Classify):
        return [request.text, request.labels]
    raise TypeError("what is to be forgotten has no key of its own, but its request's")


def _image(image: Image) -> str:
    return hashlib.sha256(image.data).hexdigest()


def _listed(*values: Any) -> str:
    """Values as the items of a JSON list, without its brackets."""
    return _encoded(values)[1:-1]


def _segment(segment: Segment) -> str:
    image = None if segment.image is None else _image(segment.image)
    how = _segment_kind(segment.trusted, segment.cuttable, segment.role, image, segment.most)
    return f"[{_encoded(segment.text)},{how}]"


# Below, few values are different, and each is of as many requests as there are documents. `typed`, as 1,
# 1.0 and True are equal, and different in JSON.


@lru_cache(maxsize=256, typed=True)
def _segment_kind(trusted: bool, cuttable: bool, role: str, image: str | None, most: int | None) -> str:
    return _listed(trusted, cuttable, role, *[value for value in (image, most) if value is not None])


@lru_cache(maxsize=256)
def _labels(labels: tuple[str, ...]) -> str:
    return _listed(labels)


@lru_cache(maxsize=256, typed=True)
def _generation(
    labels: tuple[str, ...],
    stop: tuple[str, ...],
    max_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    sample: int,
) -> str:
    drawn: list[float] | None = [sample] if sample else None
    if temperature > 0:
        drawn = [top_p, seed, sample]
    return _listed(labels, stop, max_tokens, temperature, drawn)
