"""Batch files: one model each, within the service's limits and the budget."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synth_roles import roles_of

from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.ledger import Ledger
from limrank_plugins.reply_store import To
from limrank_plugins.store import NotKept, Store
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


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Store(tmp_path / "l.sqlite") as store:
        yield Ledger(store)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_one_file_for_each_model(tmp_path: Path, ledger: Ledger):
    written = write_batch(tmp_path / "open.jsonl", addressed(WANTED), SETTINGS, ledger)
    assert written == ((tmp_path / "open-1.jsonl", tmp_path / "open-2.jsonl"), 5, 0, 0)
    models = [{line["body"]["model"] for line in lines(path)} for path in written.files]  # type: ignore[index]
    assert models == [{"w"}, {"j"}]
    assert len(lines(written.files[0])) == 4
    alone = write_batch(
        tmp_path / "a.jsonl",
        addressed({k: q for k, q in WANTED.items() if q.role == "judge"}),
        SETTINGS,
        ledger,
        again=True,
    )
    assert alone.files == (tmp_path / "a.jsonl",)
    name = str(lines(alone.files[0])[0]["custom_id"])
    assert re.fullmatch(f"judge:1:2:{1:064x}:[0-9a-f]{{12}}", name)
    assert write_batch(tmp_path / "b.jsonl", {}, SETTINGS, ledger) == ((), 0, 0, 0)
    assert not (tmp_path / "b.jsonl").exists()


@pytest.mark.parametrize("limits", [{"most_lines": 2}, {"most_bytes": 740}])
def test_no_file_is_larger_than_the_service_takes(tmp_path: Path, ledger: Ledger, limits: dict[str, int]):
    written = write_batch(tmp_path / "open.jsonl", addressed(WANTED), SETTINGS, ledger, **limits)
    assert len(written.files) == 3
    assert written.asked == sum(len(lines(path)) for path in written.files) == 5
    for path in written.files:
        assert len(lines(path)) <= limits.get("most_lines", 9)
        assert path.stat().st_size <= limits.get("most_bytes", 1 << 30)


def test_no_more_than_the_budget_pays_for(tmp_path: Path):
    prices = [most_cost(request, SETTINGS) for request in WANTED.values()]
    for limit in (0.001, prices[0] * 1.5, prices[0] * 2.5, 99):
        given = SynthSettings(SETTINGS.roles, max_cost=limit + 7)
        with Store(tmp_path / f"{limit}.sqlite") as store:
            ledger = Ledger(store)
            ledger.pay("before", "writer", "w", Usage(cost=7.0))
            written = write_batch(tmp_path / "open.jsonl", addressed(WANTED), given, ledger)
            assert 7.0 <= ledger.spent <= limit + 7 + 1e-12
        asked = [line["custom_id"] for path in written.files for line in lines(path)]
        keys = [str(name).split(":")[3] for name in asked]
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


def result(asked: str | Path, body: Any, status: int = 200) -> str:
    """The result of a request of a file, or of an earlier version's, which had its key alone."""
    name = lines(asked)[0]["custom_id"] if isinstance(asked, Path) else f"writer:1:2:{asked}"
    response = {"status_code": status, "body": body}
    return json.dumps({"id": "r", "custom_id": name, "error": None, "response": response}) + "\n"


def chat(text: str) -> dict[str, Any]:
    return {
        "choices": [{"message": {"content": text}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }


def test_a_request_is_written_once_until_its_result_is_in(tmp_path: Path):
    key = f"{0:064x}"
    wanted, file, results = addressed({key: WANTED[key]}), tmp_path / "o.jsonl", tmp_path / "r.jsonl"
    dearest = most_cost(WANTED[key], SETTINGS)

    def written(store: Store, **options: Any) -> tuple[int, int]:
        batch = write_batch(file, wanted, SETTINGS, Ledger(store), **options)
        return batch.asked, batch.waiting

    with Store(tmp_path / "l.sqlite") as store:
        assert written(store) == (1, 0)
        first = file.read_bytes()
        assert (written(store), file.read_bytes()) == ((0, 1), first)
        assert Ledger(store).spent == pytest.approx(dearest)
        assert written(store, again=True) == (1, 0)
        assert Ledger(store).spent == pytest.approx(dearest), "the lost file is not held against the budget"
        for _ in range(2):  # failures of two rounds may look alike
            results.write_text(result(file, {"error": {"message": "overloaded"}}, 503))
            assert list(read_batch(results, store, Ledger(store), SETTINGS)[1]) == [key]
            assert Ledger(store).spent == 0
            assert written(store) == (1, 0), "a failed request is asked again"
            assert read_batch(results, store, Ledger(store), SETTINGS) == (0, {}), "and read once"
            assert written(store) == (0, 1)
        results.write_text(result(file, chat("yes")))
        for stored in (1, 0, 0):
            assert read_batch(results, store, Ledger(store), SETTINGS) == (stored, {})
            assert Ledger(store).spent == pytest.approx(3e-6)
        assert not Ledger(store).batched


def test_each_result_is_booked_once_even_where_its_reply_is_held(tmp_path: Path):
    key, results = f"{0:064x}", tmp_path / "r.jsonl"
    with Store(tmp_path / "l.sqlite") as store:
        store.put_many([(bytes.fromhex(key), b"held")])
        for text, cost in (("a", 3e-6), ("a", 3e-6), ("b", 6e-6), ("a", 6e-6)):
            results.write_text(result(key, chat(text)))
            assert read_batch(results, store, Ledger(store), SETTINGS) == (0, {})
            assert Ledger(store).cost == pytest.approx(cost)
        assert store.get_many([bytes.fromhex(key)]) == {bytes.fromhex(key): b"held"}


def test_a_result_that_cannot_be_kept_is_not_in_the_book_and_is_read_again(tmp_path: Path):
    key, results = f"{0:064x}", tmp_path / "r.jsonl"
    results.write_text(result(key, chat("long " * 20_000)))
    with Store(tmp_path / "l.sqlite") as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages + 8}")
        with pytest.raises(NotKept, match=r"answers are not kept in .*l\.sqlite: .*full"):
            read_batch(results, store, Ledger(store), SETTINGS)
        store._db.execute("PRAGMA max_page_count=10000")
        assert read_batch(results, store, Ledger(store), SETTINGS) == (1, {})
        assert Ledger(store).calls == 1


def test_what_begins_anew_replaces_a_reply_that_is_held(tmp_path: Path):
    key, results = f"{0:064x}", tmp_path / "r.jsonl"
    with Store(tmp_path / "l.sqlite") as store:
        store.put_many([(bytes.fromhex(key), b"held")])
        write_batch(tmp_path / "o.jsonl", addressed({key: WANTED[key]}), SETTINGS, Ledger(store), again=True)
        results.write_text(result(tmp_path / "o.jsonl", chat("new")))
        assert read_batch(results, store, Ledger(store), SETTINGS) == (1, {})
        assert store.get_many([bytes.fromhex(key)]) != {bytes.fromhex(key): b"held"}


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "the model broke down"}},
        {"error": "the model broke down", "choices": [{"message": {"content": "half a"}}]},
        {
            "choices": [{"message": {"content": ""}, "finish_reason": "error"}],
            "error": "the model broke down",
        },
        {"choices": [{"message": {"content": ""}, "error": {"message": "the model broke down"}}]},
    ],
)
@pytest.mark.parametrize("counted", [False, True])
def test_a_failure_delivered_as_a_reply_is_named_billed_and_asked_again(
    tmp_path: Path, body: dict[str, Any], counted: bool
):
    key, results = f"{0:064x}", tmp_path / "r.jsonl"
    usage = {"usage": {"prompt_tokens": 5, "completion_tokens": 1}} if counted else {}
    with Store(tmp_path / "l.sqlite") as store:
        wanted = addressed({key: WANTED[key]})
        write_batch(tmp_path / "o.jsonl", wanted, SETTINGS, Ledger(store))
        results.write_text(result(tmp_path / "o.jsonl", body | usage))
        stored, failed = read_batch(results, store, Ledger(store), SETTINGS)
        assert (stored, list(failed)) == (0, [key])
        assert "the model broke down" in failed[key]
        ledger = Ledger(store)
        assert list(ledger.failures()) == [key], "a bill does not make it a reply"
        dearest = most_cost(WANTED[key], SETTINGS)
        assert (ledger.cost, ledger.uncertain) == pytest.approx((6e-6, 0) if counted else (0, dearest))
        assert write_batch(tmp_path / "o.jsonl", wanted, SETTINGS, ledger).asked == 1


def test_a_local_model_takes_no_batch_files(tmp_path: Path, ledger: Ledger):
    settings = SynthSettings({"writer": Role("some-folder", backend="transformers")})
    with roles_of(settings, offline=True) as roles:
        key, request = next(iter(WANTED.items()))
        unasked = {key: roles.addressed(request)}
        with pytest.raises(InputError, match="role 'writer' is played by a model in this process"):
            write_batch(tmp_path / "open.jsonl", unasked, settings, ledger)


def test_files_called_after_the_named_one_replace_only_batches(tmp_path: Path, ledger: Ledger):
    mine = tmp_path / "open-2.jsonl"
    mine.write_text('{"custom_id": "mine"}\n')
    with pytest.raises(InputError, match=r"open-2\.jsonl would replace a file.*--batch-out"):
        write_batch(tmp_path / "open.jsonl", addressed(WANTED), SETTINGS, ledger)
    assert [file.name for file in tmp_path.glob("open*")] == [mine.name]
    assert not ledger.batched
    mine.unlink()
    for again in (False, True):
        assert (
            write_batch(tmp_path / "open.jsonl", addressed(WANTED), SETTINGS, ledger, again=again).asked == 5
        )
