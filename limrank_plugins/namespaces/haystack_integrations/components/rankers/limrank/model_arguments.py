"""From a component's arguments to those of a backend, and into YAML; keys stay out of what people read.

They are resolved only when they are used or looked for: a component that kept them could show them.
"""

import inspect
import os
from typing import Any, Self

from haystack.utils import ComponentDevice, Secret

from limrank_plugins.arguments import check_device_for, takes
from limrank_plugins.checks import NamesArguments
from limrank_plugins.errors import InputError
from limrank_plugins.lazy import deep_copied, shallow_copied
from limrank_plugins.recipes import Recipe

HUB_TOKEN = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False)
API_KEY = Secret.from_env_var("OPENAI_API_KEY", strict=False)

# What a backend calls it, and what the component does.
RENAMED = {"device": "device", "token": "token", "api_key": "api_key", "base_url": "api_base_url"}


class Copies(NamesArguments):
    """A component with keys: its copies share the loaded model and keep the keys, a pickle refuses them.

    A pickle holds what `to_dict` writes, so a key that was given as plain text is a `ValueError` there, too.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return deep_copied(self, memo)

    def __copy__(self) -> Self:
        return shallow_copied(self)

    def __getstate__(self) -> dict[str, Any]:
        for name, value in arguments_of(self).items():
            serialised(name, value)
        return vars(self)


def as_secret(key: Secret | str | None) -> Secret | None:
    """A key that was given as plain text as a `Secret`, which is never written into a pipeline's YAML."""
    return Secret.from_token(key) if isinstance(key, str) else key


def as_device(device: ComponentDevice | str | None, recipe: Recipe, backend: str | None) -> Any:
    """A device as Haystack has it, after checking that it is one of this machine and that it can be used.

    Raises:
        InputError: it is not, there are several, or the backend takes none.
    """
    if isinstance(device, ComponentDevice):
        if device.has_multiple_devices:
            raise InputError(f"device must be a single one, but got {device.to_dict()}")
        check_device_for(recipe, backend, device.to_torch_str())
        return device
    check_device_for(recipe, backend, device)
    return None if device is None else ComponentDevice.from_str(device)


def as_file(name: str, file: Any) -> str | None:
    """A file's name as `to_dict` can write it.

    Raises:
        InputError: it is no name of a file.
    """
    if file is None or isinstance(file, str | os.PathLike):
        return None if file is None else str(file)
    raise InputError(
        f"{name} must be the name of a file, which a pipeline's YAML can hold, but got {type(file).__name__}"
    )


def arguments_of(component: Any) -> dict[str, Any]:
    """The present values of a component's own arguments, by name."""
    names = [name for name in inspect.signature(type(component).__init__).parameters if name != "self"]
    return {name: getattr(component, name) for name in names}


def check_model_kwargs(model_kwargs: dict[str, Any] | None, own: dict[str, str] | None = None) -> None:
    """Raise a `ValueError` for what has an argument of its own: a key here would be written into YAML.

    Args:
        model_kwargs: what is checked.
        own: further names, and what the component calls them.
    """
    for name, argument in (RENAMED | (own or {})).items():
        if model_kwargs is not None and name in model_kwargs:
            raise ValueError(f"model_kwargs holds {name!r}: give it as {argument}=… instead")


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
    taken = {name for name in RENAMED if takes(backend, name)}
    options = dict(model_kwargs) if model_kwargs is not None else {}
    asked_for = {
        "device": device,
        "base_url": api_base_url,
        # The defaults are looked up, not asked for: whether a backend takes them does not matter.
        "token": None if token == HUB_TOKEN else token,
        "api_key": None if api_key == API_KEY else api_key,
    }
    for name, value in asked_for.items():
        if value is not None and name not in taken:
            raise InputError(f"backend {backend!r} takes no {RENAMED[name]}: leave it out, or name another")
    if device is not None:
        options["device"] = device.to_torch_str()
    if api_base_url is not None:
        options["base_url"] = api_base_url
    for name, secret in (("token", token), ("api_key", api_key)):
        key = secret.resolve_value() if secret is not None and name in taken else None
        if key is not None:
            options[name] = key
    return options


def serialised(name: str, value: Any) -> Any:
    """The value as `to_dict` writes it.

    Raises:
        ValueError: a secret that holds its token itself; the message names the argument, not the token.
    """
    if not isinstance(value, Secret):
        return value
    try:
        return value.to_dict()
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be serialised, because it holds the key itself: "
            f'use {name}=Secret.from_env_var("NAME_OF_THE_VARIABLE")'
        ) from error


def key_of(secret: Secret | None) -> str | None:
    """The key, or None where there is none or its variable is not set."""
    if secret is None:
        return None
    try:
        value: str | None = secret.resolve_value()
    except ValueError:  # strict, and not set
        return None
    return value
