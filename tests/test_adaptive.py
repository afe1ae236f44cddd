"""Barron's loss with its parameters as inputs, and softmax losses of probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import rows

pytestmark = pytest.mark.usefixtures("level")
full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])

ALPHAS = [-1e6, -30.0, -2.0, -1e-6, 1e-9, 1e-3, 0.7, 1.0, 1.5, 1.999, 2 - 1e-6, 2 + 1e-6, 2.5, 4.0]
SIZES = [1e-6, 1e-3, 0.1, 0.7, 1.3, 5.0, 40.0, 1e4]


def exact_terms(r, alpha, c):
    """Value and derivatives by pred, alpha and c of the formula as it is written, by differences of 120 digits."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 120
    inputs = [mp.mpf(float(each)) for each in (r, alpha, c)]

    def loss(r, alpha, c):
        b = abs(alpha - 2)
        return b / alpha * (((r / c) ** 2 / b + 1) ** (alpha / 2) - 1)

    yield loss(*inputs)
    for i, x in enumerate(inputs):
        step = mp.mpf(10) ** -40 * min(abs(x), abs(x - 2) if i == 1 else abs(x))
        below, above = ([*inputs[:i], x + way, *inputs[i + 1 :]] for way in (-step, step))
        yield (loss(*above) - loss(*below)) / (2 * step)


@full_dtype
@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradients_keep_their_digits_near_the_limits(alpha, dtype):
    alpha, c = dtype(alpha), dtype(0.625)
    if alpha in (0.0, 2.0):
        pytest.skip("a limit itself")
    r = np.array(SIZES, dtype)
    loss = pl.Barron(alpha=None, c=None)
    value, grads = loss.value_and_grad(
        r, np.zeros_like(r), np.full_like(r, alpha), np.full_like(r, c), reduction="none"
    )
    limits = np.finfo(dtype)
    for i, size in enumerate(r):
        # Where the loss falls like exp(-u²/2), u² is what the last digits are multiplied by.
        allowed = 16 + 2 * min(float(size / c) ** 2, abs(float(alpha))) * (alpha < -8)
        for got, want in zip((value, *grads), exact_terms(size, alpha, c), strict=True):
            if not float(limits.tiny) < abs(want) < float(limits.max):
                continue
            assert abs(float(got[i]) - want) <= allowed * float(limits.eps) * abs(want), f"r = {size}"


@full_dtype
def test_arrays_agree_with_numbers(dtype):
    rng = np.random.default_rng(0)
    pred, target = (4 * rng.standard_normal(200).astype(dtype) for _ in range(2))
    for alpha in (-np.inf, -3.0, 0.0, 0.5, 1.0, 2.0, 3.0):
        for c in (0.5, 2.0):
            want = pl.Barron(alpha=alpha, c=c).value_and_grad(pred, target, reduction="none")
            for loss, inputs in (
                (pl.Barron(alpha=None, c=None), (alpha, c)),
                (pl.Barron(alpha=None, c=c), (alpha,)),
                (pl.Barron(alpha=alpha, c=None), (c,)),
            ):
                value, grads = loss.value_and_grad(pred, target, *inputs, reduction="none")
                assert_allclose(value, want[0], rtol=32 * np.finfo(dtype).eps)
                assert_allclose(grads[0], want[1], rtol=64 * np.finfo(dtype).eps)


def test_the_limits_of_the_gradient_by_alpha():
    loss = pl.Barron(alpha=None)
    _, (_, by_alpha) = loss.value_and_grad([1.0, 0.0], [0.0, 0.0], alpha=[2.0, 2.0], reduction="none")
    assert by_alpha.tolist() == [np.inf, 0.0]
    _, (_, by_alpha) = loss.value_and_grad([1.0, 1e9], [0.0, 0.0], alpha=-np.inf, reduction="none")
    assert by_alpha.tolist() == [0.0, 0.0]
    at, near = (loss.value_and_grad([3.0], [0.0], alpha=[alpha])[1][1] for alpha in (0.0, 1e-12))
    assert_allclose(at, near, rtol=1e-11)
    value, (by_pred, by_alpha) = loss.value_and_grad([np.inf], [0.0], alpha=[-4.0])
    assert (value, by_pred.tolist(), by_alpha.tolist()) == (1.5, [0.0], [0.125])
    value, (by_pred, by_c) = pl.Barron(alpha=0.0, c=None).value_and_grad([np.inf], [0.0], c=[4.0])
    assert (value, by_pred.tolist(), by_c.tolist()) == (np.inf, [0.0], [-0.5])


def test_inputs_and_names():
    loss = pl.Barron(alpha=None, c=None)
    pred = np.arange(12.0).reshape(3, 4)
    value, (by_pred, by_alpha, by_c) = loss.value_and_grad(pred, 0.0, alpha=np.ones(4), c=np.ones((3, 1)))
    assert value == pytest.approx(pl.Barron()(pred, 0.0))
    assert (by_pred.shape, by_alpha.shape, by_c.shape) == ((3, 4), (4,), (3, 1))
    with pytest.raises(TypeError, match=r"^alpha: got nothing, wanted pred, target, alpha and c"):
        loss(pred, 0.0)
    with pytest.raises(TypeError, match=r"^c: got it unexpectedly, wanted pred, target and alpha"):
        pl.Barron(alpha=None)(pred, 0.0, 1.0, c=1.0)
    with pytest.raises(TypeError, match="losses of the same inputs"):
        loss + pl.MSE()
    assert repr(loss) == "Barron(alpha=None, c=None)"


OF_PROBABILITIES = [
    pl.SoftmaxFocal(),
    pl.SoftmaxFocal(gamma=0.5, alpha=0.25),
    pl.SoftmaxFocal(gamma=0.0),
    pl.PolyCrossEntropy(epsilon=2.0),
    pl.GeneralizedCrossEntropy(),
    pl.SymmetricCrossEntropy(),
]
every_loss = pytest.mark.parametrize("loss", OF_PROBABILITIES, ids=repr)


@full_dtype
@pytest.mark.parametrize("classes", [1, 3, 10, 100, 5000])
@every_loss
def test_a_label_is_a_row_of_probability_one(loss, classes, dtype):
    pred, target = rows(40 if classes < 1000 else 3, classes, dtype, probabilities=False)
    pred[0] *= 10
    one_hot = (target[:, None] == np.arange(classes)).astype(dtype)
    want = loss.value_grad_hess(pred, target, reduction="none")
    got = loss.value_grad_hess(pred, one_hot, reduction="none")
    for a, b in zip(got, want, strict=True):
        assert_allclose(a, b, rtol=64 * np.finfo(dtype).eps, atol=32 * np.finfo(dtype).eps * max(1.0, abs(b).max()))


@every_loss
def test_probabilities_against_torch(loss):
    torch = pytest.importorskip("torch")
    pred, target = rows(50, 7, np.float64, probabilities=True)
    x = torch.tensor(pred, requires_grad=True)
    t = torch.tensor(target)
    log_p = torch.log_softmax(x, -1)
    p = log_p.exp()
    if isinstance(loss, pl.SoftmaxFocal):
        total = -(1.0 if loss.alpha is None else loss.alpha) * t * (1 - p) ** loss.gamma * log_p
    elif isinstance(loss, pl.PolyCrossEntropy):
        total = t * (-log_p + loss.epsilon * (1 - p))
    elif isinstance(loss, pl.GeneralizedCrossEntropy):
        total = t * (1 - p**loss.q) / loss.q
    else:
        total = -loss.alpha * t * log_p - loss.beta * p * torch.log(t.clamp(min=1e-4))
    want = total.sum(-1).mean()
    want.backward()
    value, grad = loss.value_and_grad(pred, target)
    assert_allclose(value, want.item(), rtol=1e-13)
    assert_allclose(grad, x.grad.numpy(), rtol=1e-11, atol=1e-15)


@every_loss
def test_probabilities_on_any_number_of_threads(loss):
    pred, target = rows(20_000, 10, np.float32, probabilities=True)
    with pl.num_threads(1):
        want = loss.value_grad_hess(pred, target)
    for count in (2, 3, 7):
        with pl.num_threads(count):
            got = loss.value_grad_hess(pred, target)
        for a, b in zip(got, want, strict=True):
            assert_array_equal(a, b)


@every_loss
def test_a_row_without_a_softmax_is_nan(loss):
    target = np.array([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
    value, grad = loss.value_and_grad([[-np.inf, -np.inf], [0.0, np.nan], [0.0, 1.0]], target, reduction="none")
    assert np.isnan(value).tolist() == [True, True, False]
    assert np.isnan(grad).any(axis=1).tolist() == [True, True, False]
