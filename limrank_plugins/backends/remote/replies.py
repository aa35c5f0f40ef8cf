"""Reading a server's answer: JSON that is checked before anything in it is believed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from limrank_plugins.backends.remote.faults import CallFailed, brief
from limrank_plugins.checks import is_finite
from limrank_plugins.data import Usage
from limrank_plugins.files import why_no_json
from limrank_plugins.segments import clean_text

_DIGITS = 18  # of a token's id
_SENTINEL = -9999.0
"""What OpenAI and vLLM write for a token that is not among the likely ones; others write less."""
_OFF = 0.05  # above 1, of a sum of probabilities: log-probabilities come rounded
_MOST_TOKENS = 1 << 40


class Token(NamedTuple):
    """One of the most likely next tokens."""

    text: str
    id: int | None
    logprob: float


class Label(NamedTuple):
    """A label and, where the tokenizer is known, its token."""

    text: str
    id: int | None = None


def parse(content: str) -> dict[str, Any]:
    """The answer as a JSON object.

    Raises:
        CallFailed: it is none.
    """
    body = parse_json(content)
    if not isinstance(body, dict):
        raise CallFailed(f"the server's reply is not a JSON object but {type(body).__name__}", 200)
    return body


def parse_json(content: str, *, unique: bool = False) -> Any:
    """The answer as whatever JSON it is.

    Args:
        content: the answer.
        unique: an object that names a field twice is no answer: which of the two is meant is not known.

    Raises:
        CallFailed: it is none.
    """
    try:
        return json.loads(content, object_pairs_hook=_unique if unique else None)
    except RecursionError:
        raise CallFailed("the server's reply is nested too deeply to be read", 200) from None
    except json.JSONDecodeError:
        is_page = content.lstrip()[:1] == "<"
        advice = "; it is a web page: correct base_url, which mostly ends with /v1" if is_page else ""
        raise CallFailed(
            f"the server's reply is not JSON: {brief(content[:200], 80)!r}{advice}", 200
        ) from None
    except ValueError as error:
        raise CallFailed(f"the server's reply cannot be read: {why_no_json(error)}", 200) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise CallFailed(
            f"the server's reply names {brief(double, 80)!r} twice: they cannot be told apart", 200
        )
    return members


def check_no_error(body: Any) -> None:
    """Check that an answer is not that of a server that failed, whatever else stands in it.

    Raises:
        CallFailed: it says that it failed.
    """
    error = body.get("error") if isinstance(body, dict) else None
    if error:
        shown = brief(error, 200) if isinstance(error, str) else show_value(error)
        raise CallFailed(f"the server writes that it failed: {shown}", 200)


def choice_of(body: dict[str, Any]) -> dict[str, Any]:
    """The answer's first choice (`index` 0, wherever it stands in the list).

    Raises:
        CallFailed: there is none, or the server writes that it failed.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(c, dict) for c in choices):
        error = body.get("error") or body.get("detail") or sorted(body)
        shown = brief(error, 200) if isinstance(error, str) else show_value(error)
        raise CallFailed(f"the server's reply holds no choice but: {shown}", 200)
    first = [choice for choice in choices if choice.get("index", 0) == 0]
    chosen: dict[str, Any] = first[0] if first else choices[0]
    error = body.get("error") or chosen.get("error")
    if error or chosen.get("finish_reason") == "error":
        shown = brief(error, 200) if isinstance(error, str) else show_value(error)
        why = f": {shown}" if error else ", and not why"
        raise CallFailed(f"the server writes that it failed{why}", 200)
    if chosen.get("finish_reason") == "content_filter":
        raise CallFailed("the server's content filter withheld the answer", 200)
    return chosen


def text_of(choice: dict[str, Any]) -> str:
    """What was written, without lone surrogates.

    Raises:
        CallFailed: there is no text.
    """
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if text is None and isinstance(message, dict):
        text = ""  # a chat model that said nothing, or only thought
    if not isinstance(text, str):
        raise CallFailed(f"the server's reply holds no text but {show_value(text)}", 200)
    return clean_text(text)


def reasoning_of(choice: dict[str, Any]) -> str:
    """What a model wrote before its completion, where the server returns the two apart; else empty.

    `reasoning_content` is DeepSeek's and vLLM's name for it, `reasoning` OpenRouter's and newer vLLM's.
    """
    message = choice.get("message")
    holder = message if isinstance(message, dict) else choice
    for name in ("reasoning_content", "reasoning"):
        if isinstance(holder.get(name), str) and holder[name]:
            return clean_text(holder[name])
    return ""


def tokens_of(choice: dict[str, Any]) -> list[Token]:
    """The most likely tokens at the first written position, most likely first; empty if not given.

    Raises:
        CallFailed: a log-probability that is none (NaN, text, above 0), or `ordered` raises it.
    """
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        return []
    content, top = logprobs.get("content"), logprobs.get("top_logprobs")
    tokens: list[Token] = []
    if isinstance(content, list) and content and isinstance(content[0], dict):
        # The chat shape, which llama.cpp's server uses for completions too.
        others = content[0].get("top_logprobs") or []
        if not isinstance(others, list):
            raise CallFailed(
                f"the server's reply holds no list of likely tokens but {show_value(others)}", 200
            )
        entries = [entry for entry in [*others, content[0]] if isinstance(entry, dict)]
        named = [(entry.get("token"), entry) for entry in entries]
        tokens = [
            _token(text, entry.get("id"), entry.get("logprob"))
            for text, entry in named
            if isinstance(text, str) and text
        ]
    elif isinstance(top, list) and top and isinstance(top[0], dict):
        tokens = [_token(text, None, value) for text, value in top[0].items()]
    return ordered({(token.text, token.id): token for token in tokens}.values())


def ordered(tokens: Iterable[Token]) -> list[Token]:
    """The tokens that a server says may come next, most likely first.

    Raises:
        CallFailed: their probabilities add up to more than 1, so that they are none.
    """
    likely = sorted(tokens, key=lambda token: -token.logprob)
    most = {token.text or token.id: token.logprob for token in reversed(likely)}
    total = math.fsum(math.exp(min(logprob, 1.0)) for logprob in most.values())
    if total > 1 + _OFF:
        raise CallFailed(
            f"the server's probabilities of the next token add up to {total:.2f}, which is more than 1", 200
        )
    return likely


def _token(text: str, number: Any, logprob: Any) -> Token:
    text = clean_text(text)
    if logprob is None:
        logprob = -math.inf  # JSON has no -Infinity
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or not logprob <= 1e-3:
        raise CallFailed(
            f"the server's log-probability of {text[:80]!r} is {show_value(logprob)}, which is none", 200
        )
    digits = text.removeprefix("token_id:")
    if digits != text and digits.isdecimal() and len(digits) <= _DIGITS:
        number = int(digits)
    known = isinstance(number, int) and not isinstance(number, bool)
    # Whole numbers may be too large for a float.
    return Token(text, number if known else None, -math.inf if logprob <= _SENTINEL else float(logprob))


def show_value(value: object) -> str:
    """Something of a reply that should not be there, for a message."""
    try:
        return brief(repr(value), 200)
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} that cannot be shown"


def labels_in(tokens: Sequence[Token], labels: Sequence[Label], *, loosely: bool) -> list[float | None]:
    """Each label's log-probability, or None where the label is not among the likely tokens.

    Args:
        tokens: what the server gave.
        labels: by their ids where both sides have them, else by their exact text.
        loosely: for chat models, whose answer begins without the template's space: see `spellings`;
            the probabilities of all spellings are added up.
    """
    accepted = spellings(labels)
    tokens = [token for token in tokens if is_likely(token)]
    logprobs: list[float | None] = []
    for label, words in zip(labels, accepted, strict=True):
        matching = [token.logprob for token in tokens if _is(token, label, words if loosely else None)]
        logprobs.append(_log_sum(matching) if matching else None)
    return logprobs


def spellings(labels: Sequence[Label]) -> list[frozenset[str]]:
    """What a chat model may write for each label: blanks and case do not count, and yes is as good as true.

    A word that is itself a label stands for that label alone.
    """
    words = [label.text.strip().casefold() for label in labels]
    return [frozenset({word, *({_MEANS_THE_SAME.get(word, word)} - set(words))}) for word in words]


def label_written(text: str, accepted: Sequence[frozenset[str]]) -> int | None:
    """Which label a text begins with, marks and blanks before it apart, by position; None for none.

    A label need not be a word ("[1]", "yes!"); of two that fit, the one that begins first counts, then the
    longer one. A word that goes on is another word.

    Args:
        text: what a chat model wrote.
        accepted: `spellings` of each label.
    """
    best: tuple[int, int, int] | None = None
    for position, words in enumerate(accepted):
        for word in words:
            goes_on = r"(?![^\W_])" if word[-1:].isalnum() else ""
            match = re.match(rf"[\W_]*?({re.escape(word)}){goes_on}", text.casefold())
            if word and match is not None:
                best = min(best or (len(text) + 1, 0, 0), (match.start(1), -len(word), position))
    return None if best is None else best[2]


def is_likely(token: Token) -> bool:
    """Whether its log-probability is more than what says only that it is below all others."""
    return not token.logprob <= _SENTINEL  # what is no number at all is told by who reads it


_MEANS_THE_SAME = {"yes": "true", "true": "yes", "no": "false", "false": "no"}


def _is(token: Token, label: Label, words: frozenset[str] | None) -> bool:
    if token.id is not None and label.id is not None:
        return token.id == label.id
    return token.text == label.text if words is None else token.text.strip().casefold() in words


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(v - top) for v in values))


def within(logprobs: Sequence[float | None], tokens: Sequence[Token], tolerance: float) -> list[float] | None:
    """The labels' log-probabilities, where those that are missing cannot matter; else None.

    A token that is not among the most likely ones is at most as likely as the least likely of them,
    and as what they leave over. Where all missing labels together cannot move any share
    P(label) / P(all labels) by more than `tolerance`, that bound stands in for each.
    """
    present = [value for value in logprobs if value is not None]
    if not present or math.isinf(max(present)):
        return None
    if len(present) == len(logprobs):
        return present
    rest = 1.0 - math.fsum(math.exp(token.logprob) for token in tokens)
    least = min(filter(is_likely, tokens), key=lambda token: token.logprob).logprob
    bound = min(least, math.log(rest) if rest > 0 else -math.inf)
    missing = (len(logprobs) - len(present)) * math.exp(bound - max(present))
    if missing > tolerance:
        return None
    return [bound if value is None else value for value in logprobs]


def ending(
    choice: dict[str, Any], text: str, stops: Sequence[str], *, sent: bool = True
) -> tuple[str, str, str | None]:
    """The text without its stop string, why it ended, and the stop string where it is known.

    Not every server tells a stop string from the end of the answer; where it does not, and stop
    strings were sent, the former is assumed of a text that is not empty.

    Args:
        choice: the server's.
        text: what was written.
        stops: what was to end it.
        sent: the server was told of them.
    """
    places = [(place, stop) for stop in stops if (place := text.find(stop)) != -1]
    if places:  # a server that keeps them, or that knows none
        place, stop = min(places)
        return text[:place], "stop", stop
    if choice.get("finish_reason") == "length":
        return text, "length", None
    if not stops or not sent:
        return text, "end", None
    for name in ("stop_reason", "matched_stop"):  # vLLM, SGLang: the string, or what ended the answer
        if name in choice:
            reason = choice[name]
            return (text, "stop", reason) if reason in stops else (text, "end", None)
    if not text.strip():  # nothing was written, as far as anybody can tell
        return text, "end", None
    if reasoning_of(choice):  # what ends the reasoning stands in what was returned apart, not here
        return text, "end", None
    return text, "stop", stops[0] if len(stops) == 1 else None


def usage_of(body: dict[str, Any]) -> Usage:
    """Tokens as the server counted them; all 0 where it leaves out a count, or writes one that is none.

    With a prompt alone, what was written would seem to be free, and the other way round.
    What it had in its cache is `prompt_tokens_details.cached_tokens` with OpenAI, vLLM and SGLang,
    `prompt_cache_hit_tokens` with DeepSeek, `cache_read_input_tokens` behind gateways to Anthropic.
    """
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = [
        details.get("cached_tokens") if isinstance(details, dict) else None,
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cache_read_input_tokens"),
    ]
    cached = [count for count in cached if count is not None]
    counts: list[Any] = [usage.get("prompt_tokens"), usage.get("completion_tokens"), *cached]
    if not all(map(_is_count, counts)) or not counts[0]:  # no prompt has no tokens
        return Usage()
    prompt, written, *cached = counts
    return Usage(
        prompt_tokens=prompt, shared_tokens=min(max(cached, default=0), prompt), generated_tokens=written
    )


def _is_count(count: object) -> bool:
    return isinstance(count, int) and not isinstance(count, bool) and 0 <= count < _MOST_TOKENS


def part_of(holder: Any, name: str) -> dict[str, Any]:
    """The object that an object of a reply holds under a name; an empty one for anything else."""
    part = holder.get(name) if isinstance(holder, dict) else None
    return part if isinstance(part, dict) else {}


def amount_of(value: object) -> float | None:
    """An amount, as a number or its digits; None for anything else, such as a negative one."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 13:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and is_finite(value):
        return float(value) if 0 <= value < _MOST_TOKENS else None
    return None


def count_of(value: object) -> int:
    """A whole amount; 0 for anything else."""
    amount = amount_of(value) or 0.0
    return int(amount) if amount.is_integer() else 0
