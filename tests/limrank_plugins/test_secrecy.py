"""Secrets do not leave a block in an error, nor in what an error is chained to."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.secrecy import HIDDEN, LONG, hiding, redacted

KEY = "sk-planted-0123456789"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
KEYS = st.text(LETTERS + "0123456789-_.+/=", min_size=1, max_size=20)
QUOTED = (
    "{}",
    "'{}' is no key",
    '{{"error": "bad key \\"{}\\""}}',
    "Authorization: Bearer {}",
    "{{'authorization': 'Bearer {}'}}",
    "Incorrect API key provided: {}. You can find yours at …",
    "the key {} is not known",
    "GET http://host:8000/v1?key={}&n=1 failed",
    "GET http://host:8000/{}/v1 failed",
    "http://user:{}@host/v1",
    "api_key={} n=1",
    "密钥{}无效",
)


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


@given(KEYS, st.sampled_from(QUOTED))
def test_a_key_is_hidden_wherever_a_server_or_a_client_quotes_it(key, quoted):
    before, after = quoted.format("\0").split("\0")
    assume(key not in before + after and not set(before[-1:] + after[:1]) & set(key))
    assert redacted(quoted.format(key), [key]) == f"{before}{HIDDEN}{after}"


@given(KEYS, st.text(), st.text())
def test_a_long_key_is_hidden_everywhere(key, before, after):
    key += KEY[: max(0, LONG - len(key))]
    assert key not in redacted(before + key + after, [key])


@given(st.text(LETTERS + "0123456789", min_size=1, max_size=LONG - 1), st.text(LETTERS, min_size=1))
def test_a_short_key_is_not_cut_out_of_words(key, word):
    for longer in (word + key, key + word, word + key + word):
        assert redacted(f"asked {longer} times", [key]) == f"asked {longer} times"


@given(st.text(LETTERS, max_size=6), st.sampled_from(["\n", "=", "\x1b", " "]))
def test_signs_written_as_escapes_do_not_cover_a_short_key(word, sign):
    key = f"7{word}"
    for written in (repr(sign + key), json.dumps(sign + key), quote(sign + key), f"\\u003d{key}"):
        assert key not in redacted(written, [key])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("k", "no reply (asked 3 times): top_k and top-k"),
        ("no", "no connection to http://localhost:9: there is no server"),
        ("none", "these can: a, b, and none of the others"),
        ("ask", "asked 3 times"),
    ],
)
def test_a_key_that_is_a_word_leaves_sentences_as_they_are(key, message):
    assert redacted(message, [key]) == message
