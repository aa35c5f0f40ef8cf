"""What a model is asked once, when it is loaded, so that nothing is taken on trust."""

from __future__ import annotations

import inspect
from typing import Any

from limrank_plugins.backends.local.packed import can_pack
from limrank_plugins.errors import BackendError, require

_TOKENS = 8


def logits_are_rows(model: Any, decoder: Any, head: Any) -> bool:
    """Whether the model's logits are just: last hidden state × output matrix (+ bias).

    The hidden states are blown up for the test until the largest logit is 100, so that what bends
    large logits only (soft-capping) cannot hide.
    """
    weight = getattr(head, "weight", None)
    if decoder is model or weight is None or not weight.is_floating_point() or weight.is_meta:
        return False
    torch = require("torch", "transformers", "TransformersBackend")
    seen: list[Any] = []

    def blow_up(_module: Any, _inputs: Any, output: Any) -> Any:
        hidden = output.last_hidden_state
        plain = hidden[:, -1].float() @ weight.float().T
        hidden = hidden * (100 / plain.abs().max().clamp(min=1e-6)).to(hidden.dtype)
        seen.append(hidden[:, -1])
        output.last_hidden_state = hidden
        return output

    hook = decoder.register_forward_hook(blow_up)
    try:
        with torch.inference_mode():
            ids = _ids(torch, weight.shape[0], weight.device)
            own = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1].float()
            rows = seen[0].float() @ weight.float().T
            if getattr(head, "bias", None) is not None:
                rows = rows + head.bias.float()
    except (AttributeError, TypeError, RuntimeError, IndexError):
        return False
    finally:
        hook.remove()
    exact = weight.dtype in (torch.float32, torch.float64)
    return bool((own - rows).abs().max() <= (0.01 if exact else 2.0))


def remembers_keys_only(network: Any, vocabulary: int) -> bool:
    """Whether a prompt computed in two parts and a step gives what it gives in one piece."""
    torch = require("torch", "transformers", "TransformersBackend")
    ids = _ids(torch, vocabulary, "cpu")[0].tolist()
    try:
        whole = network.last_states(None, [ids])[0]
        half = network.prefix(ids[: _TOKENS // 2])
        rows = network.last_states(half, [ids[_TOKENS // 2 : -1]] * 2, keep=True)[1]
        last = network.step(rows[1], ids[-1:])
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, NotImplementedError):
        return False
    if not whole.isfinite().all():
        return True  # weights that are broken say nothing of the architecture; every reply will tell of them
    exact = whole.dtype in (torch.float32, torch.float64)
    error = (last.float() - whole.float()).norm() / whole.float().norm().clamp(min=1e-6)
    return bool(error <= (0.001 if exact else 0.2))


def packs_tails(network: Any, vocabulary: int) -> bool:
    """Whether two tails behind a prefix, read as one row, give what each gives alone."""
    config = network.decoder.config.get_text_config()
    if not (network.shares and network.label_rows and can_pack(config)):
        return False
    torch = require("torch", "transformers", "TransformersBackend")
    ids = _ids(torch, vocabulary, "cpu")[0].tolist()
    tails = [ids[3:5], ids[5:]]
    try:
        prefix = network.prefix(ids[:3])
        alone = torch.cat([network.last_states(prefix, [tail])[0] for tail in tails]).float()
        states = network.packed_states(prefix, tails)[[len(tails[0]) - 1, -1]].float()
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, BackendError):
        return False
    exact = network.decoder.dtype in (torch.float32, torch.float64)
    return bool((states - alone).norm() <= (0.001 if exact else 0.2) * alone.norm())


def cache_argument(model: Any) -> str:
    """The argument for keys and values: `cache` from transformers 5.24 on, before it `past_key_values`."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # below adapters
    known = inspect.signature(base.forward).parameters
    return "cache" if "cache" in known and "past_key_values" not in known else "past_key_values"


def _ids(torch: Any, size: int, device: Any) -> Any:
    return (torch.arange(_TOKENS, device=device) * 7 + 3).remainder(size)[None]
