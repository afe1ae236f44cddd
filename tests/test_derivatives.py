"""The reference's derivatives are those of its values: it runs on numbers of 80 digits, and differences are taken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import pyloss.reference
from cases import CASES, Case, Expected, draw_inputs

mpmath = pytest.importorskip("mpmath")
mp = mpmath.mp.clone()
mp.dps = 80
STEP = mp.mpf(10) ** -20  # differences are wrong by STEP² and lose 40 of the digits


class HighPrecision:
    """NumPy as the reference sees it, on arrays of mpmath numbers."""

    float64 = object
    pi = mp.pi
    functions = {  # noqa: RUF012
        **{name: getattr(mp, name) for name in ("exp", "expm1", "log", "log1p", "sqrt")},
        **{name: getattr(mp, name) for name in ("sinh", "cosh", "tanh", "isnan", "isfinite")},
        **{name: getattr(mp, name) for name in ("sin", "cos", "floor")},
        "arccos": mp.acos,
        "logaddexp": lambda a, b: mp.log(mp.exp(a) + mp.exp(b)),
        "hypot": lambda a, b: mp.sqrt(a * a + b * b),
        "isinf": lambda x: mp.isinf(x),
        "isposinf": lambda x: x == mp.inf,
        "isneginf": lambda x: x == -mp.inf,
    }

    @staticmethod
    def asarray(x: Any, dtype: Any = None) -> Any:
        """Plain integers, too, become numbers of so many digits: their quotients would not be."""
        array = np.asarray(x, dtype)
        return number(array) if dtype is object and np.asarray(x).dtype.kind in "iu" else array

    def __getattr__(self, name: str) -> Any:
        if function := self.functions.get(name):
            return lambda *arrays: np.asarray(
                np.frompyfunc(function, len(arrays), 1)(*map(number, arrays)), bool if name.startswith("is") else object
            )
        return getattr(np, name)


number = np.frompyfunc(mp.mpf, 1, 1)


@partial(np.frompyfunc, nin=2, nout=4)
def log_choices(t: Any, alpha: Any) -> tuple[Any, Any, Any, Any]:
    """What the reference sums up, by the functions themselves."""
    r = 1 / alpha
    value, slope, bend = mp.loggamma(t + r) - mp.loggamma(r), mp.digamma(t + r) - mp.digamma(r), mp.psi(1, t + r)
    bend -= mp.psi(1, r)
    value -= mp.loggamma(t + 1)
    return value, value + t * mp.log(alpha), t * r - r**2 * slope, 2 * r**3 * slope + r**4 * bend - t * r**2


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, module in list(sys.modules.items()):
        if name.startswith("pyloss.reference.") and hasattr(module, "np"):
            monkeypatch.setattr(module, "np", HighPrecision())
    monkeypatch.setattr(pyloss.reference.likelihood, "erf", np.frompyfunc(mp.erf, 1, 1))
    monkeypatch.setattr(pyloss.reference.likelihood, "log_choices", lambda t, a: log_choices(number(t), number(a)))


def run(case: Case, pred: Any, target: Any) -> Any:
    parameters = {k: number(value) if isinstance(value, (float, tuple)) else value for k, value in case.parameters}
    case = replace(case, extra=tuple(number(each) for each in case.extra))
    return [number(term) for term in case.terms(*case.reference_inputs(pred, target), **parameters)]


@pytest.mark.parametrize(
    ("case", "probabilities"),
    [(case, False) for case in CASES] + [(case, True) for case in CASES if case.rowwise],
    ids=str,
)
def test_reference_derivatives_are_exact(case, probabilities, request):
    pred, target = case.draw(6 if case.rowwise else 40, probabilities=probabilities)
    expected = Expected(case, pred, target)
    in_float64, sizes, floors = expected.terms, expected.sizes, expected.floors

    request.getfixturevalue("exact")
    precise, labels = number(pred), target if target.dtype.kind == "i" else number(target)
    terms = run(case, precise, labels)
    for column in range(pred.shape[-1]) if case.rowwise else [...]:
        moved = [precise.copy(), precise.copy()]
        place = (slice(None), column) if case.rowwise else ...
        moved[0][place] -= STEP
        moved[1][place] += STEP
        below, above = (run(case, each, labels)[0] for each in moved)
        slope, bend = (above - below) / (2 * STEP), (above - 2 * terms[0] + below) / STEP**2
        for name, derivative, difference in (("grad", terms[1], slope), ("hess", terms[2], bend)):
            error = abs(derivative[place] - difference)
            assert np.all(error <= 1e-32 * (1 + abs(difference))), f"{name}: wrong by {mp.nstr(error.max(), 3)}"

    check_float64(in_float64, terms, sizes, floors)


BY_OTHERS = [replace(case, by=by) for case in CASES for by in range(1, len(case.gradients))]


@pytest.mark.parametrize("case", BY_OTHERS, ids=lambda case: f"{case} by {case.gradients[case.by]}")
def test_reference_derivatives_by_other_inputs_are_exact(case, request):
    inputs = draw_inputs(case, 40)
    if case.name in ("gaussian_nll", "beta_nll"):  # below eps the derivative is that at eps, as in torch
        inputs = (*inputs[:2], inputs[2] + (case.has("eps") or 0.0))
    expected = Expected(replace(case, extra=inputs[2:]), *inputs[:2])
    in_float64, sizes, floors = expected.terms, expected.sizes, expected.floors
    place = case.inputs.index(case.gradients[case.by])

    request.getfixturevalue("exact")
    precise = [number(each) for each in inputs]

    def at(step: Any) -> Any:
        moved = [*precise[:place], precise[place] + step, *precise[place + 1 :]]
        value, *derivatives = run(replace(case, extra=tuple(moved[2:])), *moved[:2])
        return value / held_constant(case, moved) * held_constant(case, precise), *derivatives

    below, terms, above = at(-STEP)[0], at(0), at(STEP)[0]
    slope, bend = (above - below) / (2 * STEP), (above - 2 * terms[0] + below) / STEP**2
    for name, derivative, difference in (("grad", terms[1], slope), ("hess", terms[2], bend)):
        error = abs(derivative - difference)
        assert np.all(error <= 1e-32 * (1 + abs(difference))), f"{name}: wrong by {mp.nstr(error.max(), 3)}"
    check_float64(in_float64, terms, sizes, floors)


def held_constant(case: Case, inputs: Any) -> Any:
    """The factor of a loss that its derivatives take for a constant."""
    if case.name != "beta_nll":
        return 1
    parameters = {"beta": 0.5, "eps": 1e-6} | dict(case.parameters)
    return np.maximum(inputs[2], number(parameters["eps"])) ** number(parameters["beta"])


def check_float64(in_float64: Any, terms: Any, sizes: Any, floors: Any) -> None:
    """And float64 computes these formulas well."""
    for name, got, want, size, floor in zip(("value", "grad", "hess"), in_float64, terms, sizes, floors, strict=True):
        error = abs(number(got) - want).astype(float)
        assert np.all(error <= 16 * 2.0**-52 * size + 2.0**-50 * floor), f"{name}: wrong by {error.max():.3g}"
