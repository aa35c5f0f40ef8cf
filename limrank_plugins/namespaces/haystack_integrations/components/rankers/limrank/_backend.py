"""From Haystack's devices and secrets to the arguments of a backend."""

import inspect
from typing import Any

from haystack.utils import ComponentDevice, Secret

from limrank_plugins.backends import backend_class
from limrank_plugins.errors import InputError

HUB_TOKEN = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False)
API_KEY = Secret.from_env_var("OPENAI_API_KEY", strict=False)

# What a backend calls it, and what the component does.
RENAMED = {"device": "device", "token": "token", "api_key": "api_key", "base_url": "api_base_url"}


def check_model_kwargs(model_kwargs: dict[str, Any] | None) -> None:
    """Raise a `ValueError` for what has an argument of its own: a key here would be written into YAML."""
    for name, own in RENAMED.items():
        if model_kwargs is not None and name in model_kwargs:
            raise ValueError(f"model_kwargs holds {name!r}: give it as {own}=… instead")


def backend_options(
    backend: str,
    *,
    device: ComponentDevice | None,
    token: Secret | None,
    api_key: Secret | None,
    api_base_url: str | None,
    model_kwargs: dict[str, Any] | None,
) -> dict[str, Any]:
    """Arguments for the named backend. Keys are only resolved for a backend that takes them.

    Raises:
        InputError: a device, address or key for a backend that has no use for one.
    """
    parameters = inspect.signature(backend_class(backend)).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    taken = {name for name in RENAMED if takes_all or name in parameters}
    options = dict(model_kwargs) if model_kwargs is not None else {}
    given = {
        "device": device,
        "base_url": api_base_url,
        # The defaults are looked up, not asked for: whether a backend takes them does not matter.
        "token": None if token == HUB_TOKEN else token,
        "api_key": None if api_key == API_KEY else api_key,
    }
    for name, value in given.items():
        if value is not None and name not in taken:
            raise InputError(f"backend {backend!r} takes no {RENAMED[name]}: leave it out, or name another")
    if device is not None:
        options["device"] = _torch_name(device)
    if api_base_url is not None:
        options["base_url"] = api_base_url
    for name, secret in (("token", token), ("api_key", api_key)):
        key = secret.resolve_value() if secret is not None and name in taken else None
        if key is not None:
            options[name] = key
    return options


def _torch_name(device: ComponentDevice) -> str:
    if device.has_multiple_devices:
        raise InputError(f"device must be a single one, but got {device.to_dict()}")
    return device.to_torch_str()
