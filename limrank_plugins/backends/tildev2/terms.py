"""Which tokens carry a score, for queries, passages and expansions alike: one stop list for all three.

Not counted are: special tokens, English function words, single tokens that are neither letters nor digits,
and the plural's `##s`. Question words (who, what, when, where, which, why, how) do count: a passage can be
about a place. Only whole words are dropped; a word that is several tokens stays.

The words are NLTK's English list without the question words, as the released index drops them; the released
expansion has another list, so that what it may not add, the index would have scored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from limrank_plugins.backends.local.encoder_inputs import PairEncoder
from limrank_plugins.segments import clean_text

_FUNCTION_WORDS = """
i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers
herself it its itself they them their theirs themselves whom this that these those am is are was were be
been being have has had having do does did doing a an the and but if or because as until while of at by for
with about against between into through during before after above below to from up down in out on off over
under again further then once here there all any both each few more most other some such no nor not only own
same so than too very can will just should now s t d m o y ll re ve don ain aren couldn didn doesn hadn hasn
haven isn ma mightn mustn needn shan shouldn wasn weren won wouldn
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
"""The English function words that are not counted; question words are not among them."""

_WORD = re.compile(r"[A-Za-z0-9_-]+")


class Terms:
    """The tokens of texts for one WordPiece tokenizer. Safe to use from many threads.

    Args:
        tokenizer: a fast tokenizer of the `transformers` library.

    Attributes:
        size: one more than the largest token id.
        stopped: the ids that do not count.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.encoder = PairEncoder(tokenizer)
        self.size = max(tokenizer.get_vocab().values()) + 1
        self.stopped = frozenset(stop_ids(tokenizer))

    def tokens(self, text: str) -> list[int]:
        """All tokens of a text, special tokens neither around nor in it."""
        return self.encoder.ids(clean_text(text))

    def query(self, text: str) -> list[int]:
        """The tokens of a query that count, in order, repeated ones repeatedly."""
        return self.counted(self.tokens(text))

    def counted(self, ids: Sequence[int]) -> list[int]:
        """Those of the tokens that count."""
        return [token for token in ids if token not in self.stopped]


def stop_ids(tokenizer: Any) -> set[int]:
    """The ids of all tokens that carry no score; see the module."""
    stopped = set(tokenizer.all_special_ids)
    for token, number in tokenizer.get_vocab().items():
        if (
            token in STOP_WORDS
            or token == "##s"
            or (not token.startswith("##") and not _WORD.fullmatch(token))
        ):
            stopped.add(number)
    return stopped
