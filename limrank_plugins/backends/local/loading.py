"""Load a model, its tokenizer and its adapter; every way this fails is one sentence with the fix."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from limrank_plugins.backends.local.fingerprint import folder_fingerprint
from limrank_plugins.backends.local.image_tokens import load_processor
from limrank_plugins.errors import BackendError, InputError, LimRankError, require

_WHY = "TransformersBackend"
# transformers 5 takes a SentencePiece file that it cannot read for a tiktoken file, and names the file.
_SENTENCEPIECE = re.compile(r"sentencepiece|spiece|protobuf|\S\.model\b", re.IGNORECASE)
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run, its tokenizer, and what its stored answers are keyed by.

    `processor` is there for a model that can see: it brings tokenizer and image processor together.
    """

    model: Any
    tokenizer: Any
    identity: str
    context: int | None
    processor: Any = None


class _Kind(NamedTuple):
    """A kind of model: the backend's name, what `transformers` loads it with, and what to call it."""

    backend: str
    loader: str
    noun: str


_KINDS = {
    kind.backend: kind
    for kind in (
        _Kind("transformers", "AutoModelForCausalLM", "causal language model"),
        _Kind("vision", "AutoModelForImageTextToText", "vision-language model"),
        _Kind("seq2seq", "AutoModelForSeq2SeqLM", "sequence-to-sequence model"),
    )
}


def load(
    model: str,
    *,
    device: str | None,
    dtype: Any,
    adapter: str | None,
    merge_adapter: bool,
    revision: str | None,
    trust_remote_code: bool,
    attn_implementation: str | None,
    sees: bool = False,
    seq2seq: bool = False,
) -> LoadedModel:
    """Load it; see `TransformersBackend` for the arguments.

    With `sees` it is a model for images and text, and its processor comes with it; with `seq2seq` it
    has an encoder and a decoder.

    Raises:
        InputError: a path that does not exist or holds no model, or a device or dtype that cannot be.
        BackendError: the model is there but cannot be loaded.
    """
    torch = require("torch", "transformers", _WHY)
    transformers = require("transformers", "transformers", _WHY)
    place = device_for(torch, device)
    precision = dtype_for(torch, dtype, place)
    given = model
    if is_adapter(checked_source(model)):
        if adapter is not None:
            raise InputError(f"{model} is itself an adapter: give its base as model, or leave adapter out")
        adapter, model = model, _base_of(Path(model))
    elif adapter is not None and not is_adapter(adapter):
        raise InputError(f"adapter {adapter!r} must be a folder that holds an adapter_config.json")
    source = checked_source(model)
    common = {"revision": revision, "trust_remote_code": trust_remote_code}
    with loading_errors(given), no_progress_bar():
        # An adapter may bring added tokens of its own.
        brings = adapter is not None and (Path(adapter) / "tokenizer_config.json").is_file()
        processor = load_processor(source, **common) if sees else None
        tokenizer = (
            processor.tokenizer
            if processor is not None
            else transformers.AutoTokenizer.from_pretrained(
                adapter if brings else source, **(common if not brings else {})
            )
        )
        extra = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
        kind = _KINDS["vision" if sees else "seq2seq" if seq2seq else "transformers"]
        network, report = getattr(transformers, kind.loader).from_pretrained(
            source, dtype=precision, output_loading_info=True, **common, **extra
        )
        if report.get("missing_keys"):
            missing = sorted(report["missing_keys"])
            raise BackendError(
                f"{given} is no {kind.noun}: it has no weights for {missing[0]} "
                f"(and {len(missing) - 1} more), which would be random numbers"
            )
        if len(tokenizer) > network.get_input_embeddings().weight.shape[0]:
            if adapter is None:
                raise BackendError(
                    f"the tokenizer in {given} has {len(tokenizer)} tokens, but the model only knows "
                    f"{network.get_input_embeddings().weight.shape[0]}: they do not belong together"
                )
            network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        if adapter is not None:
            network = _adapted(network, adapter, merge_adapter)
        network = network.to(place).eval().requires_grad_(False)
    name = str(precision).removeprefix("torch.")
    identity = f"{kind.backend}:{model_name(source, revision, network)}:{name}"
    if adapter is not None:
        how = "merged" if merge_adapter else "live"
        identity += f"+{Path(adapter).name}@{folder_fingerprint(Path(adapter))}:{how}"
    return LoadedModel(network, tokenizer, identity, context_of(network, tokenizer), processor)


def is_adapter(folder: str) -> bool:
    """Whether this is a folder with a LoRA adapter and no model of its own."""
    path = Path(folder)
    return (path / "adapter_config.json").is_file() and not (path / "config.json").is_file()


def checked_source(model: str) -> str:
    """The folder or hub name; an `InputError` for what can be neither."""
    path = Path(model).expanduser()
    if path.is_dir():
        if not any((path / name).is_file() for name in ("config.json", "adapter_config.json")):
            raise InputError(
                f"the folder {model} holds no config.json: give the folder that save_pretrained wrote"
            )
        return str(path)
    if path.exists() or not _HUB_NAME.fullmatch(model):
        what = "is a file" if path.exists() else "does not exist"
        raise InputError(
            f"model {model!r} {what}: give a folder with config.json, or a hub name like 'org/name'"
        )
    return model


def _base_of(adapter: Path) -> str:
    try:
        base = json.loads((adapter / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{adapter}/adapter_config.json does not name its base model: {error!r}") from error
    if not isinstance(base, str) or not base:
        raise InputError(
            f"{adapter}/adapter_config.json does not name its base model: give model and adapter"
        )
    return base


def _adapted(network: Any, adapter: str, merge: bool) -> Any:
    peft = require("peft", "transformers", "an adapter")
    try:
        adapted = peft.PeftModel.from_pretrained(network, adapter)
    except (RuntimeError, ValueError) as error:
        raise BackendError(f"adapter {adapter} does not fit the model: {_sentence(error)}") from error
    if adapted.active_peft_config.is_prompt_learning:
        raise InputError(f"adapter {adapter} learns prompts; only adapters of weights (LoRA) can be used")
    # Live layers stay in the base model, which is used without the wrapper.
    return adapted.merge_and_unload() if merge else adapted.get_base_model()


def device_for(torch: Any, device: str | None) -> Any:
    """The device; default: a GPU where there is one. `InputError` for one that is not here."""
    if device is None:
        mps = getattr(torch.backends, "mps", None)
        device = "cuda" if torch.cuda.is_available() else "mps" if mps and mps.is_available() else "cpu"
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {device!r} cannot be used here: {_sentence(error)}") from error
    return place


def dtype_for(torch: Any, dtype: Any, place: Any) -> Any:
    """The torch dtype; default: float32 on a CPU, else bfloat16. `InputError` for any other than three."""
    if dtype is None:
        return torch.float32 if place.type == "cpu" else torch.bfloat16
    chosen = getattr(torch, dtype) if isinstance(dtype, str) and dtype in _PRECISIONS else dtype
    if chosen not in [getattr(torch, name) for name in _PRECISIONS]:
        raise InputError(f"dtype must be one of {', '.join(_PRECISIONS)}, but got {dtype!r}")
    return chosen


def context_of(network: Any, tokenizer: Any) -> int | None:
    """The most tokens it reads, as its configuration or else its tokenizer says."""
    config = network.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        if isinstance(getattr(config, name, None), int):
            return int(getattr(config, name))
    limit = int(tokenizer.model_max_length)
    return limit if limit < 1 << 30 else None


def model_name(source: str, revision: str | None, network: Any) -> str:
    """What tells these weights from others: a folder's fingerprint, or a hub name's commit."""
    folder = Path(source)
    if folder.is_dir():
        return f"{folder.resolve().name}@{folder_fingerprint(folder)}"
    return f"{source}@{getattr(network.config, '_commit_hash', None) or revision or 'main'}"


@contextmanager
def loading_errors(model: str) -> Iterator[None]:
    """Every failure inside as one sentence that names the model."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        if isinstance(error, LimRankError):
            raise
        hint = "" if Path(model).is_dir() else "; it is no folder here, and the hub could not give it"
        if _SENTENCEPIECE.search(str(error)) and find_spec("sentencepiece") is None:
            hint = "; its tokenizer is a SentencePiece file: pip install sentencepiece protobuf"
        raise BackendError(f"model {model!r} cannot be loaded{hint}: {_sentence(error)}") from error


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """While weights are loaded, transformers draws a bar; its switch is put back afterwards."""
    logging = require("transformers", "transformers", "loading a model").utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"
