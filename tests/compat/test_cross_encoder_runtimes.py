"""What other runtimes and 8 bits change about scores. Run by tests/compat/run_cross_encoder_runtimes.

The model is all-MiniLM-L6-v2 as a cross-encoder of the modular kind, its last layer fitted to the cosines of
its own vectors: real weights, which rounding treats as it does those of any other such model.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from limrank_plugins import samples
from limrank_plugins.backends.cross_encoder import CrossEncoderBackend
from limrank_plugins.backends.mini_weights import find_mini
from limrank_plugins.backends.protocols import Numbers, ScorePair

RUNTIME: Any = os.environ.get("LIMRANK_RUNTIME", "")
if not RUNTIME:
    reason = "needs another transformers: run tests/compat/run_cross_encoder_runtimes"
    pytest.skip(reason, allow_module_level=True)
sentence_transformers = pytest.importorskip("sentence_transformers")

pytestmark = pytest.mark.filterwarnings("ignore")  # what exporting warns of is the exporters'
QUERIES = [query.text for query in samples.queries()]
PASSAGES = [document.passage for document in samples.documents()]


def pairs(queries: list[str], each: int) -> list[tuple[str, str]]:
    """For each query some passages, the same in every run."""
    chosen = np.random.default_rng(0)
    return [
        (query, PASSAGES[i]) for query in queries for i in chosen.choice(len(PASSAGES), each, replace=False)
    ]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mini's own layers, pooled; the layer behind them by least squares on half the queries."""
    from sentence_transformers.cross_encoder import CrossEncoder

    try:
        from sentence_transformers.base.modules import Dense, Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
    except ImportError:
        from sentence_transformers.models import Dense, Pooling, Transformer

    folder = tmp_path_factory.mktemp("mini")
    texts = pairs(QUERIES[::2], 40)
    encoder = sentence_transformers.SentenceTransformer(find_mini(), device="cpu")
    vectors = [encoder.encode([pair[side] for pair in texts], normalize_embeddings=True) for side in (0, 1)]
    wanted = (vectors[0] * vectors[1]).sum(-1)
    body, pooling = Transformer(find_mini()), Pooling(384, "mean")
    with torch.inference_mode():
        features = [pooling(body(body.preprocess([pair])))["sentence_embedding"][0].numpy() for pair in texts]
    inputs = np.c_[np.stack(features), np.ones(len(features))]
    weights = np.linalg.solve(inputs.T @ inputs + 0.1 * np.eye(385), inputs.T @ wanted)
    head = Dense(384, 1, activation_function=torch.nn.Identity(), module_output_name="scores")
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor(10 * weights[None, :-1]))
        head.linear.bias.fill_(10 * weights[-1] - 3)
    model = CrossEncoder(modules=[body, pooling, head], device="cpu")
    model.save_pretrained(str(folder))
    return folder


def quantized(folder: Path, kind: str) -> str:
    """Write the model in 8 bits beside itself, and name the file."""
    if RUNTIME == "onnx":
        from sentence_transformers import CrossEncoder
        from sentence_transformers.backend import export_dynamic_quantized_onnx_model

        model = CrossEncoder(str(folder), backend="onnx", device="cpu")
        model.save_pretrained(str(folder))
        export_dynamic_quantized_onnx_model(model, "avx512_vnni", str(folder))
        return "onnx/model_qint8_avx512_vnni.onnx"
    from optimum.intel import openvino

    loader = getattr(openvino, kind)
    loader.from_pretrained(folder, export=True, load_in_8bit=True).save_pretrained(folder / "openvino")
    return "openvino/openvino_model.xml"


def scores(folder: Path, asked: list[tuple[str, str]], **options: Any) -> np.ndarray:
    backend = CrossEncoderBackend(str(folder), device="cpu", **options)
    replies = backend.score_pairs([ScorePair(*pair) for pair in asked])
    assert all(isinstance(reply, Numbers) for reply in replies), replies
    return np.array([reply.values[0] for reply in replies if isinstance(reply, Numbers)])


def compared(name: str, truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """The largest difference and the rank correlation, printed with the spread of the scores."""
    worst = float(np.abs(truth - found).max())
    correlation = float(scipy.stats.spearmanr(truth, found).statistic)
    print(
        f"\n{name}: largest difference {worst:.4g}, mean {np.abs(truth - found).mean():.4g}, "
        f"Spearman {correlation:.4f}; {len(truth)} logits of standard deviation {truth.std():.3g}"
    )
    return worst, correlation


def test_mini(fitted: Path) -> None:
    asked = pairs(QUERIES[1::2], 20)
    truth = scores(fitted, asked)
    assert truth.std() > 0.1
    worst, _ = compared(f"mini, {RUNTIME}, 32 bits", truth, scores(fitted, asked, runtime=RUNTIME))
    assert worst < (1e-3 if RUNTIME == "onnx" else 0.1)  # OpenVINO quantizes activations by itself
    file = quantized(fitted, "OVModelForFeatureExtraction")
    found = scores(fitted, asked, runtime=RUNTIME, file_name=file)
    worst, correlation = compared(f"mini, {RUNTIME}, 8 bits", truth, found)
    assert worst > 0
    assert correlation > 0.9
    wanted = sentence_transformers.CrossEncoder(
        str(fitted), backend=RUNTIME, device="cpu", model_kwargs={"file_name": file}
    )
    library = [wanted.predict([pair], activation_fn=torch.nn.Identity())[0] for pair in asked[:5]]
    np.testing.assert_allclose(found[:5], library, atol=1e-5)
