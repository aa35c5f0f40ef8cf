"""`limrank synth run` and `batch-in` as commands, against a scripted server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import LoopbackServer
from synth_command import ROLES, SECRET, Workplace, holds_secret
from synth_server import IN_THE_TEXT, ON_THE_WIRE, ScriptedModel, completion
from typer.testing import CliRunner, Result

from limrank_plugins.cli import build_app
from limrank_synth.files import read_rows
from limrank_synth.locking import alone_in


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def server(model: ScriptedModel) -> Iterator[LoopbackServer]:
    with LoopbackServer(model, remember=False) as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, server: LoopbackServer, model: ScriptedModel) -> Workplace:
    return Workplace(tmp_path, server, model, seeds=3)


def limrank(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def run(place: Workplace, *more: object, code: int = 0, output: Path | None = None) -> Result:
    return limrank(*place.arguments(output=output)[1:], *more, code=code)


# ---- the whole of it ------------------------------------------------------------------------------


def test_forty_seeds_with_faults_of_every_kind_lose_nothing(tmp_path: Path):
    model = ScriptedModel(wire=0.1, text=0.1)
    with LoopbackServer(model, remember=False) as server:
        place = Workplace(tmp_path, server, model, seeds=40, options={"concurrency": 16, "timeout": 3.0})
        outputs = []
        for _ in range(8):
            result = CliRunner().invoke(build_app(), place.arguments()[1:])
            outputs.append(result.output)
            if result.exit_code != 1:
                break
        assert result.exit_code == 0, result.output
        assert set(model.faults) == {*ON_THE_WIRE, *IN_THE_TEXT}
        report = place.report
        # Everything that went wrong was counted, where it went wrong.
        slow = report["faults"].pop("timeout") - model.faults["timeout"]  # of this machine, not ours
        assert report["faults"] == {kind: model.faults[kind] for kind in sorted({*ON_THE_WIRE} - {"timeout"})}
        assert slow >= 0
        unusable = report["unusable"]
        for kind in ("refused", "empty", "cut"):
            assert sum(stage.get(kind, 0) for stage in unusable.values()) == model.faults[kind]
        # Texts without a form cannot be malformed, so the server's count is the larger one.
        assert 0 < sum(stage.get("malformed", 0) for stage in unusable.values()) <= model.faults["malformed"]
        # Every answer was committed once, every question is accounted for.
        assert set(place.committed().values()) == {1}
        assert set(place.committed()) == set(place.asked().values())
        assert sum(role["calls"] for role in report["calls"].values()) == len(model.answered)
        assert sum(model.answered.values()) <= len(model.answered) + slow
    assert (report["seeds"], report["finished"], report["unfinished"]) == (40, 40, {})
    stages = report["stages"]
    assert stages["rewriting"]["in"] == 80
    assert stages["descriptions"]["in"] == 4 * stages["reasoning"]["out"]
    assert stages["trace_rules"]["in"] == stages["judging"]["out"]
    rows = list(read_rows(place.output / "rows.jsonl"))
    rejected = list(map(json.loads, (place.output / "rejected.jsonl").read_text("utf-8").splitlines()))
    assert len(rows) == report["rows"] == stages["coverage"]["out"]
    assert len(rejected) == report["rejected"]
    assert all(one["reason"] for one in rejected)
    # What went in came out or was rejected: no passage is missing.
    given_up = [one for one in rejected if one["stage"] in ("rewriting", "reasoning", "descriptions")]
    assert len(rows) + len(rejected) - len(given_up) + 4 * len(given_up) == 80 * 4
    assert report["judges"]["two"]["items"] == stages["judging"]["out"]
    assert report["judges"]["two"]["kappa"] > 0.6
    assert not holds_secret(tmp_path, outputs)


def test_the_same_set_whatever_the_concurrency_and_once_again(place: Workplace, tmp_path: Path):
    run(place)
    first, sent = place.rows, place.server.served
    assert len(first) > 10_000
    run(place)
    assert (place.rows, place.server.served) == (first, sent), "a run that is done asks nothing"
    for concurrency in (1, 50):
        other = tmp_path / f"other{concurrency}"
        run(place, "--concurrency", concurrency, output=other)
        assert (other / "rows.jsonl").read_bytes() == first
    assert place.server.peak <= 50


def test_no_more_than_the_concurrency_is_in_flight(place: Workplace):
    run(place, "--concurrency", 2)
    assert place.server.peak == 2


def test_another_seed_is_another_set(place: Workplace, tmp_path: Path):
    run(place)
    run(place, "--seed", 1, output=tmp_path / "other")
    assert (tmp_path / "other" / "rows.jsonl").read_bytes() != place.rows


def test_roles_at_addresses_of_their_own_with_keys_of_their_own(
    place: Workplace, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
):
    other = ScriptedModel()
    with LoopbackServer(other, remember=False) as second:
        settings = place.folder / "synth.toml"
        text = settings.read_text("utf-8")
        head, tail = text.split("[roles.judge]")
        tail = tail.replace(place.server.url, second.url, 1)
        tail = tail.replace("max_tokens = 900", 'max_tokens = 900\napi_key_env = "JUDGES_KEY"', 1)
        settings.write_text(f"{head}[roles.judge]{tail}", "utf-8")
        monkeypatch.setenv("JUDGES_KEY", "sk-another")
        result = run(place)
    assert model.keys == {name: {SECRET} for name in ROLES if name != "a-judge"}
    assert other.keys == {"a-judge": {"sk-another"}}
    assert b"sk-another" not in b"".join(path.read_bytes() for path in place.output.iterdir())
    assert not holds_secret(place.folder, [result.output])


def test_a_key_that_a_server_repeats_is_not_shown(place: Workplace, monkeypatch: pytest.MonkeyPatch):
    def refuses(call: Any) -> Any:
        from servers import Answer

        return Answer({"error": {"message": f"wrong key {call.headers['authorization']}"}}, status=401)

    with LoopbackServer(refuses) as server:
        closed = Workplace(place.folder, server, place.model, seeds=3)
        result = run(closed, code=1)
        # The same for every question: nothing else is asked.
        assert server.served <= 8
    assert "HTTP 401" in closed.report["stopped"]
    assert "***" in result.output
    assert not holds_secret(place.folder, [result.output])


# ---- money ----------------------------------------------------------------------------------------


def test_a_budget_stops_it_before_it_is_exceeded_and_a_larger_one_goes_on(place: Workplace, tmp_path: Path):
    run(place, output=tmp_path / "whole")
    whole = json.loads((tmp_path / "whole" / "report.json").read_text("utf-8"))
    assert whole["cost_uncertain"] == 0
    before = place.server.served
    spent = []
    for share in (0.3, 0.6):
        result = run(place, "--max-cost", whole["cost"] * share, code=1)
        assert place.report["cost"] <= whole["cost"] * share
        assert "are spent, and the next call may cost" in place.report["stopped"]
        assert "the same command goes on" in result.output
        assert place.report["unfinished"]
        spent.append(place.report["cost"])
    assert 0 < spent[0] < spent[1]
    run(place, "--max-cost", whole["cost"] * 1.5)
    assert place.rows == (tmp_path / "whole" / "rows.jsonl").read_bytes()
    assert place.server.served == 2 * before, "the budget made it ask for something again"


def test_a_budget_for_nothing(place: Workplace):
    run(place, "--max-cost", 1e-9, code=1)
    assert place.server.served == 0
    assert place.rows == b""


def test_a_dry_run_asks_nobody_and_promises_enough(place: Workplace):
    shown = run(place, "--dry-run")
    plan = json.loads(run(place, "--dry-run", "--json").stdout)
    assert place.server.served == 0
    assert not place.output.exists()
    assert "what becomes of thing number 0" in shown.stdout
    assert plan["seeds"] == 3
    assert plan["calls"] == {"writer": 36, "reasoner": 6, "judge": 24, "second": 24}
    run(place)
    report = place.report
    assert report["cost"] < plan["cost_at_most"]
    assert {role: row["calls"] for role, row in report["calls"].items()} == plan["calls"]


# ---- batches --------------------------------------------------------------------------------------


def scripted_batch(files: list[str], results: Path, fail: bool = False) -> int:
    """What a batch service makes of request files: results in another order, some failed."""
    lines = []
    for file in files:
        requests = list(map(json.loads, Path(file).read_text("utf-8").splitlines()))
        assert len({request["body"]["model"] for request in requests}) == 1
        for number, request in enumerate(requests):
            assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
            line: dict[str, Any] = {"id": f"r{number}", "custom_id": request["custom_id"], "error": None}
            if fail and number % 5 == 0:
                line |= {"response": None, "error": {"code": "batch_expired", "message": "too late"}}
            elif fail and number % 5 == 1:
                line["response"] = {"status_code": 500, "body": {"error": {"message": "oops"}}}
            else:
                line["response"] = {"status_code": 200, "body": completion(request["body"])}
            lines.append(json.dumps(line) + "\n")
    results.write_text("".join(reversed(lines)), "utf-8")
    return len(lines)


def test_batches_make_what_a_run_makes(place: Workplace, tmp_path: Path):
    run(place, output=tmp_path / "online")
    served = place.server.served
    results, failed, rounds = tmp_path / "results.jsonl", 0, 0
    while True:
        out = json.loads(run(place, "--batch-out", tmp_path / "open.jsonl", "--json").stdout)
        if not out["batch_files"]:
            break
        rounds += 1
        number = scripted_batch(out["batch_files"], results, fail=rounds <= 3)
        assert number == out["wanted"]
        arguments = (
            "synth",
            "batch-in",
            results,
            "-o",
            place.output,
            "--config",
            place.folder / "synth.toml",
        )
        said = json.loads(limrank(*arguments, "--json").stdout)
        failed += len(said["failed"])
        assert said["committed"] == number - len(said["failed"])
        # Once more: nothing is committed twice.
        assert json.loads(limrank(*arguments, "--json").stdout)["committed"] == 0
    assert out["finished"] == 3
    assert out["wanted"] == 0
    assert failed > 5
    assert place.rows == (tmp_path / "online" / "rows.jsonl").read_bytes()
    assert place.server.served == served, "a run that writes batches asked somebody"
    assert "the run is done" in run(place, "--batch-out", tmp_path / "open.jsonl").output


def test_a_batch_is_within_the_budget(place: Workplace, tmp_path: Path):
    whole = json.loads(run(place, "--batch-out", tmp_path / "a.jsonl", "--json").stdout)
    assert whole["wanted"] == 6
    said = run(place, "--batch-out", tmp_path / "b.jsonl", "--max-cost", 0.01).output
    lines = (tmp_path / "b.jsonl").read_text("utf-8").splitlines()
    assert 0 < len(lines) < 6
    assert f"{6 - len(lines)} questions are beyond --max-cost" in said


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "line 1: this is no result of a batch"),
        ("[1]", "this is no result of a batch"),
        ('{"id": 1}', "this is no result of a batch"),
        ('{"custom_id": 7}', "this is no result of a batch"),
        ('{"custom_id": "their-own"}', "'their-own' is not one that `--batch-out` wrote"),
        ('{"custom_id": "painter:0:0:' + "0" * 64 + '"}', "is not one that `--batch-out` wrote"),
    ],
)
def test_results_that_are_none(place: Workplace, tmp_path: Path, line: str, message: str):
    (tmp_path / "results.jsonl").write_text(line + "\n", "utf-8")
    arguments = ("synth", "batch-in", tmp_path / "results.jsonl", "-o", place.output)
    assert message in limrank(*arguments, "--config", place.folder / "synth.toml", code=2).output


# ---- what is refused ------------------------------------------------------------------------------


def test_two_processes_in_one_folder(place: Workplace, tmp_path: Path):
    place.output.mkdir()
    (tmp_path / "results.jsonl").write_text("", "utf-8")
    with alone_in(place.output):
        refused = place.run()
        batch = limrank(
            *("synth", "batch-in", tmp_path / "results.jsonl", "-o", place.output, "--model", "writer=m"),
            code=2,
        )
    assert refused.returncode == 2
    assert "another process is working in" in refused.stderr
    assert "another process is working in" in batch.output
    assert place.server.served == 0
    run(place)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("nonsense", "cannot be read"),
        ("votess = 1", "no setting 'votess'"),
        ("votes = 2", "votes must be odd"),
        ("votes = true", "votes must be a whole number"),
        ("kinds = []", "kinds must be some of"),
        ('kinds = ["expert", "expert"]', "each once"),
        ("kinds = 3", "kinds must be some of"),
        ("timeout = 0", "timeout must be > 0"),
        ('timeout = "1"', "timeout must be > 0"),
        ("max_cost = -1", "max_cost must be > 0"),
        ("seed = 1.5", "seed must be a whole number"),
        ("direct = 0\nindirect = 0\nnegative = 0", "no passage would be written"),
        ("negative = 6", "negative must be a whole number from 0 to 5"),
        ('guidelines = "nowhere.toml"', "the guidelines cannot be read"),
        ("filters = 3", "filters must be a table"),
        ("[filters.hardnes]\ndepth = 3", "no filter 'hardnes'"),
        ("[filters.hardness]\ndepth = 0", "depth must be a whole number"),
        ("[roles.painter]\nmodel = 'm'", "no role 'painter'"),
        ("[roles.judge]\nprice_in = 1", "role 'judge' needs a model"),
        ("[roles.judge]\nmodel = 'm'\napi_key = 'sk-secret'", "has no setting 'api_key'"),
        ("[roles.judge]\nmodel = 'm'\napi_key_env = 'sk-secret'", "never the key itself"),
        ("[roles.judge]\nmodel = 'm'\nbase_url = 'http://me:sk-secret@host/v1'", "without login"),
        ("[roles.judge]\nmodel = 'm'\nbase_url = 'http://host/v1?key=sk-secret'", "without login"),
        ("[roles.judge]\nmodel = 'm'\nbase_url = 'ftp://host'", "http(s) address"),
        ("[roles.judge]\nmodel = 'm'\ntop_p = 'x'", "top_p of model"),
        ("[roles.judge]\nmodel = 'm'\nprice_in = nan", "price_in of model"),
        ("[roles.judge]\nmodel = 'm'\nmax_tokens = 0", "max_tokens of model"),
        ("[roles.judge]\nmodel = ''", "needs the name of a model"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: str, message: str):
    (tmp_path / "seeds.tsv").write_text("1\twhat\n", "utf-8")
    (tmp_path / "bad.toml").write_text(f"{settings}\n[roles.writer]\nmodel = 'm'\n", "utf-8")
    said = limrank(
        *("synth", "run", "--seeds", tmp_path / "seeds.tsv", "-o", tmp_path / "run"),
        *("--config", tmp_path / "bad.toml"),
        code=2,
    ).output
    assert message in said
    assert "sk-secret" not in said
    assert not (tmp_path / "run").exists()


def test_what_the_command_line_says_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "seeds.tsv").write_text("1\twhat\n", "utf-8")
    common = ("synth", "run", "--seeds", tmp_path / "seeds.tsv", "-o", tmp_path / "run")
    assert "name the models" in limrank(*common, code=2).output
    assert "but got 'writer'" in limrank(*common, "--model", "writer", code=2).output
    hidden = limrank(*common, "--model", "painter=m@http://me:sk-secret@host", code=2).output
    assert "painter=m" in hidden
    assert "sk-secret" not in hidden
    assert "'writer' is missing" in limrank(*common, "--model", "judge=m", code=2).output
    model = ("--model", "writer=m")
    assert "5 seeds are wanted" in limrank(*common, *model, "--limit", 5, code=2).output
    assert "there is no file" in limrank(*common, *model, "--personas", tmp_path / "none.txt", code=2).output
    assert (
        "there is no file" in limrank(*common, *model, "--evaluation", tmp_path / "none.tsv", code=2).output
    )
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert "no API key for role" in limrank(*common, *model, code=2).output
    (tmp_path / "seeds.tsv").write_text("1\twhat\n1\twho\n", "utf-8")
    assert "was there before" in limrank(*common, *model, code=2).output


def test_models_on_the_command_line_keep_the_files_prices(place: Workplace):
    address = place.server.url
    run(place, "--model", f"writer=b-writer@{address}", "--limit", 1)
    roles = place.report["settings"]["roles"]
    assert (roles["writer"]["model"], roles["writer"]["price_out"]) == ("b-writer", 3.0)
    assert roles["judge"]["model"] == "a-judge"
    assert "b-writer" in place.model.keys
