"""Behind a closed gate nothing says what a question says: not errors, not reasons, not logs."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from limrank_evals.questions.gating import Gate, digest
from limrank_plugins.errors import BackendError, InputError, MissingExtra

CANARY = "CANARY-7f3a"


def fails(error: Exception) -> Any:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError(f"prompt: {CANARY}"), BackendError),
        (BackendError(f"HTTP 401: {CANARY}"), BackendError),
        (InputError(f"the query is {CANARY}"), InputError),
        (KeyError(CANARY), BackendError),
    ],
)
def test_errors_are_told_without_their_message(error: Exception, kind: type[Exception]):
    with pytest.raises(kind) as caught:
        Gate(closed=True).run("reading", fails(error))
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert str(caught.value).startswith(f"reading ended with {type(error).__name__}: ")
    assert "--show-gated shows it" in str(caught.value)
    assert ("HTTP 401" in str(caught.value)) == ("HTTP 401" in str(error))
    with pytest.raises(type(error), match=CANARY):
        Gate(closed=False).run("reading", fails(error))


def test_what_is_missing_and_interrupts_pass():
    with pytest.raises(MissingExtra, match="pip install"):
        Gate(closed=True).run("reading", fails(MissingExtra("pip install x")))
    with pytest.raises(KeyboardInterrupt):
        Gate(closed=True).run("reading", fails(KeyboardInterrupt()))  # type: ignore[arg-type]
    assert Gate(closed=True).run("reading", lambda: 7) == 7


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (f"HTTP 400: {CANARY}", "HTTP 400"),
        (f"no answer within 600 s {CANARY}", "no answer within"),
        (f"APIConnectionError: {CANARY}", "APIConnectionError"),
        (f"HTTP 4001 {CANARY}", ""),
        (CANARY, ""),
    ],
)
def test_reasons_keep_only_what_servers_always_say(reason: str, kept: str):
    told = Gate(closed=True).reason(reason)
    assert CANARY not in told
    assert told.startswith(kept)
    assert "not shown" in told
    assert Gate(closed=False).reason(reason) == reason


def test_texts_and_logs(caplog: pytest.LogCaptureFixture):
    assert Gate(closed=True).text(CANARY) is None
    assert Gate(closed=False).text(CANARY) == CANARY
    log = logging.getLogger("some.client")
    with caplog.at_level(logging.DEBUG):
        Gate(closed=True).run("reading", lambda: log.critical(CANARY))
        assert not caplog.records
        Gate(closed=False).run("reading", lambda: log.debug("heard"))
        log.debug("heard again")
    assert [record.message for record in caplog.records] == ["heard", "heard again"]


def test_digests_tell_texts_apart():
    assert digest("a") != digest("b")
    assert len(digest("lone \ud800 surrogate")) == 64
