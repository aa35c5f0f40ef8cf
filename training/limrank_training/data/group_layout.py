"""From a group to token ids: the prompt of inference, its chat template included, and what is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limrank_plugins.backends.chat import as_completion
from limrank_plugins.backends.local.image_tokens import ImageTokenizer, decode
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.truncation import EncodedPrompt, fit_documents
from limrank_plugins.backends.protocols import Generate, ReadLabels
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.recipes import Recipe
from limrank_plugins.segments import Prompt, Segment
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.data.passage_layout import Example
from limrank_training.data.targets import request_for, target
from limrank_training.objectives import Objective

_CONTEXTS = tuple(Segment(text) for text in ("\n", "a", "1", ")"))


@dataclass(frozen=True, slots=True)
class GroupExample(Example):
    """A group as the model will learn it, or be asked about it.

    Attributes:
        labels: for `"first"`, each passage's label as a token.
        ranks: for `"first"`, each passage's rank from 1, equal ones being ties.
        group: the passages as they are shown.
    """

    labels: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()
    group: PassageGroup | None = None


@dataclass(frozen=True, slots=True)
class GroupLayout:
    """How groups become examples.

    Attributes:
        objective: what is learned.
        recipe: whose question is asked.
        template: the recipe's own.
        encoder: the tokenizer of inference.
        cutoff: the most tokens of an example; with `"grpo"`, of a prompt.
        reasoning: whether reasoning comes before the answer.
        end: the token that ends the answer, learned as the last one; None: it does not end.
        least: tokens of a passage that are always kept.
        processor: of a model that sees; None for any other.
        images: what that processor does to images.
    """

    objective: Objective
    recipe: Recipe
    template: Template
    encoder: PromptEncoder
    cutoff: int
    reasoning: bool = False
    end: int | None = None
    least: int = 16
    processor: object = None
    images: ImageTokenizer | None = None

    def example(self, group: PassageGroup) -> GroupExample | None:
        """The group's example; None where it does not fit even with short passages.

        Raises:
            InputError: the group does not say what is right, or the tokenizer cannot keep prompt and answer
                apart; its line is named.
        """
        request = self.request(group)
        if request.prompt.images:
            return self._image_example(group, request.prompt)
        prompt_tokens = self.encoder.encode(request.prompt)
        tokens: list[int] = []
        if isinstance(request, ReadLabels):
            # Labels that are not one token where inference reads them are refused here.
            tokens = self.encoder.label_ids(request.labels, prompt_tokens.end)
        names = request.labels if isinstance(request, ReadLabels) else ()
        answer = target(self.objective, self.recipe, self.template, group, self.reasoning, names)
        learned = self._learned(request.prompt, prompt_tokens, answer, group) if answer else []
        room = self.cutoff - len(learned)
        if len(prompt_tokens.ids) - self._spare(prompt_tokens) > room:
            return None
        # As at inference, where nothing follows: the learned tokens stand behind a prompt that fits.
        fitted = fit_documents(prompt_tokens, room)
        place = len(fitted.ids)
        if tokens and learned[0] not in tokens:
            raise InputError(f"{group.where}: what is learned first is no label that inference reads")
        if self.objective != "first":
            return GroupExample(
                (*fitted.ids, *learned),
                place,
                fitted.cut,
                0,
                group.where,
                group=group,
                repaired=group.repaired,
            )
        if learned[0] != tokens[group.best_first()[0]]:
            raise InputError(f"{group.where}: what is learned first is not the best passage's label")
        ids = (*fitted.ids, *learned)
        return GroupExample(
            ids,
            place,
            fitted.cut,
            0,
            group.where,
            tuple(tokens),
            group.ranks(),
            group,
            repaired=group.repaired,
        )

    def request(self, group: PassageGroup) -> ReadLabels | Generate:
        """What is asked about the group at inference."""
        return request_for(self.recipe, self.template, group, self.reasoning)

    # ---- inside ---------------------------------------------------------------------------------

    def _spare(self, encoded: EncodedPrompt) -> int:
        """Tokens of passages that may be left out."""
        return sum(max(0, stop - start - self.least) for start, stop in encoded.cuttable)

    def _learned(
        self, prompt: Prompt, prompt_tokens: EncodedPrompt, answer: tuple[Segment, ...], group: PassageGroup
    ) -> list[int]:
        """The answer's tokens behind the prompt's, which stay what they are without it.

        Vocabularies may have tokens such as ">[" that would join the two; a model that is
        asked writes "[" there, so the answer is then tokenised behind something it does not join.
        """
        end = [] if self.end is None else [self.end]
        whole = self.encoder.encode(prompt.then(*answer)).ids
        if whole[: len(prompt_tokens.ids)] == prompt_tokens.ids:
            return [*whole[len(prompt_tokens.ids) :], *end]
        for context in _CONTEXTS:
            before = self.encoder.encode(Prompt((context,))).ids
            whole = self.encoder.encode(Prompt((context, *answer))).ids
            if whole[: len(before)] == before:
                return [*whole[len(before) :], *end]
        raise InputError(
            f"{group.where}: the tokenizer joins the answer with whatever stands before it: the model would "
            f"be trained on other tokens than it writes; take another base for this recipe"
        )

    def _image_example(self, group: PassageGroup, prompt: Prompt) -> GroupExample | None:
        """A prompt with images, which are never cut: with its texts it fits whole, or is dropped."""
        if self.images is None or self.objective != "grpo" or not self.reasoning:
            raise InputError(
                f"{group.where}: there are images, which only objective grpo can show, with reasoning: "
                f"true and a recipe for models that see"
            )
        image_tokens = self.images.tokenize(prompt.images)
        text = as_completion(prompt, self.processor, self.images.placeholder)
        encoded = self.encoder.encode_completion(text, with_prefix=not prompt.is_chat)
        places = encoded.ids.count(self.images.token)
        if places != len(image_tokens.ids):
            raise InputError(
                f"{group.where}: {places} places in the prompt for {len(image_tokens.ids)} images"
            )
        of_images = iter(image_tokens.ids)
        ids = tuple(
            token
            for token_id in encoded.ids
            for token in (next(of_images) if token_id == self.images.token else (token_id,))
        )
        if len(ids) > self.cutoff:
            return None
        if ids != self._processed(prompt):
            raise InputError(
                f"{group.where}: the model's processor makes other tokens of this prompt than inference "
                f"does: a text that holds a marker, or a chat template that moves images"
            )
        return GroupExample(ids, len(ids), where=group.where, group=group)

    def _processed(self, prompt: Prompt) -> tuple[int, ...]:
        """The tokens that the trainer will get from the model's processor."""
        processor: Any = self.processor
        inputs = processor.apply_chat_template(
            [image_messages(prompt, decoded(prompt))],
            tokenize=True,
            return_dict=True,
            add_generation_prompt=True,
        )
        return tuple(inputs["input_ids"][0])


def decoded(prompt: Prompt) -> list[Any]:
    """The prompt's images as `PIL.Image`s."""
    return [decode(image, number) for number, image in enumerate(prompt.images, start=1)]


def image_messages(prompt: Prompt, images: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """A chat with images as messages of parts; without `images` their places are left empty."""
    left = iter(images)
    messages = []
    for role, segments in prompt.messages():
        parts: list[dict[str, Any]] = []
        for segment in segments:
            if segment.image is not None:
                parts.append({"type": "image", **({"image": next(left)} if images else {})})
            elif parts and parts[-1]["type"] == "text":  # templates may put a space between two texts
                parts[-1]["text"] += segment.text
            elif segment.text:
                parts.append({"type": "text", "text": segment.text})
        messages.append({"role": role, "content": parts})
    return messages
