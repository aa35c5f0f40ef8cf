"""What the wheel installs: the five packages and the two namespace trees, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = {"limrank_plugins", "limrank_pipelines", "limrank_synth", "limrank_training", "limrank_evals"}
NAMESPACES = {"llama_index", "haystack_integrations"}


def test_the_wheel_installs_five_packages_and_two_namespace_trees(tmp_path: Path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES | NAMESPACES
    assert not any("namespaces" in name for name in names), "the source folder itself is not shipped"
    for shared in (
        "llama_index/__init__.py",
        "llama_index/postprocessor/__init__.py",
        "llama_index/retrievers/__init__.py",
    ):
        assert shared not in names
    for shared in ("haystack_integrations/__init__.py", "haystack_integrations/components/__init__.py"):
        assert shared not in names
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    assert "limrank_plugins/prompts/limrank.toml" in names
    assert "limrank_plugins/samples/corpus.jsonl" in names
    for template in (ROOT / "pipelines" / "limrank_pipelines" / "prompts").glob("*.toml"):
        assert f"limrank_pipelines/prompts/{template.name}" in names
    assert "limrank_pipelines/prompts/hyde.toml" in names
    for plan in (ROOT / "training" / "plans").glob("*.yaml"):
        assert f"limrank_training/plans/{plan.name}" in names
    assert "limrank_training/plans/limrank-7b-paper.yaml" in names
    assert "limrank_training/accelerate/ddp-2x80gb.yaml" in names
    for file in ("index.html", "review.css", "review.js"):
        assert f"limrank_synth/review/page/{file}" in names
    for page in (ROOT / "evals" / "limrank_evals" / "reporting" / "page").iterdir():
        assert f"limrank_evals/reporting/page/{page.name}" in names
    assert "limrank_evals/reporting/page/evaluation.html.jinja" in names
    assert "limrank_plugins/pages/parts/frame.html.jinja" in names
    assert any(name.startswith("llama_index/postprocessor/limrank/") for name in names)
    assert any(name.startswith("haystack_integrations/components/rankers/limrank/") for name in names)


def test_an_editable_install_copies_nothing(tmp_path: Path):
    """Copies would hide the source: it finds the namespace trees through its path file instead."""
    code = f"from hatchling.build import build_editable; print(build_editable({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert names == ["_limrank.pth"]
    assert str(ROOT / "limrank_plugins" / "namespaces") in zipfile.ZipFile(wheel).read(names[0]).decode()


def test_all_is_every_extra_but_those_that_compile_or_want_other_libraries():
    """vllm breaks a CPU torch; llama-cpp and smollm compile llama.cpp; two want an old transformers."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(everything.removeprefix("limrank[").removesuffix("]").split(","))
    assert named == set(extras) - {"all", "vllm", "llama-cpp", "smollm", "onnx", "openvino"}


def test_the_base_install_is_light():
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {need.split(">")[0].split("=")[0].lower() for need in needs}
    assert names == {"numpy", "bm25s", "pystemmer", "jinja2", "typer", "rich"}


def test_nothing_imports_the_namespace_folders_by_their_path():
    for file in ROOT.rglob("*.py"):
        parts = file.relative_to(ROOT).parts
        if parts[0].startswith(".") or parts[0] in ("build", "dist") or file == Path(__file__):
            continue
        assert "limrank_plugins.namespaces" not in file.read_text(encoding="utf-8"), file
