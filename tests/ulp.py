"""Errors of the kernels' elementary functions in units in the last place, against a wider type of the C library."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.floating]

# Worst errors allowed, in ULP.
BOUNDS = {
    ("erf", "float32"): 2.0,
    ("erf", "float64"): 2.0,
    ("atan", "float32"): 2.0,
    ("exp", "float32"): 1.0,
    ("log", "float32"): 1.0,
    ("expm1", "float32"): 2.0,
    ("expm1_above_tangent", "float32"): 3.0,
    ("log1p", "float32"): 2.0,
    ("log1p_of_both", "float32"): 3.0,
    ("log_cosh", "float32"): 2.0,
    ("log_cosh slope", "float32"): 2.0,
    ("log_cosh bend", "float32"): 5.0,
    ("pow 0.3", "float32"): 2.0,
    ("pow 2.5", "float32"): 2.0,
    ("pow 4", "float32"): 2.0,
    ("sigmoid", "float32"): 2.0,
    ("softplus", "float32"): 2.0,
    ("tanh", "float32"): 2.0,
    ("atan", "float64"): 2.0,
    ("exp", "float64"): 1.0,
    ("log", "float64"): 1.0,
    ("expm1", "float64"): 2.0,
    ("expm1_above_tangent", "float64"): 4.0,
    ("log1p", "float64"): 2.0,
    ("log1p_of_both", "float64"): 3.0,
    ("log_cosh", "float64"): 2.0,
    ("log_cosh slope", "float64"): 2.0,
    ("log_cosh bend", "float64"): 5.0,
    ("pow 0.3", "float64"): 2.0,
    ("pow 2.5", "float64"): 2.0,
    ("pow 4", "float64"): 2.0,
    ("sigmoid", "float64"): 2.0,
    ("softplus", "float64"): 2.0,
    ("tanh", "float64"): 2.0,
}
FUNCTIONS = sorted({name for name, _ in BOUNDS})
PIECE = 1 << 22


def truth(name: str, x: Reals) -> Reals:
    """Return the function at x in the type of x."""
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            e = np.exp(-np.abs(x))
            return np.where(x < 0, e, 1) / (1 + e)
        if name == "softplus":
            return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
        if name == "erf":
            return _erf(x)
        if name.startswith("pow"):
            return np.where(x < 0, np.nan, np.maximum(x, 0) ** float(name.split()[1]))
        if name == "expm1_above_tangent":
            near, series = np.where(abs(x) < 0.5, x, 0), 0 * x
            for n in range(30, 1, -1):
                series = (1 + series) * near / n
            return np.where(abs(x) < 0.5, series * near, np.where(x > 1000, np.exp(x), np.expm1(x) - x))
        if name.startswith("log_cosh"):
            e, size = np.exp(-2 * np.abs(x)), np.abs(x)
            if name == "log_cosh slope":
                return np.tanh(x)
            if name == "log_cosh bend":
                return 4 * e / (1 + e) ** 2
            near = np.log1p(np.sinh(np.minimum(size, 1)) ** 2) / 2
            return np.where(size < 1, near, size - np.log(x.dtype.type(2)) + np.log1p(e))
        return getattr(np, {"atan": "arctan", "log1p_of_both": "log1p"}.get(name, name))(x)


def _erf(x: Reals) -> Reals:
    """Return the error function by its series of positive terms, which loses nothing."""
    half_pi_root = np.sqrt(np.arctan(x.dtype.type(1)))  # that of pi / 4
    result = np.where(np.abs(x) > 1, np.sign(x), x / half_pi_root)
    inner = (np.abs(x) > 1e-6 if x.dtype == np.float64 else np.abs(x) > 1e-10) & (np.abs(x) < 7)
    square = x[inner] ** 2
    term = total = x[inner] / half_pi_root
    for n in range(1, 200):
        term = term * (2 * square / (2 * n + 1))
        total = total + term
    result[inner] = np.exp(-square) * total
    return result


def errors(got: Reals, exact: Reals) -> Reals:
    """Return how far `got` is from `exact`, of a wider type, in ULP of its own; infinite where not comparable."""
    kind = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(exact), kind.smallest_normal)
        _, exponent = np.frexp(np.where(np.isfinite(size), size, 1))
        error = np.abs(got.astype(exact.dtype) - exact) / np.ldexp(np.ones_like(exact), exponent - 1 - kind.nmant)
        # What rounds to infinity is right to be infinite.
        overflow = np.abs(exact) >= kind.max * (1 + exact.dtype.type(kind.eps) / 4)
        same = (got == exact) | (np.isnan(got) & np.isnan(exact)) | (overflow & (got == np.copysign(np.inf, exact)))
    return np.where(same, 0, np.where(np.isnan(error), np.inf, error))


def apply(native: ModuleType, name: str, x: Reals) -> Reals:
    """Return the kernels' function at x."""
    out = np.empty_like(x)
    native.math(name, x, out)
    return out


def float32_inputs(step: int, begin: int = 0, end: int = 1 << 32) -> Iterator[NDArray[np.float32]]:
    """Yield every `step`-th bit pattern of float32."""
    for start in range(begin, end, step * PIECE):
        bits = np.arange(start, min(end, start + step * PIECE), step, dtype=np.uint64)
        yield bits.astype(np.uint32).view(np.float32)


def edges(dtype: np.dtype) -> Reals:
    """Return inputs at which such functions go wrong: limits, thresholds and their neighbours, both signs."""
    kind = np.finfo(dtype)
    overflow = np.log(np.longdouble(kind.max))
    underflow = np.log(np.longdouble(kind.smallest_subnormal))
    points = [
        0,
        1,
        2,
        0.5,
        0.75,
        1.5,
        kind.smallest_subnormal,
        kind.smallest_normal,
        kind.max,
        kind.eps,
        kind.eps / 2,
        3 * kind.eps,
    ]
    points += [overflow, -underflow, -np.log(np.longdouble(kind.smallest_normal)), -np.log(np.longdouble(kind.eps))]
    points += [n * np.log(np.longdouble(2)) / 2 for n in range(1, 64)]
    points += [2.0**n for n in range(-60, 60)]
    with np.errstate(over="ignore"):
        near = np.array(points, dtype)
        for _ in range(3):
            near = np.concatenate([near, np.nextafter(near, dtype.type(np.inf)), np.nextafter(near, dtype.type(0))])
    return np.concatenate([near, -near, np.array([np.inf, -np.inf, np.nan], dtype)])


def float64_inputs(count: int, seed: int) -> Reals:
    """Return random float64: all binades, and the ranges where the functions do something."""
    random = np.random.default_rng(seed)
    each = count // 5
    return np.concatenate(
        [
            random.uniform(-750, 750, each),
            random.uniform(-40, 40, each),
            random.standard_normal(each),
            1 + random.standard_normal(each) * 10.0 ** random.uniform(-12, 0, each),
            np.ldexp(random.uniform(1, 2, each), random.integers(-1074, 1024, each)) * random.choice([-1, 1], each),
        ]
    )


def worst(native: ModuleType, name: str, x: Reals) -> tuple[float, float]:
    """Return the worst error over x, and where it is."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(invalid="ignore"):  # widening a signalling NaN
        error = errors(apply(native, name, x), truth(name, x.astype(wide)))
    at = int(error.argmax())
    return float(error[at]), float(x[at])
