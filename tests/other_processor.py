"""A processor that nobody here has, imitated: sums of products are rounded otherwise than this one does.

`LIMRANK_ROUNDING=1 pytest …` (any whole number: another processor) moves what torch's matrix products,
attention and layer norms return by up to two units of the last place. By how much depends on nothing but
the shapes: as on a real processor, the same computation gives the same numbers, and a row gives others in a
batch than alone.
"""

from __future__ import annotations

import warnings
import zlib
from typing import Any

ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "native_layer_norm", ATTENTION)
_LIBRARIES: list[Any] = []  # what is registered is gone with its library


def imitate(seed: str) -> None:
    """From now on, in this process."""
    import torch

    library = torch.library.Library("aten", "IMPL")
    _LIBRARIES.append(library)

    def moved(out: Any, shapes: list[tuple[int, ...]]) -> Any:
        if out.dtype not in (torch.float32, torch.bfloat16) or not out.numel():
            return out
        chance = torch.Generator().manual_seed(zlib.crc32(f"{seed} {shapes}".encode()))
        draw = torch.rand(out.shape, generator=chance) * 2 - 1
        values = out.detach().float()
        if out.dtype == torch.float32:
            # Where terms cancel each other, what is left is off by more than its own size tells.
            size = values.square().mean(dim=-1, keepdim=True).sqrt()
            return values + draw * torch.maximum(values.abs(), size) * 2.0**-22
        nudged = values * (1 + draw.sign() * 2.0**-8)  # of 100 values 3 are rounded to the other side
        return torch.where(draw.abs() > 0.97, nudged, values).to(out.dtype)

    def replace(name: str) -> None:
        usual = torch.library.get_kernel(getattr(torch.ops.aten, name).default, "CPU")

        def other(keys: Any, *given: Any, **named: Any) -> Any:
            out = usual.call_boxed(keys, *given, **named)
            shapes = [tuple(one.shape) for one in given if isinstance(one, torch.Tensor)]
            return (moved(out[0], shapes), *out[1:]) if isinstance(out, tuple) else moved(out, shapes)

        library.impl(name, other, "CPU", with_keyset=True, allow_override=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that operators are replaced
        for name in PRODUCTS:
            replace(name)
