"""What the Haystack components that write share: the model behind them, and how they are serialised."""

from typing import Any

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

    def write(messages: Messages) -> str:
        roles = {"system": ChatMessage.from_system, "user": ChatMessage.from_user}
        chat = [roles.get(role, ChatMessage.from_assistant)(text) for role, text in messages]
        return generator.run(messages=chat)["replies"][0].text or ""

    if hasattr(generator, "warm_up"):
        generator.warm_up()
    return {"backend": ChatBackend(type(generator).__name__, write)}


def component_as_dict(self: Any) -> dict[str, Any]:
    """A component that writes, as a dictionary.

    Raises:
        ValueError: a secret that holds its key itself.
    """
    values = {name: serialised(name, value) for name, value in arguments_of(self).items() if name != "reader"}
    if self.chat_generator is not None:
        values["chat_generator"] = component_to_dict(self.chat_generator, "chat_generator")
    if self.device is not None:
        values["device"] = self.device.to_dict()
    return default_to_dict(self, **values)


def component_from(cls: Any, data: dict[str, Any]) -> Any:
    """The component of this class that `component_as_dict` described; the argument is not changed."""
    values = dict(data.get("init_parameters", {}))
    if values.get("chat_generator") is not None:
        deserialize_chatgenerator_inplace(values)
    if isinstance(values.get("device"), dict):
        values["device"] = ComponentDevice.from_dict(values["device"])
    if isinstance(values.get("api_key"), dict):
        values["api_key"] = Secret.from_dict(values["api_key"])
    return default_from_dict(cls, data | {"init_parameters": values})
