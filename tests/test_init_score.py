"""The constant prediction that minimises the weighted mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import CASES, wide
from pyloss._arguments import POSITIVE, REAL
from pyloss.losses import Info, _init_score

PLAIN = [case for case in CASES if not case.rowwise and case.plain]
CLOSE = 1e-10


def slope(case, x, target, weight):
    """Mean slope of the constant x, from the reference."""
    grad = case.reference(np.full(target.shape, x), target)[1]
    return math.fsum(weight * grad)


def check_is_a_minimum(case, x, target, weight):
    """To 1e-10, the slope turns at x from negative to positive."""
    step = CLOSE * max(abs(x), 1e-300)
    around = [abs(slope(case, x + way, target, weight)) for way in (-1.0, 0.0, 1.0)]
    noise = 1e-13 * float(np.nanmax(around))  # NaN outside of the domain
    assert slope(case, x - step, target, weight) <= noise
    assert slope(case, x + step, target, weight) >= -noise


@pytest.mark.parametrize("case", PLAIN, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [2, 3, 50, 2000])
def test_slope_turns(case, weighted, size):
    _, target = case.draw(size, seed=size)
    if case.cls.info.binary:
        target[:2] = case.cls.info.target.low, case.cls.info.target.high
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, size).astype(float) if weighted else np.ones(size)
    weight[:2] = 1
    kept = np.where(weight > 0, target, np.nan)
    result = case.loss().init_score(kept, weight if weighted else None)
    if isinstance(result, float):
        check_is_a_minimum(case, result, target, weight)
    else:
        pytest.fail(f"got {result!r} for one parameter each")


@pytest.mark.parametrize("loss", [pl.GemanMcClure(), pl.Welsch(), pl.Cauchy(), pl.Tukey()], ids=lambda loss: loss.name)
@pytest.mark.parametrize("far", [5.0, 7.5, 8.0])
def test_the_top_between_two_targets_is_no_minimum(loss, far):
    target = np.array([-far, far, far, -far])
    x = loss.init_score(target)
    value = [loss(np.full(4, each), target) for each in (0.9 * x, x, 1.1 * x, 0.0)]
    assert min(value) == value[1] < value[3]


OF_ANY_SIZE = [case for case in PLAIN if case.cls.info.convex and math.isinf(case.cls.info.target.high)]


@pytest.mark.parametrize("case", OF_ANY_SIZE, ids=str)
@pytest.mark.parametrize("scale", [1e-300, 1e-6, 1e6, 1e300])
def test_any_finite_targets(case, scale):
    target = scale * abs(np.random.default_rng(0).standard_normal(31))
    loss = case.loss()
    x = loss.init_score(target)
    if isinstance(loss, pl.PoissonNLL):
        assert_allclose(x, np.log(target.mean()) if loss.log_input else target.mean() - loss.eps, rtol=1e-14)
    else:
        between = target.min() * (1 - CLOSE) <= x <= target.max() * (1 + CLOSE)
        median = np.full(target.shape, np.median(target))
        assert between or loss(np.full(target.shape, x), target) <= loss(median, target)  # there may be many


def test_formulas():
    rng = np.random.default_rng(0)
    target, weight = rng.gamma(2.0, size=1001), rng.uniform(size=1001)
    mean = np.average(target, weights=weight)
    assert_allclose(pl.MSE().init_score(target, weight), mean, rtol=1e-14)
    assert_allclose(pl.PoissonNLL().init_score(target, weight), np.log(mean), rtol=1e-14)
    assert_allclose(pl.PoissonNLL(log_input=False).init_score(target, weight), mean - 1e-8, rtol=1e-14)
    share = np.average(target > 2, weights=weight)
    logit = np.log(share / (1 - share))
    assert_allclose(pl.BCEWithLogits().init_score(target > 2, weight), logit, rtol=1e-13)
    weighed = pl.BCEWithLogits(pos_weight=3.0)
    assert_allclose(weighed.init_score(target > 2, weight), logit + np.log(3), rtol=1e-13)
    smooth = 0.9 * share + 0.05
    smoothed = pl.BCEWithLogits(label_smoothing=0.1)
    assert_allclose(smoothed.init_score(target > 2, weight), np.log(smooth / (1 - smooth)), rtol=1e-13)
    assert smoothed.init_score([1.0, 1.0]) == pytest.approx(np.log(0.95 / 0.05), rel=1e-14)
    assert pl.MSE().init_score([1e308, 1.5e308, 1.7e308]) == pytest.approx(1.4e308, rel=1e-15)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("q", [0.01, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_quantiles_are_those_of_numpy(size, q):
    rng = np.random.default_rng(size)
    target = rng.standard_normal(size)
    assert pl.Quantile(q=q).init_score(target) == np.quantile(target, q, method="inverted_cdf")
    weight = rng.uniform(0.1, 1, size)
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        want = np.quantile(target, q, method="inverted_cdf", weights=weight)
        assert pl.Quantile(q=q).init_score(target, weight) == want
    assert pl.MAE().init_score(target) == np.quantile(target, 0.5, method="inverted_cdf")


def test_parameters_side_by_side():
    rng = np.random.default_rng(0)
    target, weight = rng.standard_normal((100, 3)), rng.uniform(size=(100, 1))
    levels = (0.1, 0.5, 0.9)
    loss = pl.Quantile(q=levels)
    got = loss.init_score(target, weight)
    assert_array_equal(got, [pl.Quantile(q=q).init_score(target[:, i], weight[:, 0]) for i, q in enumerate(levels)])
    got = loss.init_score(target[:, :1])
    assert_array_equal(got, [pl.Quantile(q=q).init_score(target[:, 0]) for q in levels])
    got = (loss + 0.5 * pl.MSE()).init_score(target)
    both = [(pl.Quantile(q=q) + 0.5 * pl.MSE()).init_score(target[:, i]) for i, q in enumerate(levels)]
    assert_array_equal(got, both)
    with pytest.raises(ValueError, match=r"target: got shape \(100,\), wanted \(\.\.\., 1\) or \(\.\.\., 3\)"):
        loss.init_score(target[:, 0])


def test_sums():
    rng = np.random.default_rng(0)
    target = rng.standard_normal(1000)
    assert (2.0 * pl.MAE()).init_score(target) == pl.MAE().init_score(target)
    x = (pl.MSE() + pl.LogCosh()).init_score(target)
    assert math.fsum(2 * (x - target) + np.tanh(x - target)) == pytest.approx(0, abs=1e-11)
    # twice |r| outweighs r² near the median of a few
    assert (pl.MSE() + 20 * pl.MAE()).init_score([0.0, 1.0, 4.0]) == pytest.approx(1.0, rel=1e-10)
    many = np.tile(target, 600)  # several blocks
    assert (pl.MSE() + pl.LogCosh()).init_score(many) == pytest.approx(x, rel=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int16", "bool"])
def test_dtypes(dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    target = np.array([0, 1, 1, 0, 1]).astype(dtype)
    for loss in (pl.MSE(), pl.MAE(), pl.Huber(), pl.BCEWithLogits()):
        assert loss.init_score(target) == loss.init_score(wide(target).astype(float))
        assert loss.init_score(target.reshape(5, 1)[::1]) == loss.init_score(target)


CLASS_WEIGHT = (1.0, 2.0, 0.5, 3.0)


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize(
    "loss",
    [
        pl.CrossEntropy(),
        pl.CrossEntropy(class_weight=CLASS_WEIGHT),
        pl.CrossEntropy(label_smoothing=0.2),
        pl.CrossEntropy(class_weight=CLASS_WEIGHT, label_smoothing=0.2, ignore_index=2),
        pl.CrossEntropy(temperature=2.0, z_loss=0.1),
        pl.CrossEntropy(softcap=5.0),
        pl.CrossEntropy(softcap=1.0, temperature=0.7),
        2.0 * pl.CrossEntropy(),
    ],
    ids=str,
)
def test_class_scores(loss, probabilities):
    """The gradient of the mean by each score is 0 there."""
    rng = np.random.default_rng(0)
    target = rng.dirichlet([5, 2, 3, 1], 60) if probabilities else np.arange(60) % 7 % 4
    weight = rng.integers(0, 3, 60)
    for w in (None, weight):
        scores = loss.init_score(target, w)
        assert scores.shape == (4,)
        _, grad = loss.value_and_grad(np.broadcast_to(scores, (60, 4)), target, weight=w)
        assert_allclose(grad.sum(axis=0), 0, atol=1e-14)
    if loss == pl.CrossEntropy() and not probabilities:
        assert_allclose(loss.init_score(target), np.log(np.bincount(target) / 60), rtol=1e-14)


@pytest.mark.parametrize(
    ("loss", "target", "message"),
    [
        (pl.PoissonNLL(), [0, 0], "target: got only zeros, for which no finite prediction minimises PoissonNLL"),
        (pl.PoissonNLL(log_input=False), [0], "target: got only zeros, for which no finite prediction minimises"),
        (pl.PoissonNLL(), [0, -1], "target: got counts with mean -0.5, for which no finite"),
        (pl.BCEWithLogits(), [1, 1], "target: got only ones, for which no finite"),
        (pl.BCEWithLogits(), [0.0], "target: got only zeros, for which no finite"),
        (pl.BCEWithLogits(), [3.0], "target: got targets with mean 3, for which no finite"),
        (pl.BCEWithLogits() + pl.PoissonNLL(), [0, 0], "target: got .* falls towards -infinity, .*no finite"),
        (pl.BCEWithLogits() + pl.Hinge(), [1, 1], r"target: got .* falls towards \+infinity, .*no finite"),
        (-1.0 * pl.MAE(), [1.0, 2.0], "target: got .* no finite"),
        (pl.CrossEntropy(), [0, 2], "target: got nothing of class 1, for which no finite"),
        (pl.CrossEntropy(softcap=0.1, z_loss=0.0), [0, 1, 1, 1, 1], "target: got classes whose shares differ by more"),
        (pl.CrossEntropy(), [0, -2], r"target: got label -2 at index \(1,\), wanted a class from 0 to 0"),
        (
            pl.CrossEntropy(class_weight=(1, 1)),
            [[0.1, 0.2, 0.7]],
            "class_weight: got 2 weights, wanted one for each of",
        ),
        (pl.CrossEntropy(), [[0.5, np.nan]], r"target: got nan at index \(0, 1\), wanted probabilities"),
        (pl.CrossEntropy(), 0.5, "target: got a single number, wanted labels, or rows"),
        (pl.CrossEntropy(ignore_index=1), [1, 1], "target: got 2 labels, none of which counts"),
        (pl.MSE(), [0.0, np.nan], r"target: got nan at index \(1,\), wanted finite numbers"),
        (pl.Huber(), [[0.0, np.inf]], r"target: got inf at index \(0, 1\), wanted finite numbers"),
        (pl.MAE(), [], "target: got 0 targets of total weight 0, wanted one of positive weight"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said(loss, target, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        loss.init_score(target)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"weight: got -1.0 at index \(0,\), wanted finite weights"):
        pl.MSE().init_score([1.0], [-1.0])
    with pytest.raises(ValueError, match="weight: got shape"):
        pl.MSE().init_score([1.0], [1.0, 2.0])
    with pytest.raises(TypeError, match="target: got dtype"):
        pl.MSE().init_score(["a"])
    with pytest.raises(TypeError, match="init_score: got .*wanted an elementwise loss or CrossEntropy"):
        (pl.CrossEntropy() + pl.CrossEntropy(z_loss=1.0)).init_score([0, 1])


class Formula:
    """A loss of any formula, as the solver sees one."""

    name = "formula"

    def __init__(self, terms, pred=REAL, convex=True):
        self.terms, self.calls = terms, 0
        self.info = Info("any", convex, True, "low", pred=pred)
        self._terms = ((1.0, self),)

    def value_grad_hess(self, pred, target, *, weight, reduction, out):
        self.calls += 1
        with np.errstate(all="ignore"):
            value, *derivatives = self.terms(pred, target)
        if len(derivatives) < 2:
            raise TypeError("no second derivative")
        for there, each in zip(out, derivatives, strict=True):
            there[...] = each * (1.0 if weight is None else weight)
        return float(np.sum(value * (1.0 if weight is None else weight))), *out

    def value_and_grad(self, pred, target, *, weight, reduction, out):
        self.calls += 1
        with np.errstate(all="ignore"):
            value, grad, *_ = self.terms(pred, target)
        out[...] = grad * (1.0 if weight is None else weight)
        return float(np.sum(value * (1.0 if weight is None else weight))), out


def _welsch(pred, target):
    r = pred - target
    e = np.exp(-r * r / 2)
    return 1 - e, r * e, (1 - r * r) * e


def _tukey(pred, target, c=4.685):
    r = pred - target
    u = np.maximum(1 - (r / c) ** 2, 0)
    return c * c / 6 * (1 - u**3), r * u * u, np.where(u > 0, u * u - 4 * (r / c) ** 2 * u, 0)


def _gamma(pred, target):
    return np.log(pred) + target / pred, 1 / pred - target / pred**2, -(pred**-2) + 2 * target / pred**3


def _log_gamma(pred, target):
    e = target * np.exp(-pred)
    return pred + e, 1 - e, e


def _exponential(pred, target):
    e = np.exp(-pred * target)
    return e, -target * e, target**2 * e


def _relative(pred, target):
    return abs(pred - target) / abs(target), np.sign(pred - target) / abs(target), 0 * pred


RNG = np.random.default_rng(0)
FORMULAS = {
    "welsch": (Formula(_welsch, convex=False), RNG.normal(1e6, 5, 1000)),
    "tukey": (Formula(_tukey, convex=False), np.append(RNG.normal(0, 1, 300), np.full(99, 100.0))),
    "gamma": (Formula(_gamma, POSITIVE, convex=False), RNG.gamma(2.0, 1e-5, 1000)),
    "gamma without curvature": (Formula(lambda p, t: _gamma(p, t)[:2], POSITIVE, convex=False), RNG.gamma(2.0, 1.0, 9)),
    "log gamma": (Formula(_log_gamma), RNG.gamma(2.0, 1.0, 1000)),
    "log gamma of huge targets": (Formula(_log_gamma), RNG.gamma(2.0, 1e300, 1000)),
    "log gamma of tiny targets": (Formula(_log_gamma), RNG.gamma(2.0, 1e-290, 1000)),
    "exponential": (Formula(_exponential), RNG.choice([-1.0, 1.0, 1.0], 1000)),
    "relative": (Formula(_relative), RNG.standard_normal(1001)),
    "weights apart": (Formula(_exponential), np.append(np.ones(100_000), -1.0)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_any_formula(name):
    loss, target = FORMULAS[name]
    loss.calls = 0
    x = _init_score._of_sample(loss, _init_score.Sample(target, None))
    assert loss.calls <= 130
    with np.errstate(all="ignore"):
        before, after = (math.fsum(loss.terms(x + step, target)[1]) for step in (-CLOSE * abs(x), CLOSE * abs(x)))
    assert before <= 0 <= after


@pytest.mark.parametrize("terms", [_exponential, _log_gamma], ids=["exponential", "log_gamma"])
def test_formulas_that_fall_for_ever(terms):
    loss, target = Formula(terms), np.full(9, 1.0 if terms is _exponential else 0.0)
    with pytest.raises(ValueError, match=r"^target: got targets whose mean loss falls towards .infinity"):
        _init_score._of_sample(loss, _init_score.Sample(target, None))
    assert loss.calls <= 130


@pytest.mark.parametrize(
    ("objective", "loss"),
    [("regression", pl.MSE()), ("poisson", pl.PoissonNLL()), ("binary", pl.BCEWithLogits()),
     ("tweedie", pl.TweedieDeviance(log_input=True)), ("multiclass", pl.CrossEntropy())],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
def test_lightgbm_starts_there(objective, loss, weighted):
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2 if objective == "binary" else 3, 200)
    weight = rng.uniform(0.5, 2, 200) if weighted else None
    # A learning rate of 0: what is predicted is the start.
    settings = {"objective": objective, "verbosity": -1, "num_threads": 1, "learning_rate": 1e-30}
    if objective == "multiclass":
        settings["num_class"] = 3
    data = lightgbm.Dataset(rng.standard_normal((200, 2)), target.astype(float), weight=weight)
    got = lightgbm.train(settings, data, num_boost_round=1).predict(np.zeros((1, 2)), raw_score=True)
    assert_allclose(np.squeeze(got), loss.init_score(target, weight), rtol=1e-5)
