"""Batch files: one model each, within the service's limits and the budget."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synth_roles import roles_of

from limrank_plugins.errors import InputError
from limrank_plugins.ledger import Ledger
from limrank_plugins.reply_store import To
from limrank_plugins.store import Store
from limrank_synth.batch_files import read_batch, write_batch
from limrank_synth.role_requests import RoleRequest, chat_prompt
from limrank_synth.roles import most_cost
from limrank_synth.settings import Role, SynthSettings

SETTINGS = SynthSettings(
    {
        "writer": Role("w", price_in=1.0, price_out=1.0),
        "judge": Role("j"),
        "reasoner": Role("w", price_in=1.0),
    }
)
WANTED = {
    f"{i:064x}": RoleRequest(role, chat_prompt(("user", f"é {i}")), 1, 2)
    for i, role in enumerate(["writer", "judge", "writer", "reasoner", "writer"])
}


def addressed(requests: dict[str, RoleRequest]) -> dict[str, To]:
    with roles_of(SETTINGS, offline=True) as roles:
        return {key: roles.addressed(request) for key, request in requests.items()}


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_one_file_for_each_model(tmp_path: Path):
    written = write_batch(tmp_path / "open.jsonl", addressed(WANTED), SETTINGS)
    assert written == ((tmp_path / "open-1.jsonl", tmp_path / "open-2.jsonl"), 5, 0)
    models = [{line["body"]["model"] for line in lines(path)} for path in written.files]  # type: ignore[index]
    assert models == [{"w"}, {"j"}]
    assert len(lines(written.files[0])) == 4
    alone = write_batch(
        tmp_path / "a.jsonl", addressed({k: q for k, q in WANTED.items() if q.role == "judge"}), SETTINGS
    )
    assert alone.files == (tmp_path / "a.jsonl",)
    assert lines(alone.files[0])[0]["custom_id"] == f"judge:1:2:{1:064x}"
    assert write_batch(tmp_path / "b.jsonl", {}, SETTINGS) == ((), 0, 0)
    assert not (tmp_path / "b.jsonl").exists()


@pytest.mark.parametrize("limits", [{"most_lines": 2}, {"most_bytes": 700}])
def test_no_file_is_larger_than_the_service_takes(tmp_path: Path, limits: dict[str, int]):
    written = write_batch(tmp_path / "open.jsonl", addressed(WANTED), SETTINGS, **limits)
    assert len(written.files) == 3
    assert written.asked == sum(len(lines(path)) for path in written.files) == 5
    for path in written.files:
        assert len(lines(path)) <= limits.get("most_lines", 9)
        assert path.stat().st_size <= limits.get("most_bytes", 1 << 30)


def test_no_more_than_the_budget_pays_for(tmp_path: Path):
    prices = [most_cost(request, SETTINGS) for request in WANTED.values()]
    for limit in (0.001, prices[0] * 1.5, prices[0] * 2.5, 99):
        given = SynthSettings(SETTINGS.roles, max_cost=limit + 7)
        written = write_batch(tmp_path / "open.jsonl", addressed(WANTED), given, spent=7.0)
        asked = [line["custom_id"] for path in written.files for line in lines(path)]
        keys = [str(name).rpartition(":")[2] for name in asked]
        assert sum(prices[int(key, 16)] for key in keys) <= limit + 1e-12
        assert written.left == 5 - len(keys)


def test_a_failed_line_is_no_answer(tmp_path: Path):
    key = f"{0:064x}"
    bodies = [
        {"error": {"message": "expired"}, "response": None},
        {"error": None, "response": {"status_code": 429, "body": {}}},
        {"error": None, "response": {"status_code": 200, "body": {"choices": []}}},
        {"error": None, "response": {"status_code": 200, "body": None}},
        {},
    ]
    with Store(tmp_path / "l.sqlite") as store:
        ledger = Ledger(store)
        for body in bodies:
            (tmp_path / "r.jsonl").write_text(json.dumps({"custom_id": f"writer:1:2:{key}", **body}) + "\n")
            committed, failed = read_batch(tmp_path / "r.jsonl", store, ledger, SETTINGS)
            assert (committed, list(failed)) == (0, [key])
            assert store.get_many([bytes.fromhex(key)]) == {}
        assert list(ledger.failures()) == [key]
        good = {
            "choices": [{"message": {"content": "x"}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }
        line = {"custom_id": f"writer:1:2:{key}", "response": {"status_code": 200, "body": good}}
        (tmp_path / "r.jsonl").write_text(json.dumps(line) + "\n")
        assert read_batch(tmp_path / "r.jsonl", store, ledger, SETTINGS) == (1, {})
        assert ledger.cost == pytest.approx(3e-6)
        assert ledger.failures() == {}


def test_a_local_model_takes_no_batch_files(tmp_path: Path):
    settings = SynthSettings({"writer": Role("some-folder", backend="transformers")})
    with roles_of(settings, offline=True) as roles:
        key, request = next(iter(WANTED.items()))
        unasked = {key: roles.addressed(request)}
        with pytest.raises(InputError, match="role 'writer' is played by a model in this process"):
            write_batch(tmp_path / "open.jsonl", unasked, settings)
