"""What the Haystack components that write share: the model behind them, made late and serialised."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from haystack import default_from_dict, default_to_dict
from haystack.core.serialization import component_to_dict
from haystack.dataclasses import ChatMessage
from haystack.utils import ComponentDevice, Secret
from haystack.utils.deserialization import deserialize_chatgenerator_inplace
from haystack_integrations.components.rankers.limrank.model_arguments import (
    arguments_of,
    backend_options,
    serialised,
)

from limrank_pipelines.chats import ChatBackend, Messages
from limrank_plugins.errors import InputError

T = TypeVar("T")


class Late(Generic[T]):
    """Something made at first use, once, whichever thread comes first.

    Args:
        make: makes it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: T | None = None

    def __call__(self) -> T:
        """What was made."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


def writer_arguments(self: Any) -> dict[str, Any]:
    """The arguments of a `Rewriter` or `Reader` that say which model writes.

    Raises:
        InputError: a generator and a model, or a value that cannot be used.
    """
    generator = self.chat_generator
    if generator is None:
        options = backend_options(
            self.backend,
            device=self.device,
            token=None,
            api_key=self.api_key,
            api_base_url=self.api_base_url,
            model_kwargs=self.model_kwargs,
        )
        return {"model": self.model, "backend": self.backend, **options}
    if self.model is not None:
        raise InputError("give either chat_generator or model")

    def say(messages: Messages) -> str:
        made = {"system": ChatMessage.from_system, "user": ChatMessage.from_user}
        chat = [made.get(role, ChatMessage.from_assistant)(text) for role, text in messages]
        return generator.run(messages=chat)["replies"][0].text or ""

    if hasattr(generator, "warm_up"):
        generator.warm_up()
    return {"backend": ChatBackend(type(generator).__name__, say)}


def component_as_dict(self: Any) -> dict[str, Any]:
    """A component that writes, as a dictionary.

    Raises:
        ValueError: a secret that holds its key itself.
    """
    given = {name: serialised(name, value) for name, value in arguments_of(self).items() if name != "reader"}
    if self.chat_generator is not None:
        given["chat_generator"] = component_to_dict(self.chat_generator, "chat_generator")
    if self.device is not None:
        given["device"] = self.device.to_dict()
    return default_to_dict(self, **given)


def component_from(cls: Any, data: dict[str, Any]) -> Any:
    """The component of this class that `component_as_dict` described; the argument is not changed."""
    given = dict(data.get("init_parameters", {}))
    if given.get("chat_generator") is not None:
        deserialize_chatgenerator_inplace(given)
    if isinstance(given.get("device"), dict):
        given["device"] = ComponentDevice.from_dict(given["device"])
    if isinstance(given.get("api_key"), dict):
        given["api_key"] = Secret.from_dict(given["api_key"])
    return default_from_dict(cls, data | {"init_parameters": given})
