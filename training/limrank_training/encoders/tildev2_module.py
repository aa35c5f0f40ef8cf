"""TILDEv2 as a module that is trained, and its score of every query with every passage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.backends.local.loading import loading, pretrained
from limrank_plugins.backends.local.weights import read_config
from limrank_plugins.backends.tildev2.model import TILDEv2
from limrank_plugins.errors import BackendError, require

if TYPE_CHECKING:
    from torch import Tensor


def cartesian(weights: Tensor, ids: Tensor, queries: Tensor) -> Tensor:
    """s(q, d) = Σ over q's tokens t of the largest weight of t in d, 0 where d has none.

    Summed in double precision, as the index sums: no order of tokens changes a score.

    Args:
        weights: shape (passages, length), at least 0.
        ids: the tokens they belong to; padding is a special token, which no query holds.
        queries: counted tokens, shape (queries, length), -1 behind shorter ones.

    Returns:
        Shape (queries, passages), float64.
    """
    torch = require("torch", "training", "training")
    rows = []
    for query in queries:  # all at once would hold queries · tokens · passages · length numbers
        same = query[:, None, None] == ids[None]
        largest = torch.where(same, weights[None], torch.zeros_like(weights[None])).amax(dim=2)
        rows.append(largest.double().sum(dim=0))
    return torch.stack(rows)


def tildev2_module(base: str, seed: int) -> Any:
    """A TILDEv2 in float32 that can be trained; its attribute `held` is the `TILDEv2`.

    Args:
        base: folder or hub name of a TILDEv2, or of any BERT, which gets a head drawn by the seed.
        seed: see there.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded, or is no BERT.
    """
    torch = require("torch", "training", "training")
    with loading(base) as source:
        config = read_config(source, None)
        if config.get("architectures") == ["TILDEv2"]:
            held = TILDEv2.load(base, device="cpu", dtype="float32")
        else:
            if config.get("model_type") != "bert":
                raise BackendError(f"{base} is a {config.get('model_type')}, but TILDEv2 is made of a BERT")
            encoder = pretrained("BertModel", source, add_pooling_layer=False, dtype=torch.float32)
            head = torch.nn.Linear(encoder.config.hidden_size, 1)
            numbers = torch.Generator().manual_seed(seed)
            torch.nn.init.normal_(head.weight, std=0.02, generator=numbers)
            # A weight that is cut off at 0 gets no gradient: at first nearly none should be.
            torch.nn.init.ones_(head.bias)
            tokenizer = pretrained("AutoTokenizer", source)
            held = TILDEv2(encoder, head, tokenizer, identity=f"tildev2:new on {base}")
    held.module.requires_grad_(True)

    class TILDEv2Module(torch.nn.Module):  # type: ignore[misc, name-defined]  # the library is not typed here
        """What every token weighs."""

        def __init__(self) -> None:
            super().__init__()
            self.module = held.module
            self.held = held

        def forward(self, features: dict[str, Any]) -> Any:
            """Weights of at least 0, shape (rows, length)."""
            hidden = self.module["bert"](**features).last_hidden_state
            return self.module["tok_proj"](hidden).relu()[..., 0].float()

        def write(self, place: Path) -> None:
            """Write what `TILDEv2.load` reads."""
            self.held.save_pretrained(place)

    return TILDEv2Module().eval()
