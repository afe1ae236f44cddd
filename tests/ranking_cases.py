"""Every ranking loss with several settings of its parameters, inputs for it, and what the reference says."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pyloss as pl
from cases import wide
from pyloss.losses import registered
from pyloss.losses._ranking import RankingLoss
from pyloss.reference import ranking as reference

LOSSES = {name: cls for name, cls in registered().items() if issubclass(cls, RankingLoss)}


@dataclass(frozen=True)
class Case:
    """A loss as its class and parameters: each test makes its own, at its own level."""

    cls: type[RankingLoss]
    parameters: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return repr(self.loss())

    def loss(self) -> Any:
        return self.cls(**dict(self.parameters))

    @property
    def in_float32(self) -> bool:
        """Whether inputs narrower than float64 are computed with in float32."""
        return self.cls is pl.PairwiseRank and self.loss().kind == "logistic"

    def reference(self, pred: Any, target: Any, query: Any = None) -> reference.Result:
        return getattr(reference, self.cls.name)(wide(pred), wide(target), query, **dict(self.parameters))


def _case(cls: type[RankingLoss], **parameters: Any) -> Case:
    return Case(cls, tuple(parameters.items()))


CASES = [
    _case(pl.PairwiseRank),
    _case(pl.PairwiseRank, kind="hinge"),
    _case(pl.PairwiseRank, kind="hinge", margin=0.25),
    _case(pl.PairwiseRank, kind="squared_hinge"),
    _case(pl.PairwiseRank, kind="squared_hinge", margin=2.5),
    _case(pl.LambdaRank),
    _case(pl.LambdaRank, k=1),
    _case(pl.LambdaRank, k=5),
    _case(pl.ListNet),
    _case(pl.ListMLE),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def settings_of(cls: type[RankingLoss]) -> dict[str, set[Any]]:
    """The values that the cases have of each parameter."""
    own = [case.loss() for case in CASES if case.cls is cls]
    return {field.name: {getattr(loss, field.name) for loss in own} for field in dataclasses.fields(cls)}  # type: ignore[arg-type]


QUERIES = ["ascending", "grouped", "shuffled", "wide", "unsigned", "one", "each", "none"]


def draw_query(pattern: str, n: int, seed: int = 0) -> Any:
    """Ids of about n / 9 queries, of which many have one item."""
    rng = np.random.default_rng([seed, n])
    few = np.repeat(rng.permutation(n + 1), rng.geometric(0.11, n + 1))[:n]
    match pattern:
        case "ascending":
            return np.sort(few)
        case "grouped":
            return few.astype(np.int16)
        case "shuffled":
            return rng.permutation(few)
        case "wide":
            return rng.choice([-5, 7, 2**40, -(2**62), 2**63 - 1, -(2**63)], n)
        case "unsigned":
            return rng.choice(np.array([5, 7, 2**63, 2**64 - 1], np.uint64), n)
        case "one":
            return np.full(n, 3, np.uint8)
        case "each":
            return rng.permutation(n)
        case "none":
            return None
    raise ValueError(pattern)


def draw(n: int, levels: int = 4, dtype: Any = np.float64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random scores, and relevances of so many levels (0: all different)."""
    rng = np.random.default_rng([seed, n, levels])
    relevance = rng.integers(0, levels, n).astype(np.float64) if levels else rng.permutation(n) / max(n / 5, 1)
    return (2 * rng.standard_normal(n)).astype(dtype), relevance


@dataclass
class Expected:
    """What the reference says of a call, and by how much a kernel may differ."""

    case: Case
    pred: np.ndarray
    target: np.ndarray
    query: Any = None

    def __post_init__(self) -> None:
        self.terms, self.counts, self.grad, self.hess = self.case.reference(self.pred, self.target, self.query)
        ids = np.zeros(len(self.pred), int) if self.query is None else self.query
        self.of = np.unique(ids, return_inverse=True)[1].reshape(len(self.pred))

    def reduced(self, weight: Any = None, reduction: str = "mean") -> tuple[Any, np.ndarray, np.ndarray]:
        w = np.broadcast_to(1.0 if weight is None else wide(np.asarray(weight)), self.terms.shape)
        total = float(np.sum(w * self.counts))
        scale = 1.0 if reduction != "mean" else 1.0 / total if total > 0 else 0.0
        with np.errstate(invalid="ignore"):
            terms = np.where(w == 0, 0.0, w * self.terms)
            factor = (w * scale)[self.of]
            grad, hess = (np.where(factor == 0, 0.0, factor * each) for each in (self.grad, self.hess))
            return terms if reduction == "none" else scale * np.sum(terms), grad, hess

    def check(self, results: tuple[Any, ...], weight: Any = None, reduction: str = "mean") -> None:
        """Compare the results of `value_and_grad` or `value_grad_hess`."""
        dtype = results[1].dtype
        narrow = self.case.in_float32 and dtype != np.float64
        # A term has a few roundings, and a query adds up so many that they do not all go one way. An item's derivative
        # is of terms of both signs, which are as large as its query's largest.
        unit = 2.0**-20 if narrow else 2.0**-46
        rounded = 0.0 if dtype == np.float64 else float(_limits(dtype).eps)
        tiny = float(_limits(dtype).smallest_subnormal)
        for name, got, want in zip(("value", "grad", "hess"), results, self.reduced(weight, reduction), strict=False):
            assert np.shape(got) == np.shape(want), f"{name}: shape"
            size = np.nan_to_num(abs(want), nan=0.0, posinf=0.0)
            own = rounded * size if np.ndim(got) else 0.0
            if name != "value":
                assert got.dtype == dtype
                largest = np.zeros(len(self.terms))
                np.maximum.at(largest, self.of, size)
                size = largest[self.of]
            with np.errstate(invalid="ignore"):
                wrong = ~((abs(wide(np.asarray(got)) - want) <= unit * size + own + tiny) | (got == want))
            wrong &= ~(np.isnan(want) & np.isnan(got))
            if np.ndim(got):
                wrong &= ~(np.isinf(got) & (abs(want) > float(_limits(dtype).max)) & (np.sign(got) == np.sign(want)))
            assert not np.any(wrong), (
                f"{self.case}, {dtype}, {name}: {np.sum(wrong)} of {wrong.size} wrong, first at {np.argmax(wrong)}: "
                f"got {np.ravel(got)[np.argmax(wrong)]!r}, wanted {np.ravel(want)[np.argmax(wrong)]!r}"
            )


def _limits(dtype: Any) -> Any:
    if np.dtype(dtype).name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.finfo(dtype)
    return np.finfo(dtype)
