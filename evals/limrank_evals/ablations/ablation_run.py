"""Arms one after another: rows drawn and written, a model trained, exported and evaluated; then the report.

    settings.json                    what all arms are measured with; another setting is refused
    arms/<arm>/arm.json              what makes it this arm: rows, plan, components
    arms/<arm>/rows.jsonl            its rows
    arms/<arm>/run/                  of `limrank_training.training_run.train`; `final/` is the export
    arms/<arm>/evaluation/           rankings by split
    arms/<arm>/scores.json           the numbers; an arm that has them is finished
    store.sqlite                     answers and journals of the evaluations
    report.json  table.md  table.tex  arms.svg

A killed ablation goes on: a finished arm is not touched again, training goes on from its last checkpoint, an
evaluation from the query it was at. The report is of all arms that are finished.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_evals.ablations.ablation_report import OUTPUTS, AblationReport, ArmResult
from limrank_evals.ablations.arm_evaluation import RANKINGS, ArmEvaluator
from limrank_evals.ablations.arm_setup import ArmSetup, lines_drawn, set_up_arms
from limrank_evals.ablations.arms import Ablation
from limrank_evals.ablations.pools import ROWS, Pool
from limrank_evals.guarded_folders import (
    STORE,
    differences,
    evaluation_files,
    keep_settings,
    plain,
    working_in,
)
from limrank_plugins import __version__
from limrank_plugins.begun_anew import working_on
from limrank_plugins.errors import InputError, require
from limrank_plugins.files import read_json
from limrank_plugins.outputs import write_json, write_parts
from limrank_plugins.wording import number_of

if TYPE_CHECKING:
    from limrank_training.plans import Plan

SCHEMA = "limrank eval ablate 1"
FILE_SHA256 = "file_sha256"
ARM, SCORES, RUN, EVALUATION = "arm.json", "scores.json", "run", "evaluation"


def ablate(
    ablation: Ablation,
    folder: Path,
    *,
    only: Sequence[str] = (),
    fresh: bool = False,
    device: str | None = None,
    batch: int = 1,
    say: Callable[[str], object] = lambda _: None,
) -> AblationReport:
    """Train and evaluate the arms that are not finished, and report on all that are.

    Args:
        ablation: see there; it must say what is evaluated on.
        folder: where to; an ablation of the same settings that is there is gone on with.
        only: names of arms, to leave the others for later or for other machines.
        fresh: begin these arms anew, or all of them and the ablation with them; see `begun_anew`.
        device: where models are evaluated; training finds its own.
        batch: queries ranked in lockstep.
        say: told what happens, a line each.

    Raises:
        InputError: no evaluation, other settings than the folder's, or what `set_up_arms` raises.
    """
    if ablation.evaluation is None:
        raise InputError("the ablation names no benchmark to evaluate its arms on: give one, and its source")
    chosen = [ablation.arm(name).name for name in only] or [arm.name for arm in ablation.arms]
    arms, pools = set_up_arms(ablation)
    evaluator = ArmEvaluator(ablation.evaluation, device=device, batch=batch)
    with working_in(folder):
        settings = _settings(evaluator)
        same = settings | {"arms": {name: _identity(setup) for name, setup in arms.items()}}
        with working_on(folder, same, ablation_files, fresh=fresh and not only, say=say) as work:
            # What makes an arm is told by the arm; the settings are what all of them are measured with.
            keep_settings(work.place, SCHEMA, settings)
            places = {name: work.place / "arms" / name for name in arms}
            for name in chosen:
                place = places[name]
                place.mkdir(parents=True, exist_ok=True)
                one = _identity(arms[name])
                with working_on(place, one, arm_files, fresh=fresh and bool(only), say=say) as arm:
                    with arm.store(work.place / STORE) as store:
                        evaluator.store = store
                        _run(arms[name], pools, arm.place, evaluator, say=say)
                    arm.end(is_finished=not _record(arm.place / SCORES).get("failures"))
                    places[name] = arm.place
            finished = {
                name: ArmResult(setup.as_json(), _record(places[name] / SCORES))
                for name, setup in arms.items()
                if _finished(setup, places[name])
            }
            report = AblationReport(ablation, finished)
            # A report of arms that wait beside those of before would be of neither.
            if all(place.parent == work.place / "arms" for place in places.values()):
                report.write(work.place)
            failed = any(arm.scores.get("failures") for arm in finished.values())
            work.end(is_finished=len(finished) == len(arms) and not failed)
    return report


def _run(
    setup: ArmSetup,
    pools: Mapping[str, Pool],
    place: Path,
    evaluator: ArmEvaluator,
    *,
    say: Callable[[str], object],
) -> None:
    name = setup.arm.name
    if _finished(setup, place):
        if not _record(place / SCORES).get("failures"):
            say(f"{name}: finished before")
            return
        say(f"{name}: documents could not be judged before; they are asked for again")
    lines = lines_drawn(setup.draw, pools)
    identity = _identity(setup)
    file = hashlib.sha256(b"".join(lines)).hexdigest()
    write_json(place / ARM, {**identity, FILE_SHA256: file})
    write_parts(place / ROWS, lines)
    run = place / RUN
    if not _exported(setup, run):
        say(f"{name}: training on {number_of(len(setup.draw.rows), 'row')}")
        _train(setup.plan, place / ROWS, run)
    say(f"{name}: evaluating")
    scores = evaluator.evaluate(run / "final", place / EVALUATION)
    trained = _record(run / "report.json")["metrics"]
    write_json(place / SCORES, {"identity": identity, "training": trained, **scores})


def _train(plan: Plan, rows: Path, run: Path) -> None:
    from limrank_training.dev_ranking import dev_queries
    from limrank_training.training_data import prepare
    from limrank_training.training_run import train

    watched = dev_queries(plan, rows) if plan.watch is not None else []
    train(plan, prepare(plan, rows), run, watched=watched)
    _let_go()


def _let_go() -> None:
    """What a trainer holds in cycles would stay on the device beside the model that is evaluated next."""
    torch = require("torch", "training", "training")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _exported(setup: ArmSetup, run: Path) -> bool:
    """Whether the arm is trained: the export is the last thing a run writes, whole or not at all.

    Raises:
        InputError: it was trained by another plan.
    """
    from limrank_plugins.card import CARD

    if not (run / "final" / CARD).is_file() or not (run / "report.json").is_file():
        return False
    before, now = _record(run / "plan.json")["plan"], plain(setup.plan.as_json())
    if before != now:
        raise InputError(f"{run} was trained by another plan: {'; '.join(differences(before, now))}")
    return True


def _finished(setup: ArmSetup, place: Path) -> bool:
    """Whether an arm has its scores.

    Raises:
        InputError: the folder holds another arm of this name.
    """
    if not (place / ARM).is_file():
        return False
    before, now = _record(place / ARM), plain(_identity(setup))
    before.pop(FILE_SHA256, None)
    if before != now:
        raise InputError(
            f"{place} holds another arm of this name: {'; '.join(differences(before, now))}. Give the arm "
            f"another name, or start it over with --fresh --only {setup.arm.name}"
        )
    return (place / SCORES).is_file()


def _identity(setup: ArmSetup) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "arm": setup.arm.as_json(),
        "rows": {"rows": len(setup.draw.rows), "digest": setup.draw.digest, **setup.draw.counts()},
        "plan": setup.plan.as_json(),
    }


def ablation_files(folder: Path) -> list[Path]:
    """What an ablation has written into its folder; see `begun_anew.working_on`.

    Raises:
        InputError: the folder is another kind of evaluation's.
    """
    arms = [file for arm in (folder / "arms").glob(f"*/{ARM}") for file in arm_files(arm.parent)]
    return [*arms, *evaluation_files(folder, SCHEMA, OUTPUTS)]


def arm_files(place: Path) -> list[Path]:
    """What an arm's folder holds of the arm."""
    from limrank_training.training_run import training_files

    own = [file for name in (ROWS, SCORES, ARM) if (file := place / name).is_file()]
    rankings = (place / EVALUATION).glob(f"*/{RANKINGS}")
    return [*training_files(place / RUN), *rankings, *own]


def _settings(evaluator: ArmEvaluator) -> dict[str, Any]:
    measured = {"evaluation": evaluator.evaluation.as_json(), "texts": evaluator.texts}
    return {"version": __version__, **measured}


def _record(file: Path) -> dict[str, Any]:
    record = read_json(file)
    if not isinstance(record, dict):
        raise InputError(f"{file} is not an ablation's: expected a JSON object, but got {str(record)[:80]}")
    return record
