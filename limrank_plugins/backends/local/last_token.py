"""Where the score of a decoder with a classifier stands, whatever its rows are padded with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from limrank_plugins.backends.local.encoder_inputs import EncoderInput


@dataclass(frozen=True, slots=True)
class LastToken:
    """Reads the score of a decoder, which stands at a row's last token, without looking for its padding.

    The library takes the last token that is not the padding of the model's config, which need not be what
    the tokenizer pads with, may be the end of a text, and may not be there at all. Here the place is that
    of the row alone, whatever it is padded with; on the right, so that positions are those of the row alone.

    Attributes:
        head: the layer that makes scores of states, of every token.
        pad: the token that a row alone is not read at; None where the config names none.
    """

    head: Any
    pad: int | None

    @classmethod
    def of(cls, loaded: Any, tokenizer: Any) -> LastToken | None:
        """None for a model that is no decoder: its score is made of one state of the row."""
        for module in loaded.modules():
            if type(module).__name__.endswith("ForSequenceClassification") and hasattr(module, "score"):
                config = module.config.get_text_config()
                pad = config.pad_token_id
                if pad is None:  # or the library refuses rows together
                    config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
                return cls(module.score, pad)
        return None

    def logits(self, torch: Any, forward: Callable[[], Any], rows: Sequence[EncoderInput]) -> list[float]:
        """Each row's score; `forward` runs the model on the rows, padded on the right."""
        found: list[Any] = []
        hook = self.head.register_forward_hook(lambda _module, _inputs, output: found.append(output))
        try:
            forward()
        finally:
            hook.remove()
        (states,) = found
        places = torch.tensor([self._place(row.ids) for row in rows], device=states.device)
        scores = states[torch.arange(len(rows), device=states.device), places]
        values: list[float] = scores.float().reshape(-1).tolist()
        return values

    def _place(self, ids: Sequence[int]) -> int:
        return max((i for i, token in enumerate(ids) if token != self.pad), default=0)
