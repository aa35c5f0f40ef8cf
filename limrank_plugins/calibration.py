"""A calibration: the probability that a document is relevant, as a function of a recipe's score.

`limrank calibrate` fits one and writes it as JSON, which holds numbers and names and nothing that runs. A
calibration never falls, so the order of documents stays what it was.
"""

from __future__ import annotations

import hashlib
import math
import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from limrank_plugins.checks import finite_number, options_of_file
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json_object
from limrank_plugins.outputs import write_json

FORMAT = "limrank calibration 1"
_MOST_KNOTS = 100_000
_NAME = 500  # characters


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Straight lines between knots, level beyond the first and the last one.

    Attributes:
        scores: of the knots, rising.
        probabilities: of the knots, never falling, in [0, 1].
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("scores", "probabilities"):
            numbers = getattr(self, name)
            if not isinstance(numbers, list | tuple) or not 0 < len(numbers) <= _MOST_KNOTS:
                raise InputError(f"{name} must be a list of 1 to {_MOST_KNOTS:,} numbers")
            bounds = {"least": 0, "most": 1} if name == "probabilities" else {}
            object.__setattr__(self, name, tuple(finite_number(name, value, **bounds) for value in numbers))
        if len(self.scores) != len(self.probabilities):
            raise InputError(
                f"there are {len(self.scores)} scores but {len(self.probabilities)} probabilities: "
                f"a knot has one of each"
            )
        for name, is_wrong in (("scores", float.__ge__), ("probabilities", float.__gt__)):
            for before, after in pairwise(getattr(self, name)):
                if is_wrong(before, after):
                    rule = "rise" if name == "scores" else "not fall"
                    raise InputError(f"{name} must {rule} from knot to knot, but {after} follows {before}")

    def __call__(self, score: float) -> float:
        """The probability at a score."""
        right = bisect_right(self.scores, score)
        if right in (0, len(self.scores)):
            return self.probabilities[max(right - 1, 0)]
        (x, following), (low, high) = (
            self.scores[right - 1 : right + 1],
            self.probabilities[right - 1 : right + 1],
        )
        # Halved, as the distance of two floats may be none. Rounding must lead out of no segment.
        share = (score / 2 - x / 2) / (following / 2 - x / 2)
        return min(max(low + (high - low) * share, low), high)


@dataclass(frozen=True, slots=True)
class Platt:
    """The logistic curve 1 / (1 + exp(-(slope · score + intercept))), with a slope above 0."""

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        finite_number("slope", self.slope, above=0)
        finite_number("intercept", self.intercept)

    def __call__(self, score: float) -> float:
        """The probability at a score."""
        z = self.slope * score + self.intercept
        odds = math.exp(-abs(z))  # never too large for a float
        return 1 / (1 + odds) if z >= 0 else odds / (1 + odds)


_CURVES: dict[str, type[Isotonic] | type[Platt]] = {"isotonic": Isotonic, "platt": Platt}


@dataclass(frozen=True, slots=True)
class Calibration:
    """A curve, and whose scores it is for.

    Attributes:
        curve: from score to probability; never falls.
        recipe: whose scores, with its options.
        score_kind: what a score of it is.
        model: what was asked, for people; "" where that is not known.
        reranker: `made_for` of the reranker it was fitted with; "" where that is not known.
        facts: counts and measures of the fitting, by name.
    """

    curve: Isotonic | Platt
    recipe: str
    score_kind: str
    model: str = ""
    reranker: str = ""
    facts: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("recipe", "score_kind", "model", "reranker"):
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > _NAME:
                raise InputError(f"{name} must be a text of at most {_NAME} characters, but is {value!r:.80}")
        if not isinstance(self.facts, Mapping) or not all(isinstance(name, str) for name in self.facts):
            raise InputError("facts must be an object of numbers")
        for name, number in self.facts.items():
            if number is not None:
                finite_number(f"facts, {name}", number)

    @property
    def method(self) -> str:
        """`isotonic` or `platt`."""
        return next(name for name, kind in _CURVES.items() if isinstance(self.curve, kind))

    @property
    def digest(self) -> str:
        """Names the curve: two with one digest give equal probabilities."""
        return hashlib.sha256(repr(self.curve).encode("ascii")).hexdigest()

    def __call__(self, score: float) -> float:
        """The probability that a document with this score is relevant."""
        return self.curve(score)

    def least_score(self, threshold: float, scores: Iterable[float | None]) -> float:
        """The lowest of these scores with a probability of at least `threshold`; infinite without one."""
        kept = [score for score in scores if score is not None and self(score) >= threshold]
        return min(kept, default=math.inf)

    def as_json(self) -> dict[str, Any]:
        """As it is written down."""
        curve = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.curve).items()}
        of_whom = {name: getattr(self, name) for name in ("recipe", "score_kind", "model", "reranker")}
        return {"format": FORMAT, "method": self.method, **of_whom, **curve, "facts": dict(self.facts)}

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, all or nothing."""
        write_json(path, self.as_json())


def as_calibration(calibration: str | os.PathLike[str] | Mapping[str, Any] | Calibration) -> Calibration:
    """A calibration as it is, from the file that `limrank calibrate` wrote, or from what a card holds.

    Raises:
        InputError: a file that cannot be read, or a value that is none of a calibration's; it is named.
    """
    if isinstance(calibration, Calibration):
        return calibration
    if isinstance(calibration, Mapping):
        return _checked(calibration, "the calibration")
    if not isinstance(calibration, str | os.PathLike):
        raise InputError(f"calibration must be a file or a Calibration, but got {type(calibration).__name__}")
    return _checked(read_json_object(calibration, fix="`limrank calibrate` writes one"), str(calibration))


def is_calibration(path: Path) -> bool:
    """Whether a file is one that `limrank calibrate` wrote, of whatever version."""
    try:
        return str(read_json_object(path).get("format", "")).startswith(FORMAT.rstrip("0123456789"))
    except InputError:
        return False


def _checked(values: Mapping[str, Any], where: str) -> Calibration:
    kind = _CURVES.get(str(values.get("method")))
    if values.get("format") != FORMAT or kind is None:
        raise InputError(
            f"{where} is no calibration: 'format' must be {FORMAT!r} and 'method' {' or '.join(_CURVES)}, "
            f"but they are {values.get('format')!r:.80} and {values.get('method')!r:.80}"
        )
    parts = [of.name for of in fields(kind)]
    others = ("recipe", "score_kind", "model", "reranker", "facts")
    options = options_of_file(where, values, ("format", "method", *parts, *others))
    if missing := [name for name in (*parts, "recipe", "score_kind") if name not in options]:
        raise InputError(f"{where} has no {missing[0]!r}: `limrank calibrate` writes it")
    try:
        curve = kind(**{name: options[name] for name in parts})
        return Calibration(curve, **{name: options[name] for name in others if name in options})
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
