"""`Lazy`: made once, shared by copies, not pickled."""

from __future__ import annotations

import copy
import pickle
import threading

from limrank_plugins.lazy import Lazy


def test_made_once_whoever_asks():
    lazy: Lazy[object] = Lazy()
    made: list[object] = []
    together = threading.Barrier(8)

    def make() -> object:
        made.append(object())
        return made[-1]

    def ask() -> None:
        together.wait(20)
        lazy.get(make)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(made) == 1
    assert lazy.get(make) is made[0]


def test_what_was_made_can_be_taken_out_and_is_made_again():
    lazy: Lazy[str] = Lazy()
    assert lazy.pop() is None
    assert lazy.get(lambda: "first") == "first"
    assert lazy.pop() == "first"
    assert lazy.get(lambda: "second") == "second"


def test_copies_share_it_and_other_processes_do_not():
    lazy: Lazy[str] = Lazy()
    for other in (copy.copy(lazy), copy.deepcopy({"a": lazy})["a"]):
        assert other.get(lambda: "made") == lazy.get(lambda: "made again") == "made"
    assert pickle.loads(pickle.dumps(lazy)).pop() is None
