"""What stands for the second derivative: by hand from the libraries' formulas, and beside the libraries themselves."""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import every_case

CURVATURES = ["fisher", "xgboost", "lightgbm"]
every_curvature = pytest.mark.parametrize("curvature", CURVATURES)

PRED = np.array([-3.0, -0.5, 0.0, 0.25, 2.0, 40.0])
TARGET = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])


def hess(loss, pred, target, curvature, **options):
    return loss.value_grad_hess(pred, target, curvature=curvature, **({"reduction": "none"} | options))[2]


def p(z):
    return 1 / (1 + np.exp(-z))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


ONE = np.ones_like(PRED)
NEAR = np.where(abs(PRED - TARGET) <= 1, 1.0, 0.0)
EXPECTED: list[tuple[Any, str, Any]] = [
    (pl.MSE(), "fisher", 2 * ONE),
    (pl.MSE(), "xgboost", 2 * ONE),
    (pl.MSE(), "lightgbm", 2 * ONE),
    (pl.MAE(), "fisher", ONE),
    (pl.MAE(), "xgboost", ONE),
    (pl.MAE(), "lightgbm", ONE),
    (pl.Quantile(q=0.2), "fisher", 0.16 * ONE),
    (pl.Quantile(q=0.2), "xgboost", ONE),
    (pl.Quantile(q=0.2), "lightgbm", ONE),
    (pl.Huber(), "fisher", NEAR),
    (pl.Huber(), "xgboost", NEAR),
    (pl.Huber(), "lightgbm", ONE),
    (pl.PoissonNLL(), "fisher", np.exp(PRED)),
    (pl.PoissonNLL(), "xgboost", np.exp(PRED + 0.7)),
    (pl.PoissonNLL(), "lightgbm", np.exp(PRED + 0.7)),
    (pl.BCEWithLogits(), "fisher", p(PRED) * p(-PRED)),
    (pl.BCEWithLogits(), "xgboost", np.maximum(p(PRED) * p(-PRED), 1e-16)),
    (pl.BCEWithLogits(), "lightgbm", p(PRED) * p(-PRED)),
]


@pytest.mark.parametrize(("loss", "curvature", "expected"), EXPECTED, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_by_hand(loss, curvature, expected, dtype):
    pred, target = PRED.astype(dtype), TARGET.astype(dtype)
    got = hess(loss, pred, target, curvature)
    assert got.dtype == dtype
    assert_allclose(got, expected, rtol=1e-6 if dtype == "float32" else 1e-14)
    value, grad, _ = loss.value_grad_hess(pred, target, reduction="none")
    same = loss.value_grad_hess(pred, target, reduction="none", curvature=curvature)
    assert_array_equal(same[0], value)
    assert_array_equal(same[1], grad)


@pytest.mark.parametrize("log_input", [True, False])
def test_poisson_of_a_rate_is_of_no_library(log_input):
    rate = np.array([0.5, 2.0])
    loss = pl.PoissonNLL(log_input=log_input)
    exact = hess(loss, rate, [1.0, 3.0], "exact")
    factor = math.exp(0.7) if log_input else 1.0
    assert_allclose(hess(loss, rate, [1.0, 3.0], "xgboost"), factor * exact, rtol=1e-15)


@pytest.mark.parametrize("classes", [1, 2, 3, 100, 5000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("probabilities", [False, True])
def test_softmax_by_hand(classes, dtype, probabilities):
    rng = np.random.default_rng(classes)
    pred = (3 * rng.standard_normal((37, classes))).astype(dtype)
    pred[0, 0] += 60  # p (1 - p) below the floor
    target = rng.dirichlet(np.ones(classes), 37).astype(dtype) if probabilities else rng.integers(0, classes, 37)
    q = softmax(pred.astype(np.float64))
    others = q.sum(axis=1, keepdims=True) - q
    own = np.where(q > 0.5, np.where(np.eye(classes, dtype=bool)[q.argmax(axis=1)], _others(pred), others), 1 - q)
    exact = q * own
    weight = rng.uniform(0.5, 2, 37)
    tolerance = {"rtol": 2e-4 if dtype == "float32" else 1e-10, "atol": 1e-30}
    k = classes / (classes - 1) if classes > 1 else 1.0
    for curvature, expected in (
        ("exact", exact),
        ("fisher", exact),
        ("xgboost", np.maximum(2 * exact, 1e-16)),
        ("lightgbm", k * exact),
    ):
        loss = pl.CrossEntropy()
        assert_allclose(hess(loss, pred, target, curvature), expected, **tolerance)
        weighted = hess(loss, pred, target, curvature, weight=weight)
        assert_allclose(weighted, weight[:, None] * expected, **tolerance)
        mean = hess(3.0 * loss, pred, target, curvature, weight=weight, reduction="mean")
        assert_allclose(mean, 3 * weight[:, None] * expected / weight.sum(), **tolerance)
        turned = hess(-2.0 * loss, pred, target, curvature)
        assert_allclose(turned, -2 * expected, **tolerance)


def _others(pred):
    """1 - p of each row's largest score, from the other scores alone."""
    x = np.sort(pred.astype(np.float64), axis=1)
    e = np.exp(x - x[:, -1:])
    return (e[:, :-1].sum(axis=1) / e.sum(axis=1))[:, None]


@pytest.mark.parametrize("classes", [7, 100])
def test_softmax_surrogate_comes_before_the_weight_and_leaves_out_what_is_left_out(classes):
    rng = np.random.default_rng(0)
    pred, target = rng.standard_normal((5, classes)), rng.integers(0, classes, 5)
    target[1] = -1
    pred[1:3] = np.nan
    weight = np.array([1.0, 1.0, 0.0, 2.0, 1e-3])
    loss = pl.CrossEntropy(ignore_index=-1)
    got = hess(loss, pred, target, "xgboost", weight=weight)
    assert_array_equal(got[1:3], 0.0)
    q = softmax(pred[[0, 3, 4]])
    assert_allclose(got[[0, 3, 4]], weight[[0, 3, 4], None] * 2 * q * (1 - q), rtol=1e-12)
    pred[3] = np.nan
    assert np.isnan(hess(loss, pred, target, "xgboost", weight=weight)[3]).all()


@pytest.mark.parametrize("classes", [7, 100])
@every_curvature
def test_softmax_of_capped_scores_and_z_loss(classes, curvature):
    """The surrogate is of the derivative by the scores themselves, whatever happens to them first."""
    rng = np.random.default_rng(0)
    pred, target = 4 * rng.standard_normal((9, classes)), rng.integers(0, classes, 9)
    loss = pl.CrossEntropy(softcap=2.0, temperature=0.5, z_loss=0.3, label_smoothing=0.1)
    exact = hess(loss, pred, target, "exact")
    assert (exact < 0).any()
    factor, floor = {"fisher": (1, 0), "xgboost": (2, 1e-16), "lightgbm": (classes / (classes - 1), 0)}[curvature]
    assert_allclose(hess(loss, pred, target, curvature), np.maximum(factor * exact, floor), rtol=1e-14)


@pytest.mark.parametrize("classes", [7, 100, 5000])
@every_curvature
def test_softmax_of_any_dtype_on_any_number_of_threads(classes, curvature, dtype):
    rng = np.random.default_rng(0)
    rows = 4000 // classes + 3
    pred, target = rng.standard_normal((rows, classes)).astype(dtype), rng.integers(0, classes, rows)
    loss = pl.CrossEntropy(label_smoothing=0.1)
    results = []
    for count in (1, 2, 3, 7):
        with pl.num_threads(count):
            results.append(loss.value_grad_hess(pred, target, curvature=curvature))
    for other in results[1:]:
        for got, want in zip(other, results[0], strict=True):
            assert_array_equal(got, want)
    assert results[0][2].dtype == dtype
    wide = hess(loss, pred.astype(np.float64), target, curvature, reduction="mean")
    digits = {"float16": 11, "bfloat16": 8, "float32": 18, "float64": 40}[np.dtype(dtype).name]
    tiny = 2.0**-24 if np.dtype(dtype).name == "float16" else 1e-30
    assert_allclose(results[0][2].astype(np.float64), wide, rtol=2.0**-digits, atol=tiny)


LEVELS = (0.1, 0.5, 0.9)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", [(3,), (0, 3), (5, 3), (4, 2, 3), (40000, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_quantiles_side_by_side(dtype, shape, weighted, threads):
    """Each level has a floor of its own; all else is as without a surrogate."""
    rng = np.random.default_rng(0)
    pred, target = rng.standard_normal(shape).astype(dtype), rng.standard_normal((*shape[:-1], 1)).astype(dtype)
    weight = rng.integers(0, 3, (*shape[:-1], 1)) if weighted else None
    loss = 2.0 * pl.Quantile(q=LEVELS)
    value, grad, exact = loss.value_grad_hess(pred, target, weight=weight)
    got = loss.value_grad_hess(pred, target, weight=weight, curvature="fisher")
    assert_allclose(got[0], value, rtol=1e-14)
    assert_array_equal(got[1], grad)
    w = np.broadcast_to(1.0 if weight is None else weight, shape)
    total = w.sum() or 1.0
    tolerance = {"float16": 1e-2, "float32": 1e-6, "float64": 1e-14}[dtype]
    expected = 2 * w / total * [level * (1 - level) for level in LEVELS]
    assert_allclose(got[2].astype(float), expected, rtol=tolerance, atol=6e-8 if dtype == "float16" else 0)
    assert got[2].dtype == dtype
    assert_array_equal(exact, 0)
    boosted = loss.value_grad_hess(pred, target, weight=weight, curvature="lightgbm")
    assert_allclose(boosted[2].astype(float), 2 * w / total, rtol=tolerance, atol=6e-8 if dtype == "float16" else 0)


def test_quantiles_side_by_side_in_a_sum_turned_and_in_place():
    rng = np.random.default_rng(0)
    pred = np.asfortranarray(rng.standard_normal((50, 3)))
    target = rng.standard_normal((50, 1))
    loss = pl.Quantile(q=LEVELS) + 0.5 * pl.MSE()
    want = np.array([0.09, 0.25, 0.09]) + 1.0
    value, grad, curve = loss.value_grad_hess(pred, target, reduction="none", curvature="fisher")
    assert_allclose(curve, np.broadcast_to(want, pred.shape), rtol=1e-15)
    assert_array_equal(value, loss(pred, target, reduction="none"))
    assert_array_equal(grad, loss.value_and_grad(pred, target, reduction="none")[1])
    place, second = pred.copy(order="F"), np.empty_like(pred)
    loss.value_grad_hess(place, target, reduction="sum", curvature="fisher", out=(place, second))
    assert_array_equal(place, grad)
    assert_array_equal(second, curve)
    single = pl.Quantile(q=(0.2,))
    assert_allclose(hess(single, pred, target, "fisher"), np.full(pred.shape, 0.16), rtol=1e-15)


@every_curvature
def test_sums_have_the_surrogate_of_each_term(curvature):
    losses = [pl.MSE(), pl.MAE(), pl.Quantile(q=0.3), pl.Huber(delta=0.5), pl.PoissonNLL(), pl.BCEWithLogits()]
    for a, b in itertools.combinations(losses, 2):
        both = hess(0.7 * a + 1.3 * b, PRED, TARGET, curvature)
        parts = 0.7 * hess(a, PRED, TARGET, curvature) + 1.3 * hess(b, PRED, TARGET, curvature)
        assert_allclose(both, parts, rtol=1e-14)


@every_curvature
def test_the_weight_comes_after_the_surrogate(curvature):
    weight = np.array([0.0, 1.0, 2.0, 0.5, 1e-3, 1.0])
    for loss in (pl.MAE(), pl.Quantile(q=0.3), pl.PoissonNLL(), pl.BCEWithLogits(), pl.Huber()):
        plain = hess(loss, PRED, TARGET, curvature)
        assert_allclose(hess(loss, PRED, TARGET, curvature, weight=weight), weight * plain, rtol=1e-15)
    pred = np.array([np.nan, 1.0])
    assert_array_equal(hess(pl.MAE(), pred, [0.0, 0.0], curvature, weight=[0, 1]), [0.0, 1.0])


@every_case
@every_curvature
def test_never_negative(case, curvature):
    loss = case.loss()
    pred, target = case.draw(200)
    try:
        got = hess(loss, pred, target, curvature)
    except TypeError as error:
        assert case.cls.__name__ in str(error)  # noqa: PT017
        return
    assert (got >= 0).all()


@pytest.mark.parametrize("loss", [pl.MSE(), pl.CrossEntropy()], ids=str)
def test_unknown_curvature(loss):
    pred, target = np.zeros((2, 3)), np.zeros((2, 3))
    wanted = "wanted one of exact, fisher, xgboost, lightgbm"
    with pytest.raises(ValueError, match=f"curvature: got 'catboost', {wanted}"):
        loss.value_grad_hess(pred, target, curvature="catboost")
    with pytest.raises(TypeError, match=f"curvature: got None, {wanted}"):
        loss.value_grad_hess(pred, target, curvature=None)


class Peers:
    """Hessians that the libraries use: of the rows of each leaf they report the sum."""

    rows = 24

    @cached_property
    def x(self):
        return np.arange(self.rows, dtype=np.float64)[:, None]

    def lightgbm(self, objective, pred, target, weight=None, **parameters):
        lightgbm = pytest.importorskip("lightgbm")
        settings = {
            "objective": objective, "num_leaves": 2 * self.rows, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0.0,
            "min_data_in_bin": 1, "boost_from_average": False, "verbosity": -1, "num_threads": 1, "max_bin": 1000,
            "feature_pre_filter": False,
        }  # fmt: skip
        data = lightgbm.Dataset(self.x, target, weight=weight, init_score=pred)
        model = lightgbm.train(settings | parameters, data, num_boost_round=1)
        trees = [tree["tree_structure"] for tree in model.dump_model()["tree_info"]]
        leaves = model.predict(self.x, pred_leaf=True).reshape(self.rows, len(trees))
        return leaves, [_lightgbm_leaves(tree) for tree in trees]

    def xgboost(self, objective, pred, target, weight=None, **parameters):
        xgboost = pytest.importorskip("xgboost")
        settings = {
            "objective": objective, "max_depth": 40, "min_child_weight": 0, "lambda": 0, "gamma": 0,
            "tree_method": "exact", "nthread": 1,
        }  # fmt: skip
        data = xgboost.DMatrix(self.x, target, weight=weight, base_margin=pred)
        model = xgboost.train(settings | parameters, data, num_boost_round=1)
        leaves = model.predict(data, pred_leaf=True).reshape(self.rows, -1)
        table = model.trees_to_dataframe()
        return leaves, [
            dict(zip(tree.Node, tree.Cover, strict=True)) for _, tree in table[table.Feature == "Leaf"].groupby("Tree")
        ]


def _lightgbm_leaves(node):
    if "leaf_index" in node:
        return {node["leaf_index"]: node["leaf_weight"]}
    if "left_child" not in node:
        return {}
    return _lightgbm_leaves(node["left_child"]) | _lightgbm_leaves(node["right_child"])


PEERS = Peers()
POINTWISE = [
    ("lightgbm", "regression_l1", {}, pl.MAE()),
    ("lightgbm", "huber", {"alpha": 0.8}, pl.Huber(delta=0.8)),
    ("lightgbm", "quantile", {"alpha": 0.3}, pl.Quantile(q=0.3)),
    ("lightgbm", "poisson", {}, pl.PoissonNLL()),
    ("lightgbm", "tweedie", {"tweedie_variance_power": 1.3}, 0.5 * pl.TweedieDeviance(1.3, log_input=True)),
    ("lightgbm", "binary", {}, pl.BCEWithLogits()),
    ("lightgbm", "binary", {"scale_pos_weight": 3.0}, pl.BCEWithLogits(pos_weight=3.0)),
    ("xgboost", "reg:absoluteerror", {}, pl.MAE()),
    ("xgboost", "reg:quantileerror", {"quantile_alpha": 0.3}, pl.Quantile(q=0.3)),
    ("xgboost", "count:poisson", {}, pl.PoissonNLL()),
    ("xgboost", "reg:tweedie", {"tweedie_variance_power": 1.3}, 0.5 * pl.TweedieDeviance(1.3, log_input=True)),
    ("xgboost", "binary:logistic", {}, pl.BCEWithLogits()),
    ("xgboost", "binary:logistic", {"scale_pos_weight": 3.0}, pl.BCEWithLogits(pos_weight=3.0)),
]


@pytest.mark.parametrize(("library", "objective", "parameters", "loss"), POINTWISE, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_beside_the_library(library, objective, parameters, loss, weighted):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, PEERS.rows).astype(np.float64)
    pred = rng.normal(0, 1, PEERS.rows)
    weight = rng.uniform(0.5, 2, PEERS.rows) if weighted else None
    leaves, sums = getattr(PEERS, library)(objective, pred, target, weight, **parameters)
    check_sums(leaves, sums, hess(loss, pred, target, library, weight=weight)[:, None])


def check_sums(leaves, sums, expected):
    for k, of_tree in enumerate(sums):
        assert len(of_tree) > 4
        for leaf, total in of_tree.items():
            assert_allclose(total, expected[leaves[:, k] == leaf, k].sum(), rtol=1e-4)


@pytest.mark.parametrize(("library", "objective"), [("lightgbm", "multiclass"), ("xgboost", "multi:softprob")])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_softmax_beside_the_library(library, objective, classes):
    rng = np.random.default_rng(classes)
    target = np.arange(PEERS.rows) % classes
    pred = rng.normal(0, 1, (PEERS.rows, classes))
    margins = pred.T.ravel() if library == "lightgbm" else pred
    leaves, sums = getattr(PEERS, library)(objective, margins, target, num_class=classes)
    check_sums(leaves, sums, hess(pl.CrossEntropy(), pred, target, library))


@pytest.mark.parametrize(
    ("objective", "loss"),
    [("poisson", pl.PoissonNLL()), ("binary", pl.BCEWithLogits()), ("multiclass", pl.CrossEntropy())],
    ids=str,
)
def test_a_custom_objective_grows_the_trees_of_lightgbm(objective, loss):
    """As docs/boosting.md has it."""
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 3))
    classes = 3 if objective == "multiclass" else 1
    target = rng.integers(0, 2 if objective == "binary" else 3, 500) * (x[:, 0] > -1)
    settings = {"verbosity": -1, "num_threads": 1, "num_leaves": 7} | ({"num_class": classes} if classes > 1 else {})
    own = lightgbm.train(settings | {"objective": objective}, lightgbm.Dataset(x, target.astype(float)), 10)

    def custom(raw, data):
        _, grad, hess = loss.value_grad_hess(
            raw, data.get_label().astype(int) if classes > 1 else data.get_label(), reduction="sum",
            curvature="lightgbm",
        )  # fmt: skip
        return grad, hess

    start = np.broadcast_to(loss.init_score(target), (500, classes))
    data = lightgbm.Dataset(x, target.astype(float), init_score=start.ravel(order="F"))
    ours = lightgbm.train(settings | {"objective": custom}, data, 10)
    got = ours.predict(x, raw_score=True).reshape(500, classes) + start
    assert_allclose(got, own.predict(x, raw_score=True).reshape(500, classes), rtol=1e-3, atol=1e-4)
