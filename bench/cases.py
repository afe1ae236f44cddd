"""What is measured: each work beside its peers, every result checked against float64 first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyloss as pl
from formulas import elementwise_formulas, row_formulas, torch_functions
from pyloss import reference
from pyloss._arguments import UNIT, Interval
from pyloss.losses import registered
from roofline import aligned

Result = tuple[float, Any]
Contender = Callable[[], Result]
Array = NDArray[np.float32]
THREADS = 2
MEBI = 1 << 20


@dataclass
class Case:
    """One work: `contenders` return value and gradient; `factors` turn theirs into ours (a half loss has factor 2)."""

    name: str
    size: int
    contenders: dict[str, Contender]
    truth: Result
    bytes: int | None = None  # moved at least, where the bandwidth roof is what limits
    writes: bool = True  # an array as long as what is read, else numbers alone
    factors: dict[str, float] = field(default_factory=dict)
    calls: int = 1  # of a contender in one timing
    group: str = "losses"  # which table it belongs to
    flops: float | None = None  # multiply-adds count as two, where their peak is what limits
    rounds: int | None = None  # at most, where one takes seconds
    pause: float = 0.005  # seconds before a timing, in which the thread pool of the one before stops spinning
    slack: float = 0.0  # that results may differ by where rounding decides on which side of a kink they are
    peer_slack: float = 1e-5  # that gradients of peers may differ by, relative to the largest

    def check(self, name: str) -> None:
        """Assert that a contender computes what the reference does."""
        value, grad = self.contenders[name]()
        factor = self.factors.get(name, 1.0)
        expected, expected_grad = self.truth
        # Float32 sums of peers are good to three digits only (NumPy's dot product).
        rtol = max(1e-6, 16 * self.slack) if name.startswith("pyloss") else 1e-3
        np.testing.assert_allclose(float(value) * factor, expected, rtol=rtol, err_msg=f"{name}: {self.name}")
        if grad is None:
            return
        for by, wanted in zip(_each(grad), _each(expected_grad), strict=True):
            got = np.asarray(by).reshape(-1)[:: max(1, self.size // 4096)] * factor
            want = np.asarray(wanted).reshape(-1)[:: max(1, self.size // 4096)]
            scale = float(np.abs(want).max())
            ours = name.startswith("pyloss")
            atol = max((1e-5 if ours else self.peer_slack) * scale, self.slack)
            rtol = 1e-4 if ours else 1e-3
            np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=f"{name}: {self.name}")


def _numpy_forms() -> dict[str, Callable[[Any, Any], Result]]:
    """Return each loss as NumPy's users write it."""

    def mse(p: Any, t: Any) -> Result:
        r = p - t
        return (r * r).mean(), r * np.float32(2 / r.size)

    def mae(p: Any, t: Any) -> Result:
        r = p - t
        return np.abs(r).mean(), np.sign(r) * np.float32(1 / r.size)

    def huber(p: Any, t: Any) -> Result:
        r = p - t
        q = np.clip(r, -1, 1)
        return (q * (r - np.float32(0.5) * q)).mean(), q * np.float32(1 / r.size)

    def bce(p: Any, t: Any) -> Result:
        e = np.exp(-np.abs(p))
        sigmoid = np.where(p >= 0, 1, e) / (1 + e)
        return (np.maximum(p, 0) - p * t + np.log1p(e)).mean(), (sigmoid - t) * np.float32(1 / p.size)

    def poisson(p: Any, t: Any) -> Result:
        rate = np.exp(p)
        return (rate - t * p).mean(), (rate - t) * np.float32(1 / p.size)

    return {"mse": mse, "mae": mae, "huber": huber, "bce_with_logits": bce, "poisson_nll": poisson}


def _numpy_in_place(p: Any, t: Any, buffer: Any) -> Result:
    """Compute MSE as NumPy can at best: three passes, no allocation."""
    np.subtract(p, t, out=buffer)
    value = np.dot(buffer, buffer) / buffer.size
    np.multiply(buffer, np.float32(2 / buffer.size), out=buffer)
    return value, buffer


def _sklearn(name: str, p: Any, t: Any) -> tuple[Callable[[], Result], float] | None:
    if find_spec("sklearn") is None:
        return None
    losses = import_module("sklearn._loss.loss")
    makers: dict[str, tuple[Callable[[], Any], float]] = {
        "mse": (losses.HalfSquaredError, 2.0),
        "mae": (losses.AbsoluteError, 1.0),
        "huber": (partial(losses.HuberLoss, delta=1.0), 1.0),
        "quantile": (partial(losses.PinballLoss, quantile=0.9), 1.0),
        "poisson_nll": (losses.HalfPoissonLoss, 1.0),
        "bce_with_logits": (losses.HalfBinomialLoss, 1.0),
    }
    if name not in makers:
        return None
    make, factor = makers[name]
    loss, values, grad = make(), np.empty_like(p), np.empty_like(p)
    if name == "huber":
        loss.closs.delta = 1.0

    def call() -> Result:
        loss.loss_gradient(t, p, loss_out=values, gradient_out=grad, n_threads=THREADS)
        return values.mean(dtype=np.float64), grad

    return call, factor


def by_torch(function: Callable[..., Any], inputs: tuple[Any, ...], by: tuple[int, ...] = (0,)) -> Contender | None:
    """Return value and gradients by torch; the function's first argument is torch.nn.functional."""
    if find_spec("torch") is None:
        return None
    torch = import_module("torch")
    torch.set_num_threads(THREADS)
    tensors = [torch.from_numpy(each) for each in inputs]
    leaves = [tensors[i].requires_grad_() for i in by]

    def call() -> Result:
        for leaf in leaves:
            leaf.grad = None
        value = function(torch.nn.functional, *tensors)
        value.backward()
        return value.item(), _alone([leaf.grad for leaf in leaves])

    return call


def by_jax(function: Callable[..., Any], inputs: tuple[Any, ...], by: tuple[int, ...] = (0,)) -> Contender | None:
    """Return value and gradients by JAX, compiled."""
    if find_spec("jax") is None:
        return None
    jax, jnp = import_module("jax"), import_module("jax.numpy")
    fused = jax.jit(jax.value_and_grad(function, argnums=by))
    arrays = [jnp.asarray(each) for each in inputs]

    def call() -> Result:
        value, grads = jax.block_until_ready(fused(*arrays))
        return value, _alone(grads)

    return call


def _alone(grads: Any) -> Any:
    return grads[0] if len(grads) == 1 else tuple(grads)


def _each(grad: Any) -> tuple[Any, ...]:
    return grad if isinstance(grad, tuple) else (grad,)


def _add_peers(contenders: dict[str, Contender], name: str, inputs: tuple[Any, ...], by: tuple[int, ...]) -> None:
    """Add what torch and JAX make of a loss, where they are installed and have it."""
    if name in torch_functions():
        add(contenders, "torch", by_torch(torch_functions()[name], inputs, by))
    if find_spec("jax"):
        formula = (elementwise_formulas() | row_formulas())[name]
        finish = import_module("jax.numpy").sqrt if name == "rmse" else lambda mean: mean
        narrow = tuple(each.astype(np.int32) if each.dtype.kind == "i" else each for each in inputs)
        add(contenders, "JAX", by_jax(lambda *arrays: finish(formula(*arrays).mean()), narrow, by))


def add(contenders: dict[str, Contender], name: str, call: Callable[[], Result] | None) -> None:
    if call is not None:
        contenders[name] = call


def draw(random: np.random.Generator, domain: Interval, size: int, *, binary: bool = False) -> Array:
    """Return numbers of a domain; where it is unbounded, such as they come."""
    array = aligned(size)
    if binary:
        array[:] = random.choice(np.array([domain.low, domain.high], np.float32), size)
    elif np.isinf(domain.low):
        array[:] = random.standard_normal(size, dtype=np.float32)
    else:
        low, high = (domain.low, domain.high) if np.isfinite(domain.high) else (domain.low + 0.25, domain.low + 3.0)
        array[:] = random.random(size, dtype=np.float32)
        array *= 0.998 * (high - low)
        array += low + 0.001 * (high - low)
    return array


def elementwise(name: str, size: int) -> Case:
    """Value and gradient of an elementwise loss over `size` float32."""
    random = np.random.default_rng(0)
    cls = registered()[name]
    info, gradients = cls.info, len(cls.gradients)
    of_pred = info.target if name in OF_MEANS else info.pred
    domains = [of_pred, UNIT if np.isinf(info.target.low) else info.target, *info.extra]
    inputs = tuple(
        draw(random, domain, size, binary=i == 1 and info.binary) for i, domain in enumerate(domains[: len(cls.inputs)])
    )
    by = tuple(cls.inputs.index(each) for each in cls.gradients)
    out = _alone([aligned(size) for _ in by])
    parameters = {"quantile": {"q": 0.9}}.get(name, {}) if name in ELEMENTWISE else {}
    loss = pl.get(name, **parameters)
    contenders: dict[str, Contender] = {
        "pyloss": lambda: loss.value_and_grad(*inputs, out=out),
        "pyloss, new array": lambda: loss.value_and_grad(*inputs),
    }
    factors = {}
    if name in _numpy_forms():
        contenders["NumPy"] = partial(_numpy_forms()[name], *inputs)
    if name == "mse":
        contenders["NumPy, out="] = partial(_numpy_in_place, *inputs, np.empty_like(inputs[0]))
    sklearn = _sklearn(name, *inputs) if name in ELEMENTWISE else None
    if sklearn:
        contenders["scikit-learn"], factor = sklearn
        factors["scikit-learn"] = factor
    if not parameters:
        _add_peers(contenders, name, inputs, by)
    truth = _truth(loss, name, parameters, inputs)
    # Of a root, the gradient needs a second look at both inputs.
    moved = len(inputs) + gradients + (0 if getattr(cls, "additive", True) else len(inputs))
    group = "losses" if name in ELEMENTWISE else "catalogue"
    case = Case(name, size, contenders, truth, bytes=4 * moved * size, factors=factors, group=group)
    if "scikit-learn" in contenders:
        # Its losses yield the gradient of each element, not of the mean.
        case.check = partial(_check_unreduced, case, 1.0 / size)  # type: ignore[method-assign]
    return case


def _truth(loss: Any, name: str, parameters: dict[str, Any], inputs: tuple[Any, ...]) -> Result:
    """Return value and gradients in float64 by pyloss, which is held against the reference on a part."""
    first = 64 if inputs[0].ndim > 1 else 65536
    part = tuple(wide(each[:first]) for each in inputs)
    if name == "rmse":
        value, *derivatives = reference.rmse(*part)
        truth = value, derivatives[0]
    else:
        terms = getattr(reference, name)(*part, **parameters)
        truth = np.mean(terms[0]), _alone([each / np.size(terms[0]) for each in _each(terms[1])])
    got = loss.value_and_grad(*part)
    np.testing.assert_allclose(got[0], truth[0], rtol=1e-10)
    for by, want in zip(_each(got[1]), _each(truth[1]), strict=True):
        np.testing.assert_allclose(by, want, rtol=1e-7, atol=1e-12 * np.abs(want).max())
    result: Result = loss.value_and_grad(*(wide(each) for each in inputs))
    return result


def wide(array: Any) -> Any:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _check_unreduced(case: Case, scale: float, name: str) -> None:
    if name != "scikit-learn":
        return Case.check(case, name)
    value, grad = case.contenders[name]()
    return Case.check(
        Case(case.name, case.size, {name: lambda: (value, grad * scale)}, case.truth, factors=case.factors), name
    )


def combination(size: int) -> Case:
    """0.7 MSE + 0.3 MAE in one pass, beside MSE alone."""
    random = np.random.default_rng(0)
    pred, target, grad = aligned(size), aligned(size), aligned(size)
    pred[:] = random.standard_normal(size, dtype=np.float32)
    target[:] = random.random(size, dtype=np.float32)
    both, alone = 0.7 * pl.MSE() + 0.3 * pl.MAE(), pl.MSE()
    exact = [getattr(reference, name)(pred.astype(np.float64), target.astype(np.float64)) for name in ("mse", "mae")]
    terms = [0.7 * a + 0.3 * b for a, b in zip(exact[0][:2], exact[1][:2], strict=True)]
    truth = float(np.mean(terms[0])), terms[1] / size
    case = Case(
        "0.7 mse + 0.3 mae",
        size,
        {"pyloss": lambda: both.value_and_grad(pred, target, out=grad)},
        truth,
        bytes=12 * size,
    )
    case.contenders["pyloss, mse alone"] = lambda: alone.value_and_grad(pred, target, out=grad)
    case.check = lambda name: Case.check(case, name) if name == "pyloss" else None  # type: ignore[method-assign]
    return case


def row_loss(name: str, rows: int, classes: int) -> Case:
    """Value and gradient of a row loss: against class indices, probabilities or nothing, as it takes them."""
    random = np.random.default_rng(0)
    cls, size = registered()[name], rows * classes
    takes: tuple[str, ...] = cls.targets  # type: ignore[attr-defined]

    def matrix() -> Array:
        array = aligned(size).reshape(rows, classes)
        array[:] = random.standard_normal((rows, classes), dtype=np.float32)
        return array

    def softmax(scores: Array) -> Array:
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores

    scores, grad = matrix(), aligned(size).reshape(rows, classes)
    if cls.info.pred.high == 0.0:
        np.log(softmax(scores), out=scores)
    elif cls.info.pred.low == 0.0:
        softmax(scores)
    elif np.isfinite(cls.info.pred.low):
        np.clip(scores / 4, -0.99, 0.99, out=scores)
    inputs: list[Any] = [scores]
    if "labels" in takes:
        inputs.append(random.integers(0, classes, rows))
    elif "probabilities" in takes:
        inputs.append(softmax(matrix()))
    if "teacher" in cls.inputs:
        inputs.append(matrix())
    loss = pl.get(name)
    contenders: dict[str, Contender] = {
        "pyloss": lambda: loss.value_and_grad(*inputs, out=grad),
        "pyloss, new array": lambda: loss.value_and_grad(*inputs),
    }
    _add_peers(contenders, name, tuple(inputs), (0,))
    truth = _truth(loss, name, {}, tuple(inputs))
    group = "losses" if name == "cross_entropy" else "catalogue"
    moved = 4 * size * (1 + sum(each.ndim > 1 for each in inputs))
    return Case(f"{name} {rows} x {classes}", size, contenders, truth, bytes=moved, group=group)


def small_call() -> Case:
    """One call for 100 elements: what calling costs."""
    random = np.random.default_rng(0)
    pred, target = random.standard_normal((2, 100), dtype=np.float32)
    loss = pl.MSE()
    contenders: dict[str, Contender] = {
        "pyloss": lambda: loss.value_and_grad(pred, target),
        "NumPy": partial(_numpy_best_small, pred, target),
    }
    add(contenders, "torch", by_torch(torch_functions()["mse"], (pred, target)))
    truth = pl.MSE().value_and_grad(wide(pred), wide(target))
    return Case("mse, one call, n = 100", 100, contenders, truth, calls=2000)


def _numpy_best_small(p: Any, t: Any) -> Result:
    r = p - t
    return r @ r / r.size, r * np.float32(2 / r.size)


def accuracy() -> Iterator[tuple[str, str, float]]:
    """Yield work, library and relative error of the float32 mean loss against float64."""
    size = 16 * MEBI
    random = np.random.default_rng(1)
    pred, target = random.standard_normal(size, dtype=np.float32), random.random(size, dtype=np.float32)
    exact = np.mean((pred.astype(np.float64) - target) ** 2)
    yield "mse", "pyloss", abs(pl.MSE()(pred, target) / exact - 1)
    scores, labels = random.standard_normal((256, 131072), dtype=np.float32), random.integers(0, 131072, 256)
    exact_entropy = reference.cross_entropy(scores.astype(np.float64), labels)[0].mean()
    yield "cross_entropy 256 x 131072", "pyloss", abs(pl.CrossEntropy()(scores, labels) / exact_entropy - 1)
    if find_spec("torch"):
        torch = import_module("torch")
        f, view = torch.nn.functional, torch.from_numpy
        yield "mse", "torch", abs(f.mse_loss(view(pred), view(target)).item() / exact - 1)
        value = f.cross_entropy(view(scores), view(labels)).item()
        yield "cross_entropy 256 x 131072", "torch", abs(value / exact_entropy - 1)


ELEMENTWISE = ("mse", "mae", "huber", "quantile", "log_cosh", "poisson_nll", "bce_with_logits", "hinge")
"""Those in README's table; the others are in docs/benchmark.md."""
OF_MEANS = ("gamma_deviance", "tweedie_deviance")
"""Whose predictions are numbers like their targets."""
ROWWISE = ((16384, 1000), (1024, 32768), (256, 131072), (1_000_000, 10))
"""Of cross-entropy; the others are measured in the first of these shapes."""


def others(base: type[Any], known: tuple[str, ...]) -> list[str]:
    """Return the losses of an engine that are not in README's table."""
    return [name for name, cls in registered().items() if issubclass(cls, base) and name not in known]


def all_cases(quick: bool = False) -> Iterator[Case]:
    """Yield every case, made when it is its turn: together they would not fit into memory."""
    size = MEBI if quick else 16 * MEBI
    for name in ELEMENTWISE:
        yield elementwise(name, size)
    yield combination(size)
    for rows, classes in ROWWISE:
        yield row_loss("cross_entropy", max(1, rows // 16) if quick else rows, classes)
    yield small_call()
