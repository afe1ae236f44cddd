"""Metric learning: losses of embeddings, each over its full matrix of pairs.

Each function returns (terms, count, grads): the losses of the anchors (rows, pairs or tuples), the number that their
sum is divided by in a mean, and the gradients of their sum by each differentiable input. The mean over a count of 0 is
0. A pair is of two different rows. d is the Euclidean distance, whose gradient at 0 is taken to be 0, like the slope
of a hinge at its kink; s is the cosine similarity, for which a row of zeros stays one and has gradient 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array
from .binary import sigmoid

Result: TypeAlias = tuple[Array, float, tuple[Array, ...]]
Compared: TypeAlias = tuple[Array, Callable[[Array], tuple[Array, Array]]]
"""A matrix of all rows of x beside all of y, and what takes the gradient by this matrix to those by x and by y."""


def _floats(x: ArrayLike) -> Array:
    return np.asarray(x, np.float64)


def _polar(x: Array) -> tuple[Array, Array]:
    """Length and direction of the last axis; zeros have none, and keep their zeros."""
    largest = np.max(np.abs(x), axis=-1, keepdims=True, initial=0.0)  # its square may be no float
    scaled = x / np.where(largest > 0, largest, 1.0)
    size = np.sqrt(np.sum(scaled**2, axis=-1, keepdims=True))
    return (largest * size)[..., 0], scaled / np.where(size > 0, size, 1.0)


def _unit(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return the rows divided by their length, and what takes the gradient by these to that by the rows."""
    length, unit = _polar(x)

    def pull(grad: Array) -> Array:
        across = grad - unit * np.sum(unit * grad, axis=-1, keepdims=True)
        return np.where(length == 0, 0.0, across.T / np.where(length == 0, 1.0, length)).T

    return unit, pull


def _inner(x: Array, y: Array) -> Compared:
    return np.sum(x[:, None] * y, axis=-1), lambda grad: (grad @ y, grad.T @ x)


def _cosine(x: Array, y: Array) -> Compared:
    (u, pull_u), (v, pull_v) = _unit(x), _unit(y)
    similarity, pull = _inner(u, v)

    def pull_both(grad: Array) -> tuple[Array, Array]:
        by_u, by_v = pull(grad)
        return pull_u(by_u), pull_v(by_v)

    return similarity, pull_both


def _cosine_distance(x: Array, y: Array) -> Compared:
    similarity, pull = _cosine(x, y)
    return 1 - similarity, lambda grad: pull(-grad)


def _sqeuclidean(x: Array, y: Array) -> Compared:
    difference = x[:, None] - y
    return np.sum(difference**2, axis=-1), lambda grad: _push(2 * grad, difference)


def _euclidean(x: Array, y: Array) -> Compared:
    d, direction = _polar(x[:, None] - y)
    return d, lambda grad: _push(grad, direction)


def _push(strength: Array, direction: Array) -> tuple[Array, Array]:
    return np.einsum("ij,ijk->ik", strength, direction), -np.einsum("ij,ijk->jk", strength, direction)


_METRICS: dict[str, Callable[[Array, Array], Compared]] = {
    "euclidean": _euclidean,
    "sqeuclidean": _sqeuclidean,
    "cosine": _cosine_distance,
}


def _among(compare: Callable[[Array, Array], Compared], x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return the matrix of all rows beside one another, and what takes the gradient by it to that by the rows."""
    matrix, pull = compare(x, x)
    return matrix, lambda grad: np.add(*pull(grad))


def _labelled(labels: ArrayLike) -> tuple[Array, Array]:
    """Return which pairs are of the same label, and which of different ones."""
    each = np.asarray(labels)
    same = each[:, None] == each
    return same & ~np.eye(len(each), dtype=bool), ~same


def _hinge(slack: Array) -> tuple[Array, Array]:
    """max(0, slack), and its slope."""
    return np.maximum(slack, 0), np.where(slack > 0, 1.0, 0 * np.sign(slack))


def _softplus(z: Array) -> tuple[Array, Array]:
    """Log(1 + e^z), and its slope."""
    with np.errstate(invalid="ignore"):
        return np.logaddexp(0, z), sigmoid(z)


def _violation(excess: Array, margin: float | str) -> tuple[Array, Array]:
    """Return what a triplet of d_ap - d_an = excess loses, and its slope."""
    return _softplus(excess) if isinstance(margin, str) else _hinge(excess + margin)


def _log_sum_exp(z: Array, keep: ArrayLike = True) -> tuple[Array, Array]:
    """Log Σ e^z over what is kept of the last axis, and its gradient; of nothing -inf and 0."""
    z = np.where(keep, z, -np.inf)
    top = np.max(z, axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(z - np.where(np.isneginf(top), 0.0, top))
    total = np.sum(e, axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return (top + np.log(total))[..., 0], e / np.where(total == 0, 1.0, total)


def _log_1_plus_sum_exp(z: Array, keep: ArrayLike) -> tuple[Array, Array]:
    """Log(1 + Σ e^z) over what is kept of the last axis, and its gradient."""
    z = np.where(keep, z, -np.inf)
    top = np.max(z, axis=-1, keepdims=True, initial=0.0)
    e = np.exp(z - top)
    total = np.sum(e, axis=-1, keepdims=True)
    return (top + np.log1p(np.expm1(-top) + total))[..., 0], e / (np.exp(-top) + total)


def _cross_entropy(logits: Array, target: Array, keep: ArrayLike = True) -> tuple[Array, Array]:
    """-log softmax(logits)[target] of each row, and its gradient; the softmax is over the target and what is kept.

    As log(1 + Σ exp(logit - logit of the target)) over the others, which has all digits even near 0.
    """
    hit = target[:, None] == np.arange(logits.shape[1])
    above = logits - np.take_along_axis(logits, target[:, None], axis=1)
    value, share = _log_1_plus_sum_exp(above, keep & ~hit)
    return value, share - hit * np.sum(share, axis=-1, keepdims=True)


# Pairs of a batch, Euclidean


def contrastive(embeddings: ArrayLike, labels: ArrayLike, margin: float = 1.0) -> Result:
    """½ d² of a pair of the same label, else ½ max(0, margin - d)² (Hadsell 2006); a row has half of each of its pairs.

    Count is the number of unordered pairs.
    """
    x = _floats(embeddings)
    positive, negative = _labelled(labels)
    d, pull = _among(_euclidean, x)
    gap, _ = _hinge(margin - d)
    pairs = np.where(positive, d**2 / 2, np.where(negative, gap**2 / 2, 0.0))
    slope = np.where(positive, d, np.where(negative, -gap, 0.0))
    return np.sum(pairs, axis=1) / 2, len(x) * (len(x) - 1) / 2, (pull(slope / 2),)


def contrastive_pairs(embeddings: ArrayLike, pairs: ArrayLike, similar: ArrayLike, margin: float = 1.0) -> Result:
    """½ d² of each similar pair of rows, else ½ max(0, margin - d)² (Hadsell 2006); `pairs` is (P, 2) row indices."""
    (i, j), alike = np.asarray(pairs, np.int64).reshape(-1, 2).T, np.asarray(similar)
    matrix, pull = _among(_euclidean, _floats(embeddings))
    d = matrix[i, j]
    gap, _ = _hinge(margin - d)
    by_d = np.zeros_like(matrix)
    np.add.at(by_d, (i, j), np.where(alike, d, -gap))
    return np.where(alike, d**2, gap**2) / 2, float(len(d)), (pull(by_d),)


def triplet(
    embeddings: ArrayLike,
    labels: ArrayLike,
    margin: float | str = 0.2,
    metric: str = "euclidean",
    average: str = "valid",
) -> Result:
    """max(0, d_ap - d_an + margin) of all triplets, or log(1 + exp(d_ap - d_an)) if margin is "soft" (Schroff 2015).

    A row has the triplets that it is the anchor of. d is the metric, cosine being 1 - s. Count is that of the triplets,
    or of those with a loss if average is "active".
    """
    d, pull = _among(_METRICS[metric], _floats(embeddings))
    positive, negative = _labelled(labels)
    terms, by_d, count = np.zeros(len(d)), np.zeros_like(d), 0
    for a in range(len(d)):
        p, n = positive[a], negative[a]
        loss, slope = _violation(d[a, p][:, None] - d[a, n], margin)
        terms[a] = np.sum(loss)
        by_d[a, p] += np.sum(slope, axis=1)
        by_d[a, n] -= np.sum(slope, axis=0)
        count += loss.size if average == "valid" else int(np.count_nonzero(loss > 0))
    return terms, float(count), (pull(by_d),)


def triplet_indexed(
    embeddings: ArrayLike,
    triplets: ArrayLike,
    margin: float | str = 0.2,
    metric: str = "euclidean",
    swap: bool = False,
    average: str = "valid",
) -> Result:
    """As `triplet`, of given ones: `triplets` is (T, 3) row indices of anchor, positive, negative.

    `swap` takes d_pn instead of d_an where it is smaller (Balntas 2016).
    """
    a, p, n = np.asarray(triplets, np.int64).reshape(-1, 3).T
    d, pull = _among(_METRICS[metric], _floats(embeddings))
    near = np.where(d[p, n] < d[a, n], p, a) if swap else a
    terms, slope = _violation(d[a, p] - d[near, n], margin)
    by_d = np.zeros_like(d)
    np.add.at(by_d, (a, p), slope)
    np.add.at(by_d, (near, n), -slope)
    return terms, float(len(terms) if average == "valid" else np.count_nonzero(terms > 0)), (pull(by_d),)


def mine(embeddings: ArrayLike, labels: ArrayLike, kind: str, metric: str = "euclidean") -> Array:
    """Triplets (T, 3) of row indices, by anchor, then positive; the lowest index wins a tie.

    "all"; "hard": of each anchor its farthest positive and nearest negative (Hermans 2017); "semihard": of each anchor
    and positive the nearest negative that is farther than the positive, or else the farthest (TensorFlow Addons).
    """
    d, _ = _among(_METRICS[metric], _floats(embeddings))
    positive, negative = _labelled(labels)
    if kind == "all":
        return np.argwhere(positive[:, :, None] & negative[:, None, :])
    mined = []
    for a in np.flatnonzero(positive.any(axis=1) & negative.any(axis=1)):
        if kind == "hard":
            farthest, nearest = np.where(positive[a], d[a], -np.inf), np.where(negative[a], d[a], np.inf)
            mined.append((a, np.argmax(farthest), np.argmin(nearest)))
        else:
            for p in np.flatnonzero(positive[a]):
                beyond = negative[a] & (d[a] > d[a, p])
                nearest, farthest = np.where(beyond, d[a], np.inf), np.where(negative[a], d[a], -np.inf)
                mined.append((a, p, np.argmin(nearest) if beyond.any() else np.argmax(farthest)))
    return np.array(mined, np.int64).reshape(-1, 3)


def quadruplet(embeddings: ArrayLike, quadruplets: ArrayLike, margins: Sequence[float] = (1.0, 0.5)) -> Result:
    """max(0, d_ap² - d_an² + margins[0]) + max(0, d_ap² - d_no² + margins[1]) (Chen 2017).

    `quadruplets` is (Q, 4) row indices of anchor, positive, negative, and a negative of another label still.
    """
    a, p, n, o = np.asarray(quadruplets, np.int64).reshape(-1, 4).T
    squared, pull = _among(_sqeuclidean, _floats(embeddings))
    first, slope = _hinge(squared[a, p] - squared[a, n] + margins[0])
    second, slope_2 = _hinge(squared[a, p] - squared[n, o] + margins[1])
    by_squared = np.zeros_like(squared)
    np.add.at(by_squared, (a, p), slope + slope_2)
    np.add.at(by_squared, (a, n), -slope)
    np.add.at(by_squared, (n, o), -slope_2)
    return first + second, float(len(first)), (pull(by_squared),)


def lifted_structure(embeddings: ArrayLike, labels: ArrayLike, margin: float = 1.0) -> Result:
    """½ max(0, d_ap + log(Σ exp(margin - d_an) + Σ exp(margin - d_pn)))² of each ordered pair of the same label.

    d is between rows divided by their length. A pair without negatives loses nothing. A row has the pairs that it is
    first in; count is that of the pairs. Song 2016, in the form of pytorch-metric-learning ``LiftedStructureLoss``.
    """
    unit, pull_unit = _unit(_floats(embeddings))
    d, pull = _among(_euclidean, unit)
    positive, negative = _labelled(labels)
    terms, by_d = np.zeros(len(d)), np.zeros_like(d)
    for a, p in np.argwhere(positive & negative.any(axis=1, keepdims=True)):
        n = np.flatnonzero(negative[a])  # and of p
        log_sum, share = _log_sum_exp(margin - np.stack([d[a, n], d[p, n]]).ravel())
        slack, _ = _hinge(d[a, p] + log_sum)
        terms[a] += slack**2 / 2
        by_d[a, p] += slack
        by_d[a, n] -= slack * share[: len(n)]
        by_d[p, n] -= slack * share[len(n) :]
    return terms, float(np.sum(positive)), (pull_unit(pull(by_d)),)


def nca(embeddings: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> Result:
    """-log Σ_p softmax(-d²/temperature)_p, the softmax over all other rows (Goldberger 2005).

    A row without positives does not count. pytorch-metric-learning ``NCALoss`` of raw rows and squared d.
    """
    squared, pull = _among(_sqeuclidean, _floats(embeddings))
    positive, negative = _labelled(labels)
    with np.errstate(invalid="ignore"):
        (same, share), (other, other_share) = (_log_sum_exp(-squared / temperature, k) for k in (positive, negative))
        loss, slope = _softplus(other - same)
    counts = positive.any(axis=1)
    by_squared = np.where(counts, slope, 0.0)[:, None] * (share - other_share) / temperature
    return np.where(counts, loss, 0.0), float(np.sum(counts)), (pull(by_squared),)


def lmnn(embeddings: ArrayLike, labels: ArrayLike, k: int = 3, margin: float = 1.0) -> Result:
    """½ Σ d_ij² + ½ Σ Σ max(0, margin + d_ij² - d_il²) over l of other labels (Weinberger and Saul 2009).

    j are the targets of i: the k nearest of its label, or as many as there are; the lowest index wins a tie.
    """
    x = _floats(embeddings)
    squared, pull = _among(_sqeuclidean, x)
    d, _ = _euclidean(x, x)
    positive, negative = _labelled(labels)
    terms, by_squared = np.zeros(len(x)), np.zeros_like(squared)
    for i in range(len(x)):
        same, other = np.flatnonzero(positive[i]), negative[i]
        j = same[np.argsort(d[i, same], kind="stable")[:k]]
        loss, slope = _hinge(margin + squared[i, j][:, None] - squared[i, other])
        terms[i] = (np.sum(squared[i, j]) + np.sum(loss)) / 2
        by_squared[i, j] += (1 + np.sum(slope, axis=1)) / 2
        by_squared[i, other] -= np.sum(slope, axis=0) / 2
    return terms, float(len(x)), (pull(by_squared),)


# Similarities of a batch


def circle(embeddings: ArrayLike, labels: ArrayLike, m: float = 0.4, gamma: float = 80.0) -> Result:
    """Log(1 + Σ_p exp(-gamma [1 + m - s]₊ (s - 1 + m)) Σ_n exp(gamma [s + m]₊ (s - m))) (Sun 2020).

    The weights [.]₊ are constants to the gradient. An anchor without positives or negatives does not count.
    pytorch-metric-learning ``CircleLoss``, whose mean leaves out losses that underflow to 0 too.
    """
    s, pull = _among(_cosine, _floats(embeddings))
    positive, negative = _labelled(labels)
    weight_p, weight_n = -gamma * np.maximum(1 + m - s, 0), gamma * np.maximum(s + m, 0)
    same, share = _log_sum_exp(weight_p * (s - (1 - m)), positive)
    other, other_share = _log_sum_exp(weight_n * (s - m), negative)
    loss, slope = _softplus(same + other)
    counts = positive.any(axis=1) & negative.any(axis=1)
    by_s = np.where(counts, slope, 0.0)[:, None] * (share * weight_p + other_share * weight_n)
    return np.where(counts, loss, 0.0), float(np.sum(counts)), (pull(by_s),)


def multi_similarity(
    embeddings: ArrayLike, labels: ArrayLike, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5
) -> Result:
    """Log(1 + Σ_p exp(-alpha (s - base))) / alpha + log(1 + Σ_n exp(beta (s - base))) / beta (Wang 2019)."""
    s, pull = _among(_cosine, _floats(embeddings))
    positive, negative = _labelled(labels)
    same, share = _log_1_plus_sum_exp(-alpha * (s - base), positive)
    other, other_share = _log_1_plus_sum_exp(beta * (s - base), negative)
    return same / alpha + other / beta, float(len(s)), (pull(other_share - share),)


def nt_xent(embeddings: ArrayLike, labels: ArrayLike, temperature: float = 0.07) -> Result:
    """-log(exp(s_ap/t) / (exp(s_ap/t) + Σ_n exp(s_an/t))) of each ordered pair of the same label (Chen 2020).

    A row has the pairs that it is first in; count is that of the pairs. pytorch-metric-learning ``NTXentLoss``.
    """
    s, pull = _among(_cosine, _floats(embeddings))
    positive, negative = _labelled(labels)
    terms, by_s = np.zeros(len(s)), np.zeros_like(s)
    for a in range(len(s)):
        p = np.flatnonzero(positive[a])
        loss, slope = _cross_entropy(np.tile(s[a] / temperature, (len(p), 1)), p, negative[a])
        terms[a] = np.sum(loss)
        by_s[a] = np.sum(slope, axis=0) / temperature
    return terms, float(np.sum(positive)), (pull(by_s),)


def sup_con(embeddings: ArrayLike, labels: ArrayLike, temperature: float = 0.1) -> Result:
    """Mean over the positives p of -log(exp(s_ap/t) / Σ exp(s_aj/t)), j all others (Khosla 2020, L_out).

    A row without positives does not count. pytorch-metric-learning ``SupConLoss`` is the same if there are negatives.
    """
    s, pull = _among(_cosine, _floats(embeddings))
    positive, _ = _labelled(labels)
    terms, by_s = np.zeros(len(s)), np.zeros_like(s)
    for a in np.flatnonzero(positive.any(axis=1)):
        p = np.flatnonzero(positive[a])
        loss, slope = _cross_entropy(np.tile(s[a] / temperature, (len(p), 1)), p, np.arange(len(s)) != a)
        terms[a] = np.mean(loss)
        by_s[a] = np.mean(slope, axis=0) / temperature
    return terms, float(np.sum(positive.any(axis=1))), (pull(by_s),)


def n_pair(embeddings: ArrayLike, labels: ArrayLike) -> Result:
    """`info_nce` at temperature 1, not symmetric, of the first and second row of each label that has two (Sohn 2016).

    In the order of the labels. pytorch-metric-learning ``NPairsLoss``, which divides rows by their length.
    """
    x, each = _floats(embeddings), np.asarray(labels)
    rows = [np.flatnonzero(each == label)[:2] for label in np.unique(each)]
    a, p = np.array([two for two in rows if len(two) == 2], np.int64).reshape(-1, 2).T
    terms, count, (by_anchors, by_positives) = info_nce(x[a], x[p], temperature=1.0, symmetric=False)
    grad = np.zeros_like(x)
    grad[a], grad[p] = by_anchors, by_positives
    return terms, count, (grad,)


# Paired rows


def info_nce(x: ArrayLike, y: ArrayLike, temperature: float = 0.07, symmetric: bool = True) -> Result:
    """-log softmax over j of s(x_i, y_j) / temperature, at j = i (van den Oord 2018).

    If symmetric, the mean of it and of that over j of s(x_j, y_i) (CLIP, Radford 2021).
    """
    s, pull = _cosine(_floats(x), _floats(y))
    diagonal = np.arange(len(s))
    terms, slope = _cross_entropy(s / temperature, diagonal)
    if symmetric:
        down, slope_down = _cross_entropy(s.T / temperature, diagonal)
        terms, slope = (terms + down) / 2, (slope + slope_down.T) / 2
    return terms, float(len(terms)), pull(slope / temperature)


def sig_lip(x: ArrayLike, y: ArrayLike, temperature: float = 0.1, bias: float = -10.0) -> Result:
    """-Σ_j log sigmoid(z_ij (s(x_i, y_j) / temperature + bias)), z = 1 where j = i, else -1 (Zhai 2023)."""
    s, pull = _cosine(_floats(x), _floats(y))
    z = 2 * np.eye(len(s)) - 1
    loss, slope = _softplus(-z * (s / temperature + bias))
    return np.sum(loss, axis=1), float(len(s)), pull(-z * slope / temperature)


def cosine_embedding(x: ArrayLike, y: ArrayLike, target: ArrayLike, margin: float = 0.0) -> Result:
    """1 - s if target is 1, max(0, s - margin) if it is -1 (torch ``CosineEmbeddingLoss``, which adds an eps)."""
    (u, pull_u), (v, pull_v) = _unit(_floats(x)), _unit(_floats(y))
    alike, s = np.asarray(target) > 0, np.sum(u * v, axis=-1)
    far, slope = _hinge(s - margin)
    by_s = np.where(alike, -1.0, slope)[:, None]
    return np.where(alike, 1 - s, far), float(len(s)), (pull_u(by_s * v), pull_v(by_s * u))


# Centers and proxies, one for each label


def center(embeddings: ArrayLike, labels: ArrayLike, centers: ArrayLike) -> Result:
    """½ |x - center of its label|² (Wen 2016); the gradient by the centers is the true one, not their update."""
    c, each = _floats(centers), np.asarray(labels)
    difference = _floats(embeddings) - c[each]
    by_centers = np.zeros_like(c)
    np.add.at(by_centers, each, -difference)
    return np.sum(difference**2, axis=1) / 2, float(len(difference)), (difference, by_centers)


def proxy_nca(embeddings: ArrayLike, labels: ArrayLike, proxies: ArrayLike, temperature: float = 1.0) -> Result:
    """-log softmax over the proxies of -d²/temperature, at that of the label; d between rows divided by their length.

    pytorch-metric-learning ``ProxyNCALoss``. In Movshovitz-Attias 2017 the label's own proxy is not in the sum.
    """
    (u, pull_u), (v, pull_v) = _unit(_floats(embeddings)), _unit(_floats(proxies))
    squared, pull = _sqeuclidean(u, v)
    terms, slope = _cross_entropy(-squared / temperature, np.asarray(labels))
    by_u, by_v = pull(-slope / temperature)
    return terms, float(len(terms)), (pull_u(by_u), pull_v(by_v))


def proxy_anchor(
    embeddings: ArrayLike, labels: ArrayLike, proxies: ArrayLike, margin: float = 0.1, alpha: float = 32.0
) -> Result:
    """Log(1 + Σ_p exp(-alpha (s - margin))) / P + log(1 + Σ_n exp(alpha (s + margin))) / C of a proxy (Kim 2020).

    C is the number of proxies, P that of those with an embedding of their label. The loss is the sum: count is 1.
    """
    s, pull = _cosine(_floats(proxies), _floats(embeddings))
    own = np.arange(len(s))[:, None] == np.asarray(labels)
    same, share = _log_1_plus_sum_exp(-alpha * (s - margin), own)
    other, other_share = _log_1_plus_sum_exp(alpha * (s + margin), ~own)
    with_own = max(np.count_nonzero(own.any(axis=1)), 1)
    by_proxies, by_embeddings = pull(alpha * (other_share / len(s) - share / with_own))
    return same / with_own + other / len(s), 1.0, (by_embeddings, by_proxies)


# Statistics of two batches: one term, 0 if a batch is empty


def _nothing(*inputs: Array) -> Result:
    return np.zeros(1), 1.0, tuple(np.zeros_like(x) for x in inputs)


def _centered(x: Array) -> Array:
    """Return columns without their mean, exactly 0 where all rows are equal."""
    return np.where(np.all(x == x[0], axis=0), 0.0, x - np.mean(x, axis=0))


def _covariance(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return the covariance by rows - 1, that of one row being 0, and what takes the gradient by it to that by x."""
    residual, free = _centered(x), max(len(x) - 1, 1)
    return residual.T @ residual / free, lambda grad: residual @ (grad + grad.T) / free


def barlow_twins(x: ArrayLike, y: ArrayLike, lambd: float = 0.005) -> Result:
    """Σ (1 - C_ii)² + lambd Σ_{i≠j} C_ij², C the correlations of the columns of x with those of y (Zbontar 2021).

    A constant column correlates with none.
    """
    x, y = _floats(x), _floats(y)
    if len(x) == 0:
        return _nothing(x, y)
    (u, pull_u), (v, pull_v) = (_unit(_centered(each).T) for each in (x, y))
    c, diagonal = u @ v.T, np.eye(x.shape[1], dtype=bool)
    value = np.sum(np.where(diagonal, (1 - c) ** 2, lambd * c**2))
    by_c = np.where(diagonal, -2 * (1 - c), 2 * lambd * c)
    return np.array([value]), 1.0, (pull_u(by_c @ v).T, pull_v(by_c.T @ u).T)


def vic_reg(
    x: ArrayLike,
    y: ArrayLike,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    eps: float = 1e-4,
) -> Result:
    """Invariance mean (x - y)² + variance V + covariance C, each of V and C for x and for y (Bardes 2022, its code).

    V = ½ mean max(0, 1 - √(var + eps)) over the columns, C = Σ_{i≠j} cov_ij² / columns.
    """
    x, y = _floats(x), _floats(y)
    if len(x) == 0:
        return _nothing(x, y)
    value, grads = invariance * np.mean((x - y) ** 2), []
    for each, sign in ((x, 1), (y, -1)):
        cov, pull = _covariance(each)
        deviation = np.sqrt(np.diag(cov) + eps)
        apart = cov - np.diag(np.diag(cov))
        spread, slope = _hinge(1 - deviation)
        value += variance * np.mean(spread) / 2 + covariance * np.sum(apart**2) / len(cov)
        by_cov = (covariance * 2 * apart - variance * np.diag(slope / (4 * deviation))) / len(cov)
        grads.append(sign * invariance * 2 * (x - y) / x.size + pull(by_cov))
    return np.array([value]), 1.0, tuple(grads)


def mmd(x: ArrayLike, y: ArrayLike, kernel: str = "rbf", bandwidths: Sequence[float] = (1.0,)) -> Result:
    """Mean k(x, x') + mean k(y, y') - 2 mean k(x, y), over all pairs, also a row with itself (Gretton 2012, biased).

    k = Σ_b exp(-d²/(2 b²)), or Σ_b exp(-d/b) if the kernel is "laplacian".
    """
    x, y = _floats(x), _floats(y)
    rbf = kernel == "rbf"
    scales = [-1 / (2 * b**2) if rbf else -1 / b for b in bandwidths]

    def alike(one: Array, two: Array) -> Compared:
        d, pull = (_sqeuclidean if rbf else _euclidean)(one, two)
        k, by_d = (sum((s**i * np.exp(s * d) for s in scales), np.zeros_like(d)) for i in (0, 1))
        return k, lambda grad: pull(grad * by_d)

    return _two_samples(alike, x, y)


def energy_distance(x: ArrayLike, y: ArrayLike) -> Result:
    """2 mean d(x, y) - mean d(x, x') - mean d(y, y'), over all pairs, also a row with itself (Székely 2013)."""

    def alike(one: Array, two: Array) -> Compared:
        d, pull = _euclidean(one, two)
        return -d, lambda grad: pull(-grad)

    return _two_samples(alike, _floats(x), _floats(y))


def _two_samples(alike: Callable[[Array, Array], Compared], x: Array, y: Array) -> Result:
    """Mean alike(x, x') + mean alike(y, y') - 2 mean alike(x, y), over all pairs."""
    if len(x) == 0 or len(y) == 0:
        return _nothing(x, y)
    (xx, pull_xx), (yy, pull_yy), (xy, pull_xy) = _among(alike, x), _among(alike, y), alike(x, y)
    by_x, by_y = pull_xy(np.full_like(xy, -2 / xy.size))
    by_x, by_y = by_x + pull_xx(np.full_like(xx, 1 / xx.size)), by_y + pull_yy(np.full_like(yy, 1 / yy.size))
    return np.array([np.mean(xx) + np.mean(yy) - 2 * np.mean(xy)]), 1.0, (by_x, by_y)


def coral(x: ArrayLike, y: ArrayLike) -> Result:
    """Σ (cov(x) - cov(y))² / (4 columns²), of covariances by rows - 1 (Sun and Saenko 2016)."""
    x, y = _floats(x), _floats(y)
    if len(x) == 0 or len(y) == 0:
        return _nothing(x, y)
    (cov_x, pull_x), (cov_y, pull_y) = _covariance(x), _covariance(y)
    apart, scale = cov_x - cov_y, 1 / (4 * len(cov_x) ** 2)
    return np.array([scale * np.sum(apart**2)]), 1.0, (pull_x(2 * scale * apart), pull_y(-2 * scale * apart))
