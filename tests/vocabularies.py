"""Real tokenizers for `make check-data`: python vocabularies.py FOLDER.

They are out of the source archive of llama-cpp-python, which holds llama.cpp with the files that test its own
tokenizers. Nothing of it is built, run or kept but these files.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

PACKAGE = "llama-cpp-python==0.3.36"
WANTED = {
    *(f"ggml-vocab-{name}.gguf{end}" for name in ("qwen2", "llama-bpe") for end in ("", ".inp", ".out")),
    "templates/Qwen-Qwen2.5-7B-Instruct.jinja",
    "templates/meta-llama-Llama-3.1-8B-Instruct.jinja",
}
PLACE = "vendor/llama.cpp/models/"


def fetch(folder: Path) -> None:
    """Put the wanted files into the folder."""
    with TemporaryDirectory() as place:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", place]
        subprocess.run([*download, "--no-binary", "llama-cpp-python", PACKAGE], check=True)
        (archive,) = Path(place).glob("*.tar.gz")
        found = set()
        with tarfile.open(archive) as members:
            for member in members:
                name = member.name.partition(PLACE)[2]
                source = members.extractfile(member) if name in WANTED else None
                if source is not None:
                    target = folder / PurePosixPath(name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(source.read())
                    found.add(name)
    if found != WANTED:
        raise SystemExit(f"{PACKAGE} has no {', '.join(sorted(WANTED - found))}")


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
