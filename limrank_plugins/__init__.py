"""LIMRANK, the reasoning reranker: `Reranker` and what goes in and comes out.

Importing this package is light: no torch, transformers or framework is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.lazy import exports

if TYPE_CHECKING:
    from limrank_plugins.backends.scripted import AsyncScriptedBackend, ScriptedBackend, ScriptedFailure
    from limrank_plugins.data import Document, Failure, Hit, Query, Ranking, Usage
    from limrank_plugins.images import Image
    from limrank_plugins.recipes import Recipe, load_recipe, recipe_names
    from limrank_plugins.reranker import Reranker
    from limrank_plugins.store import Store

_WHERE = {
    "AsyncScriptedBackend": "backends.scripted",
    "Document": "data",
    "Failure": "data",
    "Hit": "data",
    "Image": "images",
    "Query": "data",
    "Ranking": "data",
    "Recipe": "recipes",
    "Reranker": "reranker",
    "ScriptedBackend": "backends.scripted",
    "ScriptedFailure": "backends.scripted",
    "Store": "store",
    "Usage": "data",
    "load_recipe": "recipes",
    "recipe_names": "recipes",
}

__version__ = "0.1.0"
__all__ = [
    "AsyncScriptedBackend",
    "Document",
    "Failure",
    "Hit",
    "Image",
    "Query",
    "Ranking",
    "Recipe",
    "Reranker",
    "ScriptedBackend",
    "ScriptedFailure",
    "Store",
    "Usage",
    "load_recipe",
    "recipe_names",
]

__getattr__ = exports(__name__, _WHERE)
