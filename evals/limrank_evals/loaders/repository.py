"""Named files of a dataset repository: in a local copy of it, or fetched from the hub one by one.

For repositories that `datasets` has no configuration for: files of their own formats, next to each other.
"""

from __future__ import annotations

import os
from pathlib import Path

from limrank_plugins.errors import BackendError, InputError, require


def repository_file(source: str | os.PathLike[str], *names: str) -> Path:
    """The file of the first of these names that is there, or its `.gz`.

    Args:
        source: a folder here, or a repository's name on the hub, where only the first name is looked for.
        names: relative to it.

    Raises:
        InputError: a folder that holds none of them.
        BackendError: the hub cannot be reached or refuses; the message says what to do.
        MissingExtra: huggingface_hub is not installed.
    """
    folder = Path(source)
    if folder.is_dir():
        for name in names:
            for file in (folder / name, folder / f"{name}.gz"):
                if file.is_file():
                    return file
        raise InputError(f"{folder} holds none of {', '.join(names)} (or .gz)")
    hub = require("huggingface_hub", "evals", f"reading {names[0]} of {source} from the hub")
    try:
        return Path(hub.hf_hub_download(str(source), names[0], repo_type="dataset"))
    except Exception as error:
        raise unreadable(f"{names[0]} of {source}", source, error) from error


def unreadable(what: str, source: str | os.PathLike[str], error: Exception) -> BackendError:
    """What to do where the hub cannot be reached or refuses.

    Args:
        what: what was to be read.
        source: the repository of a dataset.
        error: the library's.
    """
    return BackendError(
        f"{what} cannot be read from the hub: {type(error).__name__}: {error}. If it is gated, accept its "
        f"terms on https://huggingface.co/datasets/{source} and run `hf auth login`; without a network, "
        f"give a folder with the files of that repository"
    )
