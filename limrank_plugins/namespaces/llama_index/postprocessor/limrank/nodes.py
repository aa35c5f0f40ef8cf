"""Nodes in and out: their texts, images and metadata. Nothing here changes its arguments."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from llama_index.core.schema import BaseNode, ImageNode, MetadataMode, Node, NodeWithScore

from limrank_plugins.data import Document, Hit
from limrank_plugins.errors import InputError
from limrank_plugins.hit_metadata import KEYS, hit_metadata
from limrank_plugins.images import Image


def candidates(nodes: Sequence[NodeWithScore], metadata_mode: MetadataMode) -> list[Document]:
    """The nodes as the reranker takes them; the retriever's score becomes the prior.

    Raises:
        InputError: a score that is not finite.
    """
    # Node ids may repeat (one node found twice): what comes back is matched by position.
    unique = len({node.node.node_id for node in nodes}) == len(nodes)
    documents = []
    for position, node in enumerate(nodes):
        identifier = node.node.node_id
        if node.score is not None and not math.isfinite(node.score):
            raise InputError(
                f"the retrieval score of node {identifier!r} is {node.score}: "
                "it must be a finite number, or None for none"
            )
        images: tuple[Image, ...] = ()
        unreadable = ""
        try:
            images = images_of(node.node)
        except InputError as error:
            unreadable = str(error)
        text = node.node.get_content(metadata_mode=metadata_mode)
        documents.append(
            Document(
                text=text,
                id=identifier if unique else f"{position}:{identifier}",
                prior=node.score,
                images=images,
                captioned=has_text(node.node),
                unreadable=unreadable,
                body=body_of(node.node, text),
            )
        )
    return documents


def reranked(
    candidate: NodeWithScore,
    hit: Hit,
    secrets: Sequence[str],
    *,
    with_explanation: bool,
    with_retrieval_score: bool,
) -> NodeWithScore:
    """The node with the hit's score; a copy of it where something is kept in its metadata.

    Args:
        candidate: as it was retrieved.
        hit: what became of it.
        secrets: what servers like to quote when they refuse it.
        with_explanation: keep the model's reasoning.
        with_retrieval_score: keep the score it came with.
    """
    node = candidate.node
    start = 0 if hit.piece is None else place_of_text(node, hit.document.text)
    kept: dict[str, Any] = {"retrieval_score": candidate.score} if with_retrieval_score else {}
    kept |= hit_metadata(hit, secrets, with_explanation=with_explanation, start=start)
    before = {key: value for key, value in node.metadata.items() if key not in KEYS}
    if kept or len(before) < len(node.metadata):
        node = node.model_copy(
            update={
                "metadata": before | kept,
                "excluded_llm_metadata_keys": _union(node.excluded_llm_metadata_keys, kept),
                "excluded_embed_metadata_keys": _union(node.excluded_embed_metadata_keys, kept),
            }
        )
    return NodeWithScore(node=node, score=None if hit.score is None else float(hit.score))


def _union(keys: Sequence[str], more: Collection[str]) -> list[str]:
    return [*keys, *(key for key in more if key not in keys)]


def images_of(node: BaseNode) -> tuple[Image, ...]:
    """The image of an `ImageNode`, or of a node with an `image_resource`: its data, or its file.

    Nothing is fetched from the network.

    Raises:
        InputError: it is no PNG, JPEG, GIF or WebP, its file cannot be read, or there is only an address; or
            the node is nothing but sound or video.
    """
    path: object
    url: object
    encoded: str | bytes | None
    if isinstance(node, ImageNode):
        encoded, path, url = node.image, node.image_path, node.image_url
    elif isinstance(node, Node) and node.image_resource is not None:
        resource = node.image_resource
        encoded, path, url = resource.data, resource.path, resource.url
    elif isinstance(node, Node) and (node.audio_resource or node.video_resource) and not has_text(node):
        raise InputError("the node has no text, and neither sound nor video is read")
    else:
        return ()
    try:
        if encoded:
            text = encoded.decode("ascii", "replace") if isinstance(encoded, bytes) else encoded
            return (Image.from_text(text),)
        if path:
            return (Image.open(str(path)),)
        return (Image.from_text(str(url)),) if url else ()
    except InputError as error:
        raise InputError(f"the image cannot be used: {error}") from error


def has_text(node: BaseNode) -> bool:
    """Whether the node has a text of its own: where a file lies, which its metadata may say, is none."""
    return bool(node.get_content(metadata_mode=MetadataMode.NONE).strip())


def place_of_text(node: BaseNode, read: str) -> int:
    """Where the node's own text begins in what is read of it, in characters.

    That is before 0 where white space at its beginning was not read.
    """
    own = node.get_content(metadata_mode=MetadataMode.NONE)
    core = own.strip()
    if core not in read:  # a node of another class may write itself otherwise
        return 0
    comes_first = read.startswith(core) and not read.endswith(core)
    start = 0 if comes_first else read.rfind(core)
    return start - (len(own) - len(own.lstrip()) if core else 0)


def body_of(node: BaseNode, read: str) -> tuple[int, int] | None:
    """Where the node's own text begins and ends in what is read of it; None where it is not found."""
    own = node.get_content(metadata_mode=MetadataMode.NONE)
    place = place_of_text(node, read)
    return (max(place, 0), min(place + len(own), len(read))) if own.strip() in read else None
