"""Where every model, tokenizer, processor and configuration of `transformers` is loaded.

A further file format is a change of this module: how files are read (`pretrained`) and what identifies them
(`model_name`); and of `sources.py`: what may be named. Every way in which loading fails is one sentence with
the fix.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from limrank_plugins.backends.local.fingerprint import file_fingerprint, folder_fingerprint
from limrank_plugins.backends.local.gguf_loading import OTHER_KIND, pretrained_gguf
from limrank_plugins.backends.local.hub import hub_or_cache
from limrank_plugins.backends.local.loading_errors import loading_errors
from limrank_plugins.backends.local.lora import base_of, is_adapter, with_adapter
from limrank_plugins.backends.local.placement import placement
from limrank_plugins.backends.local.sources import checked_source, gguf_file, is_gguf
from limrank_plugins.backends.smollm_weights import SMOLLM2, SMOLLM2_SHA256
from limrank_plugins.errors import BackendError, InputError, require
from limrank_plugins.files import read_json

_LOADING = threading.RLock()


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run, its tokenizer, and what its stored replies are keyed by.

    `processor` is there for a vision-language model: it brings tokenizer and image processor together.
    """

    model: Any
    tokenizer: Any
    identity: str
    context: int | None
    processor: Any = None


class _Kind(NamedTuple):
    """What `transformers` loads a kind of model with, its name, where others run, what to do without it."""

    loader: str
    noun: str
    others: str
    instead: str = ""


_SERVED = "or let a server run it (backend='openai', base_url='http://…/v1')"
_T5 = "T5 and its like run on backend 'seq2seq'"
_TEXTS = "a causal language model runs on backend 'transformers' (--backend transformers)"
_KINDS = {
    "transformers": _Kind(
        "AutoModelForCausalLM",
        "causal language model",
        _T5,
        f"{_SERVED}, or try the recipe on model='smollm2'",
    ),
    "vision": _Kind("AutoModelForImageTextToText", "vision-language model", _TEXTS, _SERVED),
    "seq2seq": _Kind("AutoModelForSeq2SeqLM", "sequence-to-sequence model", _TEXTS),
}


def load(
    model: str,
    kind: str,
    *,
    device: str | None,
    dtype: Any,
    adapter: str | os.PathLike[str] | None,
    merge_adapter: bool,
    revision: str | None,
    trust_remote_code: bool,
    attn_implementation: str | None = None,
) -> LoadedModel:
    """Load the model of a backend; see `TransformersBackend` for the arguments.

    `kind` is the backend's name: `"transformers"`, `"seq2seq"`, or `"vision"`, with which the model's
    processor comes, too.

    Raises:
        InputError: a path that does not exist or holds no model, or a device or dtype that cannot be.
        BackendError: the model is there but cannot be loaded.
    """
    place = placement(device, dtype, "transformers", "TransformersBackend")
    if model == SMOLLM2 and revision is not None:
        raise InputError(
            f"revision={revision!r}: the model {SMOLLM2!r} is one fixed file; leave revision out"
        )
    base, added = _base_and_adapter(str(model), None if adapter is None else str(adapter))
    common: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    attention = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    with loading(base, model, gguf=kind != "vision", instead=_KINDS[kind].instead) as source:
        processor = load_processor(source, **common) if kind == "vision" else None
        # An adapter may bring added tokens of its own.
        if processor is not None:
            tokenizer = processor.tokenizer
        elif added is not None and (Path(added) / "tokenizer_config.json").is_file():
            tokenizer = pretrained("AutoTokenizer", added)
        else:
            tokenizer = pretrained("AutoTokenizer", source, **common)
        loader, noun, others, _ = _KINDS[kind]
        try:
            network, report = pretrained(
                loader, source, dtype=place.dtype, output_loading_info=True, **common, **attention
            )
        except ValueError as error:
            if OTHER_KIND not in str(error):
                raise
            raise BackendError(f"model {model!r} is no {noun}: {others}") from error
        if report.get("missing_keys"):
            missing = sorted(report["missing_keys"])
            raise BackendError(
                f"{model} is no {noun}: it has no weights for {missing[0]} "
                f"(and {len(missing) - 1} more), which would be random numbers"
            )
        if len(tokenizer) > network.get_input_embeddings().weight.shape[0]:
            if added is None:
                raise BackendError(
                    f"the tokenizer in {model} has {len(tokenizer)} tokens, but the model only knows "
                    f"{network.get_input_embeddings().weight.shape[0]}: they do not belong together"
                )
            network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        if added is not None:
            network = with_adapter(network, added, merge_adapter)
        network = network.to(place.device).eval().requires_grad_(False)
    identity = f"{kind}:{model_name(source, revision, network)}:{place.precision}"
    if added is not None:
        how = "merged" if merge_adapter else "live"
        identity += f"+{Path(added).name}@{folder_fingerprint(Path(added))}:{how}"
    return LoadedModel(network, tokenizer, identity, context_of(network, tokenizer), processor)


def _base_and_adapter(model: str, adapter: str | None) -> tuple[str, str | None]:
    if is_adapter(checked_source(model)):
        if adapter is not None:
            raise InputError(f"{model} is itself an adapter: give its base as model, or leave adapter out")
        return base_of(Path(model)), model
    if adapter is not None and not is_adapter(adapter):
        raise InputError(f"adapter {adapter!r} must be a folder that holds an adapter_config.json")
    return model, adapter


def pretrained(kind: Any, source: str | Path, *, extra: str = "transformers", **options: Any) -> Any:
    """What a class makes of a model's files: a model, a tokenizer, a processor or a configuration.

    Args:
        kind: the name of a class in `transformers`, or any class with `from_pretrained`.
        source: what `loading` gives.
        extra: the extra that brings `transformers`.
        options: of `from_pretrained`.

    Raises:
        MissingExtra: transformers is not installed.
        BackendError: see `check_positions`.
    """
    if isinstance(kind, str):
        kind = getattr(require("transformers", extra, "loading a model"), kind)
    file = gguf_file(str(source), options.get("revision"))
    if file is not None:
        return pretrained_gguf(kind, file, str(source), **options)
    made = kind.from_pretrained(source, **options)
    config = getattr(made[0] if isinstance(made, tuple) else made, "config", None)
    for part in (config, getattr(config, "text_config", None)):
        check_positions(part, str(source))
    return made


def check_positions(config: Any, model: str) -> None:
    """Refuse a model whose rotary positions this version of `transformers` passes over.

    Version 5 writes them as `rope_parameters`. Before, they were `rope_theta` and `rope_scaling`: an older
    version takes its defaults for these, and every score is another one, without a word.

    Raises:
        BackendError: the two differ.
    """
    saved, theta = getattr(config, "rope_parameters", None), getattr(config, "rope_theta", None)
    if not isinstance(saved, dict) or theta is None:
        return
    scaled = saved.get("rope_type", "default") != "default" and not getattr(config, "rope_scaling", None)
    if scaled or saved.get("rope_theta", theta) != theta:
        raise BackendError(
            f"{model} was saved by transformers 5 or later, and the one that is installed does not read its "
            f"positions ({saved}): its scores would be wrong. pip install 'transformers>=5'"
        )


def load_processor(source: str, **common: Any) -> Any:
    """The processor of a folder or hub name, also without torchvision.

    `transformers` 5 falls back to image processors on Pillow by itself where torchvision is absent,
    but refuses a processor that also takes videos (Qwen2-VL and later). Those are then loaded
    without their video part.

    Raises:
        MissingExtra: Pillow is not installed.
        BackendError: there is no image processor.
    """
    require("PIL", "vision", "VisionBackend")
    try:
        processor = pretrained("AutoProcessor", source, extra="vision", **common)
    except (ImportError, AttributeError) as error:
        if find_spec("torchvision") is not None:
            raise
        try:
            processor = _without_video(source, **common)
        except (ImportError, AttributeError, KeyError, TypeError) as second:
            raise BackendError(
                f"the processor of {source!r} needs torchvision: pip install torchvision ({error})"
            ) from second
    missing = [part for part in ("tokenizer", "image_processor") if getattr(processor, part, None) is None]
    if missing:
        raise BackendError(
            f"{source!r} is no model for images and text: it has no {' and no '.join(missing)}"
        )
    return processor


def _without_video(source: str, **common: Any) -> Any:
    mapping = require("transformers.models.auto.processing_auto", "vision", "VisionBackend").PROCESSOR_MAPPING
    config = pretrained("AutoConfig", source, extra="vision", **common)
    base = mapping[type(config)]
    parts = [part for part in base.get_attributes() if "video" not in part]
    kind = type(base.__name__, (base,), {"get_attributes": classmethod(lambda cls: parts)})
    return pretrained(kind, source, **common)


@contextmanager
def loading(
    model: str, asked_for: str | None = None, *, gguf: bool = False, instead: str = ""
) -> Iterator[str]:
    """The checked source of a model, to be loaded inside without a progress bar.

    Args:
        model: what `checked_source` takes.
        asked_for: what messages call it; default: the same.
        gguf: whether a GGUF file will do; encoders and models that see are read from folders only.
        instead: what else can be done where the model is not here, beside downloading it.

    Raises:
        InputError: it can be none.
        BackendError: what failed inside, as one sentence.
    """
    source = checked_source(model)
    if not gguf and is_gguf(source):
        raise InputError(
            f"model {model!r} is a GGUF file, from which language models are read, not encoders or models "
            f"that see: give a folder or a hub name; a language model reads texts on backend 'transformers'"
        )
    with loading_errors(asked_for or model, instead), no_progress_bar(), _no_report(), hub_or_cache(source):
        yield source


def refuse_own_modules(source: str, trust_remote_code: bool) -> None:
    """Check that a folder of sentence-transformers has no modules of its own, unless its code is trusted.

    Releases before 6 import such modules out of any local folder, without being asked.

    Raises:
        BackendError: it has one; it is named.
    """
    if trust_remote_code:
        return
    folder = Path(source).expanduser()
    for file in sorted([*folder.rglob("modules.json"), *folder.rglob("router_config.json")]):
        for name in _module_classes(file):
            if not name.startswith("sentence_transformers."):
                raise BackendError(
                    f"{file} names the module {name!r}, which is code that comes with the model: give "
                    f"trust_remote_code=True if you trust it"
                )


def _module_classes(file: Path) -> list[str]:
    body = read_json(file, fix="copy or fetch the model again")
    try:
        entries = (
            [entry["type"] for entry in body] if isinstance(body, list) else body.get("types", {}).values()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendError(f"{file} is damaged: {error!r}") from error
    return [str(name) for name in entries]


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Weights are loaded inside, by one thread at a time, without the bar that transformers draws.

    That switch is the whole process's, and so is the precision under which transformers makes a model: two
    threads that load would get weights in each other's. What is computed meanwhile does not depend on it.
    """
    logging = require("transformers", "transformers", "loading a model").utils.logging
    with _LOADING:
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            if shown:
                logging.enable_progress_bar()


@contextmanager
def _no_report() -> Iterator[None]:
    """What transformers logs about missing and unused weights goes unsaid: who loads looks for them."""
    logging = require("transformers", "transformers", "loading a model").utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity(max(before, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(before)


def model_name(
    source: str, revision: str | None = None, network: Any = None, *, recursive: bool = False
) -> str:
    """What tells these weights from others: a folder's or file's fingerprint, or a hub name's commit.

    `recursive` is for folders that keep parts of the model in subfolders.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return f"{folder.resolve().name}@{folder_fingerprint(folder, recursive=recursive)}"
    if source == SMOLLM2:
        return f"{SMOLLM2}@{SMOLLM2_SHA256[:16]}"
    file = gguf_file(source, revision)
    if file is not None:
        return f"{file.name}@{file_fingerprint(file)}"
    commit = getattr(getattr(network, "config", None), "_commit_hash", None)
    return f"{source}@{commit or revision or 'main'}"


def context_of(network: Any, tokenizer: Any) -> int | None:
    """The most tokens it reads, as its configuration or else its tokenizer says."""
    config = network.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        if isinstance(getattr(config, name, None), int):
            return int(getattr(config, name))
    limit = int(tokenizer.model_max_length)
    return limit if limit < 1 << 30 else None
