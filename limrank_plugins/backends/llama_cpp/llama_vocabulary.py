"""The tokenizer in a GGUF file, as llama.cpp runs it, and the characters that each token stands for."""

from __future__ import annotations

import ctypes
import re
import weakref
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from unicodedata import combining, is_normalized, normalize

from limrank_plugins.backends.llama_cpp.chat_template import GGUFChat
from limrank_plugins.backends.llama_cpp.llama_loading import load_model
from limrank_plugins.backends.local.gguf_loading import COMPOSED
from limrank_plugins.backends.local.truncation import Span
from limrank_plugins.errors import BackendError

Encoded = tuple[list[int], list[Span]]
"""Tokens, and the characters of each."""

_UNKNOWN, _CONTROL, _USER_DEFINED = 1, 8, 16
"""Attributes of a token (`llama_token_attr`)."""


class LlamaVocabulary:
    """A `Vocabulary` of llama.cpp. Safe to use from many threads.

    It holds a model without weights, so it outlives the model that is released.

    Args:
        llama: the module `llama_cpp`.
        file: a GGUF file.

    Raises:
        BackendError: llama.cpp cannot load it.

    Attributes:
        ends: the tokens by which the model ends a text.
        pieces: the bytes of each token.
    """

    def __init__(self, llama: Any, file: Path) -> None:
        model = load_model(llama, file, vocab_only=True)
        weakref.finalize(self, llama.llama_model_free, model)
        self._llama, self._vocab, self._name = llama, llama.llama_model_get_vocab(model), str(file)
        numbers = range(llama.llama_vocab_n_tokens(self._vocab))
        kinds = [llama.llama_vocab_get_attr(self._vocab, number) for number in numbers]
        self.pieces = [self._piece(number) for number in numbers]
        self.ends = frozenset(number for number in numbers if llama.llama_vocab_is_eog(self._vocab, number))
        self.added = frozenset(n for n in numbers if kinds[n] & (_UNKNOWN | _CONTROL | _USER_DEFINED))
        texts = {number: self.decode([number]).strip() for number in self.added}
        self.single = frozenset(text.lower() for text in texts.values())
        roles = {"bos": llama.llama_vocab_bos, "eos": llama.llama_vocab_eos, "pad": llama.llama_vocab_pad}
        # What a file does not name has a number all the same: that of some ordinary token.
        special = {role: number for role, of in roles.items() if (number := of(self._vocab)) in self.added}
        # A run of whitespace is vocabulary, and any text may become the unknown token.
        named = {n for n in self.added if kinds[n] & _CONTROL or (kinds[n] & _USER_DEFINED and texts[n])}
        self.markers = frozenset(named | set(special.values()))
        adds = llama.llama_vocab_get_add_bos(self._vocab)
        self.prefix = (llama.llama_vocab_bos(self._vocab),) if adds else ()
        tokens = {f"{role}_token": self.decode([number]) for role, number in special.items()}
        template = llama.llama_model_chat_template(model, None)
        text = template.decode("utf-8", "replace") if template else None
        self.chat = GGUFChat(self._name, text, tokens)
        # llama.cpp takes these out of any text, whatever it is told about special tokens.
        defined = {texts[n] for n in self.added if kinds[n] & _USER_DEFINED and len(texts[n]) > 1}
        longest_first = sorted(defined, key=len, reverse=True)
        self._defined = re.compile("|".join(map(re.escape, longest_first))) if defined else None
        self._composes = self._told(model, b"tokenizer.ggml.pre") in COMPOSED
        self._puts_a_space = b"".join(self.pieces[n] for n in self._tokens("a", special=False)) == b" a"

    def encode(self, text: str) -> Encoded:
        """As `Vocabulary` says."""
        return self._of_composed(text, lambda read: self._traced(read, self._tokens(read, special=True)))

    def encode_bare(self, text: str, *, first: bool) -> Encoded:
        """As `Vocabulary` says: a marker's characters are encoded in two pieces."""
        return self._of_composed(text, lambda read: self._without_markers(read, first))

    def names(self, ids: Sequence[int]) -> list[str]:
        """As `Vocabulary` says."""
        return [self._llama.llama_vocab_get_text(self._vocab, n).decode("utf-8", "replace") for n in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """As `Vocabulary` says."""
        return b"".join(self.pieces[number] for number in ids).decode("utf-8", "replace")

    # ---- inside ---------------------------------------------------------------------------------

    def _of_composed(self, text: str, encode: Callable[[str], Encoded]) -> Encoded:
        """Encode a text in composed characters (NFC) where the model's own tokenizer does so."""
        if not self._composes or is_normalized("NFC", text):
            return encode(text)
        clusters = _clusters(text)
        composed = [normalize("NFC", cluster) for cluster in clusters]
        ends = list(accumulate(map(len, clusters)))
        owner = [number for number, piece in enumerate(composed) for _ in piece]
        begins = [ends[number] - len(clusters[number]) for number in owner] + [len(text)]
        ids, offsets = encode("".join(composed))
        return ids, [(begins[a], ends[owner[b - 1]] if b > a else begins[a]) for a, b in offsets]

    def _without_markers(self, text: str, first: bool) -> Encoded:
        found = self._defined.finditer(text) if self._defined is not None else ()
        cuts = [0, *(match.start() + 1 for match in found), len(text)]
        ids: list[int] = []
        offsets: list[Span] = []
        for start, stop in pairwise(cuts):
            inner = self._puts_a_space and not (first and start == 0)
            run, places = (self._inner if inner else self._plain)(text[start:stop])
            ids += run
            offsets += [(start + a, start + b) for a, b in places]
        return ids, offsets

    def _told(self, model: Any, key: bytes) -> str:
        held = ctypes.create_string_buffer(64)
        self._llama.llama_model_meta_val_str(model, key, held, len(held))
        return held.value.decode("utf-8", "replace")

    def _piece(self, number: int) -> bytes:
        size = 64
        while True:
            held = ctypes.create_string_buffer(size)
            length = self._llama.llama_token_to_piece(self._vocab, number, held, size, 0, True)
            if length >= 0:
                return held.raw[:length]
            size = -length

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        raw = text.encode()
        size = len(raw) + 8
        while True:
            held = (ctypes.c_int32 * size)()
            count = self._llama.llama_tokenize(self._vocab, raw, len(raw), held, size, False, special)
            if count >= 0:
                return held[:count]
            if -count <= size:
                raise BackendError(f"llama.cpp cannot make tokens of a text of {len(raw):,} bytes")
            size = -count

    def _plain(self, text: str) -> Encoded:
        return self._traced(text, self._tokens(text, special=False))

    def _inner(self, text: str) -> Encoded:
        """Without the space that is put before the first word: behind a line break, which is left out."""
        ids, offsets = self._plain(f"\n{text}")
        if any(start < 1 < stop for start, stop in offsets):
            return self._plain(text)
        kept = [i for i, (_, stop) in enumerate(offsets) if stop > 1]
        return [ids[i] for i in kept], [(offsets[i][0] - 1, offsets[i][1] - 1) for i in kept]

    def _traced(self, text: str, ids: list[int]) -> Encoded:
        raw = text.encode()
        spans: list[Span] = []
        at = 0
        for number in ids:
            start, at = self._found(raw, at, self.pieces[number])
            spans.append((start, at))
        if len(raw) == len(text):
            return ids, spans
        places = [i for i, character in enumerate(text) for _ in character.encode()] + [len(text)]
        return ids, [(places[a], places[b - 1] + 1 if b > a else places[a]) for a, b in spans]

    def _found(self, raw: bytes, at: int, piece: bytes) -> Span:
        """Where a piece stands: here, without the space that was put before it, or behind spaces left out."""
        while True:
            if raw.startswith(piece, at):
                return at, at + len(piece)
            if piece[:1] == b" " and raw.startswith(piece[1:], at):
                return at, at + len(piece) - 1
            if not raw[at : at + 1].isspace():
                raise BackendError(
                    f"the tokenizer of {self._name} changes texts ({piece!r} is no part of what it read at "
                    f"{raw[at : at + 20]!r}), so documents could not be told from the template: use "
                    f"backend='transformers'"
                )
            at += 1


def _clusters(text: str) -> list[str]:
    """The text in pieces that are composed each for itself."""
    found: list[str] = []
    for character in text:
        alone = normalize("NFC", character)
        if found and (
            combining(character)
            or normalize("NFC", found[-1] + character) != normalize("NFC", found[-1]) + alone
        ):
            found[-1] += character
        else:
            found.append(character)
    return found
