"""Values and gradients beside other libraries', in float64."""

from __future__ import annotations

from functools import partial

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
    (pl.BCE(), "binary_cross_entropy", {}),
    (pl.Logistic(), "soft_margin_loss", {}),
    (pl.TDHuber(delta=0.7), "huber_loss", {"delta": 0.7}),
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
        (pl.GammaDeviance(), metrics.mean_gamma_deviance),
        *(
            (pl.TweedieDeviance(p), partial(metrics.mean_tweedie_deviance, power=p))
            for p in (-1.0, 0.0, 1.0, 1.5, 2.0, 3.0)
        ),
    ]
    for loss, peer in peers:
        pred, target = inputs(loss)
        if getattr(loss, "power", 0.0) >= 2.0:
            target = target + 0.5
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


def by_autograd(loss, inputs, peer):
    """Values and gradients beside torch's of the same formula in its own operations."""
    torch = pytest.importorskip("torch")
    value, grads = loss.value_and_grad(*inputs, reduction="none")
    grads = grads if isinstance(grads, tuple) else (grads,)
    tensors = {name: torch.tensor(x) for name, x in zip(loss.inputs, inputs, strict=True)}
    for name in loss.gradients:
        tensors[name].requires_grad_()
    theirs = peer(torch, *tensors.values())
    theirs.sum().backward()
    assert_allclose(value, theirs.detach().numpy(), **TIGHT)
    for name, grad in zip(loss.gradients, grads, strict=True):
        assert_allclose(grad, tensors[name].grad.numpy(), **TIGHT)


@pytest.mark.parametrize("alpha", [0.25, 0.9, None])
@pytest.mark.parametrize("gamma", [2.0, 0.5, 0.0])
@pytest.mark.parametrize("hard", [False, True])
def test_torchvision_focal(hard, gamma, alpha):
    def peer(torch, z, t):
        p = torch.sigmoid(z)
        cost = torch.nn.functional.binary_cross_entropy_with_logits(z, t, reduction="none")
        missed = 1 - (p * t + (1 - p) * (1 - t))
        return cost * missed**gamma * (1.0 if alpha is None else alpha * t + (1 - alpha) * (1 - t))

    pred, target = inputs(pl.Focal())
    by_autograd(pl.Focal(gamma=gamma, alpha=alpha), (pred, np.round(target) if hard else target), peer)


@pytest.mark.parametrize(("gamma_pos", "gamma_neg", "clip"), [(0.0, 4.0, 0.05), (1.0, 2.5, 0.2), (0.5, 1.0, 0.0)])
def test_asymmetric_focal_as_the_authors_compute_it(gamma_pos, gamma_neg, clip):
    def peer(torch, z, t):
        on = torch.sigmoid(z)
        off = (1 - on + clip).clamp(max=1)
        cost = t * torch.log(on.clamp(min=1e-8)) + (1 - t) * torch.log(off.clamp(min=1e-8))
        missed = 1 - (on * t + off * (1 - t))
        return -cost * missed ** (gamma_pos * t + gamma_neg * (1 - t))

    pred, target = inputs(pl.AsymmetricFocal())
    # Beneath the clip torch has the slope of 0^gamma, which is infinite below gamma = 1.
    by_autograd(pl.AsymmetricFocal(gamma_pos, gamma_neg, clip), (pred, np.round(target)), peer)


def test_keras_clips_probabilities():
    def peer(torch, p, t):
        p = p.clamp(0.1, 0.9)
        return -(t * torch.log(p) + (1 - t) * torch.log(1 - p))

    by_autograd(pl.BCE(eps=0.1), inputs(pl.BCE()), peer)


def test_sklearn_margin_losses():
    peers = pytest.importorskip("sklearn.linear_model._sgd_fast")
    pred, target = inputs(pl.ModifiedHuber())
    for ours, peer in ((pl.ModifiedHuber(), peers.ModifiedHuber()), (pl.SquaredHinge(), peers.SquaredHinge(1.0))):
        value, grad = ours.value_and_grad(pred, target, reduction="none")
        assert_allclose(value, [peer.py_loss(p, t) for p, t in zip(pred, target, strict=True)], **TIGHT)
        assert_allclose(grad, [peer.py_dloss(p, t) for p, t in zip(pred, target, strict=True)], **TIGHT)
    # Its targets are 0 and 1.
    exponential = pytest.importorskip("sklearn._loss.loss").ExponentialLoss()
    value, grad = pl.Exponential().value_and_grad(pred, target, reduction="none")
    assert_allclose(value, exponential.loss((target + 1) / 2, pred), **TIGHT)
    assert_allclose(grad, exponential.gradient((target + 1) / 2, pred), **TIGHT)


@pytest.mark.parametrize("kind", ["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"])
def test_games(kind):
    def discriminator(torch, real, fake):
        softplus = torch.nn.functional.softplus
        return {
            "least_squares": lambda: ((real - 1) ** 2 + fake**2) / 2,
            "hinge": lambda: torch.relu(1 - real) + torch.relu(1 + fake),
            "wasserstein": lambda: fake - real,
        }.get(kind, lambda: softplus(-real) + softplus(fake))()

    def generator(torch, fake):
        sigmoid = torch.nn.functional.logsigmoid
        return {
            "minimax": lambda: sigmoid(-fake),
            "non_saturating": lambda: -sigmoid(fake),
            "least_squares": lambda: (fake - 1) ** 2 / 2,
        }.get(kind, lambda: -fake)()

    real, fake = Case(pl.GANDiscriminator).draw(501)
    by_autograd(pl.GANDiscriminator(kind), (real, fake), discriminator)
    by_autograd(pl.GANGenerator(kind), (fake,), generator)


def test_policies():
    def clipped(torch, new, old, advantage, *reference):
        ratio = torch.exp(new - old)
        value = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        return value + 0.04 * (torch.exp(reference[0] - new) - (reference[0] - new) - 1) if reference else value

    rng = np.random.default_rng(0)
    old = -rng.exponential(1.0, 501)
    new, reference = old + rng.normal(0, 0.3, 501), old + rng.normal(0, 0.3, 501)
    advantage = rng.standard_normal(501)
    advantage[::7], new[::5] = 0.0, old[::5]
    by_autograd(pl.PPOClip(), (new, old, advantage), clipped)
    by_autograd(pl.GRPO(), (new, old, advantage, reference), clipped)
    by_autograd(pl.PolicyGradient(), (new, advantage), lambda torch, new, advantage: -new * advantage)
