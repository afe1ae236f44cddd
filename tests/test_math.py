"""The elementary functions of simd/math.hpp against the C library in a wider type, mpmath, and its edges."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
import pytest

from ulp import BOUNDS, FUNCTIONS, apply, edges, errors, float32_inputs, float64_inputs, truth, worst


def test_every_function_has_a_bound(native: ModuleType) -> None:
    assert sorted(native.math_functions) == FUNCTIONS
    assert set(BOUNDS) == {(name, dtype) for name in FUNCTIONS for dtype in ("float32", "float64")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32(native: ModuleType, name: str) -> None:
    """Every 251st input; tests/sweep_math.py takes them all."""
    error, at = max(worst(native, name, x) for x in float32_inputs(251))
    print(f"{name} float32 {native.level}: {error:.3f} ULP at {at!r}")
    assert error <= BOUNDS[name, "float32"], f"{error} ULP at {at!r}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64(native: ModuleType, name: str) -> None:
    """Ten million random inputs over all functions and levels."""
    error, at = worst(native, name, float64_inputs(500_000, seed=len(name)))
    print(f"{name} float64 {native.level}: {error:.3f} ULP at {at!r}")
    assert error <= BOUNDS[name, "float64"], f"{error} ULP at {at!r}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges(native: ModuleType, name: str, dtype: str) -> None:
    x = edges(np.dtype(dtype))
    error, at = worst(native, name, x)
    assert error <= BOUNDS[name, dtype], f"{error} ULP at {at!r}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["erf", "expm1", "log1p", "log_cosh slope", "tanh"])
def test_sign_of_zero(native: ModuleType, name: str, dtype: str) -> None:
    got = apply(native, name, np.array([0.0, -0.0], dtype))
    assert np.signbit(got).tolist() == [False, True]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_against_mpmath(native: ModuleType, name: str) -> None:
    """The truth of the other tests has 64 bits itself; here it has 200."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.prec = 200
    exact_functions = {
        "sigmoid": lambda v: 1 / (1 + mp.exp(-v)),
        "softplus": lambda v: mp.log1p(mp.exp(v)),
        "expm1_above_tangent": lambda v: mp.expm1(v) - v,
        "log_cosh": lambda v: mp.log(mp.cosh(v)),
        "log_cosh slope": mp.tanh,
        "log_cosh bend": lambda v: mp.sech(v) ** 2,
        "pow 0.3": lambda v: v ** mp.mpf(0.3),
        "pow 2.5": lambda v: v ** mp.mpf(2.5),
        "pow 4": lambda v: v**4,
        "log1p_of_both": mp.log1p,
    }
    exact = exact_functions.get(name) or getattr(mp, name)
    random = np.random.default_rng(1)
    x = np.concatenate([random.uniform(-30, 30, 700), random.standard_normal(700), random.uniform(0, 1e-3, 300)])
    if name in ("log", "log1p", "log1p_of_both", "pow 0.3", "pow 2.5"):
        x = np.abs(x)
    got = apply(native, name, x)
    # The difference is taken at 200 bits, and only it is rounded.
    ulps = [
        abs(mp.mpf(float(g)) - exact(mp.mpf(float(v)))) / np.spacing(abs(float(g))) for g, v in zip(got, x, strict=True)
    ]
    assert max(ulps) <= BOUNDS[name, "float64"]


@pytest.mark.parametrize("less_one", [False, True], ids=["pow", "pow1pm1"])
@pytest.mark.parametrize("y", [-4.0, -1.3, -0.5, 1e-3, 0.3, 0.5, 0.7, 1.0, 1.5, 2.7, 4.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers(native: ModuleType, dtype: str, y: float, less_one: bool) -> None:
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.prec = 200
    random = np.random.default_rng(0)
    wide = 10.0 ** random.uniform(-8, 8, 300)
    x = np.concatenate([wide, 1 + 1e-3 * random.standard_normal(100), np.abs(random.standard_normal(200))]).astype(
        dtype
    )
    out = np.empty_like(x)
    y_of_type = float(np.array(y, dtype)) if less_one else y  # that one takes an array's number
    native.power(x, y, less_one, out)
    exact = [(mp.mpf(float(v)) + less_one) ** mp.mpf(y_of_type) - less_one for v in x]
    ulps = [abs(mp.mpf(float(g)) - e) / float(np.spacing(abs(g))) for g, e in zip(out, exact, strict=True)]
    assert max(ulps) <= (4 if less_one else 2), f"{mp.nstr(max(ulps), 3)} ULP at {x[int(np.argmax(ulps))]!r}"


def test_powers_at_the_edges(native: ModuleType) -> None:
    x = np.array([0.0, np.inf, np.nan, -1.0, 1.0, 1e-45, 3e38], np.float32)
    out = np.empty_like(x)
    for y in (-2.0, -0.5, 0.0, 0.5, 2.0):
        native.power(x, y, False, out)
        with np.errstate(all="ignore"):
            want = np.where(x < 0, np.nan, (x.astype(np.float64) ** y).astype(np.float32))
        want[2] = np.nan
        np.testing.assert_allclose(out, want, rtol=3e-7)


@pytest.mark.parametrize("y", [-4.0, -1.3, -0.5, 1e-3, 0.7, 1.5, 4.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_with_powers_out_of_range(native: ModuleType, dtype: str, y: float) -> None:
    """Of all sizes, subnormal ones too: right wherever the product is in range."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.prec = 200
    kind, random = np.finfo(dtype), np.random.default_rng(0)
    low, high = int(np.log2(kind.smallest_subnormal)), kind.maxexp
    a, x = (np.ldexp(random.uniform(0.5, 1, 3000), random.integers(low, high, 3000)).astype(dtype) for _ in range(2))
    a, x = a[(a > 0) & (x > 0)], x[(a > 0) & (x > 0)]
    out = np.empty_like(x)
    native.times_power(a, x, y, out)
    inside = 0
    for got, factor, base in zip(out, a, x, strict=True):
        exact = mp.mpf(float(factor)) * mp.mpf(float(base)) ** mp.mpf(y)
        if exact > mp.mpf(float(kind.max)):
            assert got == np.inf
            continue
        inside += 1
        assert abs(mp.mpf(float(got)) - exact) <= 4 * float(np.spacing(got))
    assert inside > 500


@cache
def falls_of_stirlings_remainder(dtype: str, order: int) -> tuple[np.ndarray, np.ndarray, list[tuple[object, object]]]:
    """Where they are taken, and what they are; with the size whose digits they are to have."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.prec = 400
    random = np.random.default_rng(0)
    z = np.concatenate([random.uniform(1, 3, 300), 10 ** random.uniform(0, 8, 300)]).astype(dtype)
    t = (10 ** random.uniform(-6, 6, 600)).astype(dtype)

    def exact(z: object) -> object:
        first, second = mp.digamma(z) - mp.log(z) + 1 / (2 * z), mp.psi(1, z) - 1 / z - 1 / (2 * z * z)
        value = mp.loggamma(z) - (z - 0.5) * mp.log(z) + z - mp.log(2 * mp.pi) / 2
        return (value, z**2 * first, -(z**4) * (2 * first + z * second))[order]

    pairs = [(mp.mpf(float(a)), mp.mpf(float(b))) for a, b in zip(z, t, strict=True)]
    wants = [exact(a) - exact(a + b) for a, b in pairs]
    # The first is right to its own digits, the others to those of t / ((1 + z)(1 + z + t)) times their size.
    moves = [b / ((1 + a) * (1 + a + b)) for a, b in pairs]
    units = [abs(want) if order == 0 else move / (12, 60)[order - 1] for want, move in zip(wants, moves, strict=True)]
    return z, t, list(zip(wants, units, strict=True))


@pytest.mark.parametrize("order", [0, 1, 2], ids=["value", "slope", "bend"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fall_of_stirlings_remainder(native: ModuleType, dtype: str, order: int) -> None:
    z, t, exact = falls_of_stirlings_remainder(dtype, order)
    out = np.empty_like(z)
    native.stirling_fall(z, t, order, out)
    eps = float(np.finfo(dtype).eps)
    off = [abs(want - float(got)) / (eps * unit) for got, (want, unit) in zip(out, exact, strict=True)]
    worst_at = int(np.argmax(off))
    print(f"{dtype} {order}: {float(off[worst_at]):.3} at {z[worst_at]!r}, {t[worst_at]!r}")
    assert off[worst_at] <= 4


def test_the_measure_itself() -> None:
    """An error of one place is one ULP, and a wrong infinity or NaN is infinitely wrong."""
    x = np.array([1.0, 0.1, 1e-44], np.float32)
    off = np.nextafter(x, np.float32(np.inf))
    np.testing.assert_allclose(errors(off, x.astype(np.float64)), 1.0)
    wrong = np.array([np.inf, np.nan, 1.0], np.float32)
    assert np.isinf(errors(wrong, np.array([1.0, 1.0, np.nan]))).all()
    assert truth("sigmoid", np.array([-800.0], np.longdouble))[0] > 0
