"""Losses of a row of class scores, the last axis of `pred`."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import ArrayLike

from ._terms import Array, Terms, times


def _ignored(target: Array, ignore_index: int | None) -> Array:
    return np.zeros(target.shape, bool) if ignore_index is None else target == ignore_index


def cross_entropy_count(
    pred: ArrayLike, target: ArrayLike, class_weight: ArrayLike | None = None, ignore_index: int | None = None
) -> Array:
    """How much each row counts in a mean: a label by the weight of its class, ignored ones not, probabilities by 1."""
    pred, target = np.asarray(pred), np.asarray(target)
    if target.ndim == pred.ndim:
        return np.ones(pred.shape[:-1])
    w = np.ones(pred.shape[-1]) if class_weight is None else np.asarray(class_weight, np.float64)
    ignored = _ignored(target, ignore_index)
    return np.where(ignored, 0.0, w[np.where(ignored, 0, target)])


def cross_entropy(
    pred: ArrayLike,
    target: ArrayLike,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    z_loss: float = 0.0,
    softcap: float | None = None,
    temperature: float = 1.0,
) -> Terms:
    """-Σ a log p + z_loss (log Σ exp x)², p = softmax(x), a = class_weight ((1 - s) target + s / classes).

    x = softcap tanh(pred / softcap) / temperature; s is the label smoothing; a label is a row of probability 1. Values
    have the shape of `pred` without its last axis. torch ``cross_entropy``; z_loss and softcap as in Liger-Kernel. Of
    an infinite score the limit is taken; if all are -inf there is none, and all is NaN.
    """
    y, target = np.asarray(pred, np.float64), np.asarray(target)
    classes = y.shape[-1]
    with np.errstate(all="ignore"):
        # x with its first and second derivative by y.
        if softcap is None:
            x, slope, bend = y / temperature, np.full_like(y, 1 / temperature), np.zeros_like(y)
        else:
            x = softcap * np.tanh(y / softcap) / temperature
            slope = 1 / np.cosh(y / softcap) ** 2 / temperature
            bend = -2 / softcap * np.tanh(y / softcap) * slope

        top = np.max(x, axis=-1, keepdims=True)
        below = np.where(x == top, 0.0, x - top)  # an infinite top is no distance from itself
        total = np.sum(np.exp(below), axis=-1, keepdims=True)
        log_p = np.where(np.isneginf(top), np.nan, below - np.log(total))
        p, lse = np.exp(log_p), top + np.log(total)

        labels = target.ndim < y.ndim
        ignored = _ignored(target, ignore_index) if labels else np.zeros(y.shape[:-1], bool)
        t = target[..., None] == np.arange(classes) if labels else np.asarray(target, np.float64)
        w = 1.0 if class_weight is None else np.asarray(class_weight, np.float64)
        a = np.broadcast_to(w * ((1 - label_smoothing) * t + label_smoothing / classes), y.shape)

        value = np.where(np.isnan(log_p).any(axis=-1), np.nan, -np.sum(times(a, log_p), axis=-1))
        value = value + times(z_loss, lse[..., 0] ** 2)
        pull = np.sum(a, axis=-1, keepdims=True) + times(2 * z_loss, lse)
        grad = times(p, pull) - a
        hess = times(p * (1 - p), pull) + 2 * z_loss * p**2
        hess = times(hess, np.square(slope)) + times(bend, grad)
    return (
        np.where(ignored, 0.0, value),
        np.where(ignored[..., None], 0.0, times(grad, slope)),
        np.where(ignored[..., None], 0.0, hess),
    )


def _one_hot(pred: Array, target: ArrayLike) -> Array:
    """Return the target as a row of probabilities for each row of scores."""
    target = np.asarray(target)
    if target.ndim < pred.ndim:
        return np.where(target[..., None] == np.arange(pred.shape[-1]), 1.0, 0.0)
    return np.broadcast_to(np.asarray(target, np.float64), pred.shape)


def _log_softmax(x: Array) -> Array:
    """Return x - log Σ exp x; of an infinite score the limit, NaN if all are -inf."""
    top = np.max(x, axis=-1, keepdims=True)
    below = np.where(x == top, 0.0, x - top)
    return np.where(np.isneginf(top), np.nan, below - np.log(np.sum(np.exp(below), axis=-1, keepdims=True)))


def nll_count(
    pred: ArrayLike, target: ArrayLike, class_weight: ArrayLike | None = None, ignore_index: int | None = None
) -> Array:
    """How much each row counts in a mean: as for the cross-entropy."""
    return cross_entropy_count(pred, target, class_weight, ignore_index)


def nll(
    pred: ArrayLike, target: ArrayLike, class_weight: ArrayLike | None = None, ignore_index: int | None = None
) -> Terms:
    """-Σ w t x of log-probabilities x (torch ``nll_loss``)."""
    x, target = np.asarray(pred, np.float64), np.asarray(target)
    ignored = _ignored(target, ignore_index) if target.ndim < x.ndim else np.zeros(x.shape[:-1], bool)
    w = 1.0 if class_weight is None else np.asarray(class_weight, np.float64)
    t = np.where(ignored[..., None], 0.0, w * _one_hot(x, target))
    return np.sum(times(t, -x), axis=-1), -t, np.zeros_like(x)


def categorical_cross_entropy(pred: ArrayLike, target: ArrayLike, eps: float = 1e-7) -> Terms:
    """-Σ t log clip(p, eps, 1 - eps), p = x / Σ x (Keras ``categorical_crossentropy`` of probabilities)."""
    x = np.asarray(pred, np.float64)
    t = _one_hot(x, target)
    with np.errstate(all="ignore"):
        total = np.sum(x, axis=-1, keepdims=True)
        p = x / total
        value = np.sum(times(t, -np.log(np.clip(p, eps, 1 - eps))), axis=-1)
        # By p, then by x: ∂p_j/∂x_k = ([j = k] - p_j) / total.
        by_p = np.where((p < eps) | (p > 1 - eps) | (t == 0), 0.0, -t / p)
        grad = (by_p - np.sum(times(by_p, p), axis=-1, keepdims=True)) / total
        free = np.sum(times(by_p, p), axis=-1, keepdims=True)
        hess = (times(by_p, -1 / p) + free) / total**2
    return value, grad, hess


def _of_label(pred: ArrayLike, target: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """Return of every row the label's log p and 1 - p; of every score the derivatives of the former.

    These are [j = y] - p and -p (1 - p). 1 - p is the probability of all others.
    """
    x = np.asarray(pred, np.float64)
    own = _one_hot(x, target) == 1
    log_p = _log_softmax(x)
    p = np.exp(log_p)
    u = np.sum(np.where(own, log_p, 0.0), axis=-1, keepdims=True)
    q = np.sum(np.where(own, 0.0, p), axis=-1, keepdims=True)
    u = np.where(np.isnan(q), np.nan, u)
    return u, q, np.where(own, q, -p), np.where(own, -p * q, -p * (1 - p))


def _classes(pred: ArrayLike, target: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """Return of every class the target's probability t, the softmax's log p and p, and 1 - p."""
    x = np.asarray(pred, np.float64)
    log_p = _log_softmax(x)
    p = np.exp(log_p)
    # 1 - p of the largest is the probability of all others.
    largest = np.arange(x.shape[-1]) == np.argmax(np.where(np.isnan(p), 0.0, p), axis=-1)[..., None]
    others = np.sum(np.where(largest, 0.0, p), axis=-1, keepdims=True)
    return _one_hot(x, target), log_p, p, np.where(largest, others, 1 - p)


def _sum_over_classes(p: Array, q: Array, value: Array, first: Array, second: Array) -> Terms:
    """Return Σ f(log p) with its derivatives by the scores, from f, f' and f'' of every class.

    That of log p_k by score j is [j = k] - p_j, and the second one -p_j (1 - p_j).
    """
    spoilt = np.isnan(p).any(axis=-1, keepdims=True)
    value, first, second = (np.where(spoilt, np.nan, each) for each in (value, first, second))
    of_others = [
        np.where(each == total, 0.0, total - each) for each, total in ((x, _total(x)) for x in (first, second))
    ]
    grad = times(q, first) - times(p, of_others[0])
    hess = times(q**2, second) + times(p**2, of_others[1]) - times(p * q, _total(first))
    return np.sum(value, axis=-1), grad, hess


def _total(x: Array) -> Array:
    total: Array = np.sum(x, axis=-1, keepdims=True)
    return total


def softmax_focal(pred: ArrayLike, target: ArrayLike, gamma: float = 2.0, alpha: ArrayLike | None = None) -> Terms:
    """-Σ alpha t (1 - p)^gamma log p (Lin 2017; probabilities t as in Keras); alpha may be one for each class."""
    t, u, p, q = _classes(pred, target)
    a = t * np.asarray(1.0 if alpha is None else alpha, np.float64)
    with np.errstate(all="ignore"):
        pu = times(p, u)
        value = times(q**gamma, -u)
        first = gamma * pu * q ** (gamma - 1) - q**gamma
        second = gamma * q ** (gamma - 2) * ((1 - gamma) * p * pu + q * pu + 2 * p * q)
        if gamma == 0:
            first, second = -np.ones_like(u), np.zeros_like(u)
        # Towards p = 1, -log p and 1 - p are alike.
        sure = q == 0
        value, first, second = (np.where(sure & (gamma > 0), 0.0, each) for each in (value, first, second))
        return _sum_over_classes(p, q, times(a, value), times(a, first), times(a, second))


def poly_cross_entropy(pred: ArrayLike, target: ArrayLike, epsilon: float = 1.0) -> Terms:
    """Σ t (-log p + epsilon (1 - p)) (Leng 2022, Poly-1)."""
    t, u, p, q = _classes(pred, target)
    with np.errstate(all="ignore"):
        return _sum_over_classes(p, q, times(t, -u + epsilon * q), times(t, -1 - epsilon * p), times(t, -epsilon * p))


def generalized_cross_entropy(pred: ArrayLike, target: ArrayLike, q: float = 0.7) -> Terms:
    """Σ t (1 - p^q) / q (Zhang 2018)."""
    t, u, p, not_p = _classes(pred, target)
    with np.errstate(all="ignore"):
        power = np.exp(q * u)
        return _sum_over_classes(p, not_p, times(t, -np.expm1(q * u) / q), times(t, -power), times(t, -q * power))


def symmetric_cross_entropy(pred: ArrayLike, target: ArrayLike, alpha: float = 0.1, beta: float = 1.0) -> Terms:
    """-alpha Σ t log p - beta Σ p log t, where 1e-4 stands for what is below (Wang 2019)."""
    t, u, p, q = _classes(pred, target)
    with np.errstate(all="ignore"):
        log_t = np.log(np.maximum(t, 1e-4))
        # The probabilities add up to 1, so the logarithms may be counted from any number, such as their mean.
        slope = -beta * times(p, log_t - _total(times(p, log_t)))
        value = times(alpha * t, -u) - beta * times(p, log_t)
        return _sum_over_classes(p, q, value, -alpha * t + slope, slope)


def kl_div(pred: ArrayLike, target: ArrayLike, log_target: bool = False) -> Terms:
    """Σ t (log t - x) of log-probabilities x, 0 where t = 0 (torch ``kl_div``)."""
    x = np.asarray(pred, np.float64)
    t = np.broadcast_to(np.asarray(target, np.float64), x.shape)
    with np.errstate(all="ignore"):
        log_t, t = (t, np.exp(t)) if log_target else (np.log(t), t)
        return np.sum(times(t, log_t - x), axis=-1), -t, np.zeros_like(x)


def js_div(pred: ArrayLike, target: ArrayLike) -> Terms:
    """Half of KL(t, m) + KL(q, m), q = exp x, m = (q + t) / 2 (Lin 1991)."""
    x = np.asarray(pred, np.float64)
    t = np.broadcast_to(np.asarray(target, np.float64), x.shape)
    with np.errstate(all="ignore"):
        q = np.exp(x)
        m = (q + t) / 2
        grad = times(q, np.log(q / m)) / 2
        value = np.sum(times(t, np.log(t / m)) / 2 + grad, axis=-1)
        return value, grad, grad + times(q, t / m) / 4


def entropy(pred: ArrayLike) -> Terms:
    """-Σ p log p of p = softmax(pred)."""
    log_p = _log_softmax(np.asarray(pred, np.float64))
    with np.errstate(all="ignore"):
        p = np.exp(log_p)
        value = -np.sum(times(p, log_p), axis=-1)
        surprise = -log_p - value[..., None]
        grad = times(p, surprise)
        return value, grad, times(p, (1 - p) * (surprise - 1)) - times(p, grad)


def multi_hinge(pred: ArrayLike, target: ArrayLike, kind: str = "crammer_singer", margin: float = 1.0) -> Terms:
    """max(0, margin + max over others - x_y) (Crammer 2001), or the mean of all (torch ``multi_margin_loss``)."""
    x = np.asarray(pred, np.float64)
    own = _one_hot(x, target) == 1
    with np.errstate(all="ignore"):
        of_label = np.sum(np.where(own, x, 0.0), axis=-1, keepdims=True)
        slack = np.where(own, 0.0, np.maximum(0.0, np.where(x == of_label, margin, margin - of_label + x)))
        if kind == "weston_watkins":
            classes = np.asarray(x.shape[-1], np.float64)
            value = np.sum(slack, axis=-1) / classes
            grad = np.where(slack > 0, 1 / classes, 0.0)
        else:
            value = np.max(slack, axis=-1)
            worst = (slack > 0) & (slack == value[..., None])
            grad = np.where(worst, 1 / np.maximum(1, np.sum(worst, axis=-1, keepdims=True)), 0.0)
        grad = np.where(own, -np.sum(grad, axis=-1, keepdims=True), grad)
    return value, np.where(np.isnan(value)[..., None], np.nan, grad), np.zeros_like(x)


def distillation(
    pred: ArrayLike, target: ArrayLike, teacher: ArrayLike, temperature: float = 2.0, alpha: float = 0.5
) -> Terms:
    """-alpha Σ t log p + (1 - alpha) T² KL(softmax(teacher / T), softmax(x / T)) (Hinton 2015)."""
    x = np.asarray(pred, np.float64)
    t, u = _one_hot(x, target), np.broadcast_to(np.asarray(teacher, np.float64), x.shape)
    with np.errstate(all="ignore"):
        log_p, log_s, log_q = _log_softmax(x), _log_softmax(x / temperature), _log_softmax(u / temperature)
        p, s, q = np.exp(log_p), np.exp(log_s), np.exp(log_q)
        hard = -np.sum(times(t, log_p), axis=-1)
        soft = np.sum(times(q, log_q - log_s), axis=-1)
        mass = np.sum(t, axis=-1, keepdims=True)
        value = times(alpha, hard) + times((1 - alpha) * temperature**2, soft)
        grad = alpha * (mass * p - t) + (1 - alpha) * temperature * (s - q)
        return value, grad, alpha * mass * p * (1 - p) + (1 - alpha) * s * (1 - s)


def _of_cosines(pred: ArrayLike, target: ArrayLike, scale: float, label: Array, slope: Array, bend: Array) -> Terms:
    """Cross-entropy of scale times the scores, in which `label` stands for the label's; its derivatives follow."""
    x = np.asarray(pred, np.float64)
    own = _one_hot(x, target) == 1
    z = scale * np.where(own, label, x)
    first, second = scale * np.where(own, slope, 1.0), scale * np.where(own, bend, 0.0)
    u, _, by_z, bend_by_z = _of_label(z, target)
    return -u[..., 0], -by_z * first, -bend_by_z * np.square(first) - by_z * second


def arc_face(pred: ArrayLike, target: ArrayLike, margin: float = 0.5, scale: float = 64.0) -> Terms:
    """Of cos(theta + margin) for the label; cos theta - margin sin margin where theta + margin > pi (Deng 2019).

    The former is constant within 1e-7 of cos theta = 1.
    """
    x = np.asarray(pred, np.float64)
    with np.errstate(all="ignore"):
        end = 1 - 1e-7
        theta = np.arccos(np.minimum(x, end))
        sine = np.sin(theta)
        beyond, flat = theta > np.pi - margin, x > end
        label = np.where(beyond, x - margin * np.sin(margin), np.cos(theta + margin))
        slope = np.where(beyond, 1.0, np.where(flat, 0.0, np.sin(theta + margin) / sine))
        bend = np.where(beyond | flat, 0.0, np.sin(margin) / sine**3)
        return _of_cosines(x, target, scale, label, slope, bend)


def cos_face(pred: ArrayLike, target: ArrayLike, margin: float = 0.35, scale: float = 64.0) -> Terms:
    """Of cos theta - margin for the label (Wang 2018)."""
    x = np.asarray(pred, np.float64)
    return _of_cosines(x, target, scale, x - margin, np.ones_like(x), np.zeros_like(x))


def sphere_face(pred: ArrayLike, target: ArrayLike, margin: int = 4, scale: float = 1.0) -> Terms:
    """Of (-1)^k cos(margin theta) - 2 k for the label, k = floor(margin theta / pi) (Liu 2017)."""
    x = np.asarray(pred, np.float64)
    with np.errstate(all="ignore"):
        inside, cosine = np.clip(x, -1.0, 1.0), Chebyshev.basis(margin)
        theta = np.arccos(inside)
        k = np.minimum(np.floor(margin * theta / np.pi), margin - 1)
        sign = np.where(k % 2 == 0, 1.0, -1.0)
        label = sign * np.cos(margin * theta) - 2 * k
        # cos(margin theta) is Chebyshev's polynomial of cos theta.
        slope, bend = (np.where(inside == x, sign * cosine.deriv(order)(inside), 0.0) for order in (1, 2))
        return _of_cosines(x, target, scale, label, slope, bend)


def ada_cos(pred: ArrayLike, target: ArrayLike) -> Terms:
    """Of the cosines, with scale sqrt(2) log(classes - 1) (Zhang 2019, fixed)."""
    x = np.asarray(pred, np.float64)
    scale = np.sqrt(2.0) * np.log(x.shape[-1] - 1.0)
    return _of_cosines(x, target, scale, x, np.ones_like(x), np.zeros_like(x))
