"""Run a local model that sees, LLaVA, Qwen2.5-VL, InternVL and their like, with `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limrank_plugins.backends.chat import has_chat_template
from limrank_plugins.backends.local.continuous_batch import Draft, budget_and_room, choose
from limrank_plugins.backends.local.image_prompts import ImagePrompt, encode_image_prompt, spoken_labels
from limrank_plugins.backends.local.image_tokens import ImageTokenizer
from limrank_plugins.backends.local.loading import load
from limrank_plugins.backends.local.lora import names_of
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import checked_length, end_tokens, label_reply, prepare_each
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.local.vision_network import VisionNetwork
from limrank_plugins.backends.protocols import Arrived, Generate, ModelFacts, ReadLabels, Reply
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError
from limrank_plugins.segments import Prompt


class VisionBackend:
    """A model for images and text on this machine. Safe to use from many threads, which take turns.

    Prompts are computed one at a time, each on its own, so that a reply never depends on what else
    is asked. Images are never cut; the texts of documents are, so that a prompt fits. A prompt
    without images is read as the model's language model reads it.

    Args:
        model: a folder or a hub name of an image-text-to-text model with its processor.
        device: as for `TransformersBackend`.
        dtype: as for `TransformersBackend`.
        adapter: as for `TransformersBackend`.
        merge_adapter: as for `TransformersBackend`.
        revision: as for `TransformersBackend`.
        trust_remote_code: as for `TransformersBackend`.
        max_length: tokens of a prompt, images included, and what is written behind it; default and
            upper limit: the model's context.
        max_pixels: larger images are made smaller before the model's processor gets them; default:
            None. Where an image's tokens grow with its size (Qwen2-VL, InternVL), fewer pixels are
            fewer tokens.
        attn_implementation: `"sdpa"`, `"eager"`, …; default: the model's.

    The reasoning's budget is at most half of `max_length`. Images are decoded by Pillow.

    Raises:
        InputError: a value that cannot be used, or a path that holds no model.
        BackendError: the model cannot be loaded, or its processor works in a way that is not known here.
        MissingExtra: torch, transformers or Pillow is not installed.
    """

    name = "vision"
    shows_images = True

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        dtype: Any = None,
        adapter: str | None = None,
        merge_adapter: bool = True,
        revision: str | None = None,
        trust_remote_code: bool = False,
        max_length: int | None = None,
        max_pixels: int | None = None,
        attn_implementation: str | None = None,
    ) -> None:
        if max_pixels is not None:
            whole_number("max_pixels", max_pixels, least=1)
        loaded = load(
            model,
            "vision",
            device=device,
            dtype=dtype,
            adapter=adapter,
            merge_adapter=merge_adapter,
            revision=revision,
            trust_remote_code=trust_remote_code,
            attn_implementation=attn_implementation,
        )
        self._length = checked_length(max_length, loaded.context)
        self.identity = f"{loaded.identity}:{self._length}:{max_pixels or ''}"
        self._encoder = PromptEncoder(loaded.tokenizer)
        self._processor = loaded.processor
        # Its processor's template, which also writes pictures, is the one that is used.
        self.facts = ModelFacts(names_of(model, adapter), has_chat_template(loaded.processor))
        self._image_tokenizer = ImageTokenizer(loaded.processor, self._encoder.prefix, max_pixels)
        if self._image_tokenizer.token not in self._encoder.markers:
            placeholder = self._image_tokenizer.placeholder
            raise BackendError(
                f"the placeholder {placeholder!r} is an ordinary word of this tokenizer, so "
                f"any passage could hold it: this model cannot be used here"
            )
        self._ends = end_tokens(loaded.model, loaded.tokenizer)
        self._model = SharedModel(f"this {self.name} backend", VisionNetwork(loaded.model))

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` naming the label that is not one token after the text `after`."""
        self._encoder.label_ids(labels, after)

    def read_labels(self, requests: Sequence[ReadLabels], arrived: Arrived | None = None) -> list[Reply]:
        """The labels' logits at the end of each prompt, in float32.

        Raises:
            InputError: no prompt fits the model, or no label can be read.
        """

        def prepare(request: ReadLabels) -> tuple[ImagePrompt, list[int]]:
            prompt = self._image_prompt(request.prompt, self._length)
            labels = spoken_labels(request.labels, request.prompt, prompt.end)
            return prompt, self._encoder.label_ids(labels, prompt.end)

        prepared, replies = prepare_each(requests, prepare, arrived)
        with self._model.turn() as network:
            for i, (prompt, labels) in prepared.items():
                logits, _ = network.begin(prompt.ids, prompt.marks, prompt.tensors)
                usage = Usage(prompt_tokens=len(prompt.ids))
                replies[i] = label_reply(network.label_logits(logits, labels), usage, prompt.cut)
        return replies.in_order()

    def generate(self, requests: Sequence[Generate], arrived: Arrived | None = None) -> list[Reply]:
        """Write on from each prompt; a text does not depend on what else is written.

        Raises:
            InputError: no prompt fits the model, or no label can be read.
        """

        def prepare(request: Generate) -> tuple[Draft, ImagePrompt]:
            budget, room = budget_and_room(request, self._length)
            prompt = self._image_prompt(request.prompt, room)
            labels = {
                stop: self._encoder.label_ids(request.labels, stop) for stop in request.stop if request.labels
            }
            return Draft(request, prompt.ids, prompt.cut, budget, labels), prompt

        prepared, replies = prepare_each(requests, prepare, arrived)
        with self._model.turn() as network:
            for i, (draft, prompt) in prepared.items():
                replies[i] = self._completion(network, draft, prompt)
        return replies.in_order()

    def close(self) -> None:
        """Release the model's memory. May be called twice; afterwards nothing can be asked."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _completion(self, network: VisionNetwork, draft: Draft, prompt: ImagePrompt) -> Reply:
        logits, past = network.begin(prompt.ids, prompt.marks, prompt.tensors, keep=True)
        while draft.reply is None:
            if draft.awaits is not None:
                draft.read(network.label_logits(logits, draft.awaits))
                continue
            (token,) = choose(logits, [draft])
            if token is None:
                draft.fail("the model's logits are not finite")
                continue
            draft.append(token, self._encoder, self._ends)
            if draft.reply is None:
                logits = network.step(past, token)
        return draft.reply

    def _image_prompt(self, prompt: Prompt, limit: int) -> ImagePrompt:
        return encode_image_prompt(prompt, self._processor, self._image_tokenizer, self._encoder, limit)
