"""Secrets do not leave a block in an error, nor in what an error is chained to."""

from __future__ import annotations

import pytest

from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.secrecy import hiding, redacted

KEY = "sk-planted-0123456789"


def test_longer_secrets_go_first_and_absent_ones_are_passed_over():
    assert redacted(f"{KEY} {KEY}-2", [KEY, None, "", f"{KEY}-2"]) == "*** ***"


@pytest.mark.parametrize(("kind", "shown"), [(InputError, InputError), (OSError, BackendError)])
def test_an_error_that_shows_a_secret_leaves_without_it_and_without_its_chain(kind, shown):
    def refuse() -> None:
        try:
            raise KeyError(KEY)
        except KeyError as cause:
            raise kind(f"bad key {KEY}") from cause

    with pytest.raises(shown, match=r"bad key \*\*\*$") as caught, hiding([None, KEY]):
        refuse()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert KEY not in repr(caught.value)


def test_a_chain_that_shows_a_secret_is_cut():
    with pytest.raises(BackendError, match=r"^OSError: refused$") as caught, hiding([KEY]):
        raise OSError("refused") from KeyError(KEY)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_other_errors_pass_as_they_are():
    error = OSError("no such folder")
    with pytest.raises(OSError, match="no such folder") as caught, hiding([KEY]):
        raise error
    assert caught.value is error
