"""Cross-encoders through sentence-transformers: query and passage are read together, one number comes out.

Whatever its `CrossEncoder` loads: a classifier on an encoder or a decoder, a language model whose answer is
read (LogitScore), a pooled encoder with layers behind it. The library runs the model; the tokens are made
here, so that no marker out of a text is one, and only passages are cut.

Pairs of about one length are read together, and a score is that of the pair alone up to rounding: 1e-5 in
float32, two to three digits in bfloat16. With `exact` every pair is read alone.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from limrank_plugins.backends.local.encoder_inputs import EncoderInput, as_tensors, in_turn, longest
from limrank_plugins.backends.local.last_token import LastToken
from limrank_plugins.backends.local.loading import loading, model_name, refuse_own_modules
from limrank_plugins.backends.local.pair_rows import TemplateRows, pair_rows
from limrank_plugins.backends.local.placement import Placement, placement
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.protocols import Arrived, Failed, Numbers, Reply, ScorePair
from limrank_plugins.checks import plain_text, true_or_false, whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, require

_WHY = "CrossEncoderBackend"
Runtime = Literal["torch", "onnx", "openvino"]
_MODULES = {"onnx": "optimum.onnxruntime", "openvino": "optimum.intel.openvino"}
_ACTIVATIONS = {"Sigmoid": "sigmoid", "Identity": "none"}


class CrossEncoderBackend:
    """Scores pairs by their raw logit. Safe to use from many threads: a lock guards the model.

    Args:
        model: folder or hub name of a `CrossEncoder` with one output.
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`; default: a GPU where there is one.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`; default: float32 on a CPU, else bfloat16.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: run Python code that comes with the model. Default: no.
        batch_size: most pairs in one forward pass on a GPU, at least 1; default 32. On a CPU as many go
            together as make 1,024 tokens.
        exact: every pair is read alone: its score is the same to the last bit whatever else is asked about.
            Default: no.
        max_length: most tokens of query and passage together; default: what the model was made for.
        prompt: what the model is told with every pair; default: what its own configuration says, if
            anything. `""` tells it nothing.
        prompt_name: one of the prompts in the model's configuration, by name.
        runtime: `"torch"`, or `"onnx"` or `"openvino"`, which also run files of 8 bits on a CPU.
        file_name: the model's file for one of those two, as in `"onnx/model_qint8_avx512_vnni.onnx"`;
            default: `model.onnx` or `openvino_model.xml`, made on the spot where it is missing.
        provider: of ONNX Runtime; default: `CPUExecutionProvider`, or `CUDAExecutionProvider` on a GPU.

    The end of a passage that does not fit is left out and reported as `cut_tokens`; the query is never
    cut: one that fills the model alone is a failure. A logit that is not finite is a failure, too.

    Attributes:
        activation: what the model's configuration makes of a logit: `"none"`, `"sigmoid"`, or another
            function's name.
        reads_at_most: the most tokens of query and passage together.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: sentence-transformers, or what `runtime` needs, is not installed.
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
        exact: bool = False,
        max_length: int | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        runtime: Runtime = "torch",
        file_name: str | None = None,
        provider: str | None = None,
    ) -> None:
        whole_number("batch_size", batch_size, least=1)
        if max_length is not None:
            whole_number("max_length", max_length, least=1)
        for name, text in (("prompt", prompt), ("prompt_name", prompt_name)):
            if text is not None:
                plain_text(name, text)
        _check_runtime(runtime, dtype, file_name, provider)
        self.model = model
        self.batch_size = batch_size
        self._torch = require("torch", "mini", _WHY)
        library = require("sentence_transformers", "mini", _WHY)
        self._place = placement(device, dtype, "mini", _WHY)
        if runtime in _MODULES:
            require(_MODULES[runtime], runtime, f"runtime={runtime!r}")
        with loading(model) as source:
            refuse_own_modules(source, trust_remote_code)
            _check_file(source, file_name)
            loaded = library.CrossEncoder(
                source,
                device=str(self._place.device),
                revision=revision,
                trust_remote_code=trust_remote_code,
                backend=runtime,
                model_kwargs=_model_options(runtime, self._place, file_name, provider),
            )
            saved = library.util.is_sentence_transformer_model(source, revision=revision)
            _check(model, loaded, saved=saved)
        self.activation = _ACTIVATIONS.get(
            type(loaded.activation_fn).__name__, type(loaded.activation_fn).__name__
        )
        self._model = SharedModel(f"the cross-encoder {model!r}", loaded.eval())
        self._tokenizer = loaded.tokenizer
        self._last = LastToken.of(loaded, self._tokenizer)
        self._alone = true_or_false("exact", exact) or runtime != "torch"
        self.reads_at_most = _limit(loaded, max_length)
        told = _prompt(loaded, prompt, prompt_name)
        self._rows, self._beside = pair_rows(model, loaded, self.reads_at_most, told)
        self._placed = _is_placed(loaded[0])
        named = model_name(source, revision, loaded, recursive=True)
        how = self._place.precision if runtime == "torch" else f"{runtime}:{file_name or 'model'}"
        self.identity = f"{self.name}:{named}:{how}:{self.reads_at_most}"
        if isinstance(self._rows, TemplateRows):
            self.identity += ":template"
        if exact:
            self.identity += ":exact"
        if told:
            self.identity += f":{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def score_pairs(self, requests: Sequence[ScorePair], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each request with the pair's logit, or `Failed`; see `ScoresPairs`."""
        with self._model.turn() as loaded:
            return self._scored(loaded, requests, Replies(arrived))

    def cuts(self, requests: Sequence[ScorePair]) -> list[int]:
        """The tokens of the passage that each request would leave out; see `CountsCuts`."""
        return [self._rows.row(request.query, request.passage).cut for request in requests]

    def close(self) -> None:
        """Release the model. May be called twice; scoring after it is a `BackendError`."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _scored(self, loaded: Any, requests: Sequence[ScorePair], replies: Replies) -> list[Reply]:
        rows: list[tuple[int, EncoderInput]] = []
        for position, request in enumerate(requests):
            try:
                rows.append((position, self._rows.row(request.query, request.passage)))
            except InputError as error:
                replies[position] = Failed(str(error))
        lengths = [len(row.ids) for _, row in rows]
        with self._torch.inference_mode():
            for batch in in_turn(lengths, self.batch_size, alone=self._alone, thrifty=self._place.on_cpu):
                logits = self._logits(loaded, [rows[i][1] for i in batch])
                with replies.together():
                    for i, logit in zip(batch, logits, strict=True):
                        position, row = rows[i]
                        replies[position] = _reply(logit, row)
        return replies.in_order()

    def _logits(self, loaded: Any, rows: Sequence[EncoderInput]) -> list[float]:
        side = None if self._last is None else "right"
        features = as_tensors(self._torch, rows, self._tokenizer, self._place.device, side) | self._beside
        if self._placed:
            features["position_ids"] = (features["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        if self._last is not None:
            return self._last.logits(self._torch, lambda: loaded(features), rows)
        values: list[float] = loaded(features)["scores"].float().reshape(-1).tolist()
        return values


def _check_runtime(runtime: str, dtype: object, file_name: object, provider: object) -> None:
    if runtime not in get_args(Runtime):
        raise InputError(f"runtime must be 'torch', 'onnx' or 'openvino', but got {runtime!r}")
    if runtime == "torch" and file_name is not None:
        raise InputError(f"file_name={file_name!r} is for runtime='onnx' and 'openvino': leave it out")
    if runtime != "onnx" and provider is not None:
        raise InputError(f"provider={provider!r} is for runtime='onnx': leave it out")
    if runtime != "torch" and dtype is not None:
        raise InputError(
            f"dtype={dtype!r} is for runtime='torch': with runtime={runtime!r} the file decides, which "
            f"file_name= names"
        )


def _check_file(source: str, file_name: str | None) -> None:
    """A file that is missing must not become another one that the library makes in its place."""
    folder = Path(source).expanduser()
    if file_name is not None and folder.is_dir() and not (folder / file_name).is_file():
        there = [
            str(path.relative_to(folder))
            for path in sorted([*folder.rglob("*.onnx"), *folder.rglob("*.xml")])
        ]
        raise InputError(f"{source} has no file {file_name!r}; there are: {', '.join(there) or 'none'}")


def _model_options(
    runtime: str, place: Placement, file_name: str | None, provider: str | None
) -> dict[str, Any]:
    if runtime == "torch":
        return {"dtype": place.dtype}
    options: dict[str, Any] = {} if file_name is None else {"file_name": file_name}
    if runtime == "onnx":
        own = "CPUExecutionProvider" if place.on_cpu else "CUDAExecutionProvider"
        options["provider"] = own if provider is None else provider
    return options


def _check(model: str, loaded: Any, *, saved: bool) -> None:
    """One that was made as a cross-encoder, with one output; `saved`: by the library, modules and all."""
    architectures = getattr(loaded.config, "architectures", None) or ["ForSequenceClassification"]
    task = getattr(loaded[0], "transformer_task", "sequence-classification")
    if task == "sequence-classification" and "ForSequenceClassification" not in architectures[0]:
        raise BackendError(
            f"{model} is no cross-encoder but a {architectures[0]}: its score would come from random "
            f"weights; give a sequence classification model, or a folder that a CrossEncoder wrote"
        )
    if task == "text-generation" and not saved:  # the library would read "yes" and "no" behind any prompt
        raise BackendError(
            f"{model} is no cross-encoder but a {architectures[0]} without modules.json, which says what is "
            f"read from it: a language model is asked by a recipe with a prompt, such as qwen3-reranker"
        )
    if loaded.num_labels != 1:
        raise BackendError(
            f"{model} has {loaded.num_labels} outputs, and which of them is relevance is not known: give a "
            f"cross-encoder with one output, such as cross-encoder/ms-marco-MiniLM-L6-v2"
        )


def _limit(loaded: Any, max_length: int | None) -> int:
    own = getattr(loaded[0], "processing_kwargs", {}).get("text", {}).get("max_length")
    return longest(loaded.config, loaded.tokenizer, loaded.max_seq_length, own, max_length)


def _prompt(loaded: Any, prompt: str | None, name: str | None) -> str:
    """What the model is told with every pair: the caller's, the one that is named, or its default."""
    if prompt is not None and name is not None:
        raise InputError("give prompt or prompt_name, not both")
    if prompt is not None:
        return prompt
    prompts: dict[str, str] = loaded.prompts or {}
    if name is not None and name not in prompts:
        raise InputError(
            f"the model has no prompt named {name!r}; it has: {', '.join(sorted(prompts)) or 'none'}"
        )
    chosen = name if name is not None else loaded.default_prompt_name
    return prompts.get(chosen) or "" if chosen is not None else ""


def _is_placed(transformer: Any) -> bool:
    """Whether rows are padded on the left, as for a language model, and it can be told their positions.

    Else a row in a batch would begin at the position that its padding ends at.
    """
    is_read_last = transformer.transformer_task == "text-generation"
    return is_read_last and "position_ids" in inspect.signature(transformer.model.forward).parameters


def _reply(logit: float, row: EncoderInput) -> Numbers | Failed:
    usage = Usage(prompt_tokens=len(row.ids))
    if not math.isfinite(logit):
        return Failed(f"the cross-encoder's score is {logit}", usage)
    return Numbers((logit,), usage, row.cut)
