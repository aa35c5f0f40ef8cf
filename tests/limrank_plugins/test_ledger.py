"""What the ledger of paid calls keeps, and what it owes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from limrank_plugins.data import Usage
from limrank_plugins.errors import LimRankError
from limrank_plugins.ledger import Ledger
from limrank_plugins.store import Store

USAGE = Usage(prompt_tokens=10, generated_tokens=20, cost=0.5)


def test_what_is_written_down_is_found_again(tmp_path: Path):
    file = tmp_path / "ledger.sqlite"
    with Store(file) as store:
        ledger = Ledger(store)
        ledger.pay("k", "writer", "m", USAGE)
        ledger.pay("j", "judge", "m", Usage(cost=0.25))
        ledger.note_failure("f", "writer", "m", "HTTP 500")
        ledger.note_failure("k", "writer", "m", "an older failure")
        for kind in ("HTTP 500", "HTTP 500", "timeout"):
            ledger.note_fault(kind)
    with Store(file) as store:
        again = Ledger(store)
        assert (again.cost, again.calls, again.tokens, again.spent) == (0.75, 2, 30, 0.75)
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
        ledger.close(ledger.open("fine", 0.2))
        ledger.open("free", 0.0)
        assert ledger.uncertain == pytest.approx(0.3)
    with Store(file) as store:
        again = Ledger(store)
        assert again.uncertain == pytest.approx(0.3)
        # Sent again, and answered: the first time may have cost something all the same.
        name = again.open("dead", 0.3)
        assert again.spent == pytest.approx(0.6)
        again.pay("dead", "writer", "m", Usage(cost=0.1))
        again.close(name)
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
            LimRankError, match=r"the ledger .*ledger\.sqlite cannot be written: .*no such table"
        ):
            ledger.pay("k", "writer", "m", USAGE)
