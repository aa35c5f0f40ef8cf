"""What the readouts that let a model write share: prompts about several documents, and the answers."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from limrank_plugins.backends.protocols import Failed, Generate, Generated, Program, Reply, Request
from limrank_plugins.data import Document, Query, Usage
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.labels import Labels
from limrank_plugins.readouts.reading import split_thought
from limrank_plugins.readouts.yes_no import cut_back
from limrank_plugins.segments import Prompt, Segment, clean_text


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote about one group.

    Attributes:
        text: everything, the words that were put into its mouth included; empty where it did not
            get beyond its thought.
        thought: its reasoning, or None.
        failure: why there is no text, or None.
        cut_tokens: tokens of the documents that did not fit, taken together.
        usage: what it cost.
    """

    text: str
    thought: str | None = None
    failure: str | None = None
    cut_tokens: int = 0
    usage: Usage = Usage()


def listed(
    query: Query,
    documents: Sequence[Document],
    template: Template,
    settings: Settings,
    labels: Labels,
    **given: object,
) -> Prompt:
    """The prompt about these documents, in this order; neither they nor the query can write a label."""
    return template.render(
        labels.neutral(instructed(query, settings.instruction)),
        [labels.neutral(document.passage) for document in documents],
        query_images=query.images,
        images=[document.images for document in documents],
        labels=labels.shown(len(documents)),
        **given,
    )


def arrangements(documents: Sequence[Document], settings: Settings) -> list[list[int]]:
    """The orders in which the documents are shown: as they are, or `samples` seeded permutations.

    A permutation depends on the seed and the documents alone, never on what was asked before.
    """
    if settings.samples == 1:
        return [list(range(len(documents)))]
    group = [[document.id, document.passage] for document in documents]
    orders: list[list[int]] = []
    for sample in range(settings.samples):
        name = json.dumps([settings.seed, sample, group])
        order = list(range(len(documents)))
        random.Random(hashlib.sha256(name.encode("ascii")).digest()).shuffle(order)
        orders.append(order)
    return orders


def write(
    prompts: Sequence[Prompt], template: Template, settings: Settings, answer_tokens: int, draws: int = 0
) -> Program[list[Written]]:
    """Let the model answer each prompt, after a thought or without one.

    Without reasoning, the answer begins with the template's `no_think`. A thought that its budget
    ended is closed with the template's `close`, where it has one, and the answer is asked for again.

    Args:
        prompts: where to start.
        template: its `stop`, `close` and `no_think` are used.
        settings: how to think and draw.
        answer_tokens: the budget behind the thought.
        draws: answers to each prompt, drawn at random where there are several, and returned one prompt
            after the other. 0: one answer each, the prompts being the samples (permutations of a group),
            which differ without any drawing.
    """
    if draws:
        samples = [sample for _ in prompts for sample in range(draws)]
        prompts = [prompt for prompt in prompts for _ in range(draws)]
        temperature = settings.drawn_temperature
    else:
        samples = list(range(len(prompts)))
        temperature = settings.temperature if settings.temperature is not None else 0.0
    full = settings.reasoning == "full"
    begun = "" if full else template.no_think
    budget = answer_tokens + (settings.max_reasoning_tokens if full else 0)
    replies = yield [
        _generate(
            prompt.then(Segment(begun)) if begun else prompt,
            template,
            settings,
            budget,
            temperature,
            sample,
        )
        for sample, prompt in zip(samples, prompts, strict=True)
    ]
    done = [_written(begun, reply, full) for reply in replies]
    cut_off = [
        (i, cut_back(reply.text) if settings.cut_to_sentence else reply.text.strip())
        for i, reply in enumerate(replies)
        if full and template.close and isinstance(reply, Generated) and not done[i].text
    ]
    if cut_off:
        # The model's own words are no more to be trusted with special tokens than a passage.
        again: list[Request] = [
            _generate(
                prompts[i].then(Segment(clean_text(text), trusted=False), Segment(template.close)),
                template,
                settings,
                answer_tokens,
                temperature,
                samples[i],
            )
            for i, text in cut_off
        ]
        answers = yield again
        for (i, text), reply in zip(cut_off, answers, strict=True):
            now = _written(text + template.close, reply, False)
            usage = done[i].usage + now.usage
            cut = max(done[i].cut_tokens, now.cut_tokens)
            done[i] = Written(now.text, done[i].thought, now.failure, cut, usage)
    return done


def cuts(shown: Sequence[Sequence[int]], prompts: Sequence[Prompt], tokens: Sequence[int]) -> tuple[int, ...]:
    """Tokens left out per document of the group, the most of all prompts; empty for none.

    A backend says how many tokens of a prompt were left out in all. The longest document is always
    cut first, so they are noted on it.
    """
    most = [0] * len(shown[0])
    for order, prompt, number in zip(shown, prompts, tokens, strict=True):
        lengths = [len(segment.text) for segment in prompt.segments if segment.cuttable]
        longest = order[lengths.index(max(lengths))]
        most[longest] = max(most[longest], number)
    return tuple(most) if any(most) else ()


def _generate(
    prompt: Prompt, template: Template, settings: Settings, budget: int, temperature: float, sample: int
) -> Request:
    return Generate(
        prompt,
        stop=template.stop,
        max_tokens=budget,
        temperature=temperature,
        top_p=settings.top_p,
        seed=settings.seed,
        sample=sample,
    )


def _written(begun: str, reply: Reply, full: bool) -> Written:
    if isinstance(reply, Failed):
        return Written("", failure=reply.reason, usage=reply.usage)
    if not isinstance(reply, Generated):
        raise TypeError(f"a backend answered a writing question with {type(reply).__name__}")
    text = begun + reply.text
    thought = split_thought(text)[0]
    if full and reply.finish == "length" and "</think>" not in text.lower():
        # All of it is an unfinished thought, whether or not the model opened it with a tag.
        return Written(
            "", (thought if thought is not None else text).strip(), None, reply.cut_tokens, reply.usage
        )
    return Written(text, thought or None, None, reply.cut_tokens, reply.usage)
