"""What the library says of its arguments, as they are written on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from limrank_plugins.backends import OPTIONS_OF_FILES
from limrank_plugins.errors import LimRankError

_FLAGS = (
    "recipe", "model", "backend", "reasoning", "budget", "samples", "seed", "max_reasoning_tokens",
    "instruction", "device", "dtype", "template", "calibration", "chunks", "threshold", "top_n",
)  # fmt: skip
"""Arguments of `Reranker` and its methods that commands which rerank have an option for."""
_OPTIONS = ("base_url", "trust_remote_code", "temperature", "top_p", "exact", *sorted(OPTIONS_OF_FILES))
"""Those that `--option` takes."""
_CALL = re.compile(r"Reranker\('([^']*)', (.*?)\)")
_ARGUMENT = re.compile(rf"\b({'|'.join((*_FLAGS, *_OPTIONS))})=(?:'([^']*)'|([\w.-]*\w))")


def in_flags(message: str) -> str:
    """The message with arguments of `Reranker` as options of a command.

    Example:
        >>> in_flags("leave out samples=2, or give template='limrank' and base_url='http://host/v1'")
        'leave out --samples 2, or give --template limrank and --option base_url=http://host/v1'
        >>> in_flags("it is a model for recipe 'limrank': Reranker('limrank', model='my/model')")
        "it is a model for recipe 'limrank': --recipe limrank --model my/model"
    """
    message = _CALL.sub(lambda call: f"recipe={call[1]!r} {call[2]}", message)
    message = message.replace("goes into model=,", "goes into --model,")

    def flag(argument: re.Match[str]) -> str:
        name, value = argument[1], argument[2] if argument[2] is not None else argument[3]
        if name in _OPTIONS:
            return f"--option {name}={value}"
        quoted = f"'{value}'" if re.search(r"\s", value) or not value else value
        return f"--{name.replace('_', '-')} {quoted}"

    return _ARGUMENT.sub(flag, message)


@contextmanager
def said_in_flags() -> Iterator[None]:
    """Let errors leave the block with arguments as options of a command; others pass as they are."""
    try:
        yield
    except LimRankError as error:
        message = in_flags(str(error))
        if message == str(error):
            raise
        raise type(error)(message) from error
