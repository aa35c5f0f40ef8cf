"""Keys stay out of what people read: errors, logs, YAML.

They are resolved only when they are used or looked for: a component that kept them could show them.
"""

from collections.abc import Iterator
from typing import Any

from haystack.utils import Secret

from limrank_plugins.errors import BackendError, LimRankError

HIDDEN = "<redacted>"


def serialised(name: str, value: Any) -> Any:
    """The value as `to_dict` writes it.

    Raises:
        ValueError: a secret that holds its token itself; the message names the argument, not the token.
    """
    if not isinstance(value, Secret):
        return value
    try:
        return value.to_dict()
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be serialised, because it holds the key itself: "
            f'use {name}=Secret.from_env_var("NAME_OF_THE_VARIABLE")'
        ) from error


def hide(text: str, *secrets: Secret | None) -> str:
    """The text with every key in it replaced."""
    for key in map(_value, secrets):
        text = text.replace(key, HIDDEN) if key else text
    return text


def without_keys(error: Exception, *secrets: Secret | None) -> Exception:
    """The error itself, or one with a clean text and no chain that would show a key.

    Raise it outside the `except` block, or Python chains it to the one that shows the key.
    """
    if all(hide(text, *secrets) == text for text in _chain(error)):
        return error
    if isinstance(error, LimRankError):
        return type(error)(hide(str(error), *secrets))
    return BackendError(hide(f"{type(error).__name__}: {error}", *secrets))


def _value(secret: Secret | None) -> str | None:
    """The key, or None where there is none or its variable is not set."""
    if secret is None:
        return None
    try:
        value: str | None = secret.resolve_value()
    except ValueError:  # strict, and not set
        return None
    return value


def _chain(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield str(link)
            yield repr(link)
            links += [link.__cause__, link.__context__]
