"""The hub, asked once whether it is there: its library would ask for a minute, once more for every file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limrank_plugins.errors import one_sentence, require

_PATIENCE = 5.0  # seconds
_SWITCHING = threading.RLock()


@contextmanager
def hub_or_cache(source: str) -> Iterator[None]:
    """Inside, a model of the hub is looked for in the hub's cache alone where the hub cannot be reached.

    That switch is the whole process's, so one thread at a time is inside then.

    Args:
        source: what is loaded inside; nothing is asked of the hub for what lies here.

    Raises:
        OSError: the hub cannot be reached, and its cache does not hold what was looked for.
    """
    constants: Any = require("huggingface_hub.constants", "transformers", "a model of the hub")
    if constants.HF_HUB_OFFLINE or Path(source).expanduser().exists():
        yield
        return
    reason = _unreachable(constants.ENDPOINT)
    if not reason:
        yield
        return
    with _SWITCHING:
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        except OSError as error:
            raise OSError(
                f"{constants.ENDPOINT} cannot be reached ({reason}), and the hub's cache lacks files of it"
            ) from error
        finally:
            constants.HF_HUB_OFFLINE = False


def _unreachable(address: str) -> str:
    """Why the hub cannot be reached; empty where it answers, whatever it says."""
    session = require("huggingface_hub", "transformers", "a model of the hub").get_session()
    try:
        session.head(address, timeout=_PATIENCE)
    except Exception as error:  # noqa: BLE001 - the library's client has changed, and with it what it raises
        return one_sentence(error)
    return ""
