"""What subjects about causal language models share: passages, and a model as `transformers` alone runs it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from limrank_plugins import samples
from limrank_plugins.backends.local.loading import load, no_progress_bar
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import checked_length, encode_to_fit
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_documents
from limrank_plugins.segments import Prompt


@dataclass(frozen=True, slots=True)
class Work:
    """A query and the passages that are read for it."""

    query: str
    passages: list[str]


def work(count: int, corpus: Path | None = None, query: str | None = None) -> Work:
    """The first passages of a corpus and a query; default: both of the sample collection.

    Raises:
        InputError: the corpus holds no text.
    """
    documents = samples.documents() if corpus is None else read_documents(corpus)
    passages = list(islice((text for document in documents if (text := document.passage.strip())), count))
    if not passages:
        raise InputError(f"{corpus} holds no text: name a corpus with passages")
    return Work(samples.queries()[0].text if query is None else query, passages)


@dataclass(frozen=True, slots=True)
class PlainModel:
    """A loaded model and where other libraries can load the same weights from.

    Attributes:
        model: a causal language model of the `transformers` library.
        tokenizer: its tokenizer.
        folder: holds both.
        length: tokens of a prompt and what is written behind it, at most.
    """

    model: Any
    tokenizer: Any
    folder: Path
    length: int

    def ours(self) -> TransformersBackend:
        """Our backend over the same weights in memory."""
        return TransformersBackend.over(self.model, self.tokenizer)

    def ids(self, prompts: Sequence[Prompt], room: int | None = None) -> list[list[int]]:
        """The tokens that our backend reads for these prompts, cut to fit, so that others read the same."""
        encoder = PromptEncoder(self.tokenizer)
        return [encode_to_fit(encoder, prompt, room or self.length)[1] for prompt in prompts]


@contextmanager
def plain_model(name: str, dtype: str) -> Iterator[PlainModel]:
    """Load a model on the CPU; what is no folder is saved into one that is deleted afterwards.

    Raises:
        LimRankError: it cannot be loaded; see `TransformersBackend`.
    """
    loaded = load(
        name,
        "transformers",
        device="cpu",
        dtype=dtype,
        adapter=None,
        merge_adapter=True,
        revision=None,
        trust_remote_code=False,
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(name)
        if not folder.is_dir():
            folder = Path(place)
            with no_progress_bar():
                loaded.model.save_pretrained(folder)
            loaded.tokenizer.save_pretrained(folder)
        length = checked_length(None, loaded.context)
        yield PlainModel(loaded.model, loaded.tokenizer, folder, length)


def left_padded(torch: Any, rows: Sequence[Sequence[int]], pad: int, device: Any) -> dict[str, Any]:
    """Rows of one length and their mask, as `transformers` takes them: all end at the same column."""
    width = max(map(len, rows))
    ids = [[pad] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }
