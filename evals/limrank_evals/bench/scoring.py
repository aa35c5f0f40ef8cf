"""Yes or no from a language model's next token: ours beside other libraries' default calls, on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from limrank_evals.bench.causal import PlainModel, Work, left_padded, plain_model
from limrank_evals.bench.floor import Floor, floor
from limrank_evals.bench.interleaved import Contest, Way
from limrank_evals.bench.scoring_peers import PEERS, TEMPLATE, WHY, Judging, Scorer, prompts, ranked_by
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.mini_weights import native_bfloat16
from limrank_plugins.errors import InputError, one_sentence, require
from limrank_plugins.prompts import load_template

PACKAGES = ("transformers", "sentence-transformers", "rerankers", "FlagEmbedding", "mteb", "llama-cpp-python")
"""Whose versions a figure depends on."""

ONE_BY_ONE = "transformers, one by one"
PRECISIONS = ("float32", "bfloat16")
_BATCH = 32
PADDED = f"transformers, padded batches of {_BATCH}"


def checked_precisions(asked: Sequence[str] | None) -> Sequence[str]:
    """Those that are asked for; default: those in which this processor computes.

    Raises:
        InputError: one that is not measured.
    """
    for precision in asked or ():
        if precision not in PRECISIONS:
            raise InputError(f"--precision is {' or '.join(PRECISIONS)}, but got {precision!r}")
    return tuple(dict.fromkeys(asked or PRECISIONS[: 1 + native_bfloat16()]))


class Scoring:
    """The contests, and after them what had to be computed.

    Args:
        model: folder, hub name or GGUF file of a causal language model, or `"smollm2"`.
        work: what is read.
        gguf: the same weights for llama.cpp.
        precisions: of the weights.
        peers: words of which one stands in the name of each library that is measured; () for all. The loop
            over `transformers` always is: shares of what can be reached are reckoned from it.

    Attributes:
        floors: one for each precision whose contests have been made.
        not_measured: of the libraries that score so, too: why one is not in the table.
    """

    def __init__(
        self,
        model: str,
        work: Work,
        gguf: Path | None = None,
        precisions: Sequence[str] = PRECISIONS,
        peers: Sequence[str] = (),
    ) -> None:
        self._model = model
        self._work = work
        self._gguf = gguf
        self._precisions = precisions
        self._peer_words = peers
        self.floors: list[Floor] = []
        self.not_measured: dict[str, str] = {}

    def contests(self) -> Iterator[Contest]:
        """One for each precision and peer, made one after the other."""
        for precision in self._precisions:
            with plain_model(self._model, precision) as plain:
                yield from self._contests(plain, precision)

    def _contests(self, plain: PlainModel, precision: str) -> Iterator[Contest]:
        query, passages = self._work.query, self._work.passages
        rows, labels = rows_and_labels(plain, self._work)
        ours, loops = reading_ways(plain, self._work, rows, labels)
        self.floors.append(floor(plain.model, rows, precision, loops[ONE_BY_ONE]))

        def contest(name: str, theirs: Callable[[], Any]) -> Contest:
            return Contest(f"{name}, {precision}", len(rows), ours, theirs)

        for name, theirs in loops.items():
            if name == ONE_BY_ONE or self._is_asked_for(name):
                yield contest(name, theirs)
        judging = Judging(plain, query, (labels[0], labels[1]), precision, self._gguf)
        for name, scorer in self._peers(judging):
            yield contest(name, partial(scorer, passages))

    def _is_asked_for(self, name: str) -> bool:
        return not self._peer_words or any(word in name for word in self._peer_words)

    def _peers(self, judging: Judging) -> Iterator[tuple[str, Scorer]]:
        """Those that are installed and can read the first passage; what keeps the others is noted."""
        for peer in PEERS:
            if not self._is_asked_for(peer.name):
                continue
            reason = peer.missing(self._gguf)
            if reason is None:
                try:
                    scorer = peer.scorer(judging)
                    scorer(self._work.passages[:1])
                except Exception as error:  # noqa: BLE001 - whatever it stumbles over, the others are measured
                    reason = f"does not run here: {type(error).__name__}: {one_sentence(error)}"
                else:
                    yield peer.name, scorer
                    continue
            self.not_measured[peer.name] = reason


def checked_peers(asked: Sequence[str] | None) -> Sequence[str]:
    """Words of libraries' names.

    Raises:
        InputError: one that stands in no name.
    """
    known = [ONE_BY_ONE, PADDED, *(peer.name for peer in PEERS)]
    for word in asked or ():
        if not any(word in name for name in known):
            raise InputError(f"--peer {word!r} stands in none of these names: {'; '.join(known)}")
    return tuple(asked or ())


def rows_and_labels(plain: PlainModel, work: Work) -> tuple[list[list[int]], Sequence[int]]:
    """The tokens of every prompt, and those of the two labels."""
    rendered = prompts(work.query, work.passages)
    encoder = PromptEncoder(plain.tokenizer)
    return plain.ids(rendered), encoder.label_ids(
        load_template(TEMPLATE).labels, encoder.encode(rendered[0]).end
    )


def reading_ways(
    plain: PlainModel, work: Work, rows: Sequence[list[int]], labels: Sequence[int]
) -> tuple[Way, dict[str, Way]]:
    """Our way to score these rows, and those of `transformers` alone, by name."""
    return partial(ranked_by(plain.ours(), work.query), work.passages), {
        ONE_BY_ONE: _in_batches(plain, rows, labels, 1),
        PADDED: _in_batches(plain, rows, labels, _BATCH),
    }


def _in_batches(
    plain: PlainModel, rows: Sequence[list[int]], labels: Sequence[int], size: int
) -> Callable[[], Any]:
    """Last logits of the library's own forward pass, in the order that the prompts come in."""
    torch = require("torch", "transformers", WHY)
    pad = plain.tokenizer.pad_token_id
    filler = pad if pad is not None else 0
    positive, negative = labels

    def scores() -> Any:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(rows), size):
                batch = left_padded(torch, rows[start : start + size], filler, plain.model.device)
                logits = plain.model(**batch, logits_to_keep=1).logits[:, -1].float()
                parts.append(torch.sigmoid(logits[:, positive] - logits[:, negative]))
        return torch.cat(parts).double().cpu().numpy()

    return scores
