"""Values and gradients beside other libraries', in float64."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import pyloss as pl
from cases import CLASSES, Case

TIGHT = {"rtol": 1e-12, "atol": 1e-14}
WEIGHTS = tuple(np.linspace(0.5, 2.0, CLASSES))

# Each beside its torch function.
TORCH = [
    (pl.MSE(), "mse_loss", {}),
    (pl.MAE(), "l1_loss", {}),
    (pl.Huber(delta=0.7), "huber_loss", {"delta": 0.7}),
    (pl.PoissonNLL(), "poisson_nll_loss", {"log_input": True}),
    (pl.PoissonNLL(full=True), "poisson_nll_loss", {"log_input": True, "full": True}),
    (pl.PoissonNLL(log_input=False, eps=1e-3), "poisson_nll_loss", {"log_input": False, "eps": 1e-3}),
    (pl.BCEWithLogits(), "binary_cross_entropy_with_logits", {}),
    (pl.BCEWithLogits(pos_weight=2.5), "binary_cross_entropy_with_logits", {"pos_weight": 2.5}),
    (pl.CrossEntropy(), "cross_entropy", {}),
    (pl.CrossEntropy(label_smoothing=0.1), "cross_entropy", {"label_smoothing": 0.1}),
    (pl.CrossEntropy(ignore_index=3), "cross_entropy", {"ignore_index": 3}),
    (pl.CrossEntropy(class_weight=WEIGHTS), "cross_entropy", {"weight": WEIGHTS}),
    (
        pl.CrossEntropy(class_weight=WEIGHTS, label_smoothing=0.2, ignore_index=1),
        "cross_entropy",
        {"weight": WEIGHTS, "label_smoothing": 0.2, "ignore_index": 1},
    ),
]


def inputs(loss, *, probabilities=False):
    pred, target = Case(type(loss)).draw(501, probabilities=probabilities)
    return (abs(pred) if getattr(loss, "log_input", True) is False else pred), target


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("loss", "name", "options", "probabilities"),
    [(*row, False) for row in TORCH]
    # torch refuses ignore_index beside probabilities.
    + [(*row, True) for row in TORCH if row[1] == "cross_entropy" and "ignore_index" not in row[2]],
    ids=repr,
)
def test_torch(loss, name, options, reduction, probabilities):
    torch = pytest.importorskip("torch")
    pred, target = inputs(loss, probabilities=probabilities)
    ours, grad = loss.value_and_grad(pred, target, reduction=reduction)
    x = torch.tensor(pred, requires_grad=True)
    options = {
        k: torch.tensor(v, dtype=torch.float64) if k in ("weight", "pos_weight") else v for k, v in options.items()
    }
    theirs = getattr(torch.nn.functional, name)(x, torch.tensor(target), reduction=reduction, **options)
    theirs.sum().backward()
    assert_allclose(ours, theirs.detach().numpy(), **TIGHT)
    assert_allclose(grad, x.grad.numpy(), **TIGHT)


def test_optax():
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    peers = [
        (pl.MSE(), lambda p, t: 2 * optax.l2_loss(p, t)),
        (pl.Huber(delta=0.7), lambda p, t: optax.huber_loss(p, t, delta=0.7)),
        (pl.LogCosh(), optax.log_cosh),
        (pl.BCEWithLogits(), optax.sigmoid_binary_cross_entropy),
        (pl.Hinge(), optax.hinge_loss),
        (pl.CrossEntropy(), optax.softmax_cross_entropy_with_integer_labels),
    ]
    with jax.enable_x64(True):
        for loss, peer in peers:
            pred, target = inputs(loss)
            ours, grad = loss.value_and_grad(pred, target, reduction="none")
            theirs, slope = jax.value_and_grad(lambda p, t, peer=peer: peer(p, t).sum())(pred, target)
            assert_allclose(ours.sum(), theirs, **TIGHT)
            # log(2 cosh) - log 2 by logaddexp: optax has no more digits near 0.
            assert_allclose(grad, slope, rtol=1e-12, atol=1e-13 if loss == pl.LogCosh() else 1e-14)


@pytest.mark.parametrize("weighted", [False, True])
def test_sklearn_metrics(weighted):
    metrics = pytest.importorskip("sklearn.metrics")
    weight = np.arange(501) % 4 / 2.0 if weighted else None
    peers = [
        (pl.MSE(), metrics.mean_squared_error),
        (pl.MAE(), metrics.mean_absolute_error),
        (pl.Quantile(q=0.3), lambda t, p, **k: metrics.mean_pinball_loss(t, p, alpha=0.3, **k)),
        (pl.Hinge(), metrics.hinge_loss),
    ]
    for loss, peer in peers:
        pred, target = inputs(loss)
        assert_allclose(loss(pred, target, weight=weight), peer(target, pred, sample_weight=weight), **TIGHT)


def test_sklearn_losses():
    """Value, gradient and Hessian of what its estimators minimise."""
    peers = pytest.importorskip("sklearn._loss.loss")
    weight = np.arange(501) % 4 / 2.0
    for loss, peer, factor in (
        (pl.MSE(), peers.HalfSquaredError(), 0.5),
        (pl.BCEWithLogits(), peers.HalfBinomialLoss(), 1.0),
        (pl.Quantile(q=0.3), peers.PinballLoss(quantile=0.3), 1.0),
        (pl.Huber(delta=0.7), peers.HuberLoss(quantile=0.5, delta=0.7), 1.0),
    ):
        pred, target = inputs(loss)
        value, grad, hess = (factor * loss).value_grad_hess(pred, target, weight=weight, reduction="none")
        assert_allclose(value, peer.loss(target, pred, sample_weight=weight), **TIGHT)
        assert_allclose(grad, peer.gradient(target, pred, sample_weight=weight), **TIGHT)
        if loss == pl.MSE() or loss == pl.BCEWithLogits():  # of the others it has made-up ones
            assert_allclose(hess, peer.gradient_hessian(target, pred, sample_weight=weight)[1], **TIGHT)


def test_scipy():
    special = pytest.importorskip("scipy.special")
    pred, target = inputs(pl.CrossEntropy())
    ours = pl.CrossEntropy()(pred, target, reduction="none")
    assert_allclose(ours, -special.log_softmax(pred, axis=1)[np.arange(501), target], **TIGHT)
    pred, target = inputs(pl.Huber())
    assert_allclose(pl.Huber(delta=0.7)(pred, target, reduction="none"), special.huber(0.7, pred - target), **TIGHT)
