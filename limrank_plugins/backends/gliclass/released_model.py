"""The released GLiClass weights, through the optional package `gliclass`.

Inputs are ours (`label_inputs.py`) and are computed one at a time: the package's pooling does not look at the
attention mask, so that in a padded batch a score would depend on its mates.
"""

from __future__ import annotations

from collections.abc import Sequence

from limrank_plugins.backends.gliclass.label_inputs import LabelInputs
from limrank_plugins.backends.local.encoder_inputs import EncoderInput, as_tensors, longest
from limrank_plugins.backends.local.loading import loading, model_name, pretrained
from limrank_plugins.backends.local.placement import placement
from limrank_plugins.errors import BackendError, require

_WHY = "a released GLiClass"
_MAX_TOKENS = 1024


class ReleasedGLiClass:
    """A released model; see `GLiClass` for what it offers.

    Args:
        model: folder or hub name of a uni-encoder, such as `knowledgator/gliclass-modern-base-v3.0`.
        device, dtype, revision: as for `GLiClassBackend`.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: the package is not installed.
        BackendError: the model cannot be loaded, or is no uni-encoder.
    """

    batched = False

    def __init__(
        self, model: str, *, device: str | None = None, dtype: str | None = None, revision: str | None = None
    ) -> None:
        library = require("gliclass", "gliclass", _WHY)
        self._torch = require("torch", "gliclass", _WHY)
        place = placement(device, dtype, "gliclass", _WHY)
        self.device = place.device
        with loading(model) as source:
            network = pretrained(library.GLiClassModel, source, revision=revision)
            kind = network.config.architecture_type
            if kind != "uni-encoder":
                raise BackendError(
                    f"{model} is a {kind}; of the released models, only uni-encoders can be used"
                )
            self.tokenizer = pretrained("AutoTokenizer", source, extra="gliclass", revision=revision)
            self._network = network.to(place.device, place.dtype).eval().requires_grad_(False)
        self.inputs = LabelInputs(self.tokenizer, prompt_first=bool(network.config.prompt_first))
        if self.inputs.label != network.config.class_token_index:
            raise BackendError(
                f"{model} looks for labels at token {network.config.class_token_index}, but its tokenizer "
                f"writes {self.inputs.label}: they do not belong together"
            )
        self.limit = longest(network.config.encoder_config, self.tokenizer, _MAX_TOKENS)
        self.identity = f"gliclass-released:{model_name(source, revision, network)}:{place.precision}"

    def read(self, rows: Sequence[EncoderInput]) -> list[list[float]]:
        """The logits of each row's labels."""
        logits: list[list[float]] = []
        with self._torch.inference_mode():
            for row in rows:
                count = row.ids.count(self.inputs.label)
                features = as_tensors(self._torch, [row], self.tokenizer, self.device)
                values = self._network(**features, max_num_classes=count, return_dict=True).logits[0, :count]
                logits.append(values.float().cpu().tolist())
        return logits
