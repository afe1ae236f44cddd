"""Metric learning: losses of embeddings against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, overload

import numpy as np

from .._arguments import (
    LABELS_OF_FLOAT32,
    NON_NEGATIVE,
    POSITIVE,
    REAL,
    Array,
    ArrayLike,
    Interval,
    Reduction,
    as_indices,
    as_labels,
    as_marks,
    as_rows,
    check_choice,
    check_shape,
    check_triplets_fit,
    choice,
    count_from_one,
    flag,
    needs_float64,
    parameter,
)
from .._native import kernels
from ..threads import get_num_threads
from ._embedding import Batch, EmbeddingLoss, Indices, OneBatch, TwoSamples, TwoViews, WithProxies
from ._loss import Info

__all__ = [
    "CORAL",
    "LMNN",
    "MMD",
    "NCA",
    "BarlowTwins",
    "Center",
    "Circle",
    "Contrastive",
    "CosineEmbedding",
    "EnergyDistance",
    "InfoNCE",
    "LiftedStructure",
    "MultiSimilarity",
    "NPair",
    "NTXent",
    "ProxyAnchor",
    "ProxyNCA",
    "Quadruplet",
    "SigLIP",
    "SupCon",
    "Triplet",
    "VICReg",
    "mine",
]

_METRICS = ("euclidean", "sqeuclidean", "cosine")
_KINDS = ("all", "hard", "semihard")
_COSINES = Interval(-1.0, 1.0)


def _info(source: str, *, differentiable: bool = True, outliers: Literal["low", "medium", "high"] = "medium") -> Info:
    return Info(task="metric learning", convex=False, differentiable=differentiable, outliers=outliers, source=source)


def mine(embeddings: ArrayLike, labels: ArrayLike, kind: str = "hard", metric: str = "euclidean") -> Indices:
    """Find triplets of an anchor, a positive (of the same label) and a negative (of another).

    Parameters
    ----------
    embeddings : array_like, shape (n, d)
        Rows of float32, float64, float16 or bfloat16 (integers and bool count as float64).
    labels : array_like of any integer dtype, shape (n,)
        The class of each row.
    kind : {"hard", "semihard", "all"}, default "hard"
        "hard": for each anchor its farthest positive and its nearest negative. "semihard": for each anchor and positive
        the nearest negative that is farther than the positive; if there is none, the farthest negative. "all": every
        triplet. Of equal distances the lower index is taken.
    metric : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
        What is near.

    Returns
    -------
    ndarray of int64, shape (triplets, 3)
        Indices of anchor, positive and negative, by rising anchor, then positive, then negative. Anchors without a
        positive or without a negative have none.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is wanted.
    MemoryError
        If "all" triplets would not fit in memory; ``Triplet(mining="all")`` computes their loss without them.

    References
    ----------
    Schroff, Kalenichenko & Philbin (2015), FaceNet; Hermans, Beyer & Leibe (2017), In defense of the triplet loss;
    "semihard" without a farther negative as in TensorFlow Addons.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.mine([[0.0], [1.0], [3.0], [7.0]], [0, 0, 1, 1])
    array([[0, 1, 2],
           [1, 0, 2],
           [2, 3, 1],
           [3, 2, 1]])
    """
    rows = as_rows(embeddings, "embeddings")
    numbered = as_labels(labels, "labels", len(rows))
    check_choice(kind, "kind", _KINDS)
    check_choice(metric, "metric", _METRICS)
    if kind == "all":
        sizes = np.bincount(numbered).astype(float)
        check_triplets_fit(float(np.sum(sizes * (sizes - 1) * (len(rows) - sizes))))
    return _mine(rows, numbered, kind, metric)


def _mine(rows: Array, labels: Indices, kind: str, metric: str) -> Indices:
    dtype = np.float64 if needs_float64([rows]) or labels.max(initial=0) >= LABELS_OF_FLOAT32 else np.float32
    return kernels.mine(kind, metric, np.ascontiguousarray(rows, dtype), labels, get_num_threads())


@dataclass(frozen=True)
class Contrastive(OneBatch):
    r"""Contrastive loss: pulls pairs of a class together and pushes others at least `margin` apart.

    .. math:: \ell_{ij} = \tfrac12 d_{ij}^2 \ \text{if the labels agree, else}\ \tfrac12 \max(0, m - d_{ij})^2

    d is the Euclidean distance. The mean is over all pairs of the batch (n (n - 1) / 2 of them), or over those given;
    "none" gives each row half of the loss of each of its pairs, or the losses of the pairs given. At distance 0 the
    gradient is 0.

    Parameters
    ----------
    margin : float, default 1
        m, greater than 0.

    References
    ----------
    Hadsell, Chopra & LeCun (2006), Dimensionality reduction by learning an invariant mapping.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Contrastive()([[0.0], [0.5], [0.75]], [0, 0, 1], reduction="sum")
    0.4375
    >>> pl.Contrastive()([[0.0], [0.5]], pairs=[[0, 1]], similar=[True])
    0.125
    """

    margin: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "contrastive"
    info: ClassVar[Info] = _info("Hadsell 2006")

    def _of_pairs(
        self,
        wants_grad: bool,
        embeddings: ArrayLike,
        labels: ArrayLike,
        pairs: ArrayLike,
        similar: ArrayLike,
        reduction: object,
        out: object,
    ) -> Any:
        if pairs is None:
            if similar is not None:
                raise TypeError("similar: got an array without pairs, wanted it with pairs")
            if labels is None:
                raise TypeError("labels: got None, wanted labels, or pairs and whether they are similar")
            return self._run(wants_grad, embeddings, labels, reduction, out)
        if labels is not None:
            raise TypeError("labels: got labels and pairs, wanted one of them")
        rows = as_rows(embeddings, "embeddings")
        indices = as_indices(pairs, "pairs", 2, len(rows))
        if similar is None:
            raise TypeError("similar: got None, wanted True or False for each pair")
        marks = as_marks(similar, "similar", len(indices), (0.0, 1.0))
        batch = Batch({"embeddings": rows}, wants_grad, reduction, out)
        return batch.result(*self._of_tuples(batch, (0, 0), indices, marks))

    @overload
    def __call__(self, embeddings: ArrayLike, labels: ArrayLike = None, *, pairs: ArrayLike = None,
                 similar: ArrayLike = None, reduction: Literal["mean", "sum"] = "mean") -> float: ...  # fmt: skip
    @overload
    def __call__(self, embeddings: ArrayLike, labels: ArrayLike = None, *, pairs: ArrayLike = None,
                 similar: ArrayLike = None, reduction: Literal["none"]) -> Array: ...  # fmt: skip
    def __call__(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike = None,
        *,
        pairs: ArrayLike = None,
        similar: ArrayLike = None,
        reduction: Reduction = "mean",
    ) -> float | Array:
        """Compute the loss, of all pairs of a labelled batch or of given pairs.

        Parameters
        ----------
        embeddings : array_like, shape (n, d)
            Rows of float32, float64, float16 or bfloat16 (integers and bool count as float64).
        labels : array_like of any integer dtype, shape (n,), optional
            The class of each row; or else
        pairs : array_like of any integer dtype, shape (p, 2), optional
            Indices of rows, with
        similar : array_like of bool, shape (p,), optional
            whether the two are alike.
        reduction : {"mean", "sum", "none"}, default "mean"
            See the class.

        Returns
        -------
        float or ndarray
            One number, added up in float64; with "none" an array.
        """
        return self._of_pairs(False, embeddings, labels, pairs, similar, reduction, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike = None,
        *,
        pairs: ArrayLike = None,
        similar: ArrayLike = None,
        reduction: Literal["mean", "sum"] = "mean",
        out: Array | None = None,
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient by the embeddings.

        Parameters
        ----------
        embeddings, labels, pairs, similar
            As for the call.
        reduction : {"mean", "sum"}, default "mean"
            As for the call.
        out : ndarray, shape (n, d), optional
            Takes the gradient; apart from `embeddings`.

        Returns
        -------
        value : float
            As for the call.
        grad : ndarray, shape (n, d)
            Of the dtype of `embeddings`.
        """
        return self._of_pairs(True, embeddings, labels, pairs, similar, reduction, out)  # type: ignore[no-any-return]


def _margin(value: object, name: str) -> object:
    if isinstance(value, str):
        check_choice(value, name, ("soft",))
        return value
    return NON_NEGATIVE.number(value, name)


@dataclass(frozen=True)
class Triplet(OneBatch):
    r"""Triplet loss: a positive is to be nearer to the anchor than a negative, by a margin.

    .. math:: \ell_{apn} = \max(0, d_{ap} - d_{an} + m), \qquad \text{or}\ \log(1 + e^{d_{ap} - d_{an}})
        \ \text{with a soft margin}

    The mean is over the triplets, or over the active ones, whose loss is not 0; "none" gives the losses of the anchors
    with ``mining="all"``, otherwise those of the triplets. All O(n³) triplets of "all" count, exactly, but with a hinge
    take O(n² log n) time: for each anchor the distances are sorted, and sums over the sorted tell the rest. At distance
    0 the gradient of a Euclidean distance is 0.

    Parameters
    ----------
    margin : float or "soft", default 0.2
        m, at least 0.
    metric : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
        d; "cosine" is 1 - cosine.
    mining : {"all", "hard", "semihard"}, default "all"
        Which triplets of a labelled batch count; see `pyloss.mine`.
    swap : bool, default False
        Takes the lesser of d_an and d_pn for d_an; not with all triplets, whose sums it would undo.
    average : {"valid", "active"}, default "valid"
        What the mean divides by.

    References
    ----------
    Schroff, Kalenichenko & Philbin (2015), FaceNet; Hermans, Beyer & Leibe (2017), In defense of the triplet loss (hard
    mining, soft margin); Balntas et al. (2016), Learning local feature descriptors with triplets (swap).

    Examples
    --------
    >>> import pyloss as pl
    >>> embeddings = [[0.0], [1.0], [1.5], [3.0]]
    >>> pl.Triplet(margin=1.0)(embeddings, [0, 0, 1, 1])
    0.6875
    >>> pl.Triplet(margin=1.0)(embeddings, triplets=[[0, 1, 2]])
    0.5
    """

    margin: float | Literal["soft"] = parameter(0.2, _margin, kernel=False)
    metric: str = choice("euclidean", _METRICS)
    mining: str = choice("all", _KINDS)
    swap: bool = flag(False)
    average: str = choice("valid", ("valid", "active"))
    name: ClassVar[str] = "triplet"
    info: ClassVar[Info] = _info("Schroff 2015", differentiable=False)

    def __post_init__(self) -> None:
        """Check the parameters, alone and together."""
        super().__post_init__()
        if self.swap and self.mining == "all":
            raise ValueError("swap: got True with mining='all', wanted it with 'hard' or 'semihard'; or give triplets")

    @property
    def _parameters(self) -> list[float]:
        soft = self.margin == "soft"
        return [0.0 if soft else float(self.margin), float(soft), float(self.average == "active")]

    def _compute(self, batch: Batch, labels: Indices) -> tuple[float, Array]:
        if self.mining == "all":
            return super()._compute(batch, labels)
        return self._of_triplets(batch, _mine(batch.rows[0], labels, self.mining, self.metric))

    def _of_triplets(self, batch: Batch, triplets: Indices) -> tuple[float, Array]:
        return self._of_tuples(batch, (0, 0, 0), triplets, parameters=[*self._parameters, float(self.swap)])

    def _run_either(
        self,
        wants_grad: bool,
        embeddings: ArrayLike,
        labels: ArrayLike,
        triplets: ArrayLike,
        reduction: object,
        out: object,
    ) -> Any:
        if triplets is None:
            if labels is None:
                raise TypeError("labels: got None, wanted labels or triplets")
            return self._run(wants_grad, embeddings, labels, reduction, out)
        if labels is not None:
            raise TypeError("labels: got labels and triplets, wanted one of them")
        rows = as_rows(embeddings, "embeddings")
        indices = as_indices(triplets, "triplets", 3, len(rows))
        batch = Batch({"embeddings": rows}, wants_grad, reduction, out)
        return batch.result(*self._of_triplets(batch, indices))

    @overload
    def __call__(self, embeddings: ArrayLike, labels: ArrayLike = None, *, triplets: ArrayLike = None,
                 reduction: Literal["mean", "sum"] = "mean") -> float: ...  # fmt: skip
    @overload
    def __call__(self, embeddings: ArrayLike, labels: ArrayLike = None, *, triplets: ArrayLike = None,
                 reduction: Literal["none"]) -> Array: ...  # fmt: skip
    def __call__(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike = None,
        *,
        triplets: ArrayLike = None,
        reduction: Reduction = "mean",
    ) -> float | Array:
        """Compute the loss, of the mined triplets of a labelled batch or of given triplets.

        Parameters
        ----------
        embeddings : array_like, shape (n, d)
            Rows of float32, float64, float16 or bfloat16 (integers and bool count as float64).
        labels : array_like of any integer dtype, shape (n,), optional
            The class of each row; or else
        triplets : array_like of any integer dtype, shape (t, 3), optional
            Indices of anchors, positives and negatives, from `pyloss.mine`, a nearest-neighbour index or elsewhere.
        reduction : {"mean", "sum", "none"}, default "mean"
            See the class.

        Returns
        -------
        float or ndarray
            One number, added up in float64; with "none" an array.
        """
        return self._run_either(False, embeddings, labels, triplets, reduction, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike = None,
        *,
        triplets: ArrayLike = None,
        reduction: Literal["mean", "sum"] = "mean",
        out: Array | None = None,
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient by the embeddings.

        Parameters
        ----------
        embeddings, labels, triplets
            As for the call.
        reduction : {"mean", "sum"}, default "mean"
            As for the call.
        out : ndarray, shape (n, d), optional
            Takes the gradient; apart from `embeddings`.

        Returns
        -------
        value : float
            As for the call.
        grad : ndarray, shape (n, d)
            Of the dtype of `embeddings`.
        """
        return self._run_either(True, embeddings, labels, triplets, reduction, out)  # type: ignore[no-any-return]


def _two_margins(value: Any, name: str) -> tuple[float, float]:
    numbers = NON_NEGATIVE.numbers(value, name)
    if not isinstance(numbers, tuple) or len(numbers) != 2:
        raise ValueError(f"{name}: got {value!r}, wanted two numbers of at least 0")
    return numbers[0], numbers[1]


@dataclass(frozen=True)
class Quadruplet(EmbeddingLoss):
    r"""Quadruplet loss: a positive is to be nearer to the anchor than a negative, and than two negatives to each other.

    .. math:: \ell_{apno} = \max(0, d_{ap}^2 - d_{an}^2 + m_1) + \max(0, d_{ap}^2 - d_{no}^2 + m_2)

    d is the Euclidean distance. The mean is over the quadruplets, "none" gives their losses.

    Parameters
    ----------
    margins : (float, float), default (1.0, 0.5)
        m1 and m2, at least 0.

    References
    ----------
    Chen, Chen, Zhang & Huang (2017), Beyond triplet loss: a deep quadruplet network for person re-identification.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Quadruplet()([[0.0], [1.0], [1.0], [3.0]], [[0, 1, 2, 3]])
    1.0
    """

    margins: tuple[float, float] = parameter((1.0, 0.5), _two_margins, kernel=False)
    name: ClassVar[str] = "quadruplet"
    info: ClassVar[Info] = _info("Chen 2017", differentiable=False, outliers="high")

    @property
    def _parameters(self) -> list[float]:
        return list(self.margins)

    def _run(
        self, wants_grad: bool, embeddings: ArrayLike, quadruplets: ArrayLike, reduction: object, out: object
    ) -> Any:
        rows = as_rows(embeddings, "embeddings")
        indices = as_indices(quadruplets, "quadruplets", 4, len(rows))
        batch = Batch({"embeddings": rows}, wants_grad, reduction, out)
        return batch.result(*self._of_tuples(batch, (0, 0, 0, 0), indices))

    @overload
    def __call__(self, embeddings: ArrayLike, quadruplets: ArrayLike, *,
                 reduction: Literal["mean", "sum"] = "mean") -> float: ...  # fmt: skip
    @overload
    def __call__(self, embeddings: ArrayLike, quadruplets: ArrayLike, *, reduction: Literal["none"]) -> Array: ...
    def __call__(
        self, embeddings: ArrayLike, quadruplets: ArrayLike, *, reduction: Reduction = "mean"
    ) -> float | Array:
        """Compute the loss.

        Parameters
        ----------
        embeddings : array_like, shape (n, d)
            Rows of float32, float64, float16 or bfloat16 (integers and bool count as float64).
        quadruplets : array_like of any integer dtype, shape (q, 4)
            Indices of anchors, positives, negatives and other negatives.
        reduction : {"mean", "sum", "none"}, default "mean"
            See the class.

        Returns
        -------
        float or ndarray
            One number, added up in float64; with "none" an array of q.
        """
        return self._run(False, embeddings, quadruplets, reduction, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self,
        embeddings: ArrayLike,
        quadruplets: ArrayLike,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        out: Array | None = None,
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient by the embeddings.

        Parameters
        ----------
        embeddings, quadruplets
            As for the call.
        reduction : {"mean", "sum"}, default "mean"
            As for the call.
        out : ndarray, shape (n, d), optional
            Takes the gradient; apart from `embeddings`.

        Returns
        -------
        value : float
            As for the call.
        grad : ndarray, shape (n, d)
            Of the dtype of `embeddings`.
        """
        return self._run(True, embeddings, quadruplets, reduction, out)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class LiftedStructure(OneBatch):
    r"""Lifted structured loss: a positive pair against all negatives of either end.

    .. math:: \ell_{ap} = \tfrac12 \max\Bigl(0, d_{ap}
        + \log\bigl(\textstyle\sum_n e^{m - d_{an}} + \sum_n e^{m - d_{pn}}\bigr)\Bigr)^2

    d is the Euclidean distance of the rows divided by their lengths. The mean is over the ordered positive pairs,
    "none" gives the sums of the anchors. A pair without negatives has no loss.

    Parameters
    ----------
    margin : float, default 1
        m, at least 0.

    References
    ----------
    Oh Song, Xiang, Jegelka & Savarese (2016), Deep metric learning via lifted structured feature embedding;
    pytorch-metric-learning LiftedStructureLoss.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.LiftedStructure()([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], [0, 0, 1]), 6)
    0.086243
    """

    margin: float = parameter(1.0, NON_NEGATIVE.number)
    name: ClassVar[str] = "lifted_structure"
    info: ClassVar[Info] = _info("Oh Song 2016", differentiable=False)


@dataclass(frozen=True)
class NPair(OneBatch):
    r"""N-pair loss: of each class one pair, whose second is to be told from the second of every other class.

    .. math:: \ell_a = \log \sum_{b} e^{s_{ab}} - s_{aa}, \qquad s_{ab} = \cos(x_a, y_b)

    The pair of a class is its first two rows, x and y; classes of one row do not count. The mean is over the pairs,
    "none" gives their losses by rising label.

    References
    ----------
    Sohn (2016), Improved deep metric learning with multi-class N-pair loss objective; pytorch-metric-learning
    NPairsLoss, which divides rows by their lengths.

    Examples
    --------
    >>> import pyloss as pl
    >>> embeddings = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    >>> round(pl.NPair()(embeddings, [0, 0, 1, 1]), 6)
    0.313262
    """

    name: ClassVar[str] = "n_pair"
    info: ClassVar[Info] = _info("Sohn 2016")

    @classmethod
    def _kernels(cls) -> tuple[str, ...]:
        return ("info_nce",)

    def _run(self, wants_grad: bool, embeddings: ArrayLike, labels: ArrayLike, reduction: object, out: object) -> Any:
        rows = as_rows(embeddings, "embeddings")
        numbered = as_labels(labels, "labels", len(rows))
        batch = Batch({"embeddings": rows}, wants_grad, reduction, out)
        order = np.argsort(numbered, kind="stable")
        starts = np.flatnonzero(np.diff(numbered[order], prepend=-1))
        seconds = starts + 1
        paired = seconds < np.append(starts[1:], len(rows))
        first, second = order[starts[paired]], order[seconds[paired]]
        pairs = Batch({"x": batch.rows[0][first], "y": batch.rows[0][second]}, wants_grad, reduction, None)
        one_each = np.arange(len(first), dtype=np.int64)
        value, terms = self._all_pairs(pairs, (one_each, one_each), parameters=[1.0, 0.0])
        if wants_grad:
            batch.grads[0][first], batch.grads[0][second] = pairs.grads
        return batch.result(value, terms)


@dataclass(frozen=True)
class Circle(OneBatch):
    r"""Circle loss: pulls and pushes each similarity the harder, the farther it is from where it should be.

    .. math:: \ell_a = \operatorname{softplus}\Bigl(
        \log \textstyle\sum_p e^{-\gamma [1 + m - s_{ap}]_+ (s_{ap} - 1 + m)}
        + \log \sum_n e^{\gamma [s_{an} + m]_+ (s_{an} - m)}\Bigr)

    s is the cosine. The weights in brackets are constants for the gradient. The mean is over the anchors that have
    positives and negatives.

    Parameters
    ----------
    m : float, default 0.4
        Relaxation.
    gamma : float, default 80
        Scale, greater than 0.

    References
    ----------
    Sun et al. (2020), Circle loss; pytorch-metric-learning CircleLoss.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.Circle(gamma=1.0)([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [0, 0, 1]), 6)
    0.789009
    """

    m: float = parameter(0.4, REAL.number)
    gamma: float = parameter(80.0, POSITIVE.number)
    name: ClassVar[str] = "circle"
    info: ClassVar[Info] = _info("Sun 2020")


@dataclass(frozen=True)
class MultiSimilarity(OneBatch):
    r"""Multi-similarity loss: soft maxima over the positives and over the negatives of an anchor.

    .. math:: \ell_a = \tfrac1\alpha \log\bigl(1 + \textstyle\sum_p e^{-\alpha (s_{ap} - \lambda)}\bigr)
        + \tfrac1\beta \log\bigl(1 + \sum_n e^{\beta (s_{an} - \lambda)}\bigr)

    s is the cosine. The mean is over all anchors.

    Parameters
    ----------
    alpha, beta : float, default 2 and 50
        Sharpness towards positives and negatives, greater than 0.
    base : float, default 0.5
        lambda, the similarity from which pairs count.

    References
    ----------
    Wang et al. (2019), Multi-similarity loss with general pair weighting; pytorch-metric-learning MultiSimilarityLoss.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.MultiSimilarity()([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [0, 0, 1]), 6)
    0.39938
    """

    alpha: float = parameter(2.0, POSITIVE.number)
    beta: float = parameter(50.0, POSITIVE.number)
    base: float = parameter(0.5, REAL.number)
    name: ClassVar[str] = "multi_similarity"
    info: ClassVar[Info] = _info("Wang 2019")


@dataclass(frozen=True)
class NCA(OneBatch):
    r"""Neighbourhood components: the chance that a neighbour, drawn by its distance, is of the anchor's class.

    .. math:: \ell_a = -\log \frac{\sum_p e^{-d_{ap}^2 / \tau}}{\sum_{j \ne a} e^{-d_{aj}^2 / \tau}}

    d is the Euclidean distance. The mean is over the anchors that have positives.

    Parameters
    ----------
    temperature : float, default 1
        tau, greater than 0.

    References
    ----------
    Goldberger, Roweis, Hinton & Salakhutdinov (2005), Neighbourhood components analysis; its logarithm, as
    pytorch-metric-learning NCALoss of distances that are not normalised.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.NCA()([[0.0], [1.0], [2.0]], [0, 0, 1]), 6)
    0.370867
    """

    temperature: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "nca"
    info: ClassVar[Info] = _info("Goldberger 2005")


@dataclass(frozen=True)
class LMNN(OneBatch):
    r"""Large-margin nearest neighbours: target neighbours are pulled in, impostors pushed a margin beyond them.

    .. math:: \ell_i = \tfrac12 \sum_{j \in T_i} d_{ij}^2
        + \tfrac12 \sum_{j \in T_i} \sum_l \max(0, m + d_{ij}^2 - d_{il}^2)

    d is the Euclidean distance, T are the k nearest of the same label (fewer if there are fewer), which are constants
    for the gradient, l has another label. The mean is over all rows.

    Parameters
    ----------
    k : int, default 3
        Target neighbours of a row.
    margin : float, default 1
        m, at least 0.

    References
    ----------
    Weinberger & Saul (2009), Distance metric learning for large margin nearest neighbor classification, with mu = 1/2.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.LMNN(k=1)([[0.0], [1.0], [1.5]], [0, 0, 1], reduction="sum")
    1.875
    """

    k: int = count_from_one(3)
    margin: float = parameter(1.0, NON_NEGATIVE.number)
    name: ClassVar[str] = "lmnn"
    info: ClassVar[Info] = _info("Weinberger 2009", differentiable=False, outliers="high")


@dataclass(frozen=True)
class NTXent(OneBatch):
    r"""Normalised temperature-scaled cross-entropy: each positive against itself and all negatives.

    .. math:: \ell_{ap} = -\log \frac{e^{s_{ap} / \tau}}{e^{s_{ap} / \tau} + \sum_n e^{s_{an} / \tau}}

    s is the cosine. Two views of a batch are one batch of both, in which the two of a pair have the same label. The
    mean is over the ordered positive pairs, "none" gives the sums of the anchors.

    Parameters
    ----------
    temperature : float, default 0.07
        tau, greater than 0.

    References
    ----------
    Chen, Kornblith, Norouzi & Hinton (2020), SimCLR; pytorch-metric-learning NTXentLoss.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.NTXent(temperature=1.0)([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [0, 0, 1]), 6)
    0.617813
    """

    temperature: float = parameter(0.07, POSITIVE.number)
    name: ClassVar[str] = "nt_xent"
    info: ClassVar[Info] = _info("Chen 2020")


@dataclass(frozen=True)
class SupCon(OneBatch):
    r"""Supervised contrastive loss: each positive against all other rows, averaged over the positives.

    .. math:: \ell_a = -\frac{1}{|P_a|} \sum_{p \in P_a} \log \frac{e^{s_{ap} / \tau}}{\sum_{j \ne a} e^{s_{aj} / \tau}}

    s is the cosine. The mean is over the anchors that have positives.

    Parameters
    ----------
    temperature : float, default 0.1
        tau, greater than 0.

    References
    ----------
    Khosla et al. (2020), Supervised contrastive learning, L_out; pytorch-metric-learning SupConLoss.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.SupCon(temperature=1.0)([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [0, 0, 1]), 6)
    0.617813
    """

    temperature: float = parameter(0.1, POSITIVE.number)
    name: ClassVar[str] = "sup_con"
    info: ClassVar[Info] = _info("Khosla 2020")


@dataclass(frozen=True)
class Center(WithProxies):
    r"""Center loss: half the squared distance of each row to the centre of its class.

    .. math:: \ell_i = \tfrac12 |x_i - c_{y_i}|^2

    The centres are the `proxies` of the call, and the gradient by them is the true one. The mean is over the rows.

    References
    ----------
    Wen, Zhang, Li & Qiao (2016), A discriminative feature learning approach for deep face recognition.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Center()([[0.0], [3.0]], [0, 1], [[1.0], [1.0]])
    1.25
    """

    name: ClassVar[str] = "center"
    info: ClassVar[Info] = _info("Wen 2016", outliers="high")

    def _compute(self, batch: Batch, labels: Indices) -> tuple[float, Array]:
        pairs = np.column_stack([np.arange(len(labels), dtype=np.int64), labels])
        return self._of_tuples(batch, (0, 1), np.ascontiguousarray(pairs))


@dataclass(frozen=True)
class ProxyNCA(WithProxies):
    r"""Proxy-NCA: cross-entropy of a softmax over the negative squared distances to the proxies.

    .. math:: \ell_i = -\log \frac{e^{-d^2(x_i, p_{y_i}) / \tau}}{\sum_c e^{-d^2(x_i, p_c) / \tau}}

    d is the Euclidean distance of rows and proxies divided by their lengths. The mean is over the rows.

    Parameters
    ----------
    temperature : float, default 1
        tau, greater than 0.

    References
    ----------
    Movshovitz-Attias et al. (2017), No fuss distance metric learning using proxies; with the row's own proxy in the
    denominator, as pytorch-metric-learning ProxyNCALoss.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.ProxyNCA()([[1.0, 0.0]], [0], [[1.0, 0.0], [0.0, 1.0]]), 6)
    0.126928
    """

    temperature: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "proxy_nca"
    info: ClassVar[Info] = _info("Movshovitz-Attias 2017")


@dataclass(frozen=True)
class ProxyAnchor(WithProxies):
    r"""Proxy-anchor: each proxy pulls the rows of its class and pushes all others, the hardest the most.

    .. math:: \ell = \frac{1}{|C^+|} \sum_{c \in C^+}
        \log\bigl(1 + \textstyle\sum_{y_i = c} e^{-\alpha (s_{ci} - m)}\bigr)
        + \frac{1}{|C|} \sum_{c} \log\bigl(1 + \sum_{y_i \ne c} e^{\alpha (s_{ci} + m)}\bigr)

    s is the cosine, C+ are the classes that occur. The loss is a sum over the proxies ("none" gives their shares), and
    "mean" and "sum" are the same.

    Parameters
    ----------
    margin : float, default 0.1
        m.
    alpha : float, default 32
        Sharpness, greater than 0.

    References
    ----------
    Kim, Kim, Cho & Kwak (2020), Proxy anchor loss for deep metric learning; pytorch-metric-learning ProxyAnchorLoss.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.ProxyAnchor(alpha=1.0)([[1.0, 0.0]], [0], [[1.0, 0.0], [0.0, 1.0]]), 6)
    0.713352
    """

    margin: float = parameter(0.1, REAL.number)
    alpha: float = parameter(32.0, POSITIVE.number)
    name: ClassVar[str] = "proxy_anchor"
    info: ClassVar[Info] = _info("Kim 2020")

    def _compute(self, batch: Batch, labels: Indices) -> tuple[float, Array]:
        classes = np.arange(len(batch.rows[1]), dtype=np.int64)
        parameters = [*self._parameters, float(len(np.unique(labels))), float(len(classes))]
        batch.reduction = "none" if batch.reduction == "none" else "sum"
        return self._all_pairs(batch, (classes, labels), (1, 0), parameters=parameters)


@dataclass(frozen=True)
class InfoNCE(TwoViews):
    r"""InfoNCE of paired rows: the cross-entropy of finding a row's partner among all rows of the other batch.

    .. math:: \ell_i = \tfrac12 \bigl(\log \textstyle\sum_j e^{s_{ij} / \tau} + \log \sum_j e^{s_{ji} / \tau}\bigr)
        - s_{ii} / \tau

    s is the cosine of row i of `x` and row j of `y`. Not symmetric, only rows of `x` look for theirs:
    the first sum minus s/tau.

    Parameters
    ----------
    temperature : float, default 0.07
        tau, greater than 0.
    symmetric : bool, default True
        Whether rows of `y` look for theirs too.

    References
    ----------
    van den Oord, Li & Vinyals (2018), Contrastive predictive coding; symmetric as in Radford et al. (2021), CLIP.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.InfoNCE(temperature=1.0)([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]), 6)
    0.313262
    """

    temperature: float = parameter(0.07, POSITIVE.number)
    symmetric: bool = flag(True)
    name: ClassVar[str] = "info_nce"
    info: ClassVar[Info] = _info("van den Oord 2018")


@dataclass(frozen=True)
class SigLIP(TwoViews):
    r"""Sigmoid loss of paired rows: every pair of the two batches by itself is to be told right or wrong.

    .. math:: \ell_i = \sum_j \log\bigl(1 + e^{-z_{ij} (s_{ij} / \tau + b)}\bigr), \qquad z_{ii} = 1,\ \text{else}\ -1

    s is the cosine of row i of `x` and row j of `y`.

    Parameters
    ----------
    temperature : float, default 0.1
        tau, greater than 0.
    bias : float, default -10
        b.

    References
    ----------
    Zhai, Mustafa, Kolesnikov & Beyer (2023), Sigmoid loss for language image pre-training (temperature 1/t).

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.SigLIP()([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]), 6)
    0.693193
    """

    temperature: float = parameter(0.1, POSITIVE.number)
    bias: float = parameter(-10.0, REAL.number)
    name: ClassVar[str] = "sig_lip"
    info: ClassVar[Info] = _info("Zhai 2023")


@dataclass(frozen=True)
class CosineEmbedding(EmbeddingLoss):
    r"""Cosine embedding loss of paired rows that are alike or not.

    .. math:: \ell_i = 1 - \cos(x_i, y_i) \ \text{if}\ t_i = 1, \text{else}\ \max(0, \cos(x_i, y_i) - m)

    The cosine of a row of zeros is 0, with gradient 0. The mean is over the pairs, "none" gives their losses.

    Parameters
    ----------
    margin : float, default 0
        m, in [-1, 1].

    References
    ----------
    torch.nn.CosineEmbeddingLoss, which adds 1e-12 to the squared lengths; nothing is added here.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.CosineEmbedding()([[1.0, 0.0], [1.0, 0.0]], [[0.0, 2.0], [3.0, 0.0]], [1, -1])
    1.0
    """

    margin: float = parameter(0.0, _COSINES.number)
    name: ClassVar[str] = "cosine_embedding"
    info: ClassVar[Info] = _info("torch CosineEmbeddingLoss", differentiable=False, outliers="low")

    def _run(
        self, wants_grad: bool, x: ArrayLike, y: ArrayLike, target: ArrayLike, reduction: object, out: object
    ) -> Any:
        first, second = as_rows(x, "x"), as_rows(y, "y")
        check_shape(second, "y", first.shape, "the shape of x")
        marks = as_marks(target, "target", len(first), (-1.0, 1.0))
        batch = Batch({"x": first, "y": second}, wants_grad, reduction, out)
        pairs = np.repeat(np.arange(len(first), dtype=np.int64)[:, None], 2, axis=1)
        return batch.result(*self._of_tuples(batch, (0, 1), pairs, marks))

    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, target: ArrayLike, *,
                 reduction: Literal["mean", "sum"] = "mean") -> float: ...  # fmt: skip
    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, target: ArrayLike, *, reduction: Literal["none"]) -> Array: ...
    def __call__(
        self, x: ArrayLike, y: ArrayLike, target: ArrayLike, *, reduction: Reduction = "mean"
    ) -> float | Array:
        """Compute the loss.

        Parameters
        ----------
        x, y : array_like, shape (n, d)
            Rows of float32, float64, float16 or bfloat16 (integers and bool count as float64).
        target : array_like, shape (n,)
            1 where the two rows are alike, -1 where they are not.
        reduction : {"mean", "sum", "none"}, default "mean"
            See the class.

        Returns
        -------
        float or ndarray
            One number, added up in float64; with "none" an array of n.
        """
        return self._run(False, x, y, target, reduction, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self,
        x: ArrayLike,
        y: ArrayLike,
        target: ArrayLike,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        out: tuple[Array, Array] | None = None,
    ) -> tuple[float, tuple[Array, Array]]:
        """Compute the loss and its gradients by both batches.

        Parameters
        ----------
        x, y, target
            As for the call.
        reduction : {"mean", "sum"}, default "mean"
            As for the call.
        out : (ndarray, ndarray), optional
            Takes the gradients; apart from the inputs.

        Returns
        -------
        value : float
            As for the call.
        grads : (ndarray, ndarray)
            By `x` and by `y`, each of the shape and dtype of its input.
        """
        return self._run(True, x, y, target, reduction, out)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class BarlowTwins(TwoSamples):
    r"""Barlow twins: the features of two views are to correlate with themselves and with no other.

    .. math:: \ell = \sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2

    C holds the correlations, over the batch, of each column of `x` with each of `y`; a constant column correlates with
    none. The two batches have one shape.

    Parameters
    ----------
    lambd : float, default 0.005
        lambda, at least 0.

    References
    ----------
    Zbontar, Jing, Misra, LeCun & Deny (2021), Barlow twins; without the eps of a batch normalisation.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.BarlowTwins()([[1.0], [-1.0]], [[-1.0], [1.0]]), 6)
    4.0
    """

    lambd: float = parameter(0.005, NON_NEGATIVE.number)
    name: ClassVar[str] = "barlow_twins"
    info: ClassVar[Info] = _info("Zbontar 2021")
    _same_size = True

    def _compute(self, batch: Batch) -> float:
        return self._covariances(batch)


@dataclass(frozen=True)
class VICReg(TwoSamples):
    r"""Variance-invariance-covariance regularisation of two views.

    .. math:: \ell = \lambda\, \overline{(x - y)^2}
        + \mu \sum_z \tfrac12\, \overline{\max\bigl(0, 1 - \sqrt{C^z_{ii} + \epsilon}\bigr)}
        + \nu \sum_z \tfrac1d \textstyle\sum_{i \ne j} (C^z_{ij})^2

    z is `x` and `y`, C^z the covariances of its columns (divided by n - 1; 0 for one row). The two batches have one
    shape.

    Parameters
    ----------
    invariance, variance, covariance : float, default 25, 25 and 1
        lambda, mu and nu, at least 0.
    eps : float, default 1e-4
        Keeps the root off 0; greater than 0.

    References
    ----------
    Bardes, Ponce & LeCun (2022), VICReg.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.VICReg()([[1.0], [-1.0]], [[1.0], [-1.0]]), 6)
    0.0
    """

    invariance: float = parameter(25.0, NON_NEGATIVE.number)
    variance: float = parameter(25.0, NON_NEGATIVE.number)
    covariance: float = parameter(1.0, NON_NEGATIVE.number)
    eps: float = parameter(1e-4, POSITIVE.number)
    name: ClassVar[str] = "vic_reg"
    info: ClassVar[Info] = _info("Bardes 2022")
    _same_size = True

    def _compute(self, batch: Batch) -> float:
        return self._covariances(batch)


def _bandwidths(value: Any, name: str) -> tuple[float, ...]:
    numbers = POSITIVE.numbers(value, name)
    return numbers if isinstance(numbers, tuple) else (numbers,)


@dataclass(frozen=True)
class MMD(TwoSamples):
    r"""Squared maximum mean discrepancy of two sets of rows.

    .. math:: \ell = \overline{k(x, x')} + \overline{k(y, y')} - 2\, \overline{k(x, y)}, \qquad
        k = \sum_b e^{-d^2 / (2 b^2)} \ \text{or}\ \sum_b e^{-d / b}

    Means over all pairs, each row with itself among them (the biased estimate, never negative).

    Parameters
    ----------
    kernel : {"rbf", "laplacian"}, default "rbf"
        Which k.
    bandwidths : sequence of float, default (1.0,)
        b, greater than 0.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schölkopf & Smola (2012), A kernel two-sample test.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.MMD()([[0.0], [1.0]], [[0.0], [3.0]]), 6)
    0.432332
    """

    kernel: str = choice("rbf", ("rbf", "laplacian"))
    bandwidths: Sequence[float] = parameter((1.0,), _bandwidths, kernel=False)
    name: ClassVar[str] = "mmd"
    info: ClassVar[Info] = _info("Gretton 2012", outliers="low")

    @classmethod
    def _kernels(cls) -> tuple[str, ...]:
        return ("rbf", "laplacian")

    def _compute(self, batch: Batch) -> float:
        value = sum(self._of_pairs(batch, self.kernel, [b], 1.0, 1.0) for b in self.bandwidths)
        return 0.0 if value < 0.0 else value


@dataclass(frozen=True)
class CORAL(TwoSamples):
    r"""Correlation alignment: the squared difference of the covariances of two sets of rows.

    .. math:: \ell = \frac{1}{4 d^2} \sum_{ij} (C^x_{ij} - C^y_{ij})^2

    Covariances of the columns, divided by n - 1 (0 for one row).

    References
    ----------
    Sun & Saenko (2016), Deep CORAL.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.CORAL()([[1.0], [-1.0]], [[2.0], [-2.0], [0.0]])
    1.0
    """

    name: ClassVar[str] = "coral"
    info: ClassVar[Info] = _info("Sun 2016", outliers="high")

    def _compute(self, batch: Batch) -> float:
        return self._covariances(batch)


@dataclass(frozen=True)
class EnergyDistance(TwoSamples):
    r"""Energy distance of two sets of rows.

    .. math:: \ell = 2\, \overline{d(x, y)} - \overline{d(x, x')} - \overline{d(y, y')}

    d is the Euclidean distance; means over all pairs, each row with itself among them. In one dimension it is the
    square of SciPy's ``energy_distance``. At distance 0 the gradient is 0.

    References
    ----------
    Székely & Rizzo (2013), Energy statistics.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.EnergyDistance()([[0.0]], [[5.0]])
    10.0
    """

    name: ClassVar[str] = "energy_distance"
    info: ClassVar[Info] = _info("Székely 2013", outliers="low")

    @classmethod
    def _kernels(cls) -> tuple[str, ...]:
        return ("distance",)

    def _compute(self, batch: Batch) -> float:
        value = self._of_pairs(batch, "distance", [], -1.0, 0.0)
        return 0.0 if value < 0.0 else value
