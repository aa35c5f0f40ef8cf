"""What a recipe asks about a group, and what is the right answer: the question is inference's own.

The question is the first one of the recipe's readout, so that training can never ask in other words, and
labels or tags in a passage are made harmless just as they are at inference.
"""

from __future__ import annotations

from collections.abc import Sequence

from limrank_plugins.backends.protocols import Generate, ReadLabels
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.grade import ExpectedGrade
from limrank_plugins.readouts.label_scores import LabelScores
from limrank_plugins.readouts.labels import Labels, without_tags
from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.readouts.select import GenerateSelect, LabelSelect
from limrank_plugins.recipes import Recipe
from limrank_plugins.segments import Segment, clean_text
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.objectives import OBJECTIVES, Objective


def template_for(recipe: Recipe, objective: Objective, reasoning: bool) -> Template:
    """The recipe's template, where the objective can train what the recipe reads.

    Raises:
        InputError: the recipe reads something else, or has no reasoning to learn.
    """
    template = recipe.load_template()
    if template is None or not isinstance(recipe.readout, OBJECTIVES[objective].readouts):
        raise InputError(
            f"objective {objective} cannot train recipe {recipe.name!r}, which reads something else"
        )
    if reasoning and recipe.reasoning is None:
        raise InputError(f"recipe {recipe.name!r} has no reasoning: set reasoning: false")
    return template


def request_for(
    recipe: Recipe, template: Template, group: PassageGroup, reasoning: bool
) -> ReadLabels | Generate:
    """What the recipe asks about the group at inference.

    Args:
        recipe: one that `template_for` took.
        template: its own.
        group: as it is shown.
        reasoning: whether the model thinks; without, the answer is begun by the template's `no_think`.

    Raises:
        InputError: an image cannot be read, or there are more passages than labels; the line is named.
    """
    query, documents = group.query_and_documents()
    assert recipe.readout is not None
    try:
        requests = next(
            recipe.readout.ask(
                query, documents, template, Settings(reasoning="full" if reasoning else "none")
            )
        )
    except InputError as error:
        raise InputError(f"{group.where}: {error}") from error
    (request,) = requests
    assert isinstance(request, ReadLabels | Generate)
    return request


def answer_start(template: Template, reasoning: bool) -> str:
    """What is put into the model's mouth before it writes, of which its readout reads the end as its own."""
    return "" if reasoning else template.no_think


def target(
    objective: Objective,
    recipe: Recipe,
    template: Template,
    group: PassageGroup,
    reasoning: bool,
    labels: Sequence[str],
) -> tuple[Segment, ...]:
    """What is learned behind the question; nothing for `"grpo"`, whose model writes for itself.

    Args:
        objective: one over groups.
        recipe: one that `template_for` took.
        template: its own.
        group: as it is shown.
        reasoning: whether reasoning comes first.
        labels: those that the question reads, for recipes that read labels.

    Raises:
        InputError: the group does not say what is right; its line is named.
    """
    readout = recipe.readout
    if objective == "grpo":
        return ()
    if isinstance(readout, ExpectedGrade):
        grade = group.passages[0].grade
        assert grade is not None
        return (Segment(labels[len(labels) - 1 - int(grade)]),)
    if isinstance(readout, LabelSelect):
        return (Segment(labels[group.chosen()]),)
    if isinstance(readout, LabelScores):
        order = _order(readout.labels, group)
        if not order.startswith(template.prefill):
            raise InputError(f"an order does not begin with the prefill of template {template.name!r}")
        return (Segment(order.removeprefix(template.prefill)),)
    assert isinstance(readout, GenerateSelect | GenerateOrder)
    if isinstance(readout, GenerateSelect):
        answer = readout.labels.shown(len(group.passages))[group.chosen()]
    else:
        answer = _order(readout.labels, group)
    if readout.tagged:
        answer += "</answer>"
    return (
        (*_reasoning(template, readout.labels, group), Segment(answer)) if reasoning else (Segment(answer),)
    )


def _order(labels: Labels, group: PassageGroup) -> str:
    names = labels.shown(len(group.passages))
    best = [names[i] for i in group.best_first()]
    return f"[{', '.join(best)}]" if labels.kind == "plain" else " > ".join(best)


def _reasoning(template: Template, labels: Labels, group: PassageGroup) -> tuple[Segment, ...]:
    """The reasoning between the tags that inference closes it with."""
    names = labels.shown(len(group.passages))
    reasons = [(name, p.reason) for name, p in zip(names, group.passages, strict=True) if p.reason]
    if group.trace:
        text = without_tags(group.trace)
    elif reasons:
        text = "\n".join(f"{name} {labels.neutral(reason)}" for name, reason in reasons)
    else:
        raise InputError(f"{group.where}: there is neither a 'trace' nor 'reasons', but reasoning is learned")
    opening = template.no_think.removesuffix(template.close)
    return (
        Segment(f"{opening} "),
        Segment(clean_text(text.strip()), trusted=False),
        Segment(template.close),
    )
