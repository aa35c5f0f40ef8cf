"""The input of a GLiClass: `<<LABEL>>first<<LABEL>>second<<SEP>>text`, or the text first.

A label that does not fit is cut like the others, the longest first, and that is reported; a label of which
nothing would be left makes the request fail. (The released code lets truncation take the last labels
away and scores them from a vector of zeros.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limrank_plugins.backends.local.encoder_inputs import EncoderInput
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.truncation import EncodedPrompt, fit
from limrank_plugins.errors import BackendError
from limrank_plugins.segments import Prompt, Segment

LABEL, SEPARATOR = "<<LABEL>>", "<<SEP>>"


class LabelInputs:
    """Writes inputs for one tokenizer. Safe to use from many threads.

    Args:
        tokenizer: a fast tokenizer that has both markers as added tokens.
        prompt_first: labels come before the text.

    Attributes:
        label, separator: the ids of the markers.

    Raises:
        BackendError: the tokenizer lacks a marker, or is a slow one.
    """

    def __init__(self, tokenizer: Any, *, prompt_first: bool) -> None:
        self._encoder = PromptEncoder(tokenizer)
        self._first = prompt_first
        known = tokenizer.get_added_vocab()
        for marker in (LABEL, SEPARATOR):
            if marker not in known:
                raise BackendError(f"the tokenizer does not know {marker}: this is no GLiClass")
        self.label, self.separator = int(known[LABEL]), int(known[SEPARATOR])
        whole = tokenizer("a")
        bare = tokenizer("a", add_special_tokens=False)["input_ids"]
        self._end = list(whole["input_ids"][len(self._encoder.prefix) + len(bare) :])
        self._typed = whole.get("token_type_ids") is not None

    def row(self, text: str, labels: Sequence[str], limit: int) -> EncoderInput | str:
        """The input about this text and these labels, or why there is none.

        Of several labels the longest are cut, down to a common length, and the text is not. Of a text
        and one label, whichever is longer is cut.
        """
        room = limit - len(self._end)
        encoded = self._encoded(text, labels, cut_text=False)
        if len(encoded.ids) > room:
            if len(labels) == 1:
                other = self._encoded(text, labels, cut_text=True)
                encoded = max(encoded, other, key=_cuttable)
            fixed = len(encoded.ids) - _cuttable(encoded)
            if room - fixed < len(encoded.cuttable):
                return (
                    f"{len(labels)} labels and the text do not fit in {limit} tokens, of which all but what "
                    f"can be cut takes {fixed}: ask about fewer passages (mode=passage), or shorten the query"
                )
        ids, cut = fit(encoded, room)
        ids = [*ids, *self._end]
        return EncoderInput(ids, [0] * len(ids) if self._typed else None, cut)

    def _encoded(self, text: str, labels: Sequence[str], *, cut_text: bool) -> EncodedPrompt:
        listed: list[Segment] = []
        for label in labels:
            listed += [Segment(LABEL), Segment(label, trusted=False, cuttable=not cut_text)]
        listed.append(Segment(SEPARATOR))
        read = Segment(text, trusted=False, cuttable=cut_text)
        return self._encoder.encode(Prompt((*listed, read) if self._first else (read, *listed)))


def _cuttable(encoded: EncodedPrompt) -> int:
    return sum(stop - start for start, stop in encoded.cuttable)
