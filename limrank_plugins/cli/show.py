"""`limrank recipes` and `limrank prompt`: what there is, and what a model reads."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from limrank_plugins.backends.chat import as_completion, has_chat_template
from limrank_plugins.backends.local.loading import loading, pretrained
from limrank_plugins.backends.local.lora import base_of, is_adapter, names_of
from limrank_plugins.backends.protocols import Attend, Classify, Encode, Forget, ModelFacts, ScorePair
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.flags import in_flags, said_in_flags
from limrank_plugins.cli.terminal import tell_exactly
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import instructions, load_template, template_names
from limrank_plugins.readouts import Settings
from limrank_plugins.recipes import Recipe, load_recipe, recipe_names
from limrank_plugins.template_choice import choose_template

prompt_app = typer.Typer(help="Show prompts.", no_args_is_help=True)


@reports_errors
def recipes(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Those to describe, with options if they have any. Default: all.",
            show_default=False,
            autocompletion=common.complete(recipe_names),
        ),
    ] = None,
    as_json: common.AsJson = False,
) -> None:
    """List the ranking methods, or describe some of them."""
    with said_in_flags():
        entries = [load_recipe(name) for name in names or recipe_names()]
    if as_json:
        common.emit([_facts(recipe) for recipe in entries])
        return
    width = max(len(recipe.name) for recipe in entries)
    console = common.Terminal()
    for recipe in entries:
        facts = _facts(recipe)
        about = Table.grid(padding=(0, 2))
        about.add_column(width=width, style="bold")
        about.add_column(overflow="fold")
        about.add_row(recipe.name, recipe.summary)
        how = f" of {' + '.join(facts['parts'])}" if recipe.parts else ""
        how = f" by {' + '.join(facts['needs'])}" if facts["needs"] else how
        about.add_row("", f"{recipe.oracle}{how} · calls: {recipe.calls}")
        about.add_row("", f"tokens: {recipe.tokens}")
        sources = [recipe.model, recipe.licence, recipe.paper]
        about.add_row("", " · ".join(filter(None, sources)), style="dim")
        console.print(about)
    console.print(
        "\nper query, for N documents; Q, D, T: tokens of the query part, a document, the reasoning",
        style="dim",
    )


def _facts(recipe: Recipe) -> dict[str, Any]:
    needs = recipe.needs(Settings(reasoning=recipe.reasoning or "none"))
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "oracle": recipe.oracle,
        "needs": [capability.__name__ for capability in needs],
        "parts": [p.recipe if isinstance(p.recipe, str) else p.recipe.name for p in recipe.parts],
        "score_kind": recipe.score_kind,
        "comparable": recipe.comparable,
        "calls": recipe.calls,
        "tokens": recipe.tokens,
        "backend": recipe.backend,
        "model": recipe.model,
        "checkpoints": list(recipe.checkpoints),
        "reasoning": recipe.reasoning,
        "paper": recipe.paper,
        "licence": recipe.licence,
    }


@prompt_app.command("list")
@reports_errors
def list_prompts(as_json: common.AsJson = False) -> None:
    """List prompt templates and instructions."""
    templates = [load_template(name) for name in template_names()]
    if as_json:
        common.emit({"templates": [asdict(t) for t in templates], "instructions": instructions()})
        return
    for template in templates:
        common.tell(f"template     {template.name}: {template.source}")
    for name in sorted(instructions()):
        common.tell(f"instruction  {name}")


@prompt_app.command("show")
@reports_errors
def show_prompt(
    recipe: Annotated[str, typer.Argument(help="A recipe's name.")],
    query: Annotated[str, typer.Option(help="The query.")] = "{query}",
    document: Annotated[list[str] | None, typer.Option(help="A passage; repeat for more.")] = None,
    instruction: common.Instruction = None,
    template: reranking.Template = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub name of a model with a tokenizer: its own template is chosen, and its chat "
            "template is put around it.",
            show_default=False,
        ),
    ] = None,
    as_json: common.AsJson = False,
) -> None:
    """Print exactly what the model reads: no more bytes, and no line end, than the prompt has."""
    chosen = load_recipe(recipe)
    if chosen.template is None or chosen.readout is None:
        raise InputError(f"recipe {recipe!r} has no prompt of its own{_why_not(chosen)}")
    # The readout's own first request: what it puts beside the documents (labels, priors) is in it.
    passages = [Document(text, id=str(i)) for i, text in enumerate(document or ["{document}"])]
    settings = Settings(reasoning=chosen.reasoning or "none", instruction=instruction)
    tokenizer = None if model is None else _tokenizer(model)
    facts = None if model is None else ModelFacts(names_of(model), has_chat_template(tokenizer))
    choice = choose_template(chosen, template, facts)
    if choice.reason:
        common.say(f"prompt: {in_flags(choice.reason)}")
    request = next(chosen.readout.ask(Query(query), passages, choice.template, settings))[0]
    if isinstance(request, Encode | ScorePair | Classify | Forget):
        raise InputError(f"recipe {recipe!r} has no prompt of its own{_why_not(chosen)}")
    prompt = request.prompts[0] if isinstance(request, Attend) else request.prompt
    if tokenizer is not None:
        prompt = as_completion(prompt, tokenizer)
    if as_json:
        common.emit({"recipe": recipe, "text": prompt.text, "segments": [asdict(s) for s in prompt.segments]})
        return
    tell_exactly(prompt.text)


def _tokenizer(model: str) -> Any:
    base = base_of(Path(model)) if is_adapter(model) else model
    with loading(base, model, gguf=True) as source:
        return pretrained("AutoTokenizer", source)


def _why_not(recipe: Recipe) -> str:
    """What it does instead."""
    if recipe.parts:
        names = [part.recipe if isinstance(part.recipe, str) else part.recipe.name for part in recipe.parts]
        return f": it is made of {' and '.join(names)}"
    return ": its model reads the query and the passages as they are"
