"""Files of any size written line by line, and still whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from limrank_plugins.segments import clean_text


@contextmanager
def whole_lines(path: Path) -> Iterator[Callable[[str], object]]:
    """Yields a function that writes text; the file gets its name when the block ends without error.

    `.gz` compresses, without a name and a time in the header: equal content is an equal file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with part.open("xb") as raw:
            with _packed(path, raw) as binary:
                stream = io.TextIOWrapper(binary, "utf-8", newline="")

                def write(text: str) -> None:
                    stream.write(clean_text(text))

                yield write
                stream.detach()  # writes what it holds, and leaves the file open
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _packed(path: Path, raw: IO[bytes]) -> AbstractContextManager[Any]:
    if path.name.endswith(".gz"):
        return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)
    return nullcontext(raw)
