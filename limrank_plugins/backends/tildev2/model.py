"""TILDEv2's model: a BERT and one linear layer, max(0, w·h + b) for every token of a passage.

The released layout (`ielab/TILDEv2-TILDE200-exp`) and ours are one: `bert.*`, `tok_proj.weight` and
`tok_proj.bias` in one file of weights beside the encoder's config.json and the tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from limrank_plugins.backends.local.encoder_inputs import EncoderInput, as_tensors, in_turn, longest
from limrank_plugins.backends.local.loading import loading, model_name, pretrained
from limrank_plugins.backends.local.placement import placement
from limrank_plugins.backends.local.weights import read_weights
from limrank_plugins.backends.tildev2.terms import Terms
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import BackendError, require

_WHY = "TILDEv2"
MAX_TOKENS = 192
# Left over from training and from older versions of the library; nothing here uses them.
_UNUSED = ("bert.pooler.", "bert.embeddings.position_ids")


class TILDEv2:
    """Weighs the tokens of passages. Not safe for threads by itself; `TILDEv2Backend` holds a lock.

    Args:
        encoder: a BERT without its pooling layer.
        head: a linear layer from its hidden size to 1.
        tokenizer: its fast tokenizer.
        identity: what tells these weights from others.

    Attributes:
        module: both, as one `torch` module whose `state_dict` has the released names: for training.
        terms: which tokens count.
        limit: the most tokens of a row, at most 192, which is what the released weights were trained with.
    """

    def __init__(self, encoder: Any, head: Any, tokenizer: Any, *, identity: str) -> None:
        self._torch = require("torch", "transformers", _WHY)
        self.module = self._torch.nn.ModuleDict({"bert": encoder, "tok_proj": head})
        self.tokenizer = tokenizer
        self.terms = Terms(tokenizer)
        self.limit = longest(encoder.config, tokenizer, MAX_TOKENS)
        self.identity = identity

    @classmethod
    def load(
        cls,
        model: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
    ) -> Self:
        """Read the weights of a folder or hub name, released or ours.

        Args:
            model: folder or hub name.
            device: default: a GPU where there is one.
            dtype: default float32, on a GPU too: an index is built once.
            revision: branch, tag or commit of a hub model.

        Raises:
            InputError: a value that cannot be used.
            BackendError: the model cannot be read, or is no TILDEv2.
        """
        torch = require("torch", "transformers", _WHY)
        transformers = require("transformers", "transformers", _WHY)
        place = placement(device, "float32" if dtype is None else dtype, "transformers", _WHY)
        with loading(model) as source:
            config = pretrained("AutoConfig", source, revision=revision)
            if config.model_type != "bert":
                raise BackendError(f"{model} is a {config.model_type}, but TILDEv2 is made of a BERT")
            tokenizer = pretrained("AutoTokenizer", source, revision=revision)
            encoder = transformers.BertModel(config, add_pooling_layer=False)
            head = torch.nn.Linear(config.hidden_size, 1)
            identity = f"tildev2:{model_name(source, revision, encoder)}:{place.precision}"
            loaded = cls(encoder, head, tokenizer, identity=identity)
            _put(loaded.module, read_weights(source, revision), model)
            loaded.module.to(place.device, place.dtype).eval().requires_grad_(False)
        return loaded

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config, weights (safetensors) and tokenizer, so that `load` reads them."""
        safetensors = require("safetensors.torch", "transformers", _WHY)
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        body = self.module["bert"].config.to_dict() | {"architectures": ["TILDEv2"]}
        (place / "config.json").write_text(json.dumps(body, indent=2, sort_keys=True) + "\n", "utf-8")
        state = {name: value.detach().cpu().contiguous() for name, value in self.module.state_dict().items()}
        safetensors.save_file(state, place / "model.safetensors", metadata={"format": "pt"})
        self.tokenizer.save_pretrained(place)

    def layout(
        self, passage: Sequence[int], expansion: Sequence[int] = (), *, longest_passage: int | None = None
    ) -> EncoderInput:
        """The row that is read: passage, then, behind a separator, the expansion, as in training.

        Args:
            passage: its tokens; cut where it does not fit.
            expansion: tokens to add, best first, the order in which they are written; as many as fit.
            longest_passage: most tokens of the passage, special ones included; default: all that fit.
        """
        limit = self.limit if longest_passage is None else min(self.limit, longest_passage)
        row = self.terms.encoder.single(passage, limit)
        kept = expansion[: max(0, self.limit - len(row.ids) - 1)]
        if not kept:
            return row
        end = self.tokenizer.sep_token_id
        types = None if row.types is None else row.types + [0] * (len(kept) + 1)
        return EncoderInput([*row.ids, *kept, end], types, row.cut)

    def weigh(self, rows: Sequence[EncoderInput], *, batch_size: int = 32) -> list[list[float]]:
        """What each token of each row weighs, at least 0. On a CPU each row is computed alone."""
        whole_number("batch_size", batch_size, least=1)
        weights: list[list[float]] = [[] for _ in rows]
        place = self.module["tok_proj"].weight.device
        with self._torch.inference_mode():
            for batch in in_turn([len(row.ids) for row in rows], batch_size, alone=place.type == "cpu"):
                chosen = [rows[i] for i in batch]
                features = as_tensors(self._torch, chosen, self.tokenizer, place)
                hidden = self.module["bert"](**features).last_hidden_state
                by_token = self.module["tok_proj"](hidden).relu()[..., 0].float().cpu().tolist()
                for i, values in zip(batch, by_token, strict=True):
                    weights[i] = values[: len(rows[i].ids)]
        return weights


def _put(module: Any, weights: dict[str, Any], model: str) -> None:
    report = module.load_state_dict(weights, strict=False)
    strange = [name for name in report.unexpected_keys if not name.startswith(_UNUSED)]
    if report.missing_keys or strange:
        missing = report.missing_keys
        what = f"has no {missing[0]}" if missing else f"also has {strange[0]}"
        raise BackendError(
            f"{model} is no TILDEv2: its file of weights {what}; give ielab/TILDEv2-TILDE200-exp, or a "
            f"folder that TILDEv2.save_pretrained wrote"
        )
