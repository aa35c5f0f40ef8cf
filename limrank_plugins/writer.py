"""`Writer`: the one way to ask a model for text: template × backend × sampling × store × price.

Rewriters, readers, judges and the synthesizer are a prompt and a parser on top of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from limrank_plugins import driver
from limrank_plugins.arguments import as_it_is, named_backend
from limrank_plugins.backends.metered import Metered, Purse
from limrank_plugins.backends.protocols import (
    Backend,
    Closes,
    Failed,
    Generate,
    Generated,
    Generates,
    Program,
    Reply,
)
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.errors import CapabilityError, InputError
from limrank_plugins.ledger import Ledger
from limrank_plugins.prices import Price
from limrank_plugins.prompts import Template
from limrank_plugins.readouts.lockstep import forgetting, together
from limrank_plugins.readouts.usable import nothing_usable
from limrank_plugins.segments import Prompt
from limrank_plugins.store import Store

T = TypeVar("T")


class Writer:
    """Asks a model to write on from prompts. Safe to use from many threads.

    Args:
        template: the prompt's; its `stop` strings end a completion.
        model: folder, hub name or GGUF file of a model; for a served one, its name there.
        backend: a backend that writes, or the name of one.
        purpose: what wants it, for messages, as in `"a reader"`.
        max_tokens: the budget of one completion, reasoning included; at least 1.
        samples: completions of each prompt; default 1.
        temperature: default 0 for one sample, 0.7 for several.
        top_p: nucleus of the sampling; default 1.
        seed: of the sampling; default 0.
        store: replies found in it are not asked for again; others are in it the moment they arrive.
            Default: none.
        price: dollars for a million tokens; default: unknown, and nothing is counted.
        purse: what may be spent, shared by all that is held together. Default: no limit.
        role: what the model is asked as, for the store's ledger of paid calls.
        options: passed to the backend's constructor where the backend is given by name.

    Raises:
        InputError: a value that cannot be used.
        CapabilityError: the backend cannot write.
        MissingExtra: an optional dependency is not installed.
    """

    def __init__(
        self,
        template: Template,
        model: str | None,
        backend: str | Backend,
        *,
        purpose: str,
        max_tokens: int,
        samples: int = 1,
        temperature: float | None = None,
        top_p: float = 1.0,
        seed: int = 0,
        store: Store | None = None,
        price: Price | None = None,
        purse: Purse | None = None,
        role: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.template, self.model, self.store = template, model or "", store
        self.max_tokens = whole_number("max_tokens", max_tokens, least=1)
        self.samples = whole_number("samples", samples, least=1)
        self.seed = whole_number("seed", seed)
        self.top_p = finite_number("top_p", top_p, above=0, most=1)
        if temperature is None:
            temperature = 0.0 if samples == 1 else 0.7
        self.temperature = finite_number("temperature", temperature, least=0)
        if self.temperature == 0 and samples > 1:
            raise InputError(
                "samples > 1 at temperature 0 would be the same text again: give a temperature > 0"
            )
        self._owns_backend = isinstance(backend, str)
        self.backend = writing_backend(purpose, backend, model, options or {})
        self._asked: Backend = self.backend
        if price is not None or purse is not None:
            ledger = None if store is None else Ledger(store)
            self._asked = Metered(
                self.backend, price or Price(), purse, ledger, role=role or purpose, model=self.model
            )

    def request(self, prompt: Prompt, sample: int = 0) -> Generate:
        """The request for one completion of a prompt.

        Args:
            prompt: usually a rendering of the template.
            sample: which of several draws it is.
        """
        return Generate(
            prompt,
            stop=self.template.stop,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            sample=sample,
        )

    def run(self, program: Program[T]) -> T:
        """Run a program that yields requests and receives replies."""
        return driver.run(self.addressed(program), self.store)

    async def arun(self, program: Program[T]) -> T:
        """`run` for async code: nothing blocks the event loop."""
        return await driver.arun(self.addressed(program), self.store)

    def addressed(self, program: Program[T]) -> driver.Addressed[T]:
        """The program, its requests put to this writer's backend, as `pool.run_pool` takes many of them."""
        return driver.on(self._asked, program)

    def write_many(self, prompts: Sequence[Prompt], *, may_abstain: bool = False) -> list[Generated | Failed]:
        """One usable completion of each prompt, or `Failed`; all are asked in one batch; see `usable`."""
        programs = [self._one(prompt, may_abstain) for prompt in prompts]
        return self.run(together([forgetting(program, _is_failed) for program in programs]))

    def _one(self, prompt: Prompt, may_abstain: bool) -> Program[Generated | Failed]:
        (reply,) = yield [self.request(prompt)]
        return self.usable(reply, may_abstain=may_abstain)

    def usable(self, reply: Reply, *, may_abstain: bool = False) -> Generated | Failed:
        """The completion; a `Failed` where none came, or one that holds nothing usable.

        Args:
            reply: to a request of this writer.
            may_abstain: see `nothing_usable`, which is the rule.

        Raises:
            TypeError: it is another kind of reply, a defect of the backend.
        """
        reply = completion(reply)
        if isinstance(reply, Failed):
            return reply
        nothing = nothing_usable(reply.text, reply.finish, budget=self.max_tokens, may_abstain=may_abstain)
        return reply if nothing is None else Failed(nothing.reason, reply.usage)

    def close(self) -> None:
        """Release the model, if this writer loaded it. May be called twice."""
        if self._owns_backend and isinstance(self.backend, Closes):
            self.backend.close()

    @property
    def identity(self) -> str:
        """What must be equal for two completions of the same prompt to be equal."""
        sampling = (self.samples, self.seed, self.temperature, self.top_p, self.max_tokens)
        return repr((self.template.digest, sampling, self.backend.identity))


def _is_failed(reply: Reply) -> bool:
    return isinstance(reply, Failed)


def completion(reply: Reply) -> Generated | Failed:
    """The reply to a request for text.

    Raises:
        TypeError: it is another kind of reply, a defect of the backend.
    """
    if not isinstance(reply, Generated | Failed):
        raise TypeError(f"a backend replied to a request for text with {type(reply).__name__}")
    return reply


def writing_backend(
    purpose: str, backend: str | Backend, model: str | None, options: Mapping[str, Any]
) -> Backend:
    """The backend as it is, or made from its name; one that can be asked to write.

    Args:
        purpose: what wants it, as in `"a reader"`.
        backend: a backend, or the name of one.
        model: what a backend given by name loads.
        options: of its constructor.

    Raises:
        InputError: no such backend or option, no model, or options for a backend that is already made.
        CapabilityError: it cannot write.
    """
    writing: Backend
    if isinstance(backend, str):
        if model is None:
            raise InputError(
                f"name the model that backend {backend!r} is to load: model='folder, hub name or GGUF file'"
            )
        writing = named_backend(backend, model, dict(options))
    else:
        writing = as_it_is(backend, model, options)
    if not isinstance(writing, Generates):
        raise CapabilityError(
            f"{purpose} needs a backend that can write text, which {writing.name!r} cannot be asked"
        )
    return writing
