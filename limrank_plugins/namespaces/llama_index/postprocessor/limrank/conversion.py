"""Nodes' images and prompts, from LlamaIndex to limrank and back.

Recipes write prompts in Jinja, LlamaIndex fills braces. Literal text goes both ways unchanged, so a prompt
that comes back as it was asks the model in the same bytes and finds its stored replies again.
"""

from __future__ import annotations

import re
from dataclasses import replace

from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate
from llama_index.core.schema import BaseNode, ImageNode, MetadataMode, Node

from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.prompts import Template

_JINJA_SLOT = re.compile(r"\{\{\s*(query|document)\s*\}\}")
_BRACE_SLOT = re.compile(r"\{(query|document)\}")
# Filled in for the two variables while a prompt is formatted; no prompt holds them by accident.
_MARKS = {"query": "\ue002query\ue003", "document": "\ue002document\ue003"}
_MARK = re.compile("\ue002(query|document)\ue003")


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


def brace_text(template: Template) -> str | None:
    """The template's prompt with `{query}` and `{document}`, or None where it loops over documents."""
    literals = _JINJA_SLOT.split(template.prompt)[::2]
    if any(mark in literal for literal in literals for mark in ("{{", "{%", "{#")):
        return None
    return _JINJA_SLOT.sub(r"{\1}", template.prompt)


def brace_text_of(prompt: BasePromptTemplate) -> str:
    """The text of any LlamaIndex completion prompt, its partial values and mappings filled in.

    Raises:
        InputError: it is a chat prompt (the roles are the recipe's), or a variable is missing.
    """
    if isinstance(prompt, ChatPromptTemplate):
        raise InputError("give the prompt as a PromptTemplate, not a chat prompt: the roles are the recipe's")
    return check_brace_text(_MARK.sub(r"{\1}", prompt.format(llm=None, **_MARKS)))


def check_brace_text(text: str) -> str:
    """The text itself, if it holds `{query}` and `{document}`; an `InputError` otherwise."""
    missing = [f"{{{name}}}" for name in _MARKS if f"{{{name}}}" not in text]
    if missing:
        raise InputError(
            f"the prompt must hold {{query}} and {{document}} where these go, but {' and '.join(missing)} "
            f"is missing in {text!r}"
        )
    return text


def with_prompt(template: Template, text: str) -> Template:
    """The template with another prompt; its labels and the end of the reasoning stay the recipe's."""
    pieces = _BRACE_SLOT.split(text)  # literal, variable, literal, variable, …, literal
    pieces[::2] = [literal.replace("{", "{{ '{' }}") for literal in pieces[::2]]
    pieces[1::2] = [f"{{{{ {variable} }}}}" for variable in pieces[1::2]]
    return replace(template, prompt="".join(pieces))
