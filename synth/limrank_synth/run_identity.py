"""What makes a folder this run's: another run into it is refused, where it would replace what was paid for.

More items than before lose nothing, and neither do more samples of each; another model or other filters are
a choice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json_object
from limrank_plugins.outputs import write_json
from limrank_plugins.wording import verb_for

RUN = "run.json"
_FRESH = "name another --output, or start it over with --fresh"


@dataclass(frozen=True)
class RunIdentity:
    """What the results of a run depend on.

    Attributes:
        command: what makes them: `run`, `documents` or `lists`.
        what: what the items are called, in the plural.
        items: what is asked about, as texts.
        settings: what must be equal, as JSON.
        counts: numbers that may grow.
    """

    command: str
    what: str
    items: tuple[str, ...]
    settings: Mapping[str, Any]
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What the folder holds of it."""
        return {
            "command": self.command,
            "settings": json.loads(json.dumps(dict(self.settings))),
            "counts": dict(self.counts),
            "items": {_digest(item): item[:80] for item in self.items},
        }

    def claim(self, folder: Path) -> None:
        """Write it into the run's folder; hold the folder meanwhile.

        Raises:
            InputError: the folder is another run's; what differs is named.
        """
        file, here = folder / RUN, self.as_json()
        if file.is_file():
            there = read_json_object(file, fix=_FRESH)
            if there == here:
                return
            if differing := self._differing(there, here):
                raise InputError(
                    f"{folder} holds the rows of another run, or was begun by one: {'; '.join(differing)}. "
                    f"{_FRESH.capitalize()}"
                )
        write_json(file, here)

    def _differing(self, there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
        tables = [there.get(name) for name in ("settings", "counts", "items")]
        if not all(isinstance(table, dict) for table in tables):
            return [f"its {RUN} is damaged"]
        settings, counts, items = (dict(table or {}) for table in tables)
        if there.get("command") != self.command:
            return [f"it is of `synth {there.get('command')}`, this is `synth {self.command}`"]
        words = [
            f"{name} is {settings.get(name)!r} there, {value!r} here"
            for name, value in here["settings"].items()
            if settings.get(name) != value
        ]
        words += [
            f"{name} is {counts.get(name)!r} there, only {value!r} here"
            for name, value in self.counts.items()
            if isinstance(counts.get(name), int) and counts[name] > value
        ]
        if missing := [text for digest, text in items.items() if digest not in here["items"]]:
            words.append(
                f"{len(missing)} of its {len(items)} {self.what} {verb_for(len(missing), 'are')} not among "
                f"these {len(here['items'])}, e.g. {missing[0]!r}"
            )
        return words


def digest_of(texts: Iterable[str]) -> str:
    """A short name for texts in an order, for `settings`."""
    listed = list(texts)
    return f"{len(listed)} ({_digest(json.dumps(listed))})"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
