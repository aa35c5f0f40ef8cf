"""The few errors this package raises on purpose, its warning, and the sentence a missing extra gets.

Every message names the offending value and the fix. All of them derive from `LimRankError`
and from the builtin a caller would expect, so `except ValueError` keeps working.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class LimRankError(Exception):
    """Base class of everything this package raises on purpose."""


class LimRankWarning(UserWarning):
    """What this package warns of, in a sentence for people; commands say it as a note."""


class InputError(LimRankError, ValueError):
    """A value the caller passed cannot be used; the message names it and the fix."""


class CapabilityError(LimRankError, TypeError):
    """The backend cannot be asked what the recipe needs to ask."""


class BackendError(LimRankError, RuntimeError):
    """A model could not be loaded, or failed for every document alike."""


class RankingFailed(LimRankError, RuntimeError):
    """Raised for the first failed document where `on_failure="raise"` was chosen."""


class MissingExtra(LimRankError, ImportError):
    """An optional dependency is absent; the message is one sentence with the install command."""


def require(module: str, extra: str, why: str) -> ModuleType:
    """Import `module` late, or say in one sentence how to get it.

    Args:
        module: dotted module name, for example `"torch"`.
        extra: the extra of this package that brings it, for example `"transformers"`.
        why: what needs it, the subject of the sentence, for example `"TransformersBackend"`.

    Raises:
        MissingExtra: the module (or its parent) is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A dependency broken further down must keep its own message.
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise
        raise MissingExtra(
            f"{why} needs {error.name}, which is not installed: pip install 'limrank[{extra}]'"
        ) from error


def one_sentence(error: BaseException) -> str:
    """What an error of another library says, on one line and cut to 300 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"
