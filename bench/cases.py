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
from pyloss import reference
from roofline import aligned

Result = tuple[float, Any]
THREADS = 2
MEBI = 1 << 20


@dataclass
class Case:
    """One work: `contenders` return value and gradient; `factors` turn theirs into ours (a half loss has factor 2)."""

    name: str
    size: int
    contenders: dict[str, Callable[[], Result]]
    truth: Result
    bytes: int | None = None  # moved at least, where the bandwidth roof is what limits
    factors: dict[str, float] = field(default_factory=dict)
    calls: int = 1  # of a contender in one timing
    group: str = "losses"  # which table it belongs to
    flops: float | None = None  # multiply-adds count as two, where their peak is what limits
    rounds: int | None = None  # at most, where one takes seconds
    pause: float = 0.005  # seconds before a timing, in which the thread pool of the one before stops spinning
    slack: float = 0.0  # that results may differ by where rounding decides on which side of a kink they are

    def check(self, name: str) -> None:
        """Assert that a contender computes what the reference does."""
        value, grad = self.contenders[name]()
        factor = self.factors.get(name, 1.0)
        expected, expected_grad = self.truth
        # Float32 sums of peers are good to three digits only (NumPy's dot product).
        rtol = max(1e-6, 16 * self.slack) if name.startswith("pyloss") else 1e-3
        np.testing.assert_allclose(float(value) * factor, expected, rtol=rtol, err_msg=f"{name}: {self.name}")
        if grad is not None:
            got = np.asarray(grad).reshape(-1)[:: max(1, self.size // 4096)] * factor
            want = np.asarray(expected_grad).reshape(-1)[:: max(1, self.size // 4096)]
            scale = float(np.abs(want).max())
            atol = max(1e-5 * scale, self.slack)
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=atol, err_msg=f"{name}: {self.name}")


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


def _torch(function: Callable[[Any, Any, Any], Any], p: Any, t: Any) -> Callable[[], Result] | None:
    if find_spec("torch") is None:
        return None
    torch = import_module("torch")
    torch.set_num_threads(THREADS)
    pred, target = torch.from_numpy(p).requires_grad_(), torch.from_numpy(t)

    def call() -> Result:
        pred.grad = None
        value = function(torch.nn.functional, pred, target)
        value.backward()
        return value.item(), pred.grad

    return call


def _jax(function: Callable[[Any, Any, Any, Any], Any], p: Any, t: Any) -> Callable[[], Result] | None:
    if find_spec("jax") is None:
        return None
    jax, jnp = import_module("jax"), import_module("jax.numpy")
    fused = jax.jit(jax.value_and_grad(lambda pred, target: function(jax, jnp, pred, target)))
    pred, target = jnp.asarray(p), jnp.asarray(t)
    return lambda: jax.block_until_ready(fused(pred, target))


_TORCH: dict[str, Callable[[Any, Any, Any], Any]] = {
    "mse": lambda f, p, t: f.mse_loss(p, t),
    "mae": lambda f, p, t: f.l1_loss(p, t),
    "huber": lambda f, p, t: f.huber_loss(p, t),
    "poisson_nll": lambda f, p, t: f.poisson_nll_loss(p, t),
    "bce_with_logits": lambda f, p, t: f.binary_cross_entropy_with_logits(p, t),
    "cross_entropy": lambda f, p, t: f.cross_entropy(p, t),
}


def _jax_cross_entropy(jax: Any, jnp: Any, p: Any, t: Any) -> Any:
    return (jax.nn.logsumexp(p, axis=1) - jnp.take_along_axis(p, t[:, None], 1)[:, 0]).mean()


_JAX: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "mse": lambda _, jnp, p, t: ((p - t) ** 2).mean(),
    "mae": lambda _, jnp, p, t: jnp.abs(p - t).mean(),
    "huber": lambda _, jnp, p, t: (jnp.clip(p - t, -1, 1) * (p - t - 0.5 * jnp.clip(p - t, -1, 1))).mean(),
    "log_cosh": lambda jax, jnp, p, t: (jnp.logaddexp(p - t, t - p) - jnp.log(2.0)).mean(),
    "poisson_nll": lambda _, jnp, p, t: (jnp.exp(p) - t * p).mean(),
    "bce_with_logits": lambda jax, jnp, p, t: (-t * jax.nn.log_sigmoid(p) - (1 - t) * jax.nn.log_sigmoid(-p)).mean(),
    "cross_entropy": _jax_cross_entropy,
}


def _mean(terms: Any) -> tuple[float, NDArray[np.float64]]:
    return float(np.mean(terms[0])), np.asarray(terms[1]) / np.size(terms[0])


def _add(contenders: dict[str, Callable[[], Result]], name: str, call: Callable[[], Result] | None) -> None:
    if call is not None:
        contenders[name] = call


def elementwise(name: str, size: int) -> Case:
    """Value and gradient of an elementwise loss over `size` float32."""
    random = np.random.default_rng(0)
    pred, target, grad = aligned(size), aligned(size), aligned(size)
    pred[:] = random.standard_normal(size, dtype=np.float32)
    target[:] = random.random(size, dtype=np.float32)
    if name == "hinge":
        target[:] = np.where(target < 0.5, -1, 1)
    parameters = {"quantile": {"q": 0.9}}.get(name, {})
    loss = pl.get(name, **parameters)
    contenders: dict[str, Callable[[], Result]] = {
        "pyloss": lambda: loss.value_and_grad(pred, target, out=grad),
        "pyloss, new array": lambda: loss.value_and_grad(pred, target),
    }
    factors = {}
    if name in _numpy_forms():
        contenders["NumPy"] = partial(_numpy_forms()[name], pred, target)
    if name == "mse":
        contenders["NumPy, out="] = partial(_numpy_in_place, pred, target, np.empty_like(pred))
    sklearn = _sklearn(name, pred, target)
    if sklearn:
        contenders["scikit-learn"], factor = sklearn
        factors["scikit-learn"] = factor
    if name in _TORCH:
        _add(contenders, "torch", _torch(_TORCH[name], pred, target))
    if name in _JAX:
        _add(contenders, "JAX", _jax(_JAX[name], pred, target))
    truth = _mean(getattr(reference, name)(pred.astype(np.float64), target.astype(np.float64), **parameters))
    case = Case(name, size, contenders, truth, bytes=12 * size, factors=factors)
    if "scikit-learn" in contenders:
        # Its losses yield the gradient of each element, not of the mean.
        inner, scale = contenders["scikit-learn"], 1.0 / size
        case.contenders["scikit-learn"] = inner
        case.check = partial(_check_unreduced, case, scale)  # type: ignore[method-assign]
    return case


def _check_unreduced(case: Case, scale: float, name: str) -> None:
    if name != "scikit-learn":
        return Case.check(case, name)
    value, grad = case.contenders[name]()
    return Case.check(
        Case(case.name, case.size, {name: lambda: (value, grad * scale)}, case.truth, factors=case.factors), name
    )


def combination(size: int) -> Case:
    """0.7 MSE + 0.3 MAE in one pass, beside MSE alone."""
    case = elementwise("mse", size)
    random = np.random.default_rng(0)
    pred, target, grad = aligned(size), aligned(size), aligned(size)
    pred[:] = random.standard_normal(size, dtype=np.float32)
    target[:] = random.random(size, dtype=np.float32)
    both, alone = 0.7 * pl.MSE() + 0.3 * pl.MAE(), pl.MSE()
    exact = [getattr(reference, name)(pred.astype(np.float64), target.astype(np.float64)) for name in ("mse", "mae")]
    truth = _mean([0.7 * a + 0.3 * b for a, b in zip(exact[0][:2], exact[1][:2], strict=True)])
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


def cross_entropy(rows: int, classes: int) -> Case:
    """Value and gradient of cross-entropy against class indices."""
    random = np.random.default_rng(0)
    size = rows * classes
    scores, grad = aligned(size).reshape(rows, classes), aligned(size).reshape(rows, classes)
    scores[:] = random.standard_normal((rows, classes), dtype=np.float32)
    labels = random.integers(0, classes, rows)
    loss = pl.CrossEntropy()
    contenders: dict[str, Callable[[], Result]] = {
        "pyloss": lambda: loss.value_and_grad(scores, labels, out=grad),
        "pyloss, new array": lambda: loss.value_and_grad(scores, labels),
    }
    _add(contenders, "torch", _torch(_TORCH["cross_entropy"], scores, labels))
    _add(contenders, "JAX", _jax(_JAX["cross_entropy"], scores, labels.astype(np.int32)))
    truth = pl.CrossEntropy().value_and_grad(scores.astype(np.float64), labels)
    sample = slice(0, rows, max(1, rows // 64))
    checked = reference.cross_entropy(scores[sample].astype(np.float64), labels[sample])
    np.testing.assert_allclose(truth[1][sample] * rows, checked[1], rtol=1e-9, atol=1e-15)
    return Case(f"cross_entropy {rows} x {classes}", size, contenders, truth, bytes=8 * size)


def small_call() -> Case:
    """One call for 100 elements: what calling costs."""
    random = np.random.default_rng(0)
    pred, target = random.standard_normal((2, 100), dtype=np.float32)
    loss = pl.MSE()
    contenders: dict[str, Callable[[], Result]] = {
        "pyloss": lambda: loss.value_and_grad(pred, target),
        "NumPy": partial(_numpy_best_small, pred, target),
    }
    _add(contenders, "torch", _torch(_TORCH["mse"], pred, target))
    truth = _mean(reference.mse(pred.astype(np.float64), target.astype(np.float64)))
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
ROWWISE = ((16384, 1000), (1024, 32768), (256, 131072), (1_000_000, 10))


def all_cases(quick: bool = False) -> Iterator[Case]:
    """Yield every case, made when it is its turn: together they would not fit into memory."""
    size = MEBI if quick else 16 * MEBI
    for name in ELEMENTWISE:
        yield elementwise(name, size)
    yield combination(size)
    for rows, classes in ROWWISE:
        yield cross_entropy(max(1, rows // 16) if quick else rows, classes)
    yield small_call()
