"""Run a local causal language model with vLLM, in this process.

Written against the public `vllm.LLM` and `vllm.SamplingParams` of vLLM 0.26 to 0.30, read in their
source and documentation in November 2026; no other part of vLLM is touched but `LoRARequest`. What
this project could test is how requests are made and replies read, with a stand-in for vLLM; a GPU
run of vLLM itself was not possible here. `docs/served-models.md` says what that leaves open.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.continuous_batch import budget_and_room
from limrank_plugins.backends.local.cuts import tokens_cut
from limrank_plugins.backends.local.fingerprint import folder_fingerprint
from limrank_plugins.backends.local.loading import pretrained
from limrank_plugins.backends.local.lora import names_of
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.local.sources import is_gguf
from limrank_plugins.backends.local.truncation import fit
from limrank_plugins.backends.protocols import (
    Arrived,
    Failed,
    Generate,
    Generated,
    LabelReading,
    ModelFacts,
    ReadLabels,
    Reply,
    Request,
)
from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.backends.remote.replies import Label, Token, labels_in, ordered, within
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, LimRankError, require
from limrank_plugins.files import read_json_object
from limrank_plugins.segments import Prompt, Segment

_LENGTH = 24_576


class VLLMBackend:
    """A causal language model in vLLM's engine. Safe to use from many threads, which take turns.

    All requests of a call go to the engine as one batch of token ids; its prefix cache computes
    instruction and query once per query.

    Args:
        model: a folder or a hub name.
        adapter: the folder of a LoRA adapter, applied while running.
        revision: the hub revision.
        dtype: `"auto"` (the checkpoint's), `"float16"` (as LimRank was evaluated) or `"bfloat16"`.
        tensor_parallel: GPUs to spread the model over; default 1.
        max_length: tokens of a prompt and what is written behind it; default 24,576, which is a prompt of
            16,000 tokens with 8,192 of reasoning behind it as in the paper, or the model's context where that
            is less.
        tolerance: see `OpenAIBackend`; only used on vLLM versions without `logprob_token_ids`.
        trust_remote_code: run code that comes with the model; off unless you say so.
        engine: further arguments of `vllm.LLM` (`gpu_memory_utilization`, `quantization`, …).

    Raises:
        InputError: a value that cannot be used.
        BackendError: vLLM cannot load the model.
        MissingExtra: vLLM is not installed.
    """

    name = "vllm"
    shows_images = False

    def __init__(
        self,
        model: str,
        *,
        adapter: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        dtype: str = "auto",
        tensor_parallel: int = 1,
        max_length: int | None = None,
        tolerance: float = 1e-3,
        trust_remote_code: bool = False,
        **engine: Any,
    ) -> None:
        whole_number("tensor_parallel", tensor_parallel, least=1)
        if max_length is not None:
            whole_number("max_length", max_length, least=1)
        self._vllm = require("vllm", "vllm", "VLLMBackend")
        if is_gguf(model):
            raise InputError(
                f"model {model!r} is a GGUF file, which VLLMBackend does not run: use "
                f"backend='transformers' or backend='llama-cpp'"
            )
        common = {"revision": revision, "trust_remote_code": trust_remote_code}
        folder = Path(adapter) if adapter is not None else None
        try:
            config = pretrained("AutoConfig", model, extra="vllm", **common)
            tokenizer = pretrained("AutoTokenizer", model, extra="vllm", **common)
        except (OSError, ValueError) as error:
            raise InputError(f"no model can be loaded from {model!r}: {error}") from error
        context = int(getattr(config, "max_position_embeddings", _LENGTH))
        self._length = max_length if max_length is not None else min(context, _LENGTH)
        if self._length > context:
            raise InputError(f"max_length={max_length} is more than the model's context of {context} tokens")
        self._encoder = PromptEncoder(tokenizer)
        self.facts = ModelFacts(names_of(model, adapter), self._encoder.chats)
        self._tolerance = tolerance
        arguments = {
            "model": model,
            "dtype": dtype,
            "tensor_parallel_size": tensor_parallel,
            "max_model_len": self._length,
            "enable_prefix_caching": True,
            **common,
            **(_lora(folder) if folder is not None else {}),
            **engine,
        }
        try:
            llm = self._vllm.LLM(**arguments)
        except LimRankError:
            raise
        except Exception as error:
            raise BackendError(f"vLLM cannot load {model!r}: {error}") from error
        self._adapter = _adapter(folder) if folder is not None else None
        # Exact for any label, however unlikely; older versions give the most likely tokens only.
        self._names_labels = "logprob_token_ids" in inspect.signature(self._vllm.SamplingParams).parameters
        self.identity = _identity(model, revision, dtype, folder, self._length)
        self._model = SharedModel(f"this {self.name} backend", llm)

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` naming the label that is not one token after the text `after`."""
        self._encoder.label_ids(labels, after)

    def read_labels(self, requests: Sequence[ReadLabels], arrived: Arrived | None = None) -> list[Reply]:
        """The labels' log-probabilities at the end of each prompt.

        Raises:
            BackendError: the engine fails, or is closed.
        """
        replies = Replies(arrived)
        prepared: list[tuple[int, list[int], list[int], int]] = []
        for i, request in enumerate(requests):
            try:
                encoded = self._encoder.encode(request.prompt)
                ids, cut = fit(encoded, self._length - 1)
                prepared.append((i, ids, self._encoder.label_ids(request.labels, encoded.end), cut))
            except LimRankError as error:
                replies[i] = Failed(str(error))
        outputs = self._run([(ids, self._reading(labels)) for _, ids, labels, _ in prepared])
        with replies.together():
            for (i, ids, labels, cut), output in zip(prepared, outputs, strict=True):
                replies[i] = self._reply(output, requests[i].labels, labels, _usage(ids, output), cut)
        return replies.in_order()

    def generate(self, requests: Sequence[Generate], arrived: Arrived | None = None) -> list[Reply]:
        """Write on from each prompt; labels behind a stop string are read in a second batch.

        Raises:
            BackendError: the engine fails, or is closed.
        """
        replies = Replies(arrived)
        prepared: list[tuple[int, list[int], Any, int]] = []
        for i, request in enumerate(requests):
            try:
                budget, room = budget_and_room(request, self._length)
                ids, cut = fit(self._encoder.encode(request.prompt), room)
            except LimRankError as error:
                replies[i] = Failed(str(error))
            else:
                prepared.append((i, ids, self._writing(request, budget), cut))
        outputs = self._run([(ids, parameters) for _, ids, parameters, _ in prepared])
        closed: list[tuple[int, Generated, list[int], list[int]]] = []
        with replies.together():
            for (i, ids, _, cut), output in zip(prepared, outputs, strict=True):
                request, output_text = requests[i], output.outputs[0]
                text, finish, stop = _ending(output_text, request.stop)
                completion = Generated(text, finish, None, _usage(ids, output), cut)
                if stop is not None and request.labels:
                    behind = self._behind(ids, list(output_text.token_ids), text, stop, request.prompt)
                    closed.append((i, completion, behind, self._encoder.label_ids(request.labels, stop)))
                else:
                    replies[i] = completion
        outputs = self._run([(ids, self._reading(labels)) for _, _, ids, labels in closed])
        with replies.together():
            for (i, completion, _, labels), output in zip(closed, outputs, strict=True):
                reading = self._reply(output, requests[i].labels, labels, Usage(), 0)
                if isinstance(reading, Failed):
                    replies[i] = Failed(reading.reason, completion.usage)
                else:
                    replies[i] = replace(completion, reading=reading)
        return replies.in_order()

    def cuts(self, requests: Sequence[Request]) -> list[int]:
        """The tokens of documents that each request would leave out; see `CountsCuts`."""
        return [tokens_cut(self._encoder, request, self._length, self._length - 1) for request in requests]

    def close(self) -> None:
        """Release the engine and its memory. May be called twice; afterwards nothing can be asked."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _reading(self, labels: Sequence[int]) -> Any:
        options: dict[str, Any] = {"max_tokens": 1, "temperature": 0.0, "detokenize": False}
        if self._names_labels:
            options |= {"logprobs": len(labels), "logprob_token_ids": list(labels)}
        else:
            options["logprobs"] = 20
        return self._vllm.SamplingParams(**options)

    def _writing(self, request: Generate, budget: int) -> Any:
        options: dict[str, Any] = {
            "max_tokens": budget,
            "temperature": request.temperature,
            "stop": list(request.stop),
            # A marker such as </think> must be in the text, or the stop string is never seen.
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
        }
        if request.temperature > 0:
            seed = (request.seed * 1_000_003 + request.sample) % (1 << 31)
            options |= {"top_p": request.top_p, "seed": seed}
        return self._vllm.SamplingParams(**options)

    def _run(self, batch: Sequence[tuple[list[int], Any]]) -> list[Any]:
        if not batch:
            return []
        prompts = [{"prompt_token_ids": ids} for ids, _ in batch]  # vllm.TokensPrompt is this dict's type
        options = {"lora_request": self._adapter} if self._adapter is not None else {}
        with self._model.turn() as llm:
            try:
                outputs = list(llm.generate(prompts, [p for _, p in batch], use_tqdm=False, **options))
            except Exception as error:
                raise BackendError(f"vLLM failed: {error}") from error
        # A score must never reach another document: the engine says which prompt a completion is to.
        if [list(output.prompt_token_ids) for output in outputs] != [ids for ids, _ in batch]:
            raise BackendError(f"vLLM gave {len(outputs)} completions, not those of the {len(batch)} prompts")
        return outputs

    def _reply(
        self, output: Any, names: Sequence[str], labels: Sequence[int], usage: Usage, cut: int
    ) -> LabelReading | Failed:
        logprobs = output.outputs[0].logprobs
        if not logprobs:
            return Failed("vLLM gave no log-probabilities", usage)
        named = logprobs[0].items()
        try:
            tokens = ordered(Token("", number, float(entry.logprob)) for number, entry in named)
        except CallFailed as failure:
            return Failed(str(failure), usage)
        logprobs_found = labels_in(tokens, list(map(Label, names, labels)), loosely=False)
        values = within(logprobs_found, tokens, self._tolerance)
        if values is None or not all(value - value == 0 for value in values):
            listed = dict(zip(names, logprobs_found, strict=True))
            return Failed(f"vLLM gave no usable log-probabilities of the labels: {listed}", usage)
        return LabelReading(tuple(values), usage, cut)

    def _behind(self, ids: list[int], written: list[int], text: str, stop: str, prompt: Prompt) -> list[int]:
        """The tokens up to the verdict: the model's own, unless the stop string ends inside one."""
        if self._encoder.decode(written).endswith(stop):
            return ids + written
        closed = prompt.then(Segment(text, trusted=False), Segment(stop))
        return fit(self._encoder.encode(closed), self._length - 1)[0]


def _ending(written: Any, stops: Sequence[str]) -> tuple[str, str, str | None]:
    if written.finish_reason == "length":
        return written.text, "length", None
    stopped = written.stop_reason if written.stop_reason in stops else None
    return written.text, "stop" if stopped is not None else "end", stopped


def _usage(ids: Sequence[int], output: Any) -> Usage:
    cached = getattr(output, "num_cached_tokens", None) or 0  # None where the cache is off
    return Usage(len(ids), shared_tokens=cached, generated_tokens=len(output.outputs[0].token_ids))


def _lora(folder: Path) -> dict[str, Any]:
    file = folder / "adapter_config.json"
    if not file.is_file():
        raise InputError(f"adapter {str(folder)!r} must be a folder with an adapter_config.json")
    rank = whole_number(f"'r' in {file}", read_json_object(file).get("r"), least=1)
    # The engine takes these sizes only.
    return {"enable_lora": True, "max_lora_rank": next((r for r in (8, 16, 32, 64, 128) if r >= rank), 256)}


def _adapter(folder: Path) -> Any:
    lora = require("vllm.lora.request", "vllm", "VLLMBackend(adapter=…)")
    return lora.LoRARequest(folder.name, 1, str(folder))


def _identity(model: str, revision: str | None, dtype: str, adapter: Path | None, length: int) -> str:
    path = Path(model).expanduser()
    named = f"{path.name}@{folder_fingerprint(path)}" if path.is_dir() else f"{model}@{revision or 'main'}"
    added = f"+{adapter.name}@{folder_fingerprint(adapter)}" if adapter is not None else ""
    return f"vllm:{named}:{dtype}{added}:{length}"
