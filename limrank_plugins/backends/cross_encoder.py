"""Cross-encoders through sentence-transformers: query and passage are read together, one number comes out.

On a CPU every pair is computed on its own: its score does not depend on what else was asked, and a padded
batch is no faster there. On a GPU rows are padded, and a score is that of the pair alone up to rounding:
1e-5 in float32, two to three digits in bfloat16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limrank_plugins.backends.local.encoder_inputs import (
    EncoderInput,
    PairEncoder,
    as_tensors,
    in_turn,
    longest,
)
from limrank_plugins.backends.local.loading import loading, model_name, refuse_own_modules
from limrank_plugins.backends.local.placement import placement
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.protocols import Arrived, Failed, Numbers, Reply, ScorePair
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, require

_WHY = "CrossEncoderBackend"


class CrossEncoderBackend:
    """Scores pairs by their raw logit. Safe to use from many threads: a lock guards the model.

    Args:
        model: folder or hub name of a `CrossEncoder` with one output.
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`; default: a GPU where there is one.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`; default: float32 on a CPU, else bfloat16.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: run Python code that comes with the model. Default: no.
        batch_size: most pairs in one forward pass on a GPU, at least 1; default 32.
        max_length: most tokens of query and passage together; default: what the model was made for.

    The end of a passage that does not fit is left out and reported as `cut_tokens`; the query is never
    cut: one that fills the model alone is a failure. A logit that is not finite is a failure, too.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: sentence-transformers is not installed.
        BackendError: the model cannot be loaded, or is no cross-encoder with one output.
    """

    name = "cross-encoder"
    shows_images = False

    def __init__(
        self,
        model: str = "cross-encoder/ms-marco-MiniLM-L6-v2",
        *,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        batch_size: int = 32,
        max_length: int | None = None,
    ) -> None:
        whole_number("batch_size", batch_size, least=1)
        if max_length is not None:
            whole_number("max_length", max_length, least=1)
        self.model = model
        self.batch_size = batch_size
        self._torch = require("torch", "mini", _WHY)
        library = require("sentence_transformers", "mini", _WHY)
        self._place = placement(device, dtype, "mini", _WHY)
        with loading(model) as source:
            refuse_own_modules(source, trust_remote_code)
            loaded = library.CrossEncoder(
                source,
                device=str(self._place.device),
                revision=revision,
                trust_remote_code=trust_remote_code,
                model_kwargs={"dtype": self._place.dtype},
            )
            _check(model, loaded)
        self._model = SharedModel(f"the cross-encoder {model!r}", loaded.eval())
        self._tokenizer = loaded.tokenizer
        self._pairs = PairEncoder(self._tokenizer)
        self._last = _LastToken.of(loaded, self._tokenizer)
        read = getattr(loaded, "max_seq_length", None) or getattr(loaded, "max_length", None)
        self._limit = longest(loaded.config, self._tokenizer, read, max_length)
        named = model_name(source, revision, loaded, recursive=True)
        self.identity = f"{self.name}:{named}:{self._place.precision}:{self._limit}"

    def score_pairs(self, requests: Sequence[ScorePair], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each request with the pair's logit, or `Failed`; see `ScoresPairs`."""
        with self._model.turn() as loaded:
            return self._scored(loaded, requests, Replies(arrived))

    def close(self) -> None:
        """Release the model. May be called twice; scoring after it is a `BackendError`."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _scored(self, loaded: Any, requests: Sequence[ScorePair], replies: Replies) -> list[Reply]:
        queries: dict[str, list[int]] = {}
        rows: list[tuple[int, EncoderInput]] = []
        for position, request in enumerate(requests):
            if request.query not in queries:
                queries[request.query] = self._pairs.ids(request.query)
            query = queries[request.query]
            row = self._pairs.pair(query, self._pairs.ids(request.passage), self._limit)
            if row is None:
                replies[position] = Failed(
                    f"the query has {len(query)} tokens, which leave no room for a passage in the "
                    f"{self._limit} that {self.model} reads: shorten the query or the instruction"
                )
            else:
                rows.append((position, row))
        lengths = [len(row.ids) for _, row in rows]
        with self._torch.inference_mode():
            for batch in in_turn(lengths, self.batch_size, alone=self._place.on_cpu):
                chosen = [rows[i][1] for i in batch]
                if self._last is not None:
                    logits = self._last.logits(
                        self._torch, loaded, chosen, self._tokenizer, self._place.device
                    )
                else:
                    features = as_tensors(self._torch, chosen, self._tokenizer, self._place.device)
                    logits = _logits(loaded, features).float().reshape(-1).tolist()
                with replies.together():
                    for i, logit in zip(batch, logits, strict=True):
                        position, row = rows[i]
                        replies[position] = _reply(logit, row)
        return replies.in_order()


@dataclass(frozen=True, slots=True)
class _LastToken:
    """Reads the score of a decoder, which stands at a row's last token, without looking for its padding.

    The library takes the last token that is not the padding of the model's config, which need not be what
    the tokenizer pads with, may be the end of a text, and may not be there at all. Here the place is that
    of the row alone, whatever it is padded with; on the right, so that positions are those of the row alone.

    Attributes:
        head: the layer that makes scores of states, of every token.
        pad: the token that a row alone is not read at; None where the config names none.
    """

    head: Any
    pad: int | None

    @classmethod
    def of(cls, loaded: Any, tokenizer: Any) -> _LastToken | None:
        """None for a model that is no decoder: its score is made of one state of the row."""
        for module in loaded.modules():
            if type(module).__name__.endswith("ForSequenceClassification") and hasattr(module, "score"):
                config = module.config.get_text_config()
                pad = config.pad_token_id
                if pad is None:  # or the library refuses rows together
                    config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
                return cls(module.score, pad)
        return None

    def logits(
        self, torch: Any, loaded: Any, rows: Sequence[EncoderInput], tokenizer: Any, device: Any
    ) -> list[float]:
        """Each row's score."""
        found: list[Any] = []
        hook = self.head.register_forward_hook(lambda _module, _inputs, output: found.append(output))
        try:
            _logits(loaded, as_tensors(torch, rows, tokenizer, device, side="right"))
        finally:
            hook.remove()
        places = torch.tensor([self._place(row.ids) for row in rows], device=device)
        scores = found[-1][torch.arange(len(rows), device=device), places]
        values: list[float] = scores.float().reshape(-1).tolist()
        return values

    def _place(self, ids: Sequence[int]) -> int:
        return max((i for i, token in enumerate(ids) if token != self.pad), default=0)


def _logits(loaded: Any, features: dict[str, Any]) -> Any:
    if hasattr(loaded, "preprocess"):  # sentence-transformers 6
        return loaded(features)["scores"]
    return loaded.model(**features).logits


def _check(model: str, loaded: Any) -> None:
    """One classifier with one output, made as such."""
    architectures = getattr(loaded.config, "architectures", None) or ["ForSequenceClassification"]
    modules = list(loaded.children())
    if len(modules) != 1 or "ForSequenceClassification" not in architectures[0]:
        raise BackendError(
            f"{model} is no cross-encoder but a {architectures[0]} ({len(modules)} modules): its score would "
            f"come from random weights or need another prompt; give a sequence classification model"
        )
    if loaded.num_labels != 1:
        raise BackendError(
            f"{model} has {loaded.num_labels} outputs, and which of them is relevance is not known: give a "
            f"cross-encoder with one output, such as cross-encoder/ms-marco-MiniLM-L6-v2"
        )


def _reply(logit: float, row: EncoderInput) -> Numbers | Failed:
    usage = Usage(prompt_tokens=len(row.ids))
    if not math.isfinite(logit):
        return Failed(f"the cross-encoder's score is {logit}", usage)
    return Numbers((logit,), usage, row.cut)
