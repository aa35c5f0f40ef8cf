"""A model is loaded once, used by one thread at a time, and released once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.errors import BackendError


def test_threads_take_turns_with_a_model_that_is_loaded_once() -> None:
    loads: list[int] = []

    def load() -> list[int]:
        time.sleep(0.01)
        loads.append(threading.get_ident())
        return []

    model = SharedModel("the model", load=load)
    assert model.held is None

    def use(number: int) -> None:
        with model.turn() as steps:
            steps.append(number)
            time.sleep(0.002)
            steps.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(16)))
    assert len(loads) == 1
    with model.turn() as steps:
        assert steps[::2] == steps[1::2], "no other thread's step between a turn's two"
        assert sorted(set(steps)) == list(range(16))


def test_a_closed_model_is_neither_used_nor_loaded_again() -> None:
    loaded, never_used = SharedModel("the model", "weights"), SharedModel("the other", load=lambda: "weights")
    for model, name in ((loaded, "the model"), (never_used, "the other")):
        model.close()
        model.close()
        assert model.held is None
        with pytest.raises(BackendError, match=f"^{name} is closed: make a new one$"), model.turn():
            pass


def test_an_error_gives_the_turn_back_and_a_failed_load_is_tried_again() -> None:
    answers = iter([BackendError("no such file"), "weights"])

    def load() -> str:
        answer = next(answers)
        if isinstance(answer, BackendError):
            raise answer
        return str(answer)

    model = SharedModel("the model", load=load)
    with pytest.raises(BackendError, match="no such file"), model.turn():
        pass
    with pytest.raises(ZeroDivisionError), model.turn():
        _ = 1 / 0
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: model.turn().__enter__()).result(timeout=10) == "weights"
