"""Losses of masks and boxes: kernels against the reference, the reference against differences, laws and hard values."""

from __future__ import annotations

import pickle
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import assert_same_bits, assert_within, wide
from conftest import named_dtype
from pyloss import reference
from pyloss.losses._overlap import BoxLoss, MaskLoss, SortedLoss
from region_cases import CASES, CLASSES, Case, every_case, every_loss

SIZES = [0, 1, 2, 3, 17]
REDUCTIONS = ["mean", "sum", "none"]
full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
half_dtype = pytest.mark.parametrize("name", ["float16", "bfloat16"])
of_class = {
    kind: pytest.mark.parametrize("case", [case for case in CASES if issubclass(case.cls, kind)], ids=str)
    for kind in (MaskLoss, SortedLoss, BoxLoss)
}
level = pytest.mark.usefixtures("level")


def check(case, got, pred, target, weight=None, reduction="none", ulps=16):
    """Compare with the reference: within some units of the largest number that it is made of."""
    value, grad = got
    terms = case.reference(pred, target)
    want_value, want_grad = case.reduced(*terms, weight, reduction)
    eps = float(np.finfo(grad.dtype).eps)
    assert np.shape(value) == np.shape(want_value)
    assert grad.shape == pred.shape
    assert grad.dtype == pred.dtype
    sizes = case.reduced(terms[0], case.sizes(pred, terms[1]), weight, reduction)[1]
    with np.errstate(invalid="ignore"):
        assert_allclose(value, want_value, rtol=ulps * eps, atol=ulps * eps)
        assert_within(grad, want_grad, ulps * eps * sizes)


def weights_of(case, pred, dtype, seed=2):
    """Some of them 0; one for each sample or box."""
    return np.random.default_rng(seed).choice([0.0, 0.25, 1.0, 1.75], pred.shape[:1]).astype(dtype)


# Kernels against the reference.


@level
@full_dtype
@every_case
def test_sizes_and_reductions(case, dtype):
    for size, reduction in product(SIZES, REDUCTIONS):
        pred, target = case.draw(size, dtype)
        before = pred.copy(), target.copy()
        got = case.loss().value_and_grad(pred, target, reduction=reduction)
        check(case, got, pred, target, reduction=reduction)
        assert_same_bits((case.loss()(pred, target, reduction=reduction),), got[:1])
        assert_array_equal(pred, before[0])
        assert_array_equal(target, before[1])


@level
@full_dtype
@pytest.mark.parametrize("inner", [(), (3,), (2, 64), (257, 259), (5, 1, 4099)], ids=str)
@pytest.mark.parametrize("case", [case for case in CASES if not issubclass(case.cls, BoxLoss)], ids=str)
def test_masks_of_many_shapes(case, inner, dtype):
    """Small ones are a thread's own, large ones go by parts."""
    if case.has("kind") == "softmax" and not inner:
        inner = (1,)  # (a row of probabilities must be one of classes)
    pred, target = case.draw(2, dtype, inner=inner)
    check(case, case.loss().value_and_grad(pred, target, reduction="none"), pred, target)


@full_dtype
def test_one_row_of_probabilities_a_sample(dtype):
    case = Case(pl.Lovasz, (("kind", "softmax"),))
    pred, target = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]], dtype), np.array([1, 1])
    check(case, case.loss().value_and_grad(pred, target, reduction="none"), pred, target)


@level
@full_dtype
@pytest.mark.parametrize("classes", [1, 2, 3, 16, 17, 21, 127, 128, 129, 200, 1000])
@pytest.mark.parametrize("elements", [1, 7, 700])
@pytest.mark.parametrize("batch", [False, True])
def test_any_number_of_classes(classes, elements, batch, dtype, rng):
    pred = rng.random((2, elements, classes)).astype(dtype)
    target = (rng.random(pred.shape) < 0.3).astype(dtype)
    for parameters in ({}, {"squared": True}, {"from_logits": True}):
        case = Case(pl.Tversky, (("per_class", True), ("batch", batch), ("alpha", 0.3), *parameters.items()))
        check(case, case.loss().value_and_grad(pred, target, reduction="none"), pred, target)


@level
@full_dtype
@every_case
def test_weights(case, dtype):
    pred, target = case.draw(9, dtype)
    weight = weights_of(case, pred, dtype)
    loss = case.loss()
    if case.together and isinstance(loss, SortedLoss):
        with pytest.raises(ValueError, match=r"^weight: got an array with batch=True, wanted None"):
            loss(pred, target, weight=weight)
        return
    hole = pred.copy()
    hole[weight == 0] = np.nan  # left out exactly
    for reduction in REDUCTIONS:
        got = loss.value_and_grad(hole, target, weight=weight, reduction=reduction)
        if case.together:  # a sample that counts twice is there twice
            times = (4 * weight).astype(int)
            again = np.repeat(pred, times, axis=0), np.repeat(target, times, axis=0)
            smooth = dict(case.parameters).get("smooth", 1.0)
            repeated = Case(case.cls, tuple((dict(case.parameters) | {"smooth": 4 * smooth}).items()))
            value, grad = repeated.reduced(*repeated.reference(*again), None, reduction)
            want = np.zeros(pred.shape)
            want[times > 0] = (grad[np.cumsum(times)[times > 0] - 1].T * times[times > 0]).T
            ulps = 16 * float(np.finfo(dtype).eps)
            assert_allclose(got[0], value, rtol=ulps, atol=ulps)
            assert_allclose(got[1], want, rtol=ulps, atol=ulps * abs(want).max())
        else:
            check(case, got, pred, target, weight, reduction)
    value, grad = loss.value_and_grad(hole, target, weight=np.zeros(9, dtype))
    assert value == 0.0
    assert not grad.any()


@level
@full_dtype
@pytest.mark.parametrize("inner", [(5, 7), (40_000,)], ids=str)
@pytest.mark.parametrize("batch", [False, True])
def test_weights_of_samples_and_classes(dtype, inner, batch, rng):
    case = Case(pl.Jaccard, (("per_class", True), ("batch", batch)))
    pred, target = case.draw(4, dtype, inner=inner)
    weight = rng.choice([0.0, 0.5, 1.0], (4, CLASSES)).astype(dtype)
    weight[1], weight[:, 2] = 0.0, 1.0
    weight[3, 0] = 0.0
    hole = pred.copy()
    hole[3, ..., 0] = np.nan
    got = case.loss().value_and_grad(hole, target, weight=weight, reduction="none")
    if not batch:
        check(case, got, pred, target, weight)
        one_each = case.loss().value_and_grad(pred, target, weight=weight[:, 2])
        assert_same_bits(one_each, case.loss().value_and_grad(pred, target, weight=weight[:, 2:]))
        return
    axes = tuple(range(pred.ndim - 1))
    w = wide(weight).reshape(4, *[1] * len(inner), CLASSES)
    p, t = wide(pred), wide(target)
    both, whole = (w * p * t).sum(axes) + 1, (w * (p + t - p * t)).sum(axes) + 1
    assert_allclose(got[0], 1 - both / whole, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-13)
    want = w * (both * (1 - t) / whole - t) / whole
    assert_allclose(got[1], want, rtol=0, atol=abs(want).max() * (1e-6 if dtype == np.float32 else 1e-12))


@level
@half_dtype
@every_case
def test_half_types_are_rounded_once(case, name):
    half, loss = named_dtype(name), case.loss()
    for size, reduction in product((0, 1, 17), REDUCTIONS):
        pred, target = case.draw(size, half)
        between = np.float64 if isinstance(loss, BoxLoss) else np.float32
        value, grad = loss.value_and_grad(pred, target, reduction=reduction)
        other = target.astype(between) if target.dtype == half else target
        want_value, want_grad = loss.value_and_grad(pred.astype(between), other, reduction=reduction)
        assert grad.dtype == half
        if reduction == "none":
            assert value.dtype == half
            want_value = want_value.astype(half)
        assert_same_bits((value, grad), (want_value, want_grad.astype(half)), f"{size} {reduction}")


@level
@every_case
def test_other_layouts_give_the_same_bits(case, dtype):
    pred, target = case.draw(6, dtype)
    loss = case.loss()
    want = loss.value_and_grad(pred, target, reduction="none")
    padded = np.full((12, *pred.shape[1:]), np.nan).astype(dtype)
    padded[::2] = pred
    reversed_target = np.ascontiguousarray(np.flip(target))
    for p, t in (
        (np.asfortranarray(pred), np.asfortranarray(target)),
        (padded[::2], np.flip(reversed_target)),
        (pred.tolist() if pred.dtype == np.float64 else pred, target),
    ):
        assert_same_bits(loss.value_and_grad(p, t, reduction="none"), want)
    out = np.empty((*pred.shape, 2), dtype)[..., 0]
    value, grad = loss.value_and_grad(pred, target, reduction="none", out=out)
    assert grad is out
    assert_same_bits((value, np.array(grad)), want)
    mine = pred.copy()
    value, grad = loss.value_and_grad(mine, target, reduction="none", out=mine)
    assert grad is mine
    assert_same_bits((value, grad), want)
    values = np.empty_like(want[0])
    assert loss(pred, target, reduction="none", out=values) is values
    assert_same_bits((values,), want[:1])


@pytest.mark.parametrize("case", [case for case in CASES if case.has("kind") != "softmax"], ids=str)
def test_target_broadcasts(case, dtype):
    pred, target = case.draw(4, dtype)
    for t in (target[:1], target[0]):
        want = case.loss().value_and_grad(pred, np.broadcast_to(t, pred.shape).copy(), reduction="none")
        assert_same_bits(case.loss().value_and_grad(pred, t, reduction="none"), want)


@pytest.mark.parametrize("case", [case for case in CASES if not issubclass(case.cls, BoxLoss)], ids=str)
def test_targets_of_other_types(case):
    pred, target = case.draw(3, np.float64)
    want = case.loss().value_and_grad(pred, target)
    for kind in ("int8", "int64", "uint8", "uint64", *([] if case.has("kind") == "softmax" else ["bool"])):
        assert_same_bits(case.loss().value_and_grad(pred, target.astype(kind)), want)


# Threads.


@full_dtype
@pytest.mark.parametrize("inner", [(200,), (70_001,)], ids=str)
@every_case
def test_any_number_of_threads_gives_the_same_bits(case, inner, dtype):
    if issubclass(case.cls, BoxLoss):
        size = 30_011
    elif inner == (200,):
        size = 200
    else:
        size = 2 if issubclass(case.cls, SortedLoss) else 9  # of which two threads take whole samples, three parts
    pred, target = case.draw(size, dtype, inner=inner)
    weight = (np.arange(size) % 3).astype(dtype)
    weight = None if case.together and issubclass(case.cls, SortedLoss) else weight
    results = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            loss = case.loss()
            results.append(
                (
                    *loss.value_and_grad(pred, target),
                    *loss.value_and_grad(pred, target, weight=weight, reduction="none"),
                )
            )
    for other in results[1:]:
        for i in (0, 2):
            assert_same_bits(results[0][i : i + 2], other[i : i + 2])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        ("pl.Dice(from_logits=True)", (1, 300_000_000)),
        ("pl.Lovasz()", (1, 60_000_000)),
        ("pl.BoxIoU(kind='ciou')", (30_000_000, 4)),
    ],
)  # fmt: skip
def test_interrupt(python, loss, shape, threads):
    program = f"""
import numpy as np, pyloss as pl, signal, threading, time, os
pred, target = (np.broadcast_to(np.float32(x), {shape}) for x in (0.5, 1.0))
pl.set_num_threads({threads})
def press():
    global at
    at = time.perf_counter()
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.3, press).start()
try:
    while True:
        {loss}(pred, target)
except KeyboardInterrupt:
    print(time.perf_counter() - at < 2.0)
"""
    assert python("import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n" + program) == "True"


# The reference against differences, and against other definitions.


@every_case
def test_reference_gradients_are_those_of_its_values(case):
    pred, target = case.draw(3, np.float64, seed=1, inner=(2, 3))
    if issubclass(case.cls, BoxLoss):
        pred += np.random.default_rng(3).uniform(-0.01, 0.01, pred.shape)  # off the kinks
    elif issubclass(case.cls, SortedLoss):
        pred = pred + np.random.default_rng(3).uniform(0.001, 0.02, pred.shape)
    grad, step = case.reference(pred, target)[1], 1e-6
    if case.has("kind") == "ciou":
        constant_alpha(case, pred, target, grad, step)
        return
    for index in np.ndindex(pred.shape):
        moved = [pred.copy(), pred.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        up, down = (np.sum(case.reference(each, target)[0]) for each in moved)
        assert_allclose(grad[index], (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def constant_alpha(case, pred, target, grad, step):
    """CIoU is DIoU and alpha v, of which alpha stays: the derivative of v is known from values with and without it."""
    without = Case(case.cls, tuple((dict(case.parameters) | {"kind": "diou"}).items()))
    shape = Case(case.cls, tuple((dict(case.parameters) | {"kind": "iou"}).items()))

    def parts(p):
        added = case.reference(p, target)[0] - without.reference(p, target)[0]  # alpha v = v² / (1 - iou + v + eps)
        apart = shape.reference(p, target)[0] + dict(case.parameters).get("eps", 1e-7)
        v = (added + np.sqrt(added**2 + 4 * added * apart)) / 2
        return v, np.where(v > 0, v / (apart + v), 0.0)

    alpha, base = parts(pred)[1], without.reference(pred, target)[1]
    for k in range(4):
        up, down = pred.copy(), pred.copy()
        up[:, k] += step
        down[:, k] -= step
        slope = (parts(up)[0] - parts(down)[0]) / (2 * step)
        assert_allclose(grad[:, k], base[:, k] + alpha * slope, rtol=1e-5, atol=1e-6)


def test_tversky_is_dice_and_jaccard():
    pred, target = Case(pl.Dice).draw(5)
    assert_allclose(pl.Tversky(smooth=0.5)(pred, target), pl.Dice()(pred, target), rtol=1e-14)
    assert_allclose(pl.Tversky(alpha=1, beta=1)(pred, target), pl.Jaccard()(pred, target), rtol=1e-14)
    assert_allclose(pl.FocalTversky(gamma=1)(pred, target), pl.Tversky()(pred, target), rtol=1e-14)


@pytest.mark.parametrize("cls", [pl.Jaccard, pl.Dice])
def test_scikit_learn(cls):
    """Of masks of 0 and 1 they are the scores of the same names."""
    metrics = pytest.importorskip("sklearn.metrics")
    score = metrics.jaccard_score if cls is pl.Jaccard else metrics.f1_score
    rng = np.random.default_rng(0)
    pred, target = rng.integers(0, 2, (2, 20, 50))
    want = [1 - score(t, p) for p, t in zip(pred, target, strict=True)]
    assert_allclose(cls(smooth=0.0)(pred, target, reduction="none"), want, rtol=1e-12)
    by_class = 1 - score(target.T, pred.T, average=None)
    assert_allclose(
        cls(smooth=0.0, per_class=True, batch=True)(pred.T, target.T, reduction="none"), by_class, rtol=1e-12
    )


def test_lovasz_at_corners_is_the_jaccard_loss(rng):
    """Its extension agrees with the set function: errors of 0 and 1."""
    p, t = rng.integers(0, 2, (2, 30, 40))
    labels = pl.Lovasz(kind="softmax")(np.stack([1.0 - p, p], -1), t, reduction="none")
    both = [pl.Jaccard(smooth=0.0)(x, y, reduction="none") for x, y in ((p, t), (1 - p, 1 - t))]
    assert_allclose(labels, np.mean(both, axis=0), rtol=1e-12)


# torch.


def test_torch_gradients_of_masks():
    torch = pytest.importorskip("torch")
    for cls in (pl.Dice, pl.Jaccard):
        pred, target = Case(cls, (("from_logits", True),)).draw(4)
        z = torch.tensor(pred, requires_grad=True)
        p, t = torch.sigmoid(z).flatten(1), torch.tensor(target).flatten(1)
        both, sides = (p * t).sum(1), p.sum(1) + t.sum(1)
        ratio = (2 * both + 1) / (sides + 1) if cls is pl.Dice else (both + 1) / (sides - both + 1)
        loss = (1 - ratio).mean()
        loss.backward()
        value, grad = cls(from_logits=True).value_and_grad(pred, target)
        assert_allclose(value, loss.item(), rtol=1e-12)
        assert_allclose(grad, z.grad.numpy(), rtol=1e-12, atol=1e-15)


def torch_box_loss(torch, kind, a, b, eps):
    """The formulas that torchvision publishes, in torch's operations."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = a.unbind(-1), b.unbind(-1)
    left, top, right, bottom = torch.max(x1, u1), torch.max(y1, v1), torch.min(x2, u2), torch.min(y2, v2)
    area = torch.zeros_like(x1)
    meet = (bottom > top) & (right > left)
    area[meet] = (right[meet] - left[meet]) * (bottom[meet] - top[meet])
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - area
    iou = area / (union + eps)
    wide_, high = torch.max(x2, u2) - torch.min(x1, u1), torch.max(y2, v2) - torch.min(y1, v1)
    if kind == "iou":
        return 1 - iou
    if kind == "giou":
        return 1 - iou + (wide_ * high - union) / (wide_ * high + eps)
    centres = ((x1 + x2 - u1 - u2) / 2) ** 2 + ((y1 + y2 - v1 - v2) / 2) ** 2
    loss = 1 - iou + centres / (wide_**2 + high**2 + eps)
    if kind == "ciou":
        v = 4 / np.pi**2 * (torch.atan((u2 - u1) / (v2 - v1)) - torch.atan((x2 - x1) / (y2 - y1))) ** 2
        with torch.no_grad():
            alpha = v / (1 - iou + v + eps)
        loss = loss + alpha * v
    return loss


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_torch_boxes(kind):
    torch = pytest.importorskip("torch")
    pred, target = Case(pl.BoxIoU).draw(500, seed=5)
    good = ((pred[:, 2:] > pred[:, :2]) & (target[:, 2:] > target[:, :2])).all(axis=1)
    pred, target = pred[good], target[good]
    boxes = torch.tensor(pred, requires_grad=True)
    losses = torch_box_loss(torch, kind, boxes, torch.tensor(target), 1e-7)
    losses.sum().backward()
    value, grad = pl.BoxIoU(kind=kind).value_and_grad(pred, target, reduction="none")
    assert_allclose(value, losses.detach().numpy(), rtol=1e-12, atol=1e-12)
    assert_allclose(grad, boxes.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_torch_lovasz(rng):
    """Algorithm 1 in torch's operations, whose gradient is torch's own."""
    torch = pytest.importorskip("torch")
    pred, target = rng.standard_normal((1, 500)), rng.integers(0, 2, (1, 500))
    z, t = torch.tensor(pred[0], requires_grad=True), torch.tensor(target[0], dtype=torch.float64)
    errors, order = torch.sort(1 - z * (2 * t - 1), descending=True)
    truth = t[order]
    jaccard = 1 - (truth.sum() - truth.cumsum(0)) / (truth.sum() + (1 - truth).cumsum(0))
    loss = torch.relu(errors) @ torch.diff(jaccard, prepend=torch.zeros(1, dtype=torch.float64))
    loss.backward()
    value, grad = pl.Lovasz().value_and_grad(pred, target)
    assert_allclose(value, loss.item(), rtol=1e-12)
    assert_allclose(grad[0], z.grad.numpy(), rtol=1e-10, atol=1e-15)


# Hard values.

MASKS = [case for case in CASES if issubclass(case.cls, MaskLoss)]


@level
@pytest.mark.parametrize("case", MASKS, ids=str)
def test_empty_masks_are_a_perfect_match(case, dtype):
    pred = np.zeros((3, 40, CLASSES), dtype)
    if case.has("from_logits"):
        pred -= np.array(np.inf, dtype)
    value, grad = case.loss().value_and_grad(pred, np.zeros_like(pred), reduction="none")
    assert not value.any()
    assert np.isfinite(grad.astype(float)).all()
    if case.has("smooth") == 0.0 or case.has("from_logits"):
        assert not grad.any()


@level
def test_smoothing_rewards_empty_masks():
    value, grad = pl.Dice().value_and_grad(np.array([[0.0, 0.5]]), np.zeros((1, 2)))
    assert value == pytest.approx(1 - 1 / 1.5)
    assert_allclose(grad, 1 / 1.5**2 * np.ones((1, 2)))
    assert pl.Dice(smooth=0.0)(np.array([[0.0, 0.5]]), np.zeros((1, 2))) == 1.0


@level
@pytest.mark.parametrize("case", MASKS, ids=str)
def test_perfect_masks(case, dtype):
    target = np.broadcast_to(np.arange(60).reshape(1, 20, 3) % 2, (2, 20, 3)).astype(dtype)
    pred = np.where(target == 1, np.inf, -np.inf).astype(dtype) if case.has("from_logits") else target
    value, grad = case.loss().value_and_grad(pred, target, reduction="none")
    assert not value.any()
    assert np.isfinite(grad.astype(float)).all()
    if issubclass(case.cls, pl.FocalTversky) and case.has("gamma") in (None, 0.3):
        assert not grad.any()


@level
@half_dtype
@pytest.mark.parametrize("cls", [pl.Dice, pl.Jaccard, pl.Tversky, pl.FocalTversky])
def test_sums_beyond_the_range_of_half_types(cls, name):
    half = named_dtype(name)
    pred, target = np.full((1, 300_000), 0.5, half), np.ones((1, 300_000), half)
    value, grad = cls(smooth=0.0).value_and_grad(pred, target, reduction="sum")
    want = {pl.Dice: 1 / 3, pl.Jaccard: 1 / 2, pl.Tversky: 1 / 3, pl.FocalTversky: 3**-0.75}[cls]
    assert value == pytest.approx(want, rel=1e-12)
    assert np.isfinite(grad.astype(np.float32)).all()
    counts, of = np.full((1, 300_000), 1000.0, half), np.full((1, 300_000), 1000.0, half)
    assert cls(smooth=0.0, squared=True)(counts, of) == 0.0


@level
def test_huge_and_tiny_predictions_do_not_overflow():
    pred = np.array([[1e30, 2e30], [1e-30, 2e-30]], np.float32)
    value, grad = pl.Dice(smooth=0.0, squared=True).value_and_grad(pred, pred[:, ::-1], reduction="none")
    assert_allclose(value, [0.2, 0.2], rtol=1e-6)
    assert np.isfinite(grad).all()


@level
@pytest.mark.parametrize("case", [Case(pl.Dice), Case(pl.Lovasz), Case(pl.Dice, (("from_logits", True),))], ids=str)
@pytest.mark.parametrize("inner", [(50,), (70_000,)], ids=str)
def test_nan_stays_in_its_sample(case, inner, dtype):
    pred, target = case.draw(3, dtype, inner=inner)
    clean = case.loss().value_and_grad(pred, target, reduction="none")
    pred[1, 7] = np.nan
    value, grad = case.loss().value_and_grad(pred, target, reduction="none")
    assert_array_equal(np.isnan(value.astype(float)), [False, True, False])
    assert np.isnan(grad[1].astype(float)).all()
    assert_same_bits((value[[0, 2]], grad[[0, 2]]), tuple(each[[0, 2]] for each in clean))


@level
@full_dtype
@pytest.mark.parametrize("size", [5, 600, 20_000, 70_000])
def test_lovasz_with_ties_goes_by_index(size, dtype, rng):
    """The value is the same in any order; the gradient is that of a stable sort."""
    pred = rng.integers(-2, 3, (2, size)).astype(dtype)
    target = rng.integers(0, 2, (2, size)).astype(dtype)
    case = Case(pl.Lovasz)
    got = case.loss().value_and_grad(pred, target, reduction="none")
    check(case, got, pred, target)
    order = rng.permutation(size)
    assert_allclose(case.loss()(pred[:, order], target[:, order], reduction="none"), got[0], rtol=1e-6)


@level
def test_lovasz_of_masks_of_one_kind():
    for target in (0.0, 1.0):
        pred = np.array([[2.0, 0.5, -0.5, -2.0]])
        errors = np.maximum(1 - pred * (2 * target - 1), 0)
        want = errors.max() if target == 0 else errors.mean()
        assert pl.Lovasz()(pred, np.full((1, 4), target)) == want
    assert pl.Lovasz()(np.full((1, 4), np.inf), np.ones((1, 4))) == 0.0
    assert pl.Lovasz()(np.array([[-np.inf, 1.0]]), np.ones((1, 2))) == np.inf


BOXES = {
    "identical": ([1, 2, 4, 6], [1, 2, 4, 6]),
    "disjoint": ([0, 0, 1, 1], [5, 5, 7, 8]),
    "touching": ([0, 0, 1, 1], [1, 0, 2, 1]),
    "inside": ([0, 0, 10, 10], [4, 4, 5, 6]),
    "no area": ([1, 1, 1, 3], [0, 0, 2, 2]),
    "no height": ([1, 1, 3, 1], [0, 0, 2, 2]),
    "a point": ([1, 1, 1, 1], [0, 0, 2, 2]),
    "both lines": ([0, 0, 1, 0], [0, 0, 0, 1]),
    "both no area": ([0, 0, 1, 0], [0, 0, 1, 0]),
    "both the same point": ([1, 1, 1, 1], [1, 1, 1, 1]),
    "two points": ([1, 1, 1, 1], [2, 2, 2, 2]),
    "a point as target": ([0, 0, 2, 2], [1, 1, 1, 1]),
    "negative": ([-5, -5, -1, -2], [-4, -6, 0, -3]),
}


@level
@full_dtype
@pytest.mark.parametrize("eps", [1e-7, 0.0])
@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
def test_hard_boxes(boxes, kind, eps, dtype):
    pred, target = (np.array([each], dtype) for each in boxes)
    case = Case(pl.BoxIoU, (("kind", kind), ("eps", eps)))
    got = case.loss().value_and_grad(pred, target, reduction="none")
    assert np.isfinite(got[0]).all()
    assert np.isfinite(got[1]).all()
    check(case, got, pred, target)
    matrix = pl.box_iou(pred, target, kind=kind)
    assert np.isfinite(matrix).all()
    assert_allclose(
        1 - matrix[0], Case(pl.BoxIoU, (("kind", kind), ("eps", 0.0))).reference(pred, target)[0], atol=1e-6
    )


@level
@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize(
    ("dtype", "unit"),
    [(np.float32, 1e20), (np.float32, 1e-20), (np.float32, 2e37), (np.float64, 1e70), (np.float64, 1e-70)],
)  # fmt: skip
def test_huge_and_tiny_boxes(kind, dtype, unit):
    """The loss does not depend on the unit of length."""
    a, b = np.array([[0, 0, 4, 3], [1, 1, 5, 6]], dtype), np.array([[1, 0, 6, 4], [7, 7, 8, 9]], dtype)
    loss = pl.BoxIoU(kind=kind, eps=0.0)
    value, grad = loss.value_and_grad(a, b, reduction="none")
    scale = dtype(unit)
    far_value, far_grad = loss.value_and_grad(a * scale, b * scale, reduction="none")
    assert_allclose(far_value, value, rtol=1e-6)
    assert_allclose(far_grad * np.float64(unit), grad, rtol=2e-6, atol=1e-6)
    assert_allclose(pl.box_iou(a * scale, b * scale, kind=kind), pl.box_iou(a, b, kind=kind), rtol=1e-6, atol=1e-6)


@of_class[BoxLoss]
def test_boxes_of_other_shapes(case):
    pred, target = case.draw(24)
    value, grad = case.loss().value_and_grad(pred, target, reduction="none")
    cube, cube_grad = case.loss().value_and_grad(pred.reshape(2, 3, 4, 4), target.reshape(2, 3, 4, 4), reduction="none")
    assert_same_bits((cube.ravel(), cube_grad.reshape(grad.shape)), (value, grad))
    one, one_grad = case.loss().value_and_grad(pred[0], target[0], reduction="none")
    assert one.shape == ()
    assert_same_bits((one, one_grad), (value[0], grad[0]))


@of_class[BoxLoss]
def test_boxes_of_two_types(case, dtype):
    """Each pair of types has a path of its own; the numbers are those of float64 throughout."""
    narrow = dtype if dtype.itemsize == 2 else np.dtype("f4")
    pred, target = (each.astype(np.float32) for each in case.draw(1000, narrow))
    want = case.loss().value_and_grad(pred.astype(np.float64), target.astype(np.float64), reduction="none")
    for one, other in ((pred, target.astype(dtype)), (pred.astype(np.float64), target.astype(dtype))):
        got = case.loss().value_and_grad(one, other, reduction="none")
        assert_same_bits(tuple(full.astype(each.dtype) for full, each in zip(want, got, strict=True)), got)


@of_class[BoxLoss]
def test_a_box_does_not_see_its_neighbours(case, dtype):
    pred, target = case.draw(1000, dtype)
    whole = case.loss().value_and_grad(pred, target, reduction="none")
    for part in (slice(1, 2), slice(3, 258), slice(5, 900, 7)):
        alone = case.loss().value_and_grad(pred[part], target[part], reduction="none")
        assert_same_bits(alone, tuple(each[part] for each in whole))


# The matrix of boxes.


@level
@full_dtype
@pytest.mark.parametrize("format", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (1, 1), (5, 17), (33, 2049), (40, 5000)])
def test_box_matrix(kind, format, n, m, dtype):
    case = Case(pl.BoxIoU, (("kind", kind), ("format", format), ("eps", 0.0)))
    a, b = case.draw(n, dtype, 1)[0], case.draw(m, dtype, 2)[0]
    got = pl.box_iou(a, b, kind=kind, format=format)
    assert (got.shape, got.dtype) == ((n, m), dtype)
    want = 1 - case.reference(np.repeat(a, m, axis=0), np.tile(b, (n, 1)))[0].reshape(n, m)
    # Corners of "cxcywh" are rounded in float32; widths of about 1 at coordinates of about 10 magnify that.
    assert_allclose(got, want, rtol=0, atol=1e-13 if dtype == np.float64 else 2e-5 if format == "cxcywh" else 4e-6)
    if n and m:
        out = np.empty((2 * n, m), dtype)[::2]
        assert pl.box_iou(a, b, kind=kind, format=format, out=out) is out
        assert_same_bits((np.array(out),), (got,))


def test_box_matrix_large_enough_to_stream(threads, rng):
    a = np.sort(rng.random((1501, 2, 2)), axis=1).reshape(1501, 4).astype(np.float32)
    got = pl.box_iou(a, a)
    assert_same_bits((pl.box_iou(a[:700], a[:901]),), (got[:700, :901],))
    assert_same_bits((pl.box_iou(a),), (got,))
    assert_allclose(np.diagonal(got), 1.0, rtol=1e-6)
    assert_allclose(got, got.T, rtol=1e-5, atol=1e-6)


def test_box_matrix_of_other_types():
    a, b = [[0, 0, 2, 2]], [[1, 0, 3, 2]]
    assert_allclose(pl.box_iou(a, b), [[1 / 3]], rtol=1e-15)
    assert pl.box_iou(a, b).dtype == np.float64
    half = np.array(a, np.float16)
    assert pl.box_iou(half, half).dtype == np.float16
    assert pl.box_iou(half, np.array(b, np.float32)).dtype == np.float32
    assert pl.box_iou(half, np.array(b)).dtype == np.float64


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: pl.box_iou([1.0, 2, 3, 4]), ValueError, r"a: got shape \(4,\), wanted two axes"),
        (lambda: pl.box_iou(np.zeros((2, 5))), ValueError, "a: got rows of 5 features, wanted 4"),
        (lambda: pl.box_iou(np.zeros((2, 4)), np.zeros((2, 3))), ValueError, "b: got rows of 3"),
        (lambda: pl.box_iou(np.zeros((2, 4)), kind="l1"), ValueError, "kind: got 'l1', wanted one of iou, giou"),
        (lambda: pl.box_iou(np.zeros((2, 4)), format=3), TypeError, "format: got 3, wanted one of xyxy"),
        (lambda: pl.box_iou(np.zeros((2, 4)), out=np.zeros((2, 3))), ValueError, r"out: got shape \(2, 3\)"),
    ],
)
def test_bad_boxes_of_a_matrix(call, error, text):
    with pytest.raises(error, match=rf"^{text}"):
        call()


def test_box_matrix_that_would_not_fit():
    rows = np.broadcast_to(np.zeros((1, 4), np.float32), (10**8, 4))
    with pytest.raises(MemoryError, match="a matrix of 100000000 x 100000000"):
        pl.box_iou(rows)


# Arguments.


@every_loss
def test_no_diagonal_hessian(case):
    pred, target = case.draw(3)
    text = rf"^value_grad_hess: got {case.cls.__name__}\(.*, wanted a loss with a diagonal Hessian"
    for loss in (case.loss(), 2.0 * case.loss()):
        with pytest.raises(TypeError, match=text if loss == case.loss() else "wanted a loss with a diagonal"):
            loss.value_grad_hess(pred, target)


@every_case
def test_losses_are_values(case):
    loss = case.loss()
    assert loss == case.loss()
    assert hash(loss) == hash(case.loss())
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert pl.get(case.cls.name, **dict(case.parameters)) == loss
    assert case.cls.name in pl.list_losses()


@every_case
def test_scaled_losses_and_sums(case, dtype):
    pred, target = case.draw(6, dtype)
    value, grad = case.loss().value_and_grad(pred, target, reduction="none")
    three = 2.5 * case.loss() + 0.5 * case.loss()
    assert "2.5 * " in repr(three)
    got_value, got_grad = three.value_and_grad(pred, target, reduction="none")
    eps = float(np.finfo(np.float32).eps) if dtype.itemsize > 2 else 2.0**-7
    assert_allclose(got_value.astype(float), 3 * value.astype(float), rtol=4 * eps)
    most = abs(grad.astype(float)).max()
    assert_allclose(got_grad.astype(float), 3 * grad.astype(float), rtol=4 * eps, atol=4 * eps * most)
    assert three(pred, target) == pytest.approx(3 * case.loss()(pred, target), rel=1e-12)


def test_sums_of_losses_of_the_same_masks():
    pred, target = Case(pl.Dice).draw(6)
    both = 2.0 * pl.Dice() + pl.FocalTversky(gamma=1.5)
    value, grad = both.value_and_grad(pred, target)
    each = [loss.value_and_grad(pred, target) for loss in (pl.Dice(), pl.FocalTversky(gamma=1.5))]
    assert value == pytest.approx(2 * each[0][0] + each[1][0], rel=1e-14)
    assert_allclose(grad, 2 * each[0][1] + each[1][1], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize(
    "add",
    [
        lambda: pl.Dice() + pl.Dice(squared=True),
        lambda: pl.Dice() + pl.Lovasz(),
        lambda: pl.Lovasz() + pl.Lovasz(kind="softmax"),
        lambda: pl.BoxIoU() + pl.BoxIoU(kind="giou"),
        lambda: pl.Dice() + pl.MSE(),
        lambda: pl.MSE() + pl.Dice(),
    ],
)
def test_sums_of_unlike_losses(add):
    with pytest.raises(TypeError, match=r"^\+: got .* beside .*, wanted losses of the same inputs"):
        add()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: pl.Dice(smooth=-1.0), ValueError, "smooth: got -1.0, wanted a number in"),
        (lambda: pl.Dice(squared=1), TypeError, "squared: got 1, wanted True or False"),
        (lambda: pl.Tversky(alpha=-0.1), ValueError, "alpha: got -0.1"),
        (lambda: pl.FocalTversky(gamma=0.0), ValueError, "gamma: got 0.0"),
        (lambda: pl.FocalTversky(beta="x"), TypeError, "beta: got 'x'"),
        (lambda: pl.Lovasz(kind="elu"), ValueError, "kind: got 'elu', wanted one of hinge, softmax"),
        (lambda: pl.Lovasz(batch=None), TypeError, "batch: got None"),
        (lambda: pl.BoxIoU(kind="eiou"), ValueError, "kind: got 'eiou', wanted one of iou, giou, diou, ciou"),
        (lambda: pl.BoxIoU(format=None), TypeError, "format: got None"),
        (lambda: pl.BoxIoU(eps=-1.0), ValueError, "eps: got -1.0"),
    ],
)
def test_bad_parameters(make, error, text):
    with pytest.raises(error, match=f"^{text}"):
        make()


M, SOFTMAX = np.zeros((2, 3, 4)), pl.Lovasz(kind="softmax")
BAD = [
    (pl.Dice(), (0.5, 1.0), {}, ValueError, "pred: got a single number, wanted masks"),
    (pl.Dice(per_class=True), (M[0, 0], M[0, 0]), {}, ValueError, r"pred: got shape \(4,\), wanted masks"),
    (pl.Dice(), (M, np.zeros(5)), {}, ValueError, r"target: got shape \(5,\), wanted the shape of pred"),
    (pl.Dice(), (M, M, M), {}, TypeError, "inputs: got 3 arrays, wanted pred and target"),
    (pl.Dice(), (M, "x"), {}, TypeError, "target: got dtype <U1"),
    (pl.Dice(), (M, M), {"weight": np.ones(3)}, ValueError, r"weight: got shape \(3,\)"),
    (pl.Dice(), (M, M), {"weight": [1.0, -2.0]}, ValueError, r"weight: got -2.0 at index \(1,\)"),
    (pl.Dice(per_class=True), (M, M), {"weight": np.ones(4)}, ValueError, r"weight: got shape \(4,\)"),
    (pl.Dice(per_class=True), (M, M), {"weight": np.ones((2, 3))}, ValueError, r"weight: got shape \(2, 3\)"),
    (pl.Dice(), (M, M), {"reduction": "avg"}, ValueError, "reduction: got 'avg'"),
    (pl.Dice(), (M, M), {"out": np.zeros((2, 3))}, ValueError, r"out: got shape \(2, 3\), wanted \(2, 3, 4\)"),
    (pl.Dice(), (M, M), {"out": np.zeros(M.shape, np.float32)}, TypeError, "out: got dtype float32"),
    (pl.Lovasz(), (0.5, 1.0), {}, ValueError, "pred: got a single number"),
    (SOFTMAX, (M, M), {}, TypeError, "target: got dtype float64, wanted class indices"),
    (SOFTMAX, (M, np.zeros((2, 4), int)), {}, ValueError, r"target: got shape \(2, 4\), wanted \(2, 3\)"),
    (SOFTMAX, (M, [[0, 1, 2], [3, 4, 0]]), {}, ValueError, r"target: got label 4 at index \(1, 1\)"),
    (SOFTMAX, (M, np.full((2, 3), -1)), {}, ValueError, r"target: got label -1 at index \(0, 0\)"),
    (pl.BoxIoU(), (M[..., :3], M[..., :3]), {}, ValueError, r"pred: got shape \(2, 3, 3\), wanted boxes of four"),
    (pl.BoxIoU(), (1.0, 1.0), {}, ValueError, r"pred: got shape \(\), wanted boxes"),
    (pl.BoxIoU(), (M, M[:, :2]), {}, ValueError, r"target: got shape \(2, 2, 4\)"),
    (pl.BoxIoU(), (M, M), {"weight": np.ones(4)}, ValueError, r"weight: got shape \(4,\)"),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "inputs", "keywords", "error", "text"), BAD, ids=[bad[-1] for bad in BAD])
def test_bad_arguments(loss, inputs, keywords, error, text):
    with pytest.raises(error, match=f"^{text}"):
        loss.value_and_grad(*inputs, **keywords)


def test_out_is_not_written_when_an_error_is_raised():
    out = np.full(M.shape, 7.0)
    with pytest.raises(ValueError, match="weight"):
        pl.Dice().value_and_grad(M, M, weight=[1.0, np.nan], out=out)
    with pytest.raises(ValueError, match="target"):
        pl.Lovasz(kind="softmax").value_and_grad(M, np.full((2, 3), 9), out=out)
    assert (out == 7).all()


def test_every_reference_function_is_documented():
    for name in ("dice", "jaccard", "tversky", "focal_tversky", "lovasz", "box_iou"):
        assert getattr(reference, name).__doc__
