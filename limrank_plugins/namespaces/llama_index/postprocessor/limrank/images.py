"""The pictures of a node, as documents hold them."""

from __future__ import annotations

import base64
import binascii

from llama_index.core.schema import BaseNode, ImageNode, Node

from limrank_plugins.errors import InputError
from limrank_plugins.images import Image


def images_of(node: BaseNode) -> tuple[Image, ...]:
    """The picture of an `ImageNode`, or of a node with an `image_resource`: its data, or its file.

    Nothing is fetched from the network.

    Raises:
        InputError: it is no PNG, JPEG, GIF or WebP, its file cannot be read, or there is only an address.
    """
    path: object
    url: object
    if isinstance(node, ImageNode):
        data, path, url = node.image, node.image_path, node.image_url
        encoded = data.encode("utf-8", "replace") if data else None
    elif isinstance(node, Node) and node.image_resource is not None:
        resource = node.image_resource
        encoded, path, url = resource.data, resource.path, resource.url
    else:
        return ()
    try:
        if encoded:
            return (Image(base64.b64decode(encoded, validate=True)),)
        if path:
            return (Image.open(str(path)),)
    except (InputError, binascii.Error) as error:
        raise InputError(f"the image of node {node.node_id!r} cannot be used: {error}") from error
    if url:
        raise InputError(
            f"the image of node {node.node_id!r} is an address ({url}), which is not fetched: give its data "
            f"or a path"
        )
    return ()
