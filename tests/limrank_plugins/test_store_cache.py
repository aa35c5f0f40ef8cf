"""The score cache: what is asked again and what is not, with many processes, killed ones and bad files."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripts import full_backend, logits

from limrank_plugins import Reranker, ScriptedFailure, Store
from limrank_plugins.backends import request_keys
from limrank_plugins.backends.packing import pack_reply
from limrank_plugins.backends.protocols import Failed
from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.fresh_store import FreshStore
from limrank_plugins.prompts import Template
from limrank_plugins.store import NotKept

SPAWN = multiprocessing.get_context("spawn")
TEXTS = [f"passage number {i}" for i in range(9)]


def key(name: object) -> bytes:
    return hashlib.sha256(str(name).encode()).digest()


def counted(path: Path) -> tuple[int, int]:
    """Bytes of keys and values as they are, and as the store believes."""
    with Store(path) as store:
        believed = store.answer_bytes()
    database = sqlite3.connect(path)
    actual = database.execute("SELECT coalesce(sum(length(key) + length(value)), 0) FROM answers").fetchone()[
        0
    ]
    database.close()
    return actual, believed


def asides(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if ".aside-" in p.name and not p.name.endswith(("-wal", "-shm"))
    )


def in_processes(count: int, work: Callable[..., None], *given: Any) -> None:
    """Run it in so many processes that start at the same moment; all must succeed."""
    barrier = SPAWN.Barrier(count)
    processes = [SPAWN.Process(target=work, args=(i, barrier, *given)) for i in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()  # one that failed leaves the others at the barrier
        process.join()
    assert [process.exitcode for process in processes] == [0] * count


# ---- what counts as the same question -----------------------------------------------------------


def ranked(
    path: Path, identity: str = "m@1:float32+adapter", texts: list[str] = TEXTS, **options: Any
) -> Any:
    with Store(path) as store:
        backend = full_backend(identity=identity)
        ranking = Reranker("limrank", backend=backend, store=store, **options).rank("why", texts)
    return ranking, len(backend.requests)


@pytest.mark.parametrize("options", [{"reasoning": "none"}, {"reasoning": "full"}, {"samples": 3}], ids=str)
def test_nothing_is_asked_twice(tmp_path: Path, options: dict[str, Any]):
    path = tmp_path / "store.sqlite"
    fresh, asked = ranked(path, **options)
    again, asked_again = ranked(path, **options)
    assert asked > 0
    assert asked_again == 0
    assert [(h.id, h.score, h.explanation) for h in again] == [(h.id, h.score, h.explanation) for h in fresh]
    # Thoughts that are cut back to the same words make the same second question: asked once.
    repeats = fresh.usage.cached
    assert (fresh.usage.calls, repeats > 0) == (asked, "samples" in options)
    assert (again.usage.calls, again.usage.cached) == (0, asked + repeats)
    assert (again.usage.prompt_tokens, again.usage.generated_tokens, again.usage.seconds) == (0, 0, 0.0)


@pytest.mark.parametrize("options", [{"reasoning": "none"}, {"reasoning": "full"}], ids=str)
def test_a_repeated_query_is_one_statement_however_many_documents(tmp_path: Path, options: dict[str, Any]):
    texts = [f"passage number {i}" for i in range(100)]
    with Store(tmp_path / "store.sqlite") as store:
        reranker = Reranker("limrank", backend=full_backend(), store=store, **options)
        reranker.rank("why", texts)
        statements: list[str] = []
        store._db.set_trace_callback(statements.append)
        reranker.rank("why", texts)
    asked = 1 if options["reasoning"] == "none" else 2  # verdicts on reasoning that was cut short
    assert [statement.split()[0] for statement in statements] == ["SELECT"] * asked


@pytest.mark.parametrize("options", [{"reasoning": "none"}, {"reasoning": "full"}], ids=str)
def test_what_documents_share_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
):
    rendered, encoded = [], []
    render, segment = Template.render, request_keys._segment
    monkeypatch.setattr(Template, "render", lambda *a, **k: rendered.append(a) or render(*a, **k))
    monkeypatch.setattr(request_keys, "_segment", lambda s: encoded.append(s) or segment(s))
    with Store(tmp_path / "store.sqlite") as store:
        reranker = Reranker("limrank", backend=full_backend(), store=store, **options)
        reranker.rank("why", TEXTS)
        rendered.clear()
        encoded.clear()
        reranker.rank("why", TEXTS)
    assert len(rendered) == 1
    assert sum(s.shared for s in encoded) <= 3 * (1 if options["reasoning"] == "none" else 2)


def test_only_what_is_new_is_asked(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    ranked(path, reasoning="none")
    ranking, asked = ranked(path, texts=[*TEXTS, "a new one", "a new one"], reasoning="none")
    assert (asked, ranking.usage.calls, ranking.usage.cached) == (1, 1, 10), (
        "nine known, one repeated in the list"
    )


def test_everything_that_changes_an_answer_changes_the_key(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    template = tmp_path / "other.toml"
    template.write_text(
        'prompt = "Q: {{ query }} P: {{ document }}"\nlabels = [" true", " false"]\nstop = ["</think>"]\n'
    )
    base = {"samples": 2, "temperature": 0.5, "top_p": 0.9, "seed": 1, "max_reasoning_tokens": 50}
    ranked(path, **base)
    for change in (
        {"identity": "m@2:float32+adapter"},
        {"identity": "m@1:float32+another"},
        {"template": str(template)},
        {"instruction": "Find proof: {{ query }}"},
        {"temperature": 0.6},
        {"top_p": 0.8},
        {"seed": 2},
        {"max_reasoning_tokens": 51},
        {"reasoning": "none", "samples": 1, "temperature": None},
    ):
        ranking, again = ranked(path, **(base | change))
        assert again > 0, change
        assert ranking.usage.calls == again, change
    assert ranked(path, **base)[1] == 0


def test_failures_are_asked_again(tmp_path: Path):
    def broken(prompt: Any) -> Any:
        if TEXTS[2] in prompt.text:
            raise ScriptedFailure("busy")
        return logits(prompt)

    with Store(tmp_path / "store.sqlite") as store:
        ill = Reranker("limrank", backend=full_backend(read_labels=broken), reasoning="none", store=store)
        assert ill.rank("why", TEXTS).failures == (("2", "busy"),)
        well = full_backend()
        ranking = Reranker("limrank", backend=well, reasoning="none", store=store).rank("why", TEXTS)
    assert (ranking.failures, len(well.requests), ranking.usage.cached) == ((), 1, 8)


def test_async_calls_use_it_too(tmp_path: Path):
    ranked(tmp_path / "s", reasoning="none")
    with Store(tmp_path / "s") as store:
        backend = full_backend(identity="m@1:float32+adapter", asynchronous=True)
        made = Reranker("limrank", backend=backend, reasoning="none", store=store)
        assert asyncio.run(made.arank("why", TEXTS)).usage.cached == 9
        assert backend.requests == []


# ---- many at once -------------------------------------------------------------------------------


def _opens(number: int, barrier: Any, folder: str, rounds: int) -> None:
    for round_ in range(rounds):
        barrier.wait()
        with Store(Path(folder) / f"{round_}.sqlite") as store:
            store.put_many([(key((round_, number)), b"x")])
        barrier.wait()


def test_many_processes_may_create_the_same_file(tmp_path: Path):
    in_processes(6, _opens, str(tmp_path), 25)
    assert asides(tmp_path) == []
    for round_ in range(25):
        with Store(tmp_path / f"{round_}.sqlite") as store:
            assert len(store.get_many([key((round_, n)) for n in range(6)])) == 6


def _writes(number: int, barrier: Any, path: str) -> None:
    barrier.wait()
    with Store(path) as store:
        for i in range(150):
            store.put_many([(key((number, i)), f"{number} {i}".encode()), (key(("all", i)), b"the same")])
            if i % 10 == 0:
                found = store.get_many([key((other, i)) for other in range(6)] + [key(("all", i))])
                assert found[key(("all", i))] == b"the same"
                assert found[key((number, i))] == f"{number} {i}".encode()


def test_many_processes_write_and_read(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    in_processes(6, _writes, str(path))
    with Store(path) as store:
        found = store.get_many([key((n, i)) for n in range(6) for i in range(150)])
    assert found == {key((n, i)): f"{n} {i}".encode() for n in range(6) for i in range(150)}
    actual, believed = counted(path)
    assert actual == believed > 0


def test_many_threads_share_one(tmp_path: Path):
    with Store(tmp_path / "store.sqlite") as store:
        wrong: list[int] = []

        def work(number: int) -> None:
            for i in range(100):
                store.put_many([(key((number, i)), str(i).encode())])
                if store.get_many([key((number, i))]) != {key((number, i)): str(i).encode()}:
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert store.answer_bytes() == 8 * sum(32 + len(str(i)) for i in range(100))


_WRITER = """
import sys
from limrank_plugins import Store
import hashlib
store = Store(sys.argv[1])
for i in range(10**9):
    batch = [(hashlib.sha256(f"{i} {j}".encode()).digest(), f"{i}".encode() * 40) for j in range(20)]
    store.put_many(batch)
    if i == 5:
        print("on", flush=True)
"""


def test_a_killed_writer_leaves_whole_batches(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        with Store(path) as store:
            batches = [
                store.get_many([hashlib.sha256(f"{i} {j}".encode()).digest() for j in range(20)])
                for i in range(200)
            ]
        assert {len(batch) for batch in batches} <= {0, 20}
        assert len(batches[5]) == 20
        actual, believed = counted(path)
        assert actual == believed
    assert asides(tmp_path) == []


def test_it_travels_to_other_processes(tmp_path: Path):
    with Store(tmp_path / "store.sqlite", max_bytes=12345) as store:
        store.put_many([(key("a"), b"1")])
        with pickle.loads(pickle.dumps(store)) as copy:
            assert copy.max_bytes == 12345
            assert copy.get_many([key("a")]) == {key("a"): b"1"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_opens_its_own(tmp_path: Path):
    with Store(tmp_path / "store.sqlite") as store:
        store.put_many([(key("parent"), b"1")])
        child = os.fork()
        if child == 0:
            try:
                store.put_many([(key("child"), b"2")])
                os._exit(0 if store.get_many([key("parent")]) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(store.get_many([key("parent"), key("child")])) == 2


# ---- bounds -------------------------------------------------------------------------------------


def test_it_never_grows_over_its_bound_and_drops_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = [1_000_000.0]
    monkeypatch.setattr("limrank_plugins.store.time.time", lambda: clock[0])
    path = tmp_path / "store.sqlite"
    with Store(path, max_bytes=50_000) as store:
        for i in range(300):
            clock[0] += 100_000  # more than a day each: reading keeps an answer alive
            store.put_many([(key(i), b"v" * 1000)])
            store.get_many([key(0)])
            assert store.answer_bytes() <= 50_000
        left = [i for i in range(300) if store.get_many([key(i)])]
    assert left[0] == 0, "read all the time"
    assert left[1:] == list(range(left[1], 300)), "of the others the newest are left"
    assert len(left) > 35
    actual, believed = counted(path)
    assert actual == believed
    assert path.stat().st_size < 400_000, "the file reuses its pages"


def test_values_are_counted_once(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.put_many([(key("a"), b"12345"), (key("a"), b"123")])
        store.put_many([(key("a"), b"1"), (key("b"), b"")])
        assert store.get_many([key("a"), key("b")]) == {key("a"): b"1", key("b"): b""}
        store.put_many([])
    assert counted(path) == (65, 65)


def test_more_keys_than_sqlite_takes_at_once(tmp_path: Path):
    with Store(tmp_path / "store.sqlite") as store:
        store.put_many([(key(i), str(i).encode()) for i in range(2500)])
        assert len(store.get_many([key(i) for i in range(5000)])) == 2500


# ---- files that are none ------------------------------------------------------------------------


def damaged_store() -> bytes:
    """A store whose header is whole and whose first page is not."""
    return b"SQLite format 3\x00" + b"\xff" * 52 + b"LRK1" + b"\xff" * 5000


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_damaged_store_is_moved_aside(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(damaged_store())
    with pytest.warns(UserWarning, match=r"cannot be used as a store .* moved to"):
        store = Store(path)
    with store:
        store.put_many([(key("a"), b"1")])
    (aside,) = asides(tmp_path)
    assert aside.read_bytes() == damaged_store()
    with Store(path) as store:
        assert store.get_many([key("a")]) == {key("a"): b"1"}


@pytest.mark.parametrize(
    "content",
    [
        b'{"_id": "d1", "text": "milk"}\n',
        b"x",
        b"this is no database at all, " * 100,
        b"SQLite format 3\x00" + b"\xff" * 5000,
        b"SQLite format 3\x00",
    ],
)
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"corpus\.jsonl cannot be used as a store .* choose another file"):
        Store(path)
    assert path.read_bytes() == content
    assert asides(tmp_path) == []


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("owner", [0, 77])
def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path, mode: str, owner: int):
    path = tmp_path / "app.db"
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA journal_mode={mode}")
    other.execute(f"PRAGMA application_id={owner}")
    if not owner:
        other.execute("CREATE TABLE answers (mine TEXT)")
        other.execute("INSERT INTO answers VALUES ('precious')")
        other.commit()
    other.close()
    before = contents(tmp_path)
    with pytest.raises(InputError, match="belongs to another program"):
        Store(path)
    assert contents(tmp_path) == before


def test_another_programs_unfinished_log_is_left_as_it_is(tmp_path: Path):
    path = tmp_path / "app.db"
    code = (
        "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "d.execute('PRAGMA journal_mode=WAL'); d.execute('CREATE TABLE mine (x)'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    before = {name: data for name, data in contents(tmp_path).items() if not name.endswith("-shm")}
    assert len(before) == 2
    with pytest.raises(InputError, match="belongs to another program"):
        Store(path)
    assert {name: data for name, data in contents(tmp_path).items() if not name.endswith("-shm")} == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_store(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"cannot open the store .*pipe: it is no file"):
        Store(tmp_path / "pipe")


def test_an_empty_file_is_a_new_store(tmp_path: Path):
    (tmp_path / "store.sqlite").touch()
    with Store(tmp_path / "store.sqlite") as store:
        store.put_many([(key("a"), b"1")])
    assert asides(tmp_path) == []


def _mends(number: int, barrier: Any, folder: str, rounds: int) -> None:
    import warnings

    for round_ in range(rounds):
        path = Path(folder) / f"{round_}.sqlite"
        if number == 0:
            path.write_bytes(damaged_store())
        barrier.wait()
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            with Store(path) as store:
                store.put_many([(key((round_, number)), b"x")])
        barrier.wait()


def test_many_processes_meet_a_corrupt_file(tmp_path: Path):
    in_processes(6, _mends, str(tmp_path), 15)
    assert len(asides(tmp_path)) == 15, "moved once, and not what replaced it"
    for round_ in range(15):
        with Store(tmp_path / f"{round_}.sqlite") as store:
            assert len(store.get_many([key((round_, n)) for n in range(6)])) == 6


def test_damage_found_later_costs_the_answers_not_the_ranking(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.put_many([(key(i), b"v" * 500) for i in range(500)])
    whole = path.read_bytes()
    path.write_bytes(whole[: 12 * 4096] + b"\xa5" * (len(whole) - 12 * 4096))  # opening it finds nothing
    with Store(path) as store:
        made = Reranker("limrank", backend=full_backend(), reasoning="none", store=store)
        with pytest.warns(UserWarning, match="cannot be used as a store"):
            first = made.rank("why", TEXTS)
        second = made.rank("why", TEXTS)
    assert len(asides(tmp_path)) == 1
    assert second.usage.cached + first.usage.cached >= 9
    assert [h.score for h in first] == [h.score for h in second]


def test_what_was_paid_for_is_never_moved_aside(tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    with Store(path, max_bytes=None) as store:
        store.put_many([(key(i), b"v" * 500) for i in range(500)])
    whole = path.read_bytes()
    path.write_bytes(whole[: 12 * 4096] + b"\xa5" * (len(whole) - 12 * 4096))  # opening it finds nothing
    held = [(key(i), b"w") for i in range(600)]
    with Store(path, max_bytes=None) as store:
        with pytest.raises(NotKept, match=r"not kept in .*ledger\.sqlite: .*is damaged: put back a copy"):
            store.keep_many(held)
        with pytest.raises(LimRankError, match=r"answers in .*ledger\.sqlite cannot be used.* put back"):
            store.get_many([name for name, _ in held])
    path.write_bytes(damaged_store())
    with pytest.raises(InputError, match=r"ledger\.sqlite is damaged .* put back a copy"):
        Store(path, max_bytes=None)
    assert path.read_bytes() == damaged_store()
    assert asides(tmp_path) == []


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="cannot open the store"):
        Store(tmp_path)  # a folder
    with pytest.raises(InputError, match="max_bytes"):
        Store(tmp_path / "s", max_bytes=0)


def test_nothing_in_the_file_can_run(tmp_path: Path):
    ranked(tmp_path / "store.sqlite", reasoning="none")
    database = sqlite3.connect(tmp_path / "store.sqlite")
    values = [value for (value,) in database.execute("SELECT value FROM answers")]
    database.close()
    assert len(values) == 9
    assert all(value.startswith(b"{") and value.isascii() for value in values), "JSON, no pickles"
    with pytest.raises(InputError, match="cannot be stored"):
        pack_reply(Failed("no"))


def test_a_full_disk_is_a_warning_and_the_ranking_stands(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages}")
        documents = [f"{text} {'x' * 5000}" for text in TEXTS]
        thought = "word " * 3000
        backend = full_backend(generate=lambda prompt: f"{thought}</think>", read_labels=logits)
        with pytest.warns(UserWarning, match=r"answers are not kept in .*s\.sqlite: .*full"):
            ranking = Reranker("limrank", backend=backend, store=store).rank("q", documents)
        assert ranking.failures == ()
        assert len(ranking) == len(documents)
        assert store.answer_bytes() == 0


def test_a_fresh_store_does_not_find_what_it_could_not_replace(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        store.put_many([(key("a"), b"old")])
    with FreshStore(tmp_path / "s.sqlite") as fresh:
        pages = fresh._db.execute("PRAGMA page_count").fetchone()[0]
        fresh._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.warns(UserWarning, match="answers are not kept"):
            fresh.put_many([(key("a"), b"new" * 100_000)])
        assert fresh.get_many([key("a")]) == {}


JOURNAL = {
    "commit": lambda store: store.commit("job", "q9999", b"{}"),
    "find": lambda store: store.find("job", "q0500"),
    "each": lambda store: list(store.each("job")),
    "committed": lambda store: store.committed("job"),
    "computed": lambda store: store.computed("job"),
}


@pytest.mark.parametrize("method", JOURNAL)
def test_a_damaged_journal_is_one_sentence(tmp_path: Path, method: str):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        for i in range(1000):
            store.commit("job", f"q{i:04}", b"v" * 500)
    whole = path.read_bytes()
    path.write_bytes(whole[: 8 * 4096] + b"\xa5" * (len(whole) - 8 * 4096))
    with (
        Store(path) as store,
        pytest.raises(LimRankError, match=r"the journal in .*s\.sqlite cannot be used, the file is damaged"),
    ):
        JOURNAL[method](store)
    assert asides(tmp_path) == [], "a journal is not given up without a word"


def test_a_journal_on_a_full_disk_is_one_sentence(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        store.commit("job", "before", b"1")
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(LimRankError, match=r"the journal in .*s\.sqlite cannot be .*full"):
            store.commit("job", "item", b"x" * 100_000)
        assert store.committed("job") == {"before": b"1"}
        assert store.find("job", "before") == b"1"


def test_answers_are_read_where_times_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Store(tmp_path / "s.sqlite") as store:
        store.put_many([(key("a"), b"1")])
        store._db.execute("PRAGMA query_only=1")
        later = 10 * 86_400 + store._db.execute("SELECT used FROM answers").fetchone()[0]
        monkeypatch.setattr("limrank_plugins.store.time.time", lambda: later)
        assert store.get_many([key("a")]) == {key("a"): b"1"}
        with pytest.warns(UserWarning, match="answers are not kept"):
            store.put_many([(key("b"), b"1")])
        with pytest.raises(LimRankError, match="the journal"):
            store.commit("job", "item", b"1")


def test_a_closed_store_is_one_sentence(tmp_path: Path):
    store = Store(tmp_path / "s.sqlite")
    store.close()
    for read in (store.answer_bytes, lambda: store.get_many([key("a")]), lambda: store.find("job", "item")):
        with pytest.raises(LimRankError, match="cannot be read or written"):
            read()


def test_what_is_dropped_is_gone_and_no_longer_counted(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        store.put_many([(key(i), b"x" * i) for i in range(5)])
        store.drop_many([key(1), key(3), key("never there")])
        assert sorted(store.get_many([key(i) for i in range(5)])) == sorted(key(i) for i in (0, 2, 4))
    actual, believed = counted(tmp_path / "s.sqlite")
    assert actual == believed > 0


@pytest.mark.parametrize("text", ["", "I'm sorry, but I can't help with that.", "All about milk."])
def test_a_completion_that_came_to_nothing_is_asked_again(tmp_path: Path, text: str):
    with Store(tmp_path / "s.sqlite") as store:
        for _ in range(2):
            backend = full_backend(generate=lambda prompt: text)
            ranking = Reranker("rankgpt", backend=backend, store=store).rank("q", TEXTS)
            assert (len(ranking.failures), len(backend.requests)) == (len(TEXTS), 1)
        backend = full_backend()
        assert not Reranker("rankgpt", backend=backend, store=store).rank("q", TEXTS).failures
        assert len(backend.requests) == 1


def test_reasoning_that_was_paid_for_stays_where_its_verdict_never_came(tmp_path: Path):
    def out(prompt: object) -> object:
        raise ScriptedFailure("the server is down")

    with Store(tmp_path / "s.sqlite") as store:
        settings = {"store": store, "max_reasoning_tokens": 2}
        backend = full_backend(read_labels=out)
        ranking = Reranker("limrank", backend=backend, **settings).rank("q", TEXTS)
        assert len(ranking.failures) == len(TEXTS)
        backend = full_backend()
        assert not Reranker("limrank", backend=backend, **settings).rank("q", TEXTS).failures
        assert {request.method for request in backend.requests} == {"read_labels"}
