"""Every loss of rows of quantiles with several settings of its parameters, and inputs for it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cases import other_values, wide
from pyloss import reference
from pyloss.losses import registered
from pyloss.losses._quantiles import OfQuantiles


@dataclass(frozen=True)
class Case:
    """A loss as its class and parameters: each test makes its own, at its own level."""

    cls: type[OfQuantiles]
    parameters: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return repr(self.loss())

    def loss(self) -> Any:
        return self.cls(**dict(self.parameters))

    def reference(self, pred: np.ndarray, target: np.ndarray) -> reference._terms.Terms:
        with np.errstate(all="ignore"):
            return getattr(reference, self.cls.name)(wide(pred), wide(target), **dict(self.parameters))


def draw(
    rows: tuple[int, ...], quantiles: int, samples: int, dtype: Any = np.float64, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers whose differences every type but the half ones has exactly; ties and kinks among them."""
    rng = np.random.default_rng((seed, quantiles, samples))
    pred, target = (np.round(3 * rng.standard_normal((*rows, size)) * 64) / 64 for size in (quantiles, samples))
    return pred.astype(dtype), target.astype(dtype)


LOSSES = {name: cls for name, cls in registered().items() if issubclass(cls, OfQuantiles)}
CASES = [Case(cls) for cls in LOSSES.values()] + [
    Case(cls, ((field.name, value),))
    for cls in LOSSES.values()
    for field in dataclasses.fields(cls)  # type: ignore[arg-type]
    for value in other_values(field)
]

every_case = pytest.mark.parametrize("case", CASES, ids=str)
