"""Our own compact GLiClass: any encoder with two markers, and a small head.

A folder holds the encoder's config.json with one more entry, `gliclass`; the weights as `encoder.*` and the
head's modules in model.safetensors; and the tokenizer with its markers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from limrank_plugins.backends.gliclass.head import (
    Pooling,
    Scorer,
    check_head,
    gather,
    head,
    logits,
    pool,
    text_mask,
)
from limrank_plugins.backends.gliclass.label_inputs import LABEL, SEPARATOR, LabelInputs
from limrank_plugins.backends.local.encoder_inputs import EncoderInput, as_tensors, longest
from limrank_plugins.backends.local.loading import loading, model_name, pretrained
from limrank_plugins.backends.local.placement import placement
from limrank_plugins.backends.local.weights import read_weights
from limrank_plugins.errors import BackendError, require

_WHY = "GLiClass"
_ENTRY = "gliclass"


class GLiClass:
    """A model that says how well labels fit a text. `GLiClassBackend` holds a lock around it.

    Make one with `create` (random head, to be trained) or `load`.

    Attributes:
        module: encoder and head as one `torch` module, for training.
        inputs: writes its inputs.
        limit: the most tokens of an input.
        batched: several inputs may be computed together.
    """

    batched = True

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        *,
        pooling: Pooling,
        scorer: Scorer,
        prompt_first: bool,
        identity: str,
    ) -> None:
        self._torch = require("torch", "transformers", _WHY)
        self.module = module
        self.tokenizer = tokenizer
        self.pooling: Pooling = pooling
        self.scorer: Scorer = scorer
        self.prompt_first = prompt_first
        self.identity = identity
        self.inputs = LabelInputs(tokenizer, prompt_first=prompt_first)
        self.limit = longest(module["encoder"].config, tokenizer)

    @classmethod
    def create(
        cls,
        encoder: str,
        *,
        pooling: Pooling = "first",
        scorer: Scorer = "dot",
        prompt_first: bool = True,
        revision: str | None = None,
    ) -> Self:
        """An encoder with markers and a head that knows nothing yet, in float32 on the CPU.

        Args:
            encoder: folder or hub name of any encoder transformers has a class for.
            pooling: how the text's states become one: `"first"` (the separator's own), `"mean"`, `"max"`.
            scorer: `"dot"` or `"weighted-dot"`.
            prompt_first: labels before the text, as in the released v3 models.
            revision: branch, tag or commit of a hub model.

        Raises:
            InputError: a value that cannot be used.
            BackendError: the encoder cannot be loaded.
        """
        check_head(pooling, scorer)
        torch = require("torch", "transformers", _WHY)
        transformers = require("transformers", "transformers", _WHY)
        with loading(encoder) as source:
            tokenizer = pretrained("AutoTokenizer", source, revision=revision)
            network = pretrained("AutoModel", source, revision=revision, dtype=torch.float32)
            markers = [transformers.AddedToken(m, normalized=False, special=True) for m in (LABEL, SEPARATOR)]
            tokenizer.add_tokens(markers, special_tokens=True)
            network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        module = torch.nn.ModuleDict({"encoder": network, **head(network.config.hidden_size, scorer)}).eval()
        identity = f"gliclass:new on {model_name(source, revision, network)}"
        return cls(
            module, tokenizer, pooling=pooling, scorer=scorer, prompt_first=prompt_first, identity=identity
        )

    @classmethod
    def load(
        cls, model: str, *, device: str | None = None, dtype: str | None = None, revision: str | None = None
    ) -> Self:
        """Read what `save_pretrained` wrote.

        Raises:
            InputError: a value that cannot be used.
            BackendError: the model cannot be read, or is none of ours.
        """
        torch = require("torch", "transformers", _WHY)
        transformers = require("transformers", "transformers", _WHY)
        place = placement(device, dtype, "transformers", _WHY)
        with loading(model) as source:
            config = pretrained("AutoConfig", source, revision=revision)
            ours = getattr(config, _ENTRY, None)
            if not isinstance(ours, dict):
                raise BackendError(f"{model} is no GLiClass: its config.json has no entry {_ENTRY!r}")
            check_head(ours["pooling"], ours["scorer"])
            tokenizer = pretrained("AutoTokenizer", source, revision=revision)
            network = transformers.AutoModel.from_config(config)
            module = torch.nn.ModuleDict({"encoder": network, **head(config.hidden_size, ours["scorer"])})
            module.load_state_dict(read_weights(source, revision))
            module.to(place.device, place.dtype).eval().requires_grad_(False)
            return cls(
                module,
                tokenizer,
                pooling=ours["pooling"],
                scorer=ours["scorer"],
                prompt_first=bool(ours["prompt_first"]),
                identity=f"gliclass:{model_name(source, revision, network)}:{place.precision}",
            )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config, weights (safetensors) and tokenizer, so that `load` reads them."""
        safetensors = require("safetensors.torch", "transformers", _WHY)
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        body = self.module["encoder"].config.to_dict()
        body[_ENTRY] = {"pooling": self.pooling, "scorer": self.scorer, "prompt_first": self.prompt_first}
        (place / "config.json").write_text(json.dumps(body, indent=2, sort_keys=True) + "\n", "utf-8")
        state = {name: value.detach().cpu().contiguous() for name, value in self.module.state_dict().items()}
        safetensors.save_file(state, place / "model.safetensors", metadata={"format": "pt"})
        self.tokenizer.save_pretrained(place)

    @property
    def device(self) -> Any:
        """The device it is on."""
        return self.module["text_projector"][0].weight.device

    def forward(self, rows: Sequence[EncoderInput]) -> tuple[Any, Any]:
        """Logits, shape (rows, most labels), and which of them are real; with gradients where they are on."""
        return self.logits(as_tensors(self._torch, rows, self.tokenizer, self.device))

    def logits(self, features: Mapping[str, Any], module: Any = None) -> tuple[Any, Any]:
        """As `forward`, of rows that are tensors already.

        Args:
            features: `input_ids`, `attention_mask` and, where the tokenizer has them, `token_type_ids`.
            module: other weights of the same shape; default: its own.
        """
        module = self.module if module is None else module
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = {name: features[name] for name in names if name in features}
        states = module["encoder"](**inputs).last_hidden_state
        ids = inputs["input_ids"]
        labels, real = gather(states, ids, self.inputs.label)
        # A text that comes first ends at the first label; one that comes last begins at the separator.
        border = self.inputs.separator if self.prompt_first else self.inputs.label
        mask = text_mask(ids, inputs["attention_mask"], border, prompt_first=self.prompt_first)
        return logits(module, pool(states, mask, self.pooling), labels), real

    def read(self, rows: Sequence[EncoderInput]) -> list[list[float]]:
        """The logits of each row's labels."""
        with self._torch.inference_mode():
            logits, real = self.forward(rows)
        return [values[mask].float().cpu().tolist() for values, mask in zip(logits, real, strict=True)]
