"""The grid of a zoo: its cells, worked on one after another; those that are finished are left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from limrank_evals.evaluation.evaluation_folder import split_files
from limrank_evals.guarded_folders import SETTINGS, STORE, evaluation_files, read_settings
from limrank_evals.zoo.cell import CELL, KEYS, MEASURE
from limrank_evals.zoo.cell import SCHEMA as CELL_SCHEMA
from limrank_evals.zoo.collections import Collection, file_name
from limrank_evals.zoo.process import run_cell
from limrank_evals.zoo.served import Arm, why_not
from limrank_plugins import __version__
from limrank_plugins.backends.local.fingerprint import file_fingerprint, folder_fingerprint
from limrank_plugins.backends.local.sources import checked_source
from limrank_plugins.backends.remote.addresses import check_written
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json_object
from limrank_plugins.recipes import load_recipe, recipe_names

SCHEMA = "limrank zoo 1"
FIRST_STAGE, MINI = "first stage", "mini"
OUTPUTS = ("zoo.json", "table.md", "plot.svg")


@dataclass(frozen=True, slots=True)
class Zoo:
    """What is measured, and how.

    Attributes:
        model: as `Reranker` takes it.
        collections: where.
        recipes: which; () for all that the model can serve.
        backend: runs the model.
        reasoning: of the recipes that can reason, as `Arm.of` reads it; each of them is a cell.
        queries: how many judged queries of each collection, from the first; None: all.
        depth: how many candidates of each query.
        batch: how many queries are ranked in lockstep: what they write is written at once.
        first_stage: finds them.
        dtype: of the model's weights, where its backend can be told.
        seed: of all that is drawn.
        max_reasoning_tokens: None: each recipe's own.
        options: more arguments of the backend.
    """

    model: str
    collections: tuple[Collection, ...]
    recipes: tuple[str, ...] = ()
    backend: str = "transformers"
    reasoning: tuple[str, ...] = ("none",)
    queries: int | None = None
    depth: int = 20
    first_stage: str = "bm25s"
    dtype: str = "bfloat16"
    seed: int = 0
    max_reasoning_tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 8

    def chosen(self) -> tuple[list[str], dict[str, str]]:
        """The recipes to be run, and why each of the others is not, by name.

        Raises:
            InputError: a recipe that was named cannot be served by the model, or there is none.
        """
        most = "none" if set(self.reasoning) == {"none"} else "full"
        reasons = {
            name: why_not(load_recipe(name), self.backend, most)
            for name in self.recipes or recipe_names()
            if name != MINI
        }
        left_out = {name: reason for name, reason in reasons.items() if reason}
        if self.recipes and left_out:
            name, reason = next(iter(left_out.items()))
            raise InputError(f"recipe {name!r} cannot be run on {self.model}: {reason}")
        return [name for name, reason in reasons.items() if not reason], left_out

    def arms(self, recipes: Sequence[str]) -> list[Arm]:
        """Each recipe with each reasoning, or once where it has none to switch.

        Raises:
            InputError: a reasoning that there is not.
        """
        several = len(self.reasoning) > 1
        return list(
            dict.fromkeys(
                Arm.of(recipe, written, named=several) for recipe in recipes for written in self.reasoning
            )
        )

    def reranker(self, arm: Arm) -> dict[str, Any]:
        """The arguments of `Reranker` for a recipe; `mini` has a model of its own."""
        if arm.recipe == MINI:
            made = load_recipe(MINI)
            return {"recipe": MINI, "model": made.model, "backend": made.backend, "seed": self.seed}
        return {
            **arm.arguments,
            "model": self.model,
            "backend": self.backend,
            "seed": self.seed,
            "max_reasoning_tokens": self.max_reasoning_tokens,
            "dtype": self.dtype,
            **self.options,
        }

    def settings(self, weights: str) -> dict[str, Any]:
        """What all numbers of a folder have in common; collections and recipes may come one by one."""
        return {
            "model": self.model,
            "weights": weights,
            "backend": self.backend,
            "reasoning": ", ".join(self.reasoning),
            "queries": self.queries,
            "depth": self.depth,
            "batch": self.batch,
            "first_stage": self.first_stage,
            "dtype": self.dtype,
            "seed": self.seed,
            "max_reasoning_tokens": self.max_reasoning_tokens,
            "options": {name: value for name, value in self.options.items() if name not in KEYS},
            "measure": MEASURE,
            "version": __version__,
        }


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """A cell: what it found, or why there is nothing.

    Attributes:
        collection: its label.
        recipe: with its reasoning where that has several; `FIRST_STAGE` where nothing is reranked.
        record: see `cell.work`; None where there is none.
        failed: why.
        full: the `recipe` of the cell in which the same recipe reasons about every document; "" if none does.
    """

    collection: str
    recipe: str
    record: Mapping[str, Any] | None
    failed: str = ""
    full: str = ""


def work_off(
    zoo: Zoo,
    recipes: Sequence[str],
    folder: Path,
    *,
    say: Callable[[str], object] = lambda _: None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[CellOutcome]:
    """Work on every cell that is not finished.

    Args:
        zoo: what is measured.
        recipes: see `Zoo.chosen`; `mini` stands before them.
        folder: where the cells' folders are.
        say: gets a sentence before each cell that is worked on, and of each prompt that was chosen.
        progress: gets a cell's name, how many queries are ranked, and how many there are.

    Raises:
        InputError: a collection's files are not those that its cells were measured on.
    """
    outcomes = []
    said: set[str] = set()
    arms = zoo.arms(recipes)
    full = {arm.recipe: arm.name for arm in arms if arm.named and arm.reasoning == "full"}
    for collection in zoo.collections:
        place, source = folder / collection.label, collection.digest()
        broken = ""
        for arm in (Arm(FIRST_STAGE), Arm(MINI), *arms):
            recipe = arm.name
            cell = place / file_name(recipe)
            record = read_cell(cell)
            _same_source(collection, record, source)
            failed = broken
            if not broken and (record is None or not record["final"]):
                say(f"{collection.label}, {recipe}")
                order = {
                    "folder": str(cell),
                    # Replies that are kept are not asked for again: an arm would cost what others left to it.
                    "store": str(place / (f"{file_name(recipe)}-{STORE}" if arm.named else STORE)),
                    "collection": asdict(collection),
                    "source": source,
                    "queries": zoo.queries,
                    "first_stage": zoo.first_stage,
                    "depth": zoo.depth,
                    "batch": zoo.batch,
                    "seed": zoo.seed,
                    "reranker": None if recipe == FIRST_STAGE else zoo.reranker(arm),
                }
                name = f"{collection.label}, {recipe}"
                failed = run_cell(order, lambda done, of, name=name: progress(name, done, of))  # type: ignore[misc]
                record = read_cell(cell)
            prompt = str((record or {}).get("prompt") or "")
            if prompt and prompt not in said:
                say(f"prompt of {recipe}: {prompt}")
            said.add(prompt)
            if recipe == FIRST_STAGE and failed:
                broken = f"the first stage failed: {failed}"
            whole = full.get(arm.recipe, "") if arm.named else ""
            found = None if failed else record
            outcomes.append(CellOutcome(collection.label, recipe, found, failed, whole))
    return outcomes


def settings_in(zoo: Zoo, folder: Path) -> dict[str, Any]:
    """The zoo's settings; where its model is no longer on this machine, as the folder knows it.

    Raises:
        InputError: there is no such model, or an address holds a key.
    """
    if isinstance(address := zoo.options.get("base_url"), str):
        check_written(address)
    kept = read_settings(folder, SCHEMA) if (folder / SETTINGS).is_file() else {}
    return zoo.settings(_weights(zoo, kept))


def zoo_files(folder: Path) -> list[Path]:
    """What a zoo has written into its folder; see `begun_anew.working_on`.

    Raises:
        InputError: the folder, or one in it, is another kind of evaluation's.
    """
    files = evaluation_files(folder, SCHEMA, OUTPUTS)
    cells = [settings.parent for settings in folder.glob(f"[!.]*/*/{SETTINGS}")]
    for cell in cells:
        files += [*split_files(cell), *(kept for kept in [cell / CELL] if kept.is_file())]
    for place in {cell.parent for cell in cells}:
        files += place.glob(f"*{STORE}*")
    return files


def read_cell(folder: Path) -> dict[str, Any] | None:
    """What a cell found; None where it is not finished.

    Raises:
        InputError: the file is damaged, or of another version.
    """
    if not (folder / CELL).is_file():
        return None
    record = read_json_object(folder / CELL)
    if record.get("schema") != CELL_SCHEMA:
        raise InputError(f"{folder / CELL} is no cell of this version of the zoo: start over with --fresh")
    return record


def _weights(zoo: Zoo, kept: Mapping[str, Any]) -> str:
    """A fingerprint of a local model; the one that was kept where the model is no longer there."""
    if zoo.backend == "openai":
        return ""
    if kept.get("model") == zoo.model and kept.get("weights") and not Path(zoo.model).expanduser().exists():
        return str(kept["weights"])
    place = Path(checked_source(zoo.model))
    if place.is_dir():
        return folder_fingerprint(place)
    return file_fingerprint(place) if place.is_file() else ""


def _same_source(collection: Collection, record: Mapping[str, Any] | None, source: str) -> None:
    if record is not None and record["source"] != source:
        raise InputError(
            f"the files of {collection.label} are not those that were measured before: put them back, name "
            f"another --output, or start over with --fresh"
        )
