"""How loading a model failed, and what to do: one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from limrank_plugins.backends.smollm_weights import SMOLLM2, SMOLLM2_INSTALL, find_smollm2
from limrank_plugins.errors import BackendError, LimRankError, one_sentence
from limrank_plugins.files import DAMAGE
from limrank_plugins.wording import did_you_mean

# transformers 5 takes a SentencePiece file that it cannot read for a tiktoken file, and names the file.
_SENTENCEPIECE = re.compile(r"sentencepiece|spiece|protobuf|\S\.model\b", re.IGNORECASE)


@contextmanager
def loading_errors(model: str, instead: str = "") -> Iterator[None]:
    """Every failure inside as one sentence that names the model; `instead` as for `loading`."""
    try:
        yield
    except (OSError, *DAMAGE, RuntimeError, ImportError) as error:
        if isinstance(error, LimRankError):
            raise
        hint = fix = ""
        if not Path(model).exists():
            hint = "; it is no folder here, and the hub could not give it"
            ways = ", ".join(filter(None, ("download it and give its folder or file", instead)))
            fix = did_you_mean(model, [SMOLLM2]) or ways
        if model == SMOLLM2:
            missing = f"; it is not installed ({SMOLLM2_INSTALL}), and the hub could not give it"
            hint, fix = missing if find_smollm2() is None else "", ""
        if _SENTENCEPIECE.search(str(error)) and find_spec("sentencepiece") is None:
            hint, fix = "; its tokenizer is a SentencePiece file: pip install sentencepiece protobuf", ""
        why = one_sentence(error).rstrip(".") + (fix and f"; {fix}")
        raise BackendError(f"model {model!r} cannot be loaded{hint}: {why}") from error
