"""What README's tables do not have, beside peers: other losses, masks, boxes, lists, penalties, combinations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

import pyloss as pl
from cases import (
    ELEMENTWISE,
    MEBI,
    THREADS,
    Array,
    Case,
    Contender,
    Result,
    add,
    by_jax,
    by_torch,
    draw,
    elementwise,
    others,
    row_loss,
    wide,
)
from pyloss import reference
from pyloss._arguments import REAL, UNIT
from pyloss.losses._elementwise import Elementwise
from pyloss.losses._rowwise import Rowwise
from roofline import aligned

GROUP = "catalogue"
ROUNDS = 9


def _case(name: str, size: int, contenders: dict[str, Contender], truth: Result, moved: int | None = None) -> Case:
    return Case(name, size, contenders, truth, bytes=moved, group=GROUP, rounds=ROUNDS)


@dataclass
class Numbers(Case):
    """A work whose result is an array or several numbers, which is checked as a whole."""

    def check(self, name: str) -> None:
        """Assert that a contender computes what float64 does."""
        got = np.asarray(self.contenders[name](), np.float64).reshape(-1)
        want = np.asarray(self.truth[1], np.float64).reshape(-1)
        step = max(1, len(want) // 65536)
        scale = float(np.abs(want).max())
        rtol = 1e-5 if name.startswith("pyloss") else 1e-3
        np.testing.assert_allclose(got[::step], want[::step], rtol=rtol, atol=1e-6 * scale, err_msg=name)


def _numbers(name: str, size: int, contenders: dict[str, Any], truth: Any, moved: int | None = None) -> Case:
    return Numbers(name, size, contenders, (0.0, truth), bytes=moved, group=GROUP, rounds=ROUNDS)


def _of_mean(result: tuple[Any, Any]) -> Result:
    """Reduce what a reference function gives for each mask or box."""
    values, grad = result
    return float(np.mean(values)), grad / np.size(values)


def quantiles(rows: int) -> Case:
    """Nine quantiles of one target at once."""
    levels = tuple(i / 10 for i in range(1, 10))
    random = np.random.default_rng(0)
    pred, target = draw(random, REAL, 9 * rows).reshape(rows, 9), draw(random, UNIT, rows).reshape(rows, 1)
    loss, grad = pl.Quantile(q=levels), aligned(9 * rows).reshape(rows, 9)
    contenders: dict[str, Contender] = {"pyloss": lambda: loss.value_and_grad(pred, target, out=grad)}
    if find_spec("jax"):
        jnp, q = import_module("jax.numpy"), np.array(levels, np.float32)

        def pinball(p: Any, t: Any) -> Any:
            return jnp.maximum((1 - q) * (p - t), q * (t - p)).mean()

        add(contenders, "JAX", by_jax(pinball, (pred, target)))
    if find_spec("sklearn"):
        metric = import_module("sklearn.metrics").mean_pinball_loss

        def of_each() -> Result:
            return float(np.mean([metric(target[:, 0], pred[:, i], alpha=levels[i]) for i in range(9)])), None

        contenders["scikit-learn, value alone"] = of_each
    truth = loss.value_and_grad(wide(pred), wide(target))
    return _case(f"quantile of 9 levels, {rows} x 9", pred.size, contenders, truth, 4 * (18 + 1) * rows)


def quantile_huber(rows: int, quantiles: int) -> Case:
    """Meet every predicted quantile of a row with every target."""
    random = np.random.default_rng(0)
    pred, target = (draw(random, REAL, rows * quantiles).reshape(rows, quantiles) for _ in range(2))
    loss, grad = pl.QuantileHuber(), aligned(pred.size).reshape(pred.shape)
    contenders: dict[str, Contender] = {"pyloss": lambda: loss.value_and_grad(pred, target, out=grad)}
    tau = ((np.arange(quantiles, dtype=np.float32) + 0.5) / quantiles)[:, None]

    def formula(xp: Any, levels: Any, p: Any, t: Any) -> Any:
        u = t[:, None] - p[:, :, None]
        q = u.clip(-1, 1)
        weight = xp.where(u < 0, 1 - levels, levels)
        return (weight * q * (u - 0.5 * q)).mean(2).sum(1).mean()

    if find_spec("torch"):
        torch = import_module("torch")
        levels = torch.from_numpy(tau)
        add(contenders, "torch", by_torch(lambda _, p, t: formula(torch, levels, p, t), (pred, target)))
    if find_spec("jax"):
        add(contenders, "JAX", by_jax(partial(formula, import_module("jax.numpy"), tau), (pred, target)))
    part = slice(0, 16)
    value, slope = loss.value_and_grad(wide(pred[part]), wide(target[part]))
    terms = reference.quantile_huber(pred[part], target[part])
    np.testing.assert_allclose(value, terms[0].mean(), rtol=1e-12)
    np.testing.assert_allclose(slope, terms[1] / len(terms[0]), rtol=1e-9, atol=1e-15)
    truth = loss.value_and_grad(wide(pred), wide(target))
    return _case(f"quantile_huber {rows} x {quantiles} x {quantiles}", pred.size, contenders, truth)


def masks(name: str, samples: int, side: int) -> Case:
    """Compute a loss of overlapping masks."""
    random = np.random.default_rng(0)
    shape = (samples, side, side)
    pred = draw(random, UNIT, samples * side * side).reshape(shape)
    target = (draw(random, UNIT, pred.size) < 0.3).astype(np.float32).reshape(shape)
    loss, grad = pl.get(name), aligned(pred.size).reshape(shape)
    contenders: dict[str, Contender] = {"pyloss": lambda: loss.value_and_grad(pred, target, out=grad)}

    def formula(p: Any, t: Any) -> Any:
        axes = (1, 2)
        both, ours, theirs = (p * t).sum(axes), p.sum(axes), t.sum(axes)
        if name == "dice":
            ratio = (2 * both + 1) / (ours + theirs + 1)
        elif name == "jaccard":
            ratio = (both + 1) / (ours + theirs - both + 1)
        else:
            ratio = (both + 1) / (both + 0.5 * (ours - both) + 0.5 * (theirs - both) + 1)
        value = 1 - ratio
        return (value**0.75 if name == "focal_tversky" else value).mean()

    add(contenders, "torch", by_torch(lambda _, p, t: formula(p, t), (pred, target)))
    add(contenders, "JAX", by_jax(formula, (pred, target)))
    truth = _of_mean(getattr(reference, name)(pred, target))
    return _case(f"{name} {samples} x {side} x {side}", pred.size, contenders, truth, 12 * pred.size)


def lovasz(samples: int, side: int) -> Case:
    """Sort every mask for the Lovász hinge."""
    random = np.random.default_rng(0)
    shape = (samples, side * side)
    pred = draw(random, REAL, samples * side * side).reshape(shape)
    target = (draw(random, UNIT, pred.size) < 0.3).astype(np.float32).reshape(shape)
    loss, grad = pl.Lovasz(kind="hinge"), aligned(pred.size).reshape(shape)
    contenders: dict[str, Contender] = {"pyloss": lambda: loss.value_and_grad(pred, target, out=grad)}
    if find_spec("torch"):
        torch = import_module("torch")

        def by_sorting(_: Any, p: Any, t: Any) -> Any:
            errors, order = torch.sort(1 - p * (2 * t - 1), dim=1, descending=True)
            truth = torch.gather(t, 1, order)
            total = truth.sum(1, keepdim=True)
            jaccard = 1 - (total - truth.cumsum(1)) / (total + (1 - truth).cumsum(1))
            steps = torch.diff(jaccard, dim=1, prepend=torch.zeros(len(p), 1))
            return (errors.relu() * steps).sum(1).mean()

        add(contenders, "torch", by_torch(by_sorting, (pred, target)))
    if find_spec("jax"):
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def sorted_by_jax(p: Any, t: Any) -> Any:
            order = jnp.argsort(jax.lax.stop_gradient(p * (2 * t - 1)), axis=1)
            errors = jnp.take_along_axis(1 - p * (2 * t - 1), order, 1)
            truth = jnp.take_along_axis(t, order, 1)
            total = truth.sum(1, keepdims=True)
            jaccard = 1 - (total - truth.cumsum(1)) / (total + (1 - truth).cumsum(1))
            return (jnp.maximum(errors, 0) * jnp.diff(jaccard, axis=1, prepend=0)).sum(1).mean()

        add(contenders, "JAX", by_jax(sorted_by_jax, (pred, target)))
    truth = _of_mean(reference.lovasz(wide(pred), wide(target)))
    case = _case(f"lovasz hinge {samples} x {side} x {side}", pred.size, contenders, truth)
    case.peer_slack = 0.02  # they subtract neighbouring Jaccard losses in float32
    return case


def _boxes(random: np.random.Generator, count: int) -> Array:
    corners = draw(random, UNIT, 2 * count).reshape(count, 2)
    lengths = draw(random, UNIT, 2 * count).reshape(count, 2) + np.float32(0.05)
    boxes = aligned(4 * count).reshape(count, 4)
    boxes[:, :2], boxes[:, 2:] = corners, corners + lengths
    return boxes


def _overlap(xp: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Return intersection and union; `xp` is torch or jax.numpy."""
    width = xp.minimum(a[..., 2], b[..., 2]) - xp.maximum(a[..., 0], b[..., 0])
    height = xp.minimum(a[..., 3], b[..., 3]) - xp.maximum(a[..., 1], b[..., 1])
    meet = xp.where((width > 0) & (height > 0), width * height, 0.0 * width)
    areas = [(box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]) for box in (a, b)]
    return meet, areas[0] + areas[1] - meet


def paired_boxes(kind: str, count: int) -> Case:
    """Value and gradient of pairs of boxes."""
    random = np.random.default_rng(0)
    pred, target = _boxes(random, count), _boxes(random, count)
    loss, grad = pl.BoxIoU(kind=kind), aligned(4 * count).reshape(count, 4)
    contenders: dict[str, Contender] = {"pyloss": lambda: loss.value_and_grad(pred, target, out=grad)}

    def formula(xp: Any, constant: Callable[[Any], Any], a: Any, b: Any) -> Any:
        meet, union = _overlap(xp, a, b)
        iou = meet / (union + 1e-7)
        width = xp.maximum(a[:, 2], b[:, 2]) - xp.minimum(a[:, 0], b[:, 0])
        height = xp.maximum(a[:, 3], b[:, 3]) - xp.minimum(a[:, 1], b[:, 1])
        if kind == "giou":
            return (1 - iou + (width * height - union) / (width * height + 1e-7)).mean()
        if kind == "ciou":
            away = ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) ** 2).sum(1) / 4
            angles = [xp.atan((box[:, 2] - box[:, 0]) / (box[:, 3] - box[:, 1])) for box in (a, b)]
            v = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
            alpha = constant(v / (1 - iou + v + 1e-7))
            return (1 - iou + away / (width**2 + height**2 + 1e-7) + alpha * v).mean()
        return (1 - iou).mean()

    if find_spec("torch"):
        torch = import_module("torch")
        by_tensors = partial(formula, torch, torch.Tensor.detach)
        add(contenders, "torch", by_torch(lambda _, a, b: by_tensors(a, b), (pred, target)))
    if find_spec("jax"):
        constant = import_module("jax").lax.stop_gradient
        add(contenders, "JAX", by_jax(partial(formula, import_module("jax.numpy"), constant), (pred, target)))
    truth = _of_mean(reference.box_iou(pred, target, kind))
    return _case(f"box_iou {kind}, {count} pairs", pred.size, contenders, truth, 12 * pred.size)


def box_matrix(rows: int) -> Case:
    """Compute the intersection over union of all pairs of boxes."""
    random = np.random.default_rng(0)
    a, b = _boxes(random, rows), _boxes(random, rows)
    out = aligned(rows * rows).reshape(rows, rows)
    contenders: dict[str, Any] = {"pyloss": lambda: pl.box_iou(a, b, out=out)}
    if find_spec("torch"):
        torch = import_module("torch")
        first, second = torch.from_numpy(a)[:, None], torch.from_numpy(b)

        def by_torch_matrix() -> Any:
            meet, union = _overlap(torch, first, second)
            return meet / union

        contenders["torch"] = by_torch_matrix
    if find_spec("jax"):
        jax, jnp = import_module("jax"), import_module("jax.numpy")
        fused = jax.jit(lambda a, b: jnp.divide(*_overlap(jnp, a[:, None], b)))
        left, right = jnp.asarray(a), jnp.asarray(b)
        contenders["JAX"] = lambda: jax.block_until_ready(fused(left, right))
    meet, union = _overlap(np, wide(a)[:, None], wide(b))
    return _numbers(f"box_iou matrix {rows} x {rows}", out.size, contenders, meet / union, 4 * out.size)


def ranking(name: str, queries: int, items: int, **parameters: Any) -> Case:
    """Compute a loss of lists of equal length, which peers take as a matrix."""
    random = np.random.default_rng(0)
    shape = (queries, items)
    pred = draw(random, REAL, queries * items)
    target = random.integers(0, 5, pred.size).astype(np.float32)
    ids = np.repeat(np.arange(queries), items)
    loss, grad = pl.get(name, **parameters), aligned(pred.size)
    contenders: dict[str, Contender] = {"pyloss": lambda: loss.value_and_grad(pred, target, ids, out=grad)}
    matrices = pred.reshape(shape), target.reshape(shape)
    if find_spec("jax"):
        add(contenders, "JAX", by_jax(_list_formula(name, parameters.get("kind"), target.reshape(shape)), matrices))
    if find_spec("torch") and name == "pairwise_rank":
        torch = import_module("torch")

        def pairs(f: Any, s: Any, y: Any) -> Any:
            d = s[:, :, None] - s[:, None]
            better = y[:, :, None] > y[:, None]
            phi = f.softplus(-d) if parameters.get("kind") == "logistic" else (1 - d).relu()
            return torch.where(better, phi, 0.0).sum() / better.sum()

        add(contenders, "torch", by_torch(pairs, matrices))
    few = slice(0, 16 * items)
    terms, counts, slopes, _ = getattr(reference.ranking, name)(pred[few], target[few], ids[few], **parameters)
    value, slope = loss.value_and_grad(wide(pred[few]), wide(target[few]), ids[few])
    np.testing.assert_allclose(value, terms.sum() / counts.sum(), rtol=1e-12)
    np.testing.assert_allclose(slope, slopes / counts.sum(), rtol=1e-9, atol=1e-15)
    truth = loss.value_and_grad(wide(pred), wide(target), ids)
    kind = "".join(f" {value}" for value in parameters.values())
    return _case(f"{name}{kind}, {queries} x {items}", pred.size, contenders, truth)


def _list_formula(name: str, kind: str | None, relevance: Any) -> Callable[[Any, Any], Any]:
    jax, jnp = import_module("jax"), import_module("jax.numpy")

    def pairs(s: Any, y: Any) -> Any:
        d = s[:, :, None] - s[:, None]
        better = y[:, :, None] > y[:, None]
        phi = jax.nn.softplus(-d) if kind == "logistic" else jnp.maximum(1 - d, 0)
        return jnp.where(better, phi, 0).sum() / better.sum()

    def lambda_rank(s: Any, y: Any) -> Any:
        place = jnp.argsort(jnp.argsort(-jax.lax.stop_gradient(s), axis=1), axis=1)
        gain, discount = 2.0**y - 1, 1 / jnp.log2(place + 2.0)
        ideal = (-jnp.sort(-gain, axis=1) / jnp.log2(jnp.arange(y.shape[1]) + 2.0)).sum(axis=1)
        change = jnp.abs((gain[:, :, None] - gain[:, None]) * (discount[:, :, None] - discount[:, None]))
        better = y[:, :, None] > y[:, None]
        cost = jnp.where(better, change * jax.nn.softplus(s[:, None] - s[:, :, None]), 0)
        return (cost.sum(axis=(1, 2)) / ideal).mean()

    def list_net(s: Any, y: Any) -> Any:
        return -(jax.nn.softmax(y) * jax.nn.log_softmax(s)).sum(axis=1).mean()

    order = np.argsort(-relevance, axis=1, kind="stable")

    def list_mle(s: Any, _: Any) -> Any:
        in_order = jnp.take_along_axis(s, order, 1)
        left = jax.lax.cumlogsumexp(in_order, axis=1, reverse=True)
        return (left - in_order).sum(axis=1).mean()

    return {"pairwise_rank": pairs, "lambda_rank": lambda_rank, "list_net": list_net, "list_mle": list_mle}[name]


def penalty(name: str, size: int) -> Case:
    """Compute a penalty of weights and its gradient."""
    random = np.random.default_rng(0)
    weights, grad = draw(random, REAL, size), aligned(size)
    own = {"fisher": draw(random, UNIT, size), "anchor": draw(random, REAL, size)} if name == "ewc" else {}
    groups = {"groups": np.arange(size) // 64} if name == "group_lasso" else {}
    loss = pl.get(name, **own, **groups)
    contenders: dict[str, Contender] = {"pyloss": lambda: loss.value_and_grad(weights, out=grad)}

    def formula(xp: Any, w: Any, *arrays: Any) -> Any:
        if name == "ewc":
            return 0.5 * (arrays[0] * (w - arrays[1]) ** 2).sum()
        if name == "group_lasso":
            return 0.01 * 8 * xp.sqrt((w.reshape(-1, 64) ** 2).sum(1)).sum()
        size, square = xp.abs(w).sum(), (w * w).sum()
        return {"l1": 0.01 * size, "l2": 0.01 * square, "elastic_net": 0.5 * size + 0.5 * square}[name]

    if find_spec("torch"):
        torch = import_module("torch")
        add(contenders, "torch", by_torch(lambda _, *a: formula(torch, *a), (weights, *own.values())))
    if find_spec("jax"):
        add(contenders, "JAX", by_jax(partial(formula, import_module("jax.numpy")), (weights, *own.values())))
    exact = pl.get(name, **{key: wide(value) for key, value in own.items()}, **groups)
    truth = exact.value_and_grad(wide(weights))
    moved = None if name == "group_lasso" else 4 * (2 + len(own)) * size
    return _case(name, size, contenders, truth, moved)


def tasks(name: str, count: int, size: int) -> Case:
    """Make one of the gradients of several tasks."""
    random = np.random.default_rng(0)
    grads = draw(random, REAL, count * size).reshape(count, size)
    grads += draw(random, REAL, size)
    function = getattr(pl, name)

    def combined(result: Any) -> Any:
        return result[0] if isinstance(result, tuple) else result

    contenders = {"pyloss": lambda: combined(function(grads))}
    return _numbers(f"{name} {count} x {size}", grads.size, contenders, combined(function(wide(grads))))


def of_groups(name: str, size: int, groups: int = 16) -> Case:
    """Value and gradient of a loss of the means of groups."""
    random = np.random.default_rng(0)
    values, out = draw(random, UNIT, size), aligned(size)
    members = random.integers(0, groups, size).astype(np.int32)
    classes = random.integers(0, 2, size).astype(np.int32)
    values += np.float32(0.01) * members  # so that it shows in float32 which group is the worst
    odds = name == "equalized_odds"
    loss = pl.get(name, **({"groups": groups} if name == "group_dro" else {}))
    given = (values, classes, members) if odds else (values, members)
    contenders: dict[str, Contender] = {"pyloss": lambda: loss.value_and_grad(*given, out=out)}
    cells = 2 * members + classes if odds else members

    def value(means: Any) -> Any:
        if name == "group_dro":
            return means.mean()
        if name == "worst_group":
            return means.max()
        if odds:
            each = means.reshape(groups, 2)
            return (_most(each) - _least(each)).max()
        return means.max() - means.min()

    count = cells.max() + 1

    def by_numpy() -> Result:
        sizes = np.bincount(cells, minlength=count)
        means = np.bincount(cells, values, count) / sizes
        slopes = np.zeros(count)
        of_class = np.arange(count) % 2 if odds else np.zeros(count, int)
        gaps = [np.ptp(means[of_class == each]) for each in np.unique(of_class)]
        here = np.flatnonzero(of_class == np.argmax(gaps))
        high, low = here[np.argmax(means[here])], here[np.argmin(means[here])]
        if name == "group_dro":
            slopes[:] = 1 / count
        else:
            slopes[high] = 1
            if name != "worst_group":
                slopes[low] = -1
        return float(value(means)), (slopes / sizes).astype(np.float32)[cells]

    contenders["NumPy"] = by_numpy
    if find_spec("torch"):
        torch = import_module("torch")
        index = torch.from_numpy(cells.astype(np.int64))
        sizes = torch.bincount(index, minlength=count)
        add(
            contenders,
            "torch",
            by_torch(lambda _, each: value(torch.zeros(count).scatter_add(0, index, each) / sizes), (values,)),
        )
    if find_spec("jax"):
        jax, at = import_module("jax"), np.bincount(cells, minlength=count)
        numbers = import_module("jax.numpy").asarray(cells)
        add(
            contenders,
            "JAX",
            by_jax(lambda each: value(jax.ops.segment_sum(each, numbers, int(count)) / at), (values,)),
        )
    of = reference.combination
    known = {
        "group_dro": lambda: of.group_dro(values, members, None, groups)[:2],
        "equalized_odds": lambda: of.equalized_odds(values, classes, members),
    }
    truth = known[name]() if name in known else getattr(of, name)(values, members)
    return _case(f"{name} of {groups} groups", size, contenders, truth)


def _most(array: Any) -> Any:
    """Return the largest of each column, in NumPy, torch and JAX."""
    return array.amax(0) if hasattr(array, "amax") else array.max(0)


def _least(array: Any) -> Any:
    """Return the smallest of each column."""
    return array.amin(0) if hasattr(array, "amin") else array.min(0)


def uncertainty(count: int) -> Case:
    """Weigh a few tasks, each of one number: what a call costs."""
    random = np.random.default_rng(0)
    losses, log_variances = draw(random, UNIT, count), draw(random, REAL, count)
    loss = pl.UncertaintyWeighted()
    contenders: dict[str, Contender] = {"pyloss": lambda: loss.value_and_grad(losses, log_variances)}

    def formula(exp: Callable[[Any], Any], each: Any, s: Any) -> Any:
        return (0.5 * exp(-s) * each + 0.5 * s).sum()

    both = losses, log_variances
    add(contenders, "torch", by_torch(lambda _, *a: formula(lambda x: x.exp(), *a), both, (0, 1)))
    if find_spec("jax"):
        add(contenders, "JAX", by_jax(partial(formula, import_module("jax.numpy").exp), both, (0, 1)))
    case = _case(
        f"uncertainty_weighted, n = {count}", count, contenders, reference.combination.uncertainty_weighted(*both)
    )
    case.calls = 1000
    return case


def clipping(samples: int, size: int) -> Case:
    """Average clipped gradients, without noise, so that peers have the same numbers."""
    random = np.random.default_rng(0)
    grads = draw(random, REAL, samples * size).reshape(samples, size)
    out = aligned(size)
    contenders: dict[str, Any] = {"pyloss": lambda: pl.clip_per_sample(grads, 1.0, out=out)}

    def by_numpy() -> Any:
        norms = np.linalg.norm(grads, axis=1)
        return np.minimum(1.0, 1.0 / norms).astype(np.float32) @ grads / np.float32(samples)

    contenders["NumPy"] = by_numpy
    if find_spec("torch"):
        torch = import_module("torch")
        tensor = torch.from_numpy(grads)

        def by_tensors() -> Any:
            factors = (1.0 / tensor.norm(dim=1)).clamp(max=1.0)
            return torch.einsum("i,ij", factors, tensor) / samples

        contenders["torch"] = by_tensors
    norms = np.linalg.norm(wide(grads), axis=1)
    exact = np.minimum(1.0, 1.0 / norms) @ wide(grads) / samples
    return _numbers(f"clip_per_sample {samples} x {size}", grads.size, contenders, exact, 4 * grads.size)


def dropout(size: int) -> Case:
    """Dropout; the masks of libraries differ, so only ours is checked."""
    x = draw(np.random.default_rng(0), REAL, size)
    out = aligned(size)
    contenders: dict[str, Any] = {"pyloss": lambda: pl.dropout(x, 0.5, seed=1, out=out)}
    if find_spec("torch"):
        torch = import_module("torch")
        tensor = torch.from_numpy(x)
        contenders["torch"] = lambda: torch.nn.functional.dropout(tensor, 0.5)
    case = _numbers("dropout", size, contenders, pl.dropout(wide(x), 0.5, seed=1), 8 * size)
    case.check = lambda name: Numbers.check(case, name) if name == "pyloss" else None  # type: ignore[arg-type, method-assign]
    return case


def evaluation(rows: int) -> Case:
    """Five losses of the same predictions by one call, beside scikit-learn's metrics."""
    random = np.random.default_rng(0)
    pred, target = draw(random, REAL, rows), draw(random, UNIT, rows)
    losses = [pl.MSE(), pl.MAE(), pl.RMSE(), pl.Huber(), pl.Quantile(q=0.9)]
    contenders: dict[str, Any] = {"pyloss": lambda: pl.evaluate(losses, pred, target)}
    if find_spec("sklearn"):
        metrics, core = import_module("sklearn.metrics"), import_module("sklearn._loss.loss")
        huber, values = core.HuberLoss(delta=1.0), np.empty_like(pred)
        huber.closs.delta = 1.0

        def by_metrics() -> Any:
            return (
                metrics.mean_squared_error(target, pred),
                metrics.mean_absolute_error(target, pred),
                metrics.root_mean_squared_error(target, pred),
                huber.loss(target, pred, loss_out=values, n_threads=THREADS).mean(dtype=np.float64),
                metrics.mean_pinball_loss(target, pred, alpha=0.9),
            )

        contenders["scikit-learn"] = by_metrics
    if find_spec("jax"):
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def five(p: Any, t: Any) -> Any:
            r = p - t
            q, square = jnp.clip(r, -1, 1), (r * r).mean()
            pinball = jnp.maximum(0.1 * r, -0.9 * r).mean()
            return square, jnp.abs(r).mean(), jnp.sqrt(square), (q * (r - 0.5 * q)).mean(), pinball

        fused = jax.jit(five)
        first, second = jnp.asarray(pred), jnp.asarray(target)
        contenders["JAX"] = lambda: jax.block_until_ready(fused(first, second))
    exact = pl.evaluate(losses, wide(pred), wide(target))
    case = _numbers(f"evaluate 5 losses, n = {rows}", rows, contenders, exact, 8 * rows)
    case.writes = False
    return case


def catalogue(few: int = 1) -> dict[str, Callable[[], Case]]:
    """Return what makes each case; all are smaller by the factor `few`."""
    size = 16 * MEBI // few
    return {
        **{name: partial(elementwise, name, size) for name in others(Elementwise, ELEMENTWISE)},
        **{name: partial(row_loss, name, 16384 // few, 1000) for name in others(Rowwise, ("cross_entropy",))},
        "quantiles": partial(quantiles, 2 * MEBI // few),
        "quantile_huber": partial(quantile_huber, 2048 // few, 200),
        **{name: partial(masks, name, 64 // few, 512) for name in ("dice", "jaccard", "tversky", "focal_tversky")},
        "lovasz": partial(lovasz, 16 // few, 512),
        **{f"box_iou {kind}": partial(paired_boxes, kind, 2 * MEBI // few) for kind in ("iou", "giou", "ciou")},
        "box_iou matrix": partial(box_matrix, 4096 // few),
        **{
            f"pairwise_rank {kind}": partial(ranking, "pairwise_rank", 2000 // few, 100, kind=kind)
            for kind in ("logistic", "hinge")
        },
        **{name: partial(ranking, name, 2000 // few, 100) for name in ("lambda_rank", "list_net", "list_mle")},
        **{name: partial(penalty, name, size) for name in ("l1", "l2", "elastic_net", "ewc", "group_lasso")},
        **{name: partial(tasks, name, 4, size // 4) for name in ("min_norm_gradient", "pcgrad")},
        **{
            name: partial(of_groups, name, size // 4)
            for name in ("group_dro", "worst_group", "demographic_parity", "equalized_odds")
        },
        "uncertainty_weighted": partial(uncertainty, 8),
        "clip_per_sample": partial(clipping, 4096 // few, 4096),
        "dropout": partial(dropout, size),
        "evaluate": partial(evaluation, 20_000_000 // few),
    }


def catalogue_cases(quick: bool = False) -> Iterator[Case]:
    """Yield every case, made when it is its turn."""
    for make in catalogue(8 if quick else 1).values():
        case = make()
        case.rounds = ROUNDS
        yield case
