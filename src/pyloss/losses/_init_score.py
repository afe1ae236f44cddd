"""The constant prediction that minimises the weighted mean of a loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import Array, ArrayLike, Interval, as_array, bad_label, check_broadcast, is_integer
from ._call import VALUE, Call

if TYPE_CHECKING:
    from ._elementwise import Elementwise
    from .multiclass import CrossEntropy

_BLOCK = 1 << 18
"""Targets that are looked at in one call, so that memory does not grow with their number."""


@dataclass(frozen=True)
class Sample:
    """Finite targets in float64, and weights that are positive and add up to 1 (None: all the same)."""

    target: Array
    weight: Array | None

    def mean(self, of: Array | None = None) -> float:
        """Return the weighted mean, of the targets unless told."""
        values = self.target if of is None else of
        with np.errstate(over="ignore", invalid="ignore"):
            plain = float(np.average(values, weights=self.weight))
        if math.isfinite(plain):
            return plain
        _, exponent = np.frexp(np.abs(values).max())
        return float(np.ldexp(np.average(np.ldexp(values, -exponent), weights=self.weight), exponent))

    def quantile(self, q: float) -> float:
        """Return the smallest target up to which the weights add up to q or more: numpy.quantile's "inverted_cdf"."""
        if self.weight is None:
            place = max(math.ceil(q * len(self.target)) - 1, 0)
            return float(np.partition(self.target, place)[place])
        target, reached = self._sorted
        place = int(np.searchsorted(reached, q * reached[-1]))
        return float(target[min(place, len(target) - 1)])

    @cached_property
    def _sorted(self) -> tuple[Array, Array]:
        assert self.weight is not None
        order = np.argsort(self.target, kind="stable")
        return self.target[order], np.cumsum(self.weight[order])


def sample(target: Array, weight: ArrayLike) -> Sample:
    """Return what counts of the targets, or say what is wrong with it."""
    weights, total = Call(VALUE, "mean", None).weights(weight, target.shape, "target")
    flat = target.astype(np.float64).ravel()
    if not total > 0.0:
        raise ValueError(f"target: got {flat.size} targets of total weight {total:g}, wanted one of positive weight")
    if weights is not None:
        weights = np.broadcast_to(weights, target.shape).astype(np.float64).ravel()
        weights = weights / weights.max()
        weights = weights / weights.sum()
    counts = np.ones(flat.shape, bool) if weights is None else weights > 0.0
    bad = counts & ~np.isfinite(flat)
    if bad.any():
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), target.shape))
        raise ValueError(f"target: got {flat[bad][0]} at index {index}, wanted finite numbers")
    return Sample(flat, None) if weights is None else Sample(flat[counts], weights[counts])


def of_elements(loss: Elementwise, target: ArrayLike, weight: ArrayLike) -> float | Array:
    """Return the best constant; one for each place of the last axis where the loss has parameters for each."""
    names = loss._names()
    if names != ("pred", "target"):
        raise TypeError(
            f"init_score: got {loss!r}, which takes {', '.join(names)}; wanted a loss of pred and target alone"
        )
    array = as_array(target, "target")
    places = {len(own) for _, term in loss._terms for own in term._own_inputs if isinstance(own, tuple)}  # type: ignore[attr-defined]
    if not places:
        return _of_sample(loss, sample(array, weight))
    width = max(places)
    if array.ndim == 0 or array.shape[-1] not in (1, width):
        raise ValueError(
            f"target: got shape {array.shape}, wanted (..., 1) or (..., {width}): {loss!r} has {width} levels"
        )
    shape = (*array.shape[:-1], width)
    spread = np.broadcast_to(array, shape)
    weights = None if weight is None else as_array(weight, "weight")
    if weights is not None:
        check_broadcast(weights, "weight", shape, "target")
        weights = np.broadcast_to(weights, shape)
    return np.array(
        [
            _of_sample(at_place(loss, i), sample(spread[..., i], None if weights is None else weights[..., i]))
            for i in range(width)
        ]
    )


def at_place(loss: Any, place: int) -> Any:
    """Return the loss with the parameters that it has at one place of the last axis."""
    if len(loss._terms) > 1 or loss._terms[0][1] is not loss:
        return loss._sum(tuple((coefficient, at_place(term, place)) for coefficient, term in loss._terms))
    arrays = {field.name: getattr(loss, field.name) for field in dataclasses.fields(loss)}
    return dataclasses.replace(
        loss, **{name: each[place % len(each)] for name, each in arrays.items() if isinstance(each, tuple)}
    )


def _of_sample(loss: Any, of: Sample) -> float:
    terms = loss._terms
    if len(terms) == 1 and terms[0][0] > 0.0 and terms[0][1].name in _CLOSED:
        return _CLOSED[terms[0][1].name](terms[0][1], of)
    return _minimise(loss, of)


def _nothing_finite(loss: object, what: str) -> ValueError:
    return ValueError(f"target: got {what}, for which no finite prediction minimises {loss!r}")


def _poisson(loss: Any, of: Sample) -> float:
    mean = of.mean()
    if mean < 0.0 or (mean == 0.0 and of.target.any()):
        raise _nothing_finite(loss, f"counts with mean {mean:g}")
    if mean == 0.0:
        raise _nothing_finite(loss, "only zeros")
    return math.log(mean) if loss.log_input else mean - float(loss.eps)


def _positive_mean(loss: Any, of: Sample) -> float:
    power = getattr(loss, "power", 2.0)
    mean, least = of.mean(), float(of.target.min())
    if power >= 2.0 and least <= 0.0:
        raise ValueError(f"target: got {least:g}, wanted numbers in (0, inf) for {loss!r}")
    if power >= 1.0 and least < 0.0:
        raise ValueError(f"target: got {least:g}, wanted numbers in [0, inf) for {loss!r}")
    if mean <= 0.0 and (power != 0.0 or loss.log_input):
        raise _nothing_finite(loss, "only zeros" if not of.target.any() else f"targets with mean {mean:g}")
    return math.log(mean) if loss.log_input else mean


def _logit(loss: Any, of: Sample) -> float:
    smoothing, weight = loss.label_smoothing, 1.0 if loss.pos_weight is None else loss.pos_weight
    on, off = of.mean() * (1.0 - smoothing), of.mean(1.0 - of.target) * (1.0 - smoothing)
    on, off = on + 0.5 * smoothing, off + 0.5 * smoothing
    if on <= 0.0 or off <= 0.0:
        only = {(True, False): "only zeros", (False, True): "only ones"}.get((on == 0.0, off == 0.0))
        raise _nothing_finite(loss, only or f"targets with mean {of.mean():g}")
    return math.log(weight) + math.log(on) - math.log(off)


_CLOSED: dict[str, Callable[[Any, Sample], float]] = {
    "mse": lambda loss, of: of.mean(),
    "mae": lambda loss, of: of.quantile(0.5),
    "quantile": lambda loss, of: of.quantile(loss.q if isinstance(loss.q, float) else loss.q[0]),
    "poisson_nll": _poisson,
    "gamma_deviance": _positive_mean,
    "tweedie_deviance": _positive_mean,
    "bce_with_logits": _logit,
}
"""Where the minimiser has a formula."""


class _Mean:
    """Mean loss of a constant prediction, with its two derivatives; the second is NaN where the loss has none."""

    def __init__(self, loss: Any, of: Sample) -> None:
        self._loss, self._of, self._hess = loss, of, True
        self._scale = 1.0 / len(of.target) if of.weight is None else 1.0
        self._scratch = np.empty((2, min(_BLOCK, len(of.target))))

    def __call__(self, x: float) -> tuple[float, float, float]:
        total = np.zeros(3)
        for begin in range(0, len(self._of.target), _BLOCK):
            target = self._of.target[begin : begin + _BLOCK]
            weight = None if self._of.weight is None else self._of.weight[begin : begin + _BLOCK]
            total += self._of_block(np.broadcast_to(np.float64(x), target.shape), target, weight)
        value, grad, hess = self._scale * total
        return float(value), float(grad), float(hess)

    def _of_block(self, pred: Array, target: Array, weight: Array | None) -> tuple[float, float, float]:
        grad, hess = self._scratch[:, : len(target)]
        if self._hess:
            try:
                value = self._loss.value_grad_hess(pred, target, weight=weight, reduction="sum", out=(grad, hess))[0]
            except TypeError:
                self._hess = False
            else:
                with np.errstate(all="ignore"):
                    return value, float(grad.sum()), float(hess.sum())
        value = self._loss.value_and_grad(pred, target, weight=weight, reduction="sum", out=grad)[0]
        with np.errstate(all="ignore"):
            return value, float(grad.sum()), math.nan


def _starts(loss: Any, of: Sample) -> list[float]:
    """Return constants from which to go: the best of them is near the minimum, or in its valley."""
    levels = [0.5] if all(term.info.convex for _, term in loss._terms) else [k / 16 for k in range(1, 16)]
    domains = [term.info.pred for _, term in loss._terms]
    found = [0.0, of.mean(), *(of.quantile(q) for q in levels)]
    inside = [x for x in dict.fromkeys(found) if all(x in domain for domain in domains)]
    if inside:
        return inside
    low = max(domain.low for domain in domains)
    return [low + 1.0 if math.isfinite(low) else min(domain.high for domain in domains) - 1.0]


def _minimise(loss: Any, of: Sample) -> float:
    """Follow the slope to a bracket of a minimum, then Newton's steps where they serve and bisection where not."""
    mean = _Mean(loss, of)
    at = {x: mean(x) for x in _starts(loss, of)}
    at = {x: terms for x, terms in at.items() if not _is_a_top(terms)} or at
    start = min(at, key=lambda x: at[x][0] if math.isfinite(at[x][0]) else math.inf)
    _, grad, hess = at[start]
    if grad == 0.0:
        return start
    spread = float(np.abs(of.target - start).max()) or 1.0
    step = abs(grad / hess) if hess > 0.0 and math.isfinite(grad / hess) else spread
    step = max(step, math.ulp(start))
    outer = _first_rise(mean, start, math.copysign(step, -grad), loss)
    at_outer = mean(outer)
    if at_outer[1] != 0.0 or _is_a_top(at_outer):
        return _root(mean, start, outer)
    x = _edge(mean, start, outer)
    near = x - math.copysign(1e-3 * max(abs(x), step), x - start) if x != start else x
    # A slope that fades away, instead of turning, is that of a loss that falls for ever and has run out of digits.
    if abs(mean(near)[1]) <= 1e-9 * abs(grad):
        raise _falls(loss, x - start)
    return x


def _is_a_top(terms: tuple[float, float, float]) -> bool:
    """Say if a slope of 0 is that of a maximum, as halfway between two targets that are far apart."""
    _, grad, hess = terms
    return grad == 0.0 and hess < 0.0


def _falls(loss: object, towards: float) -> ValueError:
    return _nothing_finite(loss, f"targets whose mean loss falls towards {'+' if towards > 0 else '-'}infinity")


def _first_rise(mean: _Mean, start: float, step: float, loss: Any) -> float:
    """Return a point downhill from `start` where the slope is 0 or has turned."""
    end = _end(loss, step)
    x, grow = start, 2.0
    while True:
        towards = start + step
        if math.isfinite(end) and (towards - end) * step >= 0.0:
            towards = x + 0.5 * (end - x)
        if not math.isfinite(towards) or towards in (x, end):
            raise _falls(loss, step)
        slope = mean(towards)[1]
        if math.isnan(slope):  # outside of the domain
            end = towards
            continue
        if slope == 0.0 or (slope > 0.0) == (step > 0.0):
            return towards
        x, step, grow = towards, step * grow, min(2.0 * grow, 2.0**64)


def _end(loss: Any, direction: float) -> float:
    """Return where the domain of predictions ends in a direction."""
    domains: list[Interval] = [term.info.pred for _, term in loss._terms]
    return min(domain.high for domain in domains) if direction > 0 else max(domain.low for domain in domains)


def _middle(a: float, b: float, step: int) -> float:
    """Return a number between the two; after many steps that with as many floats on either side: few more are left."""
    if step < 40:
        return 0.5 * a + 0.5 * b
    low, high = (_order(x) for x in (a, b))
    middle = (low + high) // 2
    size = float(np.int64(abs(middle)).view(np.float64))
    return size if middle >= 0 else -size


def _order(x: float) -> int:
    """Return the place of a float among all floats, 0 for 0."""
    size = int(np.float64(abs(x)).view(np.int64))
    return size if x >= 0.0 else -size


def _root(mean: _Mean, a: float, b: float) -> float:
    """Return where the slope, of different sign at `a` and `b`, turns."""
    falls, rises = (a, b) if mean(a)[1] < 0.0 else (b, a)
    x, last = _middle(a, b, 0), abs(b - a)
    for step in count():
        terms = mean(x)
        _, grad, hess = terms
        if grad == 0.0 and not _is_a_top(terms):
            break
        # What rises to a top lies before it.
        falls, rises = (x, rises) if grad < 0.0 else (falls, x)
        low, high = min(falls, rises), max(falls, rises)
        newton = x - grad / hess if hess > 0.0 else math.nan
        # A step must stay inside, and must be less than half of the one before: else bisection is faster.
        to = newton if low < newton < high and abs(newton - x) < 0.5 * last else _middle(low, high, step)
        if abs(to - x) <= 2.0 * math.ulp(x) or not low < to < high:
            return to if low <= to <= high else x
        x, last = to, abs(to - x)
    return x


def _edge(mean: _Mean, start: float, flat: float) -> float:
    """Return the end of the flat part that is next to `start`, where the slope is not 0."""
    for step in count():
        x = _middle(start, flat, step)
        if x in (start, flat) or abs(flat - start) <= 2.0 * math.ulp(flat):
            break
        start, flat = (start, x) if mean(x)[1] == 0.0 else (x, flat)
    return flat


def of_classes(loss: CrossEntropy, target: ArrayLike, weight: ArrayLike) -> Array:
    """Return the logarithms of the classes' shares in the target, as the loss sees them."""
    array = as_array(target, "target")
    if is_integer(array):
        share = _share_of_labels(loss, array, weight)
    else:
        if array.ndim == 0:
            raise ValueError("target: got a single number, wanted labels, or rows of probabilities: (..., classes)")
        share = _share_of_rows(array, weight)
    classes = len(share)
    if loss.class_weight is not None and len(loss.class_weight) != classes:
        raise ValueError(
            f"class_weight: got {len(loss.class_weight)} weights, wanted one for each of the {classes} classes"
        )
    class_weight = np.ones(classes) if loss.class_weight is None else np.asarray(loss.class_weight)
    share = class_weight * ((1.0 - loss.label_smoothing) * share + loss.label_smoothing * share.sum() / classes)
    if not (share > 0.0).all():
        raise _nothing_finite(loss, f"nothing of class {int(np.argmin(share))}")
    scores = (np.log(share) - math.log(share.sum())) * loss.temperature
    return scores if loss.softcap is None else _uncapped(loss, scores)


def _share_of_labels(loss: CrossEntropy, labels: Array, weight: ArrayLike) -> Array:
    weights, _ = Call(VALUE, "mean", None).weights(weight, labels.shape, "target")
    flat = labels.ravel()
    counts = np.ones(flat.shape, bool) if loss.ignore_index is None else flat != loss.ignore_index
    if weights is not None:
        weights = np.broadcast_to(weights, labels.shape).astype(np.float64).ravel()
        counts &= weights > 0.0
    if not counts.any():
        raise ValueError(f"target: got {flat.size} labels, none of which counts, wanted one of positive weight")
    classes = int(flat[counts].max()) + 1 if loss.class_weight is None else len(loss.class_weight)
    bad = counts & ((flat < 0) | (flat >= classes))
    if bad.any():
        raise bad_label(labels, labels.shape, int(np.argmax(bad)), classes, loss.ignore_index)
    counted = flat[counts].astype(np.int64)
    return np.bincount(counted, None if weights is None else weights[counts], classes).astype(np.float64)


def _share_of_rows(rows: Array, weight: ArrayLike) -> Array:
    weights, total = Call(VALUE, "mean", None).weights(weight, rows.shape[:-1], "target's rows")
    wide = rows.astype(np.float64)
    counts = np.ones(rows.shape[:-1]) if weights is None else np.broadcast_to(weights, rows.shape[:-1])
    if not total > 0.0:
        raise ValueError(f"target: got rows of total weight {total:g}, wanted one of positive weight")
    bad = (counts > 0.0)[..., None] & ~(np.isfinite(wide) & (wide >= 0.0))
    if bad.any():
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), rows.shape))
        raise ValueError(f"target: got {rows[index]} at index {index}, wanted probabilities")
    weighed = np.where(counts[..., None] > 0.0, counts[..., None] * np.where(bad, 0.0, wide), 0.0)
    return np.asarray(weighed.reshape(-1, rows.shape[-1]).sum(axis=0))


def _uncapped(loss: CrossEntropy, scores: Array) -> Array:
    """Return what the cap turns into these scores, or into these moved by a constant, if they fit under it only so."""
    cap = loss.softcap
    assert cap is not None
    bound = cap / loss.temperature
    x = scores / loss.temperature
    if np.abs(x).max() >= bound and loss.z_loss == 0.0:
        x = x - 0.5 * (x.max() + x.min())
    if np.abs(x).max() >= bound:
        raise _nothing_finite(loss, "classes whose shares differ by more than the softcap lets scores differ")
    return np.asarray(cap * np.arctanh(x / bound))
