"""What can be set on `LimRankRerank`: its pydantic fields and their checks."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from llama_index.core.bridge.pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode
from llama_index.postprocessor.limrank.wording import check_wording

from limrank_plugins.arguments import Thinking
from limrank_plugins.arrange import check_cut
from limrank_plugins.errors import InputError
from limrank_plugins.recipes import load_recipe
from limrank_plugins.reranker import Reranker

# Passed to `Reranker` under the same names.
SETTINGS = (
    "recipe", "model", "backend", "reasoning", "budget", "samples", "seed", "temperature", "top_p",
    "max_reasoning_tokens", "cut_to_sentence", "instruction", "template", "on_failure",
)  # fmt: skip
# Passed on to the backend where they are set.
OPTIONS = ("device", "dtype", "base_url", "api_key")
# All that a ready reranker has decided already.
DECIDED = (*SETTINGS, *OPTIONS, "backend_options", "store")
FIXED = (*DECIDED, "reranker")


class LimRankFields(BaseNodePostprocessor):
    """The settings, and nothing else.

    What decides which model is asked and how cannot be assigned, so that a loaded model never
    disagrees with the fields; `top_n`, `threshold`, `prompt`, what is kept and `metadata_mode` can.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        validate_assignment=True,
        hide_input_in_errors=True,  # a key under a misspelled name would be printed otherwise
    )

    recipe: str = Field(
        "limrank", description="A recipe's name, with options if it has any; `limrank recipes` lists them."
    )
    model: str | None = Field(None, description="Folder or hub name; None: the recipe's checkpoint.")
    backend: str | None = Field(None, description="Name of the way to run the model; None: the recipe's.")
    reasoning: Thinking | None = Field(
        None,
        description="'full' thinks before every verdict, 'none' never, 'auto' where it can change the top; "
        "None: the recipe's.",
    )
    budget: str | None = Field(
        None,
        description="For reasoning='auto' and recipe 'cascade': '20 documents', '50000 tokens', '5 seconds'.",
    )
    samples: int = Field(
        1,
        strict=True,
        gt=0,
        description="Thoughts per document, averaged (recipes that order: permutations that vote).",
    )
    seed: int = Field(0, strict=True, description="Of the sampling.")
    temperature: float | None = Field(None, ge=0, description="None: 0 for one sample, 0.7 for several.")
    top_p: float = Field(0.95, gt=0, le=1, description="Nucleus of the sampling.")
    max_reasoning_tokens: int | None = Field(
        None,
        strict=True,
        gt=0,
        description="Budget of a thought; then it is closed by force. None: the recipe's.",
    )
    cut_to_sentence: bool = Field(
        True, description="Cut a thought that was closed by force back to its last sentence end."
    )
    instruction: str | None = Field(
        None, description="A benchmark's instruction by name, or a text that holds {{ query }}."
    )
    template: str | None = Field(
        None, description="Another prompt template: a name, or the path of a .toml file."
    )
    on_failure: Literal["mark", "raise"] = Field(
        "mark",
        description="'mark' keeps a node that could not be judged in its place; 'raise' raises.",
    )
    device: str | None = Field(None, description="For backends that take one: 'cpu', 'cuda:0'.")
    dtype: str | None = Field(None, description="For backends that take one: 'bfloat16'.")
    base_url: str | None = Field(None, description="Address of a served model.")
    api_key: SecretStr | None = Field(
        None,
        exclude=True,
        repr=False,
        description="Key of a served model. Never serialised; None: the backend's environment variable.",
    )
    backend_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Other arguments of the backend: adapter, revision, max_length, … No secrets: they are "
        "serialised.",
    )
    store: str | None = Field(
        None, description="SQLite file with answers that need not be asked again; None: no file."
    )
    reranker: Reranker | None = Field(
        None,
        exclude=True,
        repr=False,
        description="A ready reranker instead of everything above. Never serialised.",
    )

    top_n: int | None = Field(None, strict=True, description="How many nodes to keep; None: all.")
    threshold: float | None = Field(
        None, strict=True, description="Keep nodes with score >= threshold (before top_n); failed ones stay."
    )
    prompt: str | None = Field(
        None, description="Another wording of the recipe's prompt, with {query} and {document}."
    )
    metadata_mode: MetadataMode = Field(
        MetadataMode.EMBED, description="Which metadata the model reads with a node's text."
    )
    keep_retrieval_score: bool = Field(
        False, description="Keep the score a node came with in its metadata, as 'retrieval_score'."
    )
    keep_explanation: bool = Field(
        True, description="Keep the model's reasoning in the node's metadata, as 'limrank_explanation'."
    )

    def __setattr__(self, name: str, value: Any) -> None:
        # Not pydantic's `frozen`: its error prints the value, which may be a key.
        if name in FIXED:
            raise InputError(f"{name} cannot be changed: make another one, or use model_copy(update=…)")
        super().__setattr__(name, value)

    # ---- checks ---------------------------------------------------------------------------------

    @model_validator(mode="before")
    @classmethod
    def _without_class_name(cls, data: Any) -> Any:
        # `model_dump` adds it, so `model_validate` has to take it.
        if isinstance(data, dict) and "class_name" in data:
            return {name: value for name, value in data.items() if name != "class_name"}
        return data

    @field_validator("base_url")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        if value is not None and "@" in urlsplit(value).netloc:
            raise InputError("base_url holds a user name or password, which would be serialised: use api_key")
        return value

    @field_validator("backend_options")
    @classmethod
    def _other_options(cls, value: dict[str, Any]) -> dict[str, Any]:
        own = [name for name in value if name in FIXED]
        if own:
            raise InputError(f"backend_options: {', '.join(own)} must be given as an argument of its own")
        return value

    @field_validator("top_n")
    @classmethod
    def _check_top_n(cls, value: int | None) -> int | None:
        check_cut(value, None)
        return value

    @field_validator("threshold")
    @classmethod
    def _check_threshold(cls, value: float | None) -> float | None:
        check_cut(None, value)
        return value

    @field_validator("prompt")
    @classmethod
    def _check_prompt(cls, value: str | None) -> str | None:
        return None if value is None else check_wording(value)

    @field_serializer("metadata_mode")
    def _plain(self, value: MetadataMode) -> str:
        return value.value

    def model_post_init(self, context: Any, /) -> None:
        """Check the recipe's name, or describe the ready reranker truthfully in the fields."""
        super().model_post_init(context)
        if self.reranker is None:
            load_recipe(self.recipe)
            return
        given = sorted(self.model_fields_set & set(DECIDED))
        if given:
            raise InputError(f"{', '.join(given)}: the reranker that was passed has decided this already")
        settings = self.reranker.settings
        described = {name: getattr(settings, name) for name in SETTINGS if hasattr(settings, name)}
        described |= {"reasoning": self.reranker.reasoning, "budget": self.reranker.budget}
        described |= {"recipe": self.reranker.recipe.name, "on_failure": self.reranker.on_failure}
        self.__dict__.update(described)
