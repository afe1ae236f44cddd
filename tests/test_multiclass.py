"""Losses of rows of class scores: long rows, hard values, what they refuse, and what other libraries say."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import LONG_ROWS, Case, Expected, assert_same_bits, rows, teacher_of, with_target
from pyloss.losses import registered
from pyloss.losses._rowwise import LABELS, NONE, PROBABILITIES, Rowwise
from pyloss.reference import multiclass

TIGHT = {"rtol": 1e-12, "atol": 1e-14}
COSINES = ("arc_face", "cos_face", "sphere_face", "ada_cos")
NEW = {name: cls for name, cls in registered().items() if issubclass(cls, Rowwise) and name != "cross_entropy"}
every_new = pytest.mark.parametrize("cls", NEW.values(), ids=NEW)
full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def draw(cls: type[Any], size: int, classes: int, dtype: Any, *, probabilities: bool = False) -> Any:
    """Scores of any number of classes, and a target of a kind that the loss takes."""
    dense = PROBABILITIES in cls.targets and (probabilities or LABELS not in cls.targets)
    pred, target = rows(size, classes, dtype, probabilities=dense)
    if cls.name in COSINES:
        pred = np.tanh(pred)
    elif cls.name == "categorical_cross_entropy":
        pred = np.exp(pred / 3)
    return pred, target


@full_dtype
@pytest.mark.parametrize("probabilities", [False, True], ids=["labels", "probabilities"])
@pytest.mark.parametrize("classes", [3, 63, 64, 65, 1000, 4097, 10_000])
@every_new
def test_any_number_of_classes(cls, classes, probabilities, dtype):
    """Few go as tiles of rows, more as one block, most as several."""
    case = Case(cls)
    pred, target = draw(cls, max(3, 200 // classes), classes, dtype, probabilities=probabilities)
    pred[1] = np.sort(pred[1])  # the largest score is in the last block
    expected = Expected(case, pred, target)
    for reduction in ("none", "mean"):
        expected.check(case.loss().value_grad_hess(pred, target, reduction=reduction), None, reduction)


@pytest.mark.parametrize("classes", LONG_ROWS)
@every_new
def test_long_rows_on_any_number_of_threads(cls, classes, dtype):
    pred, target = draw(cls, 70, classes, dtype)
    weight = (np.arange(70) % 3).astype(dtype)
    results = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            results.append(Case(cls).loss().value_grad_hess(pred, target, weight=weight))
    for other in results[1:]:
        assert_same_bits(results[0], other)


@pytest.mark.parametrize("classes", [10, *LONG_ROWS])
@every_new
def test_in_place_strided_and_left_out(cls, classes, dtype):
    loss, (pred, target) = Case(cls).loss(), draw(cls, 37, classes, dtype)
    weight = np.arange(37) % 3
    want = loss.value_grad_hess(pred, target, weight=weight, reduction="none")
    pred[::3] = np.nan
    if target.dtype.kind == "f":
        target[::3] = np.nan
    got = loss.value_grad_hess(pred, target, weight=weight, reduction="none")
    assert_same_bits(got, want)
    assert not np.asarray(got[1][::3]).any()
    own = pred.copy()
    assert_same_bits(loss.value_and_grad(own, target, weight=weight, reduction="none", out=own), want[:2])
    wide = np.repeat(pred, 2, axis=-1)[..., ::2]
    assert_same_bits(loss.value_grad_hess(wide, target, weight=weight, reduction="none"), want)


@full_dtype
@pytest.mark.parametrize(("start", "gap"), [(0, 0), (3, 0), (3, 5)])
@pytest.mark.parametrize("classes", [65, 1000, 1003, 2500, 9001])
@pytest.mark.parametrize("name", ["cross_entropy", "entropy", "js_div", "kl_div", "nll", "softmax_focal"])
def test_rows_of_large_results_leave_whole(name, classes, start, gap, dtype):
    """Rows leave past the caches while others are computed, and share lines; one has NaN in it, some weigh nothing."""
    loss, size = registered()[name](), (1 << 23) // np.dtype(dtype).itemsize // classes + 5
    few = 37
    scores, target = draw(type(loss), few, classes, dtype, probabilities=True)
    scores[3, classes // 2] = np.nan
    weight = np.resize([1.0, 0.0, 2.0, 0.5], few).astype(dtype)
    inputs = (scores,) if NONE in type(loss).targets else (scores, target)
    want = loss.value_and_grad(*inputs, weight=weight, reduction="none")[1]
    memory = np.full(size * (classes + gap) + 32, 7.0, dtype)
    first = -memory.ctypes.data % 64 // memory.itemsize + start
    wide = memory[first : first + size * (classes + gap)].reshape(size, classes + gap)
    grad = wide[:, :classes]
    of_row = np.arange(size) % few
    taken = [np.ascontiguousarray(each[of_row]) for each in inputs]
    for threads in (1, 2):
        grad[:] = 7.0
        with pl.num_threads(threads):
            loss.value_and_grad(*taken, weight=weight[of_row], reduction="none", out=grad)
        assert_array_equal(grad, want[of_row])
    assert (memory[:first] == 7.0).all()
    assert (memory[first + wide.size :] == 7.0).all()
    assert (wide[:, classes:] == 7.0).all()
    for own in range(len(inputs)):
        grad[:] = taken[own]
        loss.value_and_grad(*taken[:own], grad, *taken[own + 1 :], weight=weight[of_row], reduction="none", out=grad)
        assert_array_equal(grad, want[of_row])


# Hard values.

SCORES = {
    "dominated": [0.0, 100.0, -100.0],
    "88": [88.0, -88.0, 0.0],
    "saturated": [0.0, 1e4, -1e4],
    "alike": [7.0, 7.0, 7.0],
    "impossible": [0.0, -np.inf, 1.0],
    "certain": [-np.inf, 2.0, -np.inf],
    "infinite": [0.0, np.inf, 1.0],
    "huge": [1e30, -1e30, 1e30],
}
OF_LOGITS = [
    pl.SoftmaxFocal(),
    pl.SoftmaxFocal(gamma=0.5),
    pl.SoftmaxFocal(gamma=0.0),
    pl.SoftmaxFocal(gamma=1.0, alpha=(1.0, 0.0, 2.0)),
    pl.PolyCrossEntropy(),
    pl.PolyCrossEntropy(epsilon=-1.0),
    pl.GeneralizedCrossEntropy(),
    pl.GeneralizedCrossEntropy(q=1.0),
    pl.SymmetricCrossEntropy(),
    pl.SymmetricCrossEntropy(alpha=0.0),
    pl.Entropy(),
]


def case_of(loss: Any) -> Case:
    return Case(type(loss), tuple((f.name, getattr(loss, f.name)) for f in dataclasses.fields(loss)))


@full_dtype
@pytest.mark.parametrize("loss", OF_LOGITS, ids=repr)
@pytest.mark.parametrize("classes", [3, 100], ids=["tile", "row"])
@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_hard_rows(scores, classes, loss, dtype):
    pred = np.full((3, classes), -1e4 if "-inf" not in str(scores) else -np.inf, dtype)
    pred[:, :3] = scores
    case, target = case_of(loss), np.arange(3)
    if classes > 3 and case.has("alpha") is not None and isinstance(case.has("alpha"), tuple):
        case = Case(case.cls, (("gamma", 1.0), ("alpha", (*case.has("alpha"), *([0.5] * (classes - 3))))))
    got = case.loss().value_grad_hess(pred, target, reduction="none")
    Expected(case, pred, target).check(got)
    value, grad, hess = got
    finite = np.isfinite(value)
    assert np.isfinite(grad[finite]).all()
    assert np.isfinite(hess[finite]).all()
    assert not np.isnan(value).any()


@full_dtype
def test_focal_keeps_what_is_left_of_a_sure_row(dtype):
    """1 - p is taken from the others, not from p: with 1e-20 left, nothing is lost."""
    far = -46.0
    value, grad, hess = pl.SoftmaxFocal(gamma=0.5).value_grad_hess(np.array([[0.0, far]], dtype), [0], reduction="sum")
    rest = float(np.exp(dtype(far)))
    assert_allclose(value, rest**1.5, rtol=1e-6)
    assert_allclose(grad[0], [-1.5 * rest**1.5, 1.5 * rest**1.5], rtol=1e-6)
    assert_allclose(hess[0], [2.25 * rest**1.5] * 2, rtol=1e-6)


@full_dtype
def test_entropy_of_sure_and_of_even_rows(dtype):
    pred = np.array([[0.0, -46.0], [3.0, 3.0], [0.0, -np.inf], [np.inf, 0.0]], dtype)
    value, grad, hess = pl.Entropy().value_grad_hess(pred, reduction="none")
    rest = np.exp(-46.0)
    assert_allclose(value, [rest * 47, np.log(2), 0.0, 0.0], rtol=1e-6)
    assert_allclose(grad, [[-46 * rest, 46 * rest], [0, 0], [0, 0], [0, 0]], rtol=1e-5)
    assert np.isfinite(hess).all()
    assert np.isnan(pl.Entropy()(np.full((1, 3), -np.inf, dtype)))


@full_dtype
@pytest.mark.parametrize("classes", [4, 100], ids=["tile", "row"])
def test_divergences_of_impossible_classes(classes, dtype):
    """0 log 0 is 0, in the value and in the gradient; what the prediction excludes costs all there is."""
    target, pred = np.zeros((3, classes), dtype), np.full((3, classes), -np.inf, dtype)
    target[:, 0], pred[:, 0] = 1.0, 0.0
    pred[1, :2] = np.log([0.5, 0.5])
    pred[2, :2] = -np.inf, 0.0
    value, grad, hess = pl.KLDiv().value_grad_hess(pred, target, reduction="none")
    assert_allclose(value, [0.0, np.log(2), np.inf], rtol=1e-6, atol=1e-7)
    assert_array_equal(grad, -target)
    assert not hess.any()
    with np.errstate(divide="ignore"):
        logs = np.log(target)
    assert_same_bits(pl.KLDiv(log_target=True).value_and_grad(pred, logs, reduction="none"), (value, grad))

    value, grad, hess = pl.JSDiv().value_grad_hess(pred, target, reduction="none")
    middle = 0.5 * (np.log(1 / 0.75) + 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25))
    assert_allclose(value, [0.0, middle, np.log(2)], rtol=1e-6, atol=1e-7)
    assert np.isfinite(grad).all()
    assert np.isfinite(hess).all()


@full_dtype
def test_clip_of_categorical_cross_entropy(dtype):
    """A clipped probability has no gradient of its own; a zero target has none at all."""
    loss = pl.CategoricalCrossEntropy()
    pred, target = np.array([[0.0, 2.0], [1.0, 3.0]], dtype), np.zeros(2, int)
    labelled = loss.value_grad_hess(pred, target, reduction="none")
    assert_allclose(labelled[0], [-np.log(dtype(1e-7)), np.log(4.0)], rtol=1e-6)
    assert_allclose(labelled[1], [[0.0, 0.0], [0.25 - 1.0, 0.25]], rtol=1e-6)
    dense = loss.value_grad_hess(pred, np.eye(2, dtype=dtype)[target], reduction="none")
    for got, want in zip(dense, labelled, strict=True):
        assert_allclose(got, want, rtol=1e-6)


@full_dtype
@pytest.mark.parametrize("classes", [4, 100], ids=["tile", "row"])
@pytest.mark.parametrize(
    "loss", [pl.ArcFace(), pl.ArcFace(margin=0.0), pl.CosFace(), pl.SphereFace(), pl.SphereFace(margin=1)], ids=repr
)
def test_cosines_of_one(loss, classes, dtype):
    pred = np.zeros((6, classes), dtype)
    pred[:, 1] = [1.0, -1.0, np.nextafter(dtype(1), dtype(0)), np.nextafter(dtype(-1), dtype(0)), 1.0 - 1e-6, -0.9]
    target = np.ones(6, int)
    got = loss.value_grad_hess(pred, target, reduction="none")
    assert all(np.isfinite(each).all() for each in got)
    Expected(case_of(loss), pred[-2:], target[-2:]).check(tuple(each[-2:] for each in got))


@full_dtype
def test_crammer_singer_shares_among_equals(dtype):
    pred = np.array([[1.0, 0.5, 0.5, 0.0], [2.0, 1.0, 0.0, -1.0], [0.0, np.inf, 0.0, 0.0]], dtype)
    value, grad = pl.MultiHinge().value_and_grad(pred, [0, 0, 0], reduction="none")
    assert_array_equal(value, np.array([0.5, 0.0, np.inf], dtype))
    assert_array_equal(grad[:2], np.array([[-1, 0.5, 0.5, 0], [0, 0, 0, 0]], dtype))
    assert pl.MultiHinge()(np.zeros((2, 1)), [0, 0]) == 0.0


@full_dtype
def test_distillation_from_an_equal_teacher_is_cross_entropy(dtype):
    pred, target = rows(50, 10, dtype, probabilities=False)
    value, grad = pl.Distillation(alpha=0.25, temperature=3.0).value_and_grad(pred, target, pred)
    want, want_grad = pl.CrossEntropy().value_and_grad(pred, target)
    assert_allclose(value, 0.25 * want, rtol=1e-6)
    assert_allclose(grad, 0.25 * want_grad, rtol=1e-5, atol=1e-8)


def test_distillation_takes_its_teacher_by_name_broadcast_and_of_other_types():
    pred, target = rows(20, 10, np.float32, probabilities=True)
    teacher = rows(20, 10, np.float32, probabilities=False)[0][::-1]
    loss = pl.Distillation()
    want = loss.value_grad_hess(pred, target, teacher)
    assert_same_bits(loss.value_grad_hess(pred, target, teacher=teacher), want)
    got = loss.value_grad_hess(pred, target, teacher.astype(np.float64))
    assert got[1].dtype == np.float32
    assert_allclose(got[0], want[0], rtol=1e-6)
    one = loss.value_grad_hess(pred, target, teacher[:1])
    assert_same_bits(one, loss.value_grad_hess(pred, target, np.repeat(teacher[:1], 20, axis=0)))
    with pytest.raises(ValueError, match=r"^teacher: got shape \(20, 9\), wanted the shape of pred"):
        loss(pred, target, teacher[:, :9])
    with pytest.raises(TypeError, match="teacher"):
        loss(pred, target)


@full_dtype
@pytest.mark.parametrize("classes", [4, 100], ids=["tile", "row"])
def test_distillation_of_impossible_and_saturated_classes(classes, dtype):
    """What both exclude is as if it were not there; what saturates stays finite."""
    few = np.array([[0.0, 1.0, -2.0], [88.0, -88.0, 0.0], [1e4, 0.0, -1e4]], dtype)
    taught_by = few[:, ::-1].copy()
    pred, teacher = (np.full((3, classes), -np.inf, dtype) for _ in range(2))
    pred[:, :3], teacher[:, :3] = few, taught_by
    target = np.array([1, 0, 0])
    value, grad, hess = pl.Distillation().value_grad_hess(pred, target, teacher, reduction="none")
    want = pl.Distillation().value_grad_hess(few, target, taught_by, reduction="none")
    assert_allclose(value, want[0], rtol=1e-6)
    for got, expected in ((grad, want[1]), (hess, want[2])):
        assert_allclose(got[:, :3], expected, rtol=1e-6, atol=1e-30)
        assert not got[:, 3:].any()
    assert np.isfinite(value).all()
    Expected(Case(pl.Distillation), few, target).check(
        pl.Distillation().value_grad_hess(few, target, teacher_of(target, 3).astype(dtype), reduction="none")
    )


@full_dtype
@pytest.mark.parametrize("classes", [3, 100], ids=["tile", "row"])
@pytest.mark.parametrize("kind", ["crammer_singer", "weston_watkins"])
def test_hinge_of_infinite_scores(kind, classes, dtype):
    pred = np.full((4, classes), -np.inf, dtype)
    pred[:, :3] = [[1.0, -np.inf, 0.5], [np.inf, 0.0, 1.0], [0.0, np.inf, 0.0], [-np.inf, 0.0, 0.0]]
    value, grad = pl.MultiHinge(kind=kind).value_and_grad(pred, np.zeros(4, int), reduction="none")
    share = 1 if kind == "crammer_singer" else classes
    assert_allclose(value, [0.5 / share, 0.0, np.inf, np.inf], rtol=1e-6)
    assert np.isfinite(grad[:2]).all()
    assert_allclose(grad[0, :3], np.array([-1, 0, 1]) / share, rtol=1e-6)
    assert not grad[1].any()


# Sums of losses, means, and what is refused.


@full_dtype
@pytest.mark.parametrize("classes", [10, 100, 5000])
def test_sums_across_both_engines(classes, dtype):
    pred, target = rows(40, classes, dtype, probabilities=False)
    loss = pl.CrossEntropy() + 0.5 * pl.MultiHinge(kind="weston_watkins") + -0.25 * pl.Entropy()
    terms = [(1.0, pl.CrossEntropy()), (0.5, pl.MultiHinge(kind="weston_watkins")), (-0.25, pl.Entropy())]
    got = loss.value_grad_hess(pred, target)
    each = [(a, with_target(term).value_grad_hess(pred, target)) for a, term in terms]
    for i, one in enumerate(got):
        size = sum(abs(a * result[i]) for a, result in each)
        assert np.all(abs(one - sum(a * result[i] for a, result in each)) <= 8 * np.finfo(dtype).eps * size)
    taught = 0.5 * pl.Distillation() + pl.CrossEntropy()
    value = taught(pred, target, pred[::-1])
    assert_allclose(value, 0.5 * pl.Distillation()(pred, target, pred[::-1]) + pl.CrossEntropy()(pred, target))
    assert_allclose((2 * pl.Entropy())(pred), 2 * pl.Entropy()(pred))


def test_means():
    """Of the focal loss over rows, of log-likelihoods over the weights of the classes."""
    pred, target = rows(60, 10, np.float64, probabilities=False)
    alpha = tuple(np.linspace(0.0, 2.0, 10))
    total = pl.SoftmaxFocal(alpha=alpha)(pred, target, reduction="sum")
    assert_allclose(pl.SoftmaxFocal(alpha=alpha)(pred, target), total / 60, **TIGHT)
    total = pl.NLL(class_weight=alpha)(pred, target, reduction="sum")
    assert_allclose(pl.NLL(class_weight=alpha)(pred, target), total / np.take(alpha, target).sum(), **TIGHT)


@every_new
def test_targets_that_are_refused(cls):
    if cls.targets == (NONE,):
        with pytest.raises(TypeError):
            cls()(np.zeros((3, 4)), np.zeros(3, int))
        return
    loss = Case(cls).loss()
    if PROBABILITIES not in cls.targets:
        with pytest.raises(
            TypeError, match=rf"^target: got shape \(3, 4\) of float64, wanted class indices.* {cls.__name__}"
        ):
            loss(np.zeros((3, 4)), np.zeros((3, 4)))
    if LABELS not in cls.targets:
        with pytest.raises(
            TypeError, match=rf"^target: got shape \(3,\) of int64, wanted probabilities.* {cls.__name__}"
        ):
            loss(np.zeros((3, 4)), np.zeros(3, int))
        return
    with pytest.raises(ValueError, match=r"^target: got label 4 at index \(1,\), wanted a class from 0 to 3"):
        loss(np.zeros((3, 4)), np.array([0, 4, 9]))
    with pytest.raises(TypeError, match=r"^target: got shape \(3,\) of float64, wanted class indices"):
        loss(np.zeros((3, 4)), np.zeros(3))


def test_weights_of_classes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"^alpha: got 3 weights, wanted one for each of the 4 classes"):
        pl.SoftmaxFocal(alpha=(1, 2, 3))(np.zeros((2, 4)), [0, 1])
    with pytest.raises(ValueError, match=r"^class_weight: got 3 weights, wanted one for each of the 4 classes"):
        pl.NLL(class_weight=(1, 2, 3))(np.zeros((2, 4)), [0, 1])
    with pytest.raises(ValueError, match=r"^pred: got 2 classes, wanted at least 3"):
        pl.AdaCos()(np.zeros((2, 2)), [0, 1])
    with pytest.raises(ValueError, match=r"^kind: got 'both', wanted one of crammer_singer, weston_watkins"):
        pl.MultiHinge(kind="both")


def test_class_balanced_weights():
    weights = pl.class_balanced_weights([10, 100, 1000], beta=0.99)
    effective = [sum(0.99**i for i in range(n)) for n in (10, 100, 1000)]
    inverse = 1 / np.array(effective)
    assert_allclose(weights, 3 * inverse / inverse.sum(), **TIGHT)
    assert_allclose(pl.class_balanced_weights([5, 0, 7], beta=0.0), [1.0, 0.0, 1.0])
    assert_allclose(pl.class_balanced_weights([1, 3], beta=1 - 1e-12), [1.5, 0.5], rtol=1e-3)
    assert not pl.class_balanced_weights([0, 0]).any()
    for bad, error, text in (
        ([1.0, 2.0], TypeError, "counts: got dtype float64"),
        ([[1, 2]], ValueError, r"counts: got shape \(1, 2\)"),
        ([3, -1], ValueError, r"counts: got -1 at \[1\]"),
    ):
        with pytest.raises(error, match=f"^{text}"):
            pl.class_balanced_weights(bad)
    with pytest.raises(ValueError, match=r"^beta: got 1.0, wanted a number in \[0, 1\)"):
        pl.class_balanced_weights([1, 2], beta=1.0)


# Other libraries, in float64.


def agree(torch: Any, loss: Any, pred: np.ndarray, target: np.ndarray, theirs: Any, **call: Any) -> None:
    """`theirs` is a function of a tensor of scores."""
    value, grad = loss.value_and_grad(pred, target, **call)
    x = torch.tensor(pred, requires_grad=True)
    result = theirs(x)
    result.sum().backward()
    assert_allclose(value, result.detach().numpy(), **TIGHT)
    assert_allclose(grad, x.grad.numpy(), **TIGHT)


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_torch(reduction, classes):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    pred, target = rows(101, classes, np.float64, probabilities=False)
    labels, weight = torch.tensor(target), torch.linspace(0.5, 2.0, classes, dtype=torch.float64)
    weighted = pl.NLL(class_weight=tuple(weight.tolist()), ignore_index=3)
    agree(torch, pl.NLL(), pred, target, lambda x: f.nll_loss(x, labels, reduction=reduction), reduction=reduction)
    agree(
        torch, weighted, pred, target,
        lambda x: f.nll_loss(x, labels, weight=weight, ignore_index=3, reduction=reduction), reduction=reduction,
    )  # fmt: skip
    for margin in (1.0, 0.3):
        agree(
            torch, pl.MultiHinge(kind="weston_watkins", margin=margin), pred, target,
            lambda x, margin=margin: f.multi_margin_loss(x, labels, margin=margin, reduction=reduction),
            reduction=reduction,
        )  # fmt: skip
    pred, target = rows(101, classes, np.float64, probabilities=True)
    target[0] = np.eye(classes)[0]
    dense = torch.tensor(target)
    theirs = {"mean": "batchmean", "sum": "sum", "none": "none"}[reduction]

    def divergence(x: Any, y: Any, **options: Any) -> Any:
        each = f.kl_div(x, y, reduction=theirs, **options)
        return each.sum(-1) if theirs == "none" else each

    agree(torch, pl.KLDiv(), pred, target, lambda x: divergence(x, dense), reduction=reduction)
    logs = np.log(target[1:])
    agree(
        torch, pl.KLDiv(log_target=True), pred[1:], logs,
        lambda x: divergence(x, torch.tensor(logs), log_target=True), reduction=reduction,
    )  # fmt: skip


def test_distillation_beside_torch():
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    pred, target = rows(101, 10, np.float64, probabilities=False)
    teacher = pred[::-1] * 0.7
    x = torch.tensor(pred, requires_grad=True)
    soft = f.kl_div(
        f.log_softmax(x / 3.0, -1), f.softmax(torch.tensor(teacher.copy()) / 3.0, -1), reduction="batchmean"
    )
    theirs = 0.3 * f.cross_entropy(x, torch.tensor(target)) + 0.7 * 9.0 * soft
    theirs.backward()
    value, grad = pl.Distillation(temperature=3.0, alpha=0.3).value_and_grad(pred, target, teacher)
    assert_allclose(value, theirs.item(), **TIGHT)
    assert_allclose(grad, x.grad.numpy(), **TIGHT)


def test_entropy_beside_scipy_and_torch():
    stats, torch = pytest.importorskip("scipy.stats"), pytest.importorskip("torch")
    pred, _ = rows(101, 10, np.float64, probabilities=False)
    p = np.exp(pred) / np.exp(pred).sum(-1, keepdims=True)
    assert_allclose(pl.Entropy()(pred, reduction="none"), stats.entropy(p, axis=-1), rtol=1e-11)
    x = torch.tensor(pred, requires_grad=True)
    torch.distributions.Categorical(logits=x).entropy().mean().backward()
    assert_allclose(pl.Entropy().value_and_grad(pred)[1], x.grad.numpy(), **TIGHT)


def test_divergence_beside_scipy():
    distance = pytest.importorskip("scipy.spatial.distance")
    p, q = (np.random.default_rng(seed).dirichlet(np.ones(10), 50) for seed in (0, 1))
    assert_allclose(pl.JSDiv()(np.log(q), p, reduction="none"), distance.jensenshannon(p, q, axis=1) ** 2, rtol=1e-11)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # theirs
@pytest.mark.parametrize("name", ["ArcFaceLoss", "CosFaceLoss", "SphereFaceLoss"])
def test_pytorch_metric_learning(name):
    """Their cosines come from embeddings and weights: here they are given, of unit rows."""
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("pytorch_metric_learning.losses")
    ours, options = {
        "ArcFaceLoss": (pl.ArcFace(margin=np.radians(28.6), scale=16.0), {"margin": 28.6, "scale": 16.0}),
        "CosFaceLoss": (pl.CosFace(margin=0.35, scale=16.0), {"margin": 0.35, "scale": 16.0}),
        "SphereFaceLoss": (pl.SphereFace(margin=4, scale=2.0), {"margin": 4, "scale": 2.0}),
    }[name]
    rng = np.random.default_rng(0)
    embeddings, axes = rng.standard_normal((200, 6)), rng.standard_normal((6, 8))
    labels = rng.integers(0, 8, 200)
    unit, unit_axes = (x / np.linalg.norm(x, axis=axis, keepdims=True) for x, axis in ((embeddings, 1), (axes, 0)))
    loss = getattr(theirs, name)(num_classes=8, embedding_size=6, **options).double()
    cosines = torch.tensor(unit @ unit_axes, requires_grad=True)
    loss.get_cosine = lambda _: cosines
    result = loss(torch.tensor(unit), torch.tensor(labels))
    result.backward()
    value, grad = ours.value_and_grad(unit @ unit_axes, labels)
    # The formula by angles, theirs, is itself wrong by 1e-15 / sin theta.
    assert_allclose(value, result.item(), rtol=1e-12)
    assert_allclose(grad, cosines.grad.numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("probabilities", [False, True], ids=["labels", "probabilities"])
def test_clipped_cross_entropy_beside_torch_autograd(probabilities):
    """Keras's formula: divide by the sum, clip, logarithm, sum."""
    torch = pytest.importorskip("torch")
    pred, target = draw(pl.CategoricalCrossEntropy, 101, 10, np.float64, probabilities=probabilities)
    pred[0, :5] = 0.0
    dense = torch.tensor(target if probabilities else np.eye(10)[target])

    def theirs(x: Any) -> Any:
        p = torch.clip(x / x.sum(-1, keepdim=True), 0.01, 0.99)
        return -(dense * torch.log(p)).sum(-1).mean()

    agree(torch, pl.CategoricalCrossEntropy(eps=0.01), pred, target, theirs)


def test_reference_of_the_noisy_label_losses_is_what_their_papers_write():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 5)), rng.integers(0, 5, 20)
    p, t = np.exp(x) / np.exp(x).sum(-1, keepdims=True), np.eye(5)[y]
    reversed_entropy = -np.sum(p * np.log(np.clip(t, 1e-4, 1.0)), axis=-1)
    entropy = -np.sum(t * np.log(p), axis=-1)
    assert_allclose(multiclass.symmetric_cross_entropy(x, y, 0.3, 0.7)[0], 0.3 * entropy + 0.7 * reversed_entropy)
    label = p[np.arange(20), y]
    assert_allclose(multiclass.generalized_cross_entropy(x, y, 0.3)[0], (1 - label**0.3) / 0.3)
    assert_allclose(multiclass.poly_cross_entropy(x, y, 0.3)[0], entropy + 0.3 * (1 - label))
    assert_allclose(multiclass.softmax_focal(x, y, 1.5)[0], (1 - label) ** 1.5 * entropy)
