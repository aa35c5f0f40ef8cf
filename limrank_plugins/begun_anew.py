"""`--fresh`: a result is begun anew, and the one of before stays until the new one is finished.

The new one is made in a place of its own: `.limrank-fresh` in the result's folder, `.NAME.limrank-fresh`
beside a single file. A job that ends early leaves it there: the same command without `--fresh` goes on with
it, with `--fresh` it starts over again, and a command with other settings works with the result of before.

What is finished takes its place file by file, once a mark says that all of it is there: should that be cut
short, the next job in the folder does the rest. What is not of the result stays where it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.files import read_json
from limrank_plugins.locks import LOCK, alone_in
from limrank_plugins.outputs import write_json
from limrank_plugins.store import Store
from limrank_plugins.store_file import check_is_store

NEW = ".limrank-fresh"
_BEGUN, _FINISHED, _CLEARED = f"{NEW}.json", f"{NEW}.finished", f"{NEW}.cleared"
_REPLIES = f"{NEW}.sqlite"

Files = Callable[[Path], Iterable[Path]]
"""The files of a result that lie in a folder: what a new result replaces."""


class Workplace:
    """Where a job works; made by `working_on`.

    Attributes:
        result: the folder or file that the result is for.
        place: the folder where the job works: the result's own, or that of what is begun anew.
        is_anew: whether the result is begun anew.
        has_earlier: whether there is a result of before.
    """

    def __init__(self, result: Path, new: Path, files: Files, *, is_anew: bool) -> None:
        self.result, self.is_anew = result, is_anew
        self.place = new if is_anew else result if result.is_dir() else result.parent
        self._new, self._files = new, files
        self._absorbing: Path | None = None
        is_folder = result.is_dir()
        self.has_earlier = any(file.exists() for file in files(result)) if is_folder else result.exists()

    def store(self, path: Path, *, max_bytes: int | None = 2 << 30) -> Store:
        """A store that others use, too; of what is begun anew a new one, which goes into it at the end."""
        if not self.is_anew:
            return Store(path, max_bytes=max_bytes)
        check_is_store(path)  # told now, not after hours of work; looking changes nothing
        self._absorbing = path
        return Store(self.place / _REPLIES, max_bytes=max_bytes)

    def end(self, *, is_finished: bool) -> None:
        """Put a new result in the place of the earlier one, if it is finished or there is no earlier one.

        The job's stores must be closed; a result that is a file is written already.

        Raises:
            LimRankError: the store cannot be written.
        """
        if not self.is_anew or not (is_finished or not self.has_earlier):
            return
        replies = self.place / _REPLIES
        if self._absorbing is not None and replies.exists():
            with Store(self._absorbing, max_bytes=1 << 62) as store:
                store.absorb(replies)
        if self.result.is_dir():
            (self._new / _FINISHED).touch()
            _put_in_place(self.result, self._files)
            self.place = self.result
        else:
            _discard(self._new)


@contextmanager
def working_on(
    result: Path,
    settings: Mapping[str, Any],
    files: Files = lambda folder: (),
    *,
    fresh: bool = False,
    label: str = "",
    say: Callable[[str], object] = lambda sentence: None,
) -> Iterator[Workplace]:
    """Yields where the job works, and leaves nothing of what was begun anew where nothing was done.

    Args:
        result: a folder that is there, and that the caller holds (`locks.alone_in`); or a file.
        settings: what makes it the same command, as JSON; no keys or tokens.
        files: those of a result in a folder.
        fresh: begin anew.
        label: a file that only says whose the folder is: where it is all that was written, nothing was done.
        say: gets a sentence for people.

    Raises:
        InputError: what `files` raises of a folder that is another kind of result's, or another process
            works on the same result.
    """
    new = _new(result)
    if new.is_symlink() or (new.exists() and not new.is_dir()):
        raise InputError(f"{new} is no folder of ours: remove it, or choose another output")
    if (new / _FINISHED).exists():
        _put_in_place(result, files)
    elif new.is_dir() and not (new / _BEGUN).exists():
        _discard(new)  # what a kill left of a place that was being made or removed
    with ExitStack() as held:
        if fresh:
            list(files(result))  # what is another kind of result's is refused, and nothing is begun
            new.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone_in(new))
            _empty(new)
            write_json(new / _BEGUN, _identity(settings))
        work = Workplace(result, new, files, is_anew=place_of(result, settings, fresh=fresh) == new)
        if work.is_anew and not fresh:
            held.enter_context(alone_in(new))
            say(f"going on with what --fresh began in {new}; until it is finished, {result} stays as it is")
        elif new.is_dir() and not fresh:
            say(f"{new} holds what --fresh began with other settings; it is not finished, and left as it is")
        try:
            yield work
        finally:
            if work.is_anew and new.is_dir():
                if _is_untouched(new, label):
                    _discard(new)
                    work.place = result if result.is_dir() else result.parent
                    if work.has_earlier:
                        say(
                            f"nothing came of what --fresh began, and nothing is left of it; the result of "
                            f"before stays in {result}. To begin anew, give --fresh again"
                        )
                else:
                    before = f"; the result of before stays in {result}" if work.has_earlier else ""
                    say(
                        f"what --fresh began is not finished, and lies in {new}{before}. The same command "
                        f"without --fresh goes on with it"
                    )


def place_of(folder: Path, settings: Mapping[str, Any], *, fresh: bool) -> Path:
    """Where `working_on` has the job work, for further processes of it."""
    new = _new(folder)
    return new if fresh or _is_begun(new, settings) else folder


def replies_begun(result: Path, *, max_bytes: int | None) -> Store | None:
    """The store of what was begun anew and is not finished, if there is one (see `Workplace.store`)."""
    replies = _new(result) / _REPLIES
    return Store(replies, max_bytes=max_bytes) if replies.is_file() else None


def _new(result: Path) -> Path:
    return result / NEW if result.is_dir() else result.with_name(f".{result.name}{NEW}")


def _is_begun(new: Path, settings: Mapping[str, Any]) -> bool:
    if not (new / _BEGUN).is_file() or (new / _FINISHED).exists():
        return False
    return bool(read_json(new / _BEGUN, fix=f"remove {new}") == _identity(settings))


def _identity(settings: Mapping[str, Any]) -> dict[str, str]:
    return {"settings": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()}


def _is_untouched(new: Path, label: str) -> bool:
    """Whether nothing was written but stores that hold nothing."""
    own = (new / _BEGUN, new / label)
    written = [file for file in new.rglob("*") if file.is_file() and file not in own]
    if not all(".sqlite" in file.name for file in written):
        return False
    with suppress(LimRankError, OSError):
        for file in written:
            if file.suffix == ".sqlite":
                with Store(file) as store:
                    if not store.is_empty():
                        return False
        return True
    return False


def _put_in_place(folder: Path, files: Files) -> None:
    """Put in place what a mark says is whole: files of before that have no successor go, then the new come.

    Each step can be done again after a kill. Until the new ones have begun to come, what was written says
    which the old ones are.
    """
    new = folder / NEW
    written = [file for file in sorted(new.rglob("*")) if file.is_symlink() or not file.is_dir()]
    names = (file.relative_to(new) for file in written)
    results = [name for name in names if NEW not in name.parts[0] and not name.parts[0].startswith(LOCK)]
    if not (new / _CLEARED).exists():
        for file in list(files(folder)):
            if file.relative_to(folder) not in results:
                file.unlink(missing_ok=True)
                _prune(file.parent, folder)
        (new / _CLEARED).touch()
    for name in results:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(new / name, folder / name)
    _discard(new)


def _prune(place: Path, folder: Path) -> None:
    """Remove folders that have become empty, up to this one."""
    while place != folder and folder in place.parents:
        try:
            place.rmdir()
        except OSError:
            return
        place = place.parent


def _empty(new: Path) -> None:
    # What says that it can be gone on with goes first, that it is finished before that it is half in place.
    for name in (_BEGUN, _FINISHED, _CLEARED):
        (new / name).unlink(missing_ok=True)
    for part in list(new.iterdir()):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def _discard(new: Path) -> None:
    _empty(new)
    new.rmdir()
