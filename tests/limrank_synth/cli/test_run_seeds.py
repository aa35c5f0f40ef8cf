"""`limrank synth run` as a command, against a scripted server on loopback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from servers import Answer, LoopbackServer
from synth_command import ROLES, SECRET, Workplace, holds_secret, run
from synth_server import IN_THE_TEXT, ON_THE_WIRE, ScriptedModel
from typer.testing import CliRunner

from limrank_plugins.cli import build_app
from limrank_synth.run_files import read_rows

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
        counted = {kind: sum(stage.get(kind, 0) for stage in unusable.values()) for kind in IN_THE_TEXT}
        assert {kind: counted[kind] for kind in ("refused", "cut")} == {
            kind: model.faults[kind] for kind in ("refused", "cut")
        }
        # A malformed verdict is reasoning that never ends, so an empty one. Texts without a form cannot be
        # malformed, so the server's count is the larger one.
        assert counted["empty"] > model.faults["empty"]
        assert counted["malformed"] > 0
        assert counted["malformed"] + counted["empty"] <= model.faults["malformed"] + model.faults["empty"]
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
    read, written = plan["tokens_at_most"]["read"], plan["tokens_at_most"]["written"]
    assert sum(row["prompt_tokens"] for row in report["calls"].values()) < read
    assert sum(row["written_tokens"] for row in report["calls"].values()) < written
    assert {role: row["calls"] for role, row in report["calls"].items()} == plan["calls"]


def test_a_price_that_is_not_known_is_no_price_of_nothing(place: Workplace):
    config = place.folder / "synth.toml"
    config.write_text(config.read_text("utf-8").replace("price_in = 1.0\nprice_out = 3.0\n", ""), "utf-8")
    shown = run(place, "--dry-run").output
    assert "cost unknown: no price is given for writer (" in " ".join(shown.split())
    assert re.search(r"at most [\d,]+ tokens read and [\d,]+ written", " ".join(shown.split()))
    assert "$" not in shown
    plan = json.loads(run(place, "--dry-run", "--json").stdout)
    assert plan["cost_at_most"] is None
    refused = run(place, "--max-cost", 1, code=2).output
    assert "max_cost 1 cannot be kept, since the price is not known of writer (" in refused
    assert "--price-in" in refused
    assert place.server.served == 0
    half = run(place, "--max-cost", 1, "--price-in", 1, code=2).output
    assert "the price is not known" in half
    priced = ("--price-in", 1, "--price-in", "judge=2", "--price-out", 3)
    plan = json.loads(run(place, "--dry-run", "--json", *priced).stdout)
    assert plan["cost_at_most"] > 0
    run(place, "--max-cost", 100, *priced)
    roles = place.report["settings"]["roles"]
    assert (roles["writer"]["price_in"], roles["judge"]["price_in"]) == (1.0, 2.0)
    assert place.report["cost"] > 0
    again = run(place).output
    assert "cost unknown" in again
    assert place.report["cost"] is None
    assert "--price-in wants dollars" in run(place, "--price-in", "writer=much", code=2).output


def test_fresh_asks_everything_again_and_keeps_the_bill(place: Workplace):
    run(place)
    asked, cost = place.server.served, place.report["cost"]
    run(place, "--fresh")
    assert place.server.served == 2 * asked
    assert place.report["cost"] == pytest.approx(2 * cost)
    run(place)
    assert place.server.served == 2 * asked
    assert place.report["cost"] == pytest.approx(2 * cost), "earlier parts stay paid for"


def test_a_model_in_the_table_of_prices_has_that_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for variable in ("OPENAI_BASE_URL", "LIMRANK_PRICES"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "seeds.jsonl").write_text('{"_id": "1", "text": "why does milk curdle in tea"}\n')

    def planned(*models: str) -> tuple[str, dict[str, Any]]:
        words = [
            "synth",
            "run",
            "--seeds",
            str(tmp_path / "seeds.jsonl"),
            "-o",
            str(tmp_path / "out"),
            "--dry-run",
        ]
        words += [word for model in models for word in ("--model", model)]
        shown = CliRunner().invoke(build_app(), words)
        assert shown.exit_code == 0, shown.output
        return " ".join(shown.stderr.split()), json.loads(
            CliRunner().invoke(build_app(), [*words, "--json"]).stdout
        )

    said, plan = planned("writer=gpt-4o")
    assert "cost unknown" not in said
    assert "; at most $" in said
    assert "no model is named for reasoner, judge: the writer's, gpt-4o, plays them (--model)" in said
    assert plan["cost_at_most"] == plan["known_cost_at_most"] > 0
    said, half = planned("writer=gpt-4o", "judge=unheard-of")
    assert "for writer, reasoner; cost unknown: no price is given for judge (unheard-of) (--price-in" in said
    assert "no model is named for reasoner: the writer's" in said
    assert (half["cost_at_most"], half["unpriced"]) == (None, ["judge"])
    assert 0 < half["known_cost_at_most"] < plan["cost_at_most"]
    said, plan = planned("writer=gpt-4o@http://localhost:8000/v1")
    assert "cost unknown: no price is given for writer (gpt-4o), reasoner (gpt-4o), judge (gpt-4o)" in said
    assert "$" not in said
