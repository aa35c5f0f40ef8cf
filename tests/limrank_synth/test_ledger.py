"""What the ledger keeps, what it owes, and the lock of its folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.files import alone_in
from limrank_plugins.store import Store
from limrank_synth.asking import Message, Question, Reply
from limrank_synth.ledger import Ledger

QUESTION = Question("writer", (Message("user", "?"),), 1, 2)
REPLY = Reply("text", "thought", "stop", 10, 20, 0.5)


def test_what_is_committed_is_found_again(tmp_path: Path):
    file = tmp_path / "ledger.sqlite"
    with Store(file) as store:
        ledger = Ledger(store)
        assert ledger.find("k") is None
        ledger.commit("k", QUESTION, "m", REPLY)
        ledger.commit("j", Question("judge", ()), "m", Reply("é\ud800", cost=0.25))
        ledger.note_failure("f", QUESTION, "m", "HTTP 500")
        ledger.note_failure("k", QUESTION, "m", "an older failure")
        for kind in ("HTTP 500", "HTTP 500", "timeout"):
            ledger.note_fault(kind)
    with Store(file) as store:
        again = Ledger(store)
        assert again.find("k") == REPLY
        assert (again.cost, again.calls, again.spent) == (0.75, 2, 0.75)
        assert again.by_role() == ledger.by_role()
        assert again.by_role()["writer"] == {
            "calls": 1,
            "prompt_tokens": 10,
            "written_tokens": 20,
            "cost": 0.5,
        }
        assert again.failures() == {"f": "HTTP 500"}
        assert again.faults() == {"HTTP 500": 2, "timeout": 1}


def test_a_call_that_died_stays_paid_for(tmp_path: Path):
    file = tmp_path / "ledger.sqlite"
    with Store(file) as store:
        ledger = Ledger(store)
        ledger.open("dead", 0.3)
        ledger.open("fine", 0.2)
        ledger.close("fine", 0.2)
        ledger.open("free", 0.0)
        assert ledger.uncertain == pytest.approx(0.3)
    with Store(file) as store:
        again = Ledger(store)
        assert again.uncertain == pytest.approx(0.3)
        # Sent again, and answered: the first time may have cost something all the same.
        again.open("dead", 0.3)
        assert again.spent == pytest.approx(0.6)
        again.commit("dead", QUESTION, "m", Reply("x", cost=0.1))
        again.close("dead", 0.3)
        assert again.spent == pytest.approx(0.4)
    with Store(file) as store:
        assert Ledger(store).spent == pytest.approx(0.4)


def test_a_ledger_that_cannot_be_written(tmp_path: Path):
    with Store(tmp_path / "ledger.sqlite") as store:
        ledger = Ledger(store)
        with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
            other.execute("DROP TABLE journal")
        other.close()
        with pytest.raises(
            LimRankError, match=r"the ledger .*ledger\.sqlite cannot be written: no such table"
        ):
            ledger.commit("k", QUESTION, "m", REPLY)


def test_one_at_a_time(tmp_path: Path):
    with alone_in(tmp_path):
        with pytest.raises(InputError, match="another process is working in"):
            with alone_in(tmp_path):
                pass
    with alone_in(tmp_path):
        pass
