"""From a row to token ids and what of them is learned; the verdict is never cut.

The prompt is rendered by the template of inference and tokenised by the encoder of inference, together
with the completion: token for token what the model sees when it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.truncation import EncodedPrompt, FittedPrompt, fit_documents
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template, completion
from limrank_plugins.readouts.parsing import cut_to_sentence
from limrank_plugins.segments import Prompt, Segment
from limrank_training.data.passage_rows import PassageRow

Learned = Literal["completion", "verdict"]
"""What the loss is taken on: the reasoning and the verdict, or what stands behind the reasoning."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row as the model will learn it.

    Attributes:
        ids: all tokens.
        learned: the first token that is learned; all behind it are, too.
        cut_passage: tokens of the passage that were left out.
        cut_trace: tokens of the trace that were left out.
        where: the row's file and line.
        repaired: whether tags of reasoning were taken off its trace.
    """

    ids: tuple[int, ...]
    learned: int
    cut_passage: int = 0
    cut_trace: int = 0
    where: str = ""
    repaired: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class PassageLayout:
    """How rows become examples.

    Attributes:
        template: the prompt of inference.
        encoder: the tokenizer of inference.
        cutoff: the most tokens of an example.
        reasoning: whether the trace is learned; without it the verdict follows the prompt at once.
        learned: see `Learned`.
        share: how much of each trace is used, back to a sentence's end (Eklav: half, as a hint).
        end: the token that ends the answer, learned as the last one; None: it does not end, and inference
            stops on strings, as LimRank and Rank1 were trained.
        least_passage: tokens of a passage that are always kept, before the trace is cut.
        least_trace: tokens of a trace that are always kept, before the row is dropped.
    """

    template: Template
    encoder: PromptEncoder
    cutoff: int
    reasoning: bool = True
    learned: Learned = "completion"
    share: float = 1.0
    end: int | None = None
    least_passage: int = 64
    least_trace: int = 32

    def __post_init__(self) -> None:
        if len(self.template.labels) != 2:
            raise InputError(f"template {self.template.name!r} has no two labels, the relevant one first")
        if not 0 < self.share <= 1:
            raise InputError(f"share must be in (0, 1], but got {self.share!r}")
        if self.cutoff < 8:
            raise InputError(f"cutoff must be at least 8 tokens, but got {self.cutoff!r}")

    def example(self, row: PassageRow) -> Example | None:
        """The row's example; None where it does not fit even with a short passage and a short trace."""
        room = self.cutoff - (self.end is not None)
        trace = self._used(row.trace.strip()) if self.reasoning else None
        encoded = self._encoded(row, trace)
        cut_trace = 0
        if trace is not None:
            over = len(encoded.ids) - room - _spare(encoded, self.least_passage)
            if over > 0:
                trace, cut_trace = self._shortened(trace, over)
                if trace is None:
                    return None
                encoded = self._encoded(row, trace)
        fitted = fitted_passage(encoded, room, self.least_passage)
        if fitted is None:
            return None
        # Everything learned stands behind the passage, which is all that was cut.
        learned = self._first_learned(row, trace, encoded) - fitted.cut
        ids = (*fitted.ids, *([] if self.end is None else [self.end]))
        return Example(ids, learned, fitted.cut, cut_trace, row.where, repaired=row.repaired)

    def prompt(self, row: PassageRow) -> Prompt:
        """What is asked at inference, without the answer."""
        return self.template.render(row.query, [row.passage])

    # ---- inside ---------------------------------------------------------------------------------

    def _encoded(self, row: PassageRow, trace: str | None) -> EncodedPrompt:
        label = self.template.labels[0 if row.relevant else 1]
        return self.encoder.encode(self.prompt(row).then(*completion(self.template, trace, label)))

    def _shortened(self, trace: str, over: int) -> tuple[str | None, int]:
        """The trace without its last `over` tokens or more, back to a sentence's end."""
        ids = self.encoder.encode(Prompt((Segment(trace, trusted=False),)))
        keep = len(ids.ids) - over
        if keep < self.least_trace:
            return None, 0
        text = cut_to_sentence(trace[: ids.offsets[keep - 1][1]])
        left = len(self.encoder.encode(Prompt((Segment(text, trusted=False),))).ids)
        return (text, len(ids.ids) - left) if left >= self.least_trace else (None, 0)

    def _first_learned(self, row: PassageRow, trace: str | None, encoded: EncodedPrompt) -> int:
        """The position of the first learned token, before the passage is cut.

        Raises:
            InputError: what is given is not the same tokens at inference, where nothing follows it.
        """
        prompt = self.prompt(row)
        if prompt.is_chat:
            raise InputError(f"template {self.template.name!r} is a chat; training takes raw completions")
        if trace is None:
            prompt = prompt.then(Segment(self.template.no_think))
        elif self.learned == "verdict":
            reasoning = Segment(f"\n{trace}", trusted=False)
            prompt = prompt.then(reasoning, Segment(self.template.close))
        ids = self.encoder.encode(prompt).ids
        if encoded.ids[: len(ids)] != ids:
            raise InputError(
                f"{row.where}: the tokenizer joins the end of what is given with what is learned: the model "
                f"would be trained on other tokens than it is asked with. Add <think> as a token of its own"
            )
        return len(ids)

    def _used(self, trace: str) -> str:
        """The share of the trace that is used, by its characters."""
        if self.share == 1:
            return trace
        hint = trace[: max(1, int(len(trace) * self.share))]
        return cut_to_sentence(hint)


def report(examples: Sequence[Example | None], cutoff: int) -> dict[str, object]:
    """What was cut and dropped, and how long the examples are; for people and for the model card."""
    kept = [example for example in examples if example is not None]
    lengths = sorted(len(example.ids) for example in kept)
    return {
        "rows": len(examples),
        "examples": len(kept),
        "dropped": len(examples) - len(kept),
        "passages_cut": sum(example.cut_passage > 0 for example in kept),
        "traces_repaired": sum(example.repaired for example in kept),
        "traces_cut": sum(example.cut_trace > 0 for example in kept),
        "tokens": sum(lengths),
        "longest": lengths[-1] if lengths else 0,
        "median": lengths[len(lengths) // 2] if lengths else 0,
        "cutoff": cutoff,
    }


def fitted_passage(encoded: EncodedPrompt, room: int, least: int) -> FittedPrompt | None:
    """The tokens with the passage cut to the room; None where fewer than `least` of its own would stay."""
    if len(encoded.ids) - _spare(encoded, least) > room:
        return None
    return fit_documents(encoded, room)


def _spare(encoded: EncodedPrompt, least: int) -> int:
    """Tokens of the passage that may be left out."""
    return sum(max(0, stop - start - least) for start, stop in encoded.cuttable)
