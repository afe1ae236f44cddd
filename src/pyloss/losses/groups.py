"""Losses of groups of samples: robustness to the worst-off, and fairness between them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .._arguments import NON_NEGATIVE, Array, ArrayLike, checked_by, choice, parameter, positive_integer
from ._groups import GroupLoss, Means, Numbers, OfSampleLosses
from ._loss import Info

KINDS = ("difference", "squared")


def _shares(value: Any, name: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    given = NON_NEGATIVE.numbers(value, name)
    shares = given if isinstance(given, tuple) else (given,)
    if abs(sum(shares) - 1.0) > 1e-6:
        raise ValueError(f"{name}: got numbers of sum {sum(shares):g}, wanted a share for each group, of sum 1")
    return shares


@dataclass(frozen=True)
class GroupDRO(OfSampleLosses):
    r"""Mean loss of groups, weighted by shares that follow the worst-off group: distributionally robust optimisation.

    .. math:: \sum_g q_g \bar\ell_g, \qquad q_g \leftarrow q_g e^{\eta \bar\ell_g} \Big/ \sum_h q_h e^{\eta \bar\ell_h}

    with :math:`\bar\ell_g` the mean loss of the samples of group g, 0 if there are none, and :math:`\eta` = `step`. The
    losses may have any shape; float32, float64, float16, bfloat16 (integers and bool count as float64).

    An object never changes: `update` returns another one, with new shares. As in the paper, update first and take the
    gradient with the new shares.

    Parameters
    ----------
    groups : int
        How many groups there are, numbered from 0.
    step : float, default 0.01
        Step size of the shares; at least 0.
    q : sequence of float, default None
        The share of each group, of sum 1; None for equal shares.

    Raises
    ------
    TypeError, ValueError
        For parameters out of range; for arguments of the wrong type or shape; for a group that is none, its index and
        number.

    References
    ----------
    Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, 2020, algorithm 1

    Examples
    --------
    >>> import numpy as np
    >>> import pyloss as pl
    >>> pred, target, groups = np.array([1.0, 2.0, 5.0]), np.array([0.0, 2.0, 3.0]), np.array([0, 0, 1])
    >>> loss, robust = pl.MSE(), pl.GroupDRO(groups=2, step=0.1)
    >>> losses = loss(pred, target, reduction="none")
    >>> robust = robust.update(losses, groups)
    >>> [round(share, 3) for share in robust.q]
    [0.413, 0.587]
    >>> value, weight = robust.value_and_grad(losses, groups)

    The gradient by the losses is the weight with which their own loss gives the gradient by the predictions:

    >>> same, grad = loss.value_and_grad(pred, target, weight=weight, reduction="sum")
    >>> bool(np.isclose(value, same))
    True
    """

    groups: int = field(metadata=checked_by(positive_integer))
    step: float = parameter(0.01, NON_NEGATIVE.number, kernel=False)
    q: tuple[float, ...] | None = parameter(None, _shares, kernel=False)
    name: ClassVar[str] = "group_dro"
    info: ClassVar[Info] = Info(
        task="robustness over groups", convex=True, differentiable=True, outliers="high", source="Sagawa 2020"
    )

    def __post_init__(self) -> None:
        """Check that there is a share for each group."""
        super().__post_init__()
        if self.q is not None and len(self.q) != self.groups:
            raise ValueError(f"q: got {len(self.q)} shares, wanted {self.groups}, one for each group")

    @property
    def _count(self) -> int:
        return self.groups

    @property
    def _q(self) -> Numbers:
        return np.full(self.groups, 1.0 / self.groups) if self.q is None else np.array(self.q)

    def _of_means(self, means: Means) -> tuple[float, Numbers]:
        return float(self._q @ means.means[0]), self._q[None]

    def update(self, losses: ArrayLike, groups: ArrayLike, *, weight: ArrayLike = None) -> GroupDRO:
        """Return the loss with the shares that follow from the losses of a batch.

        Parameters
        ----------
        losses, groups, weight
            As for the call.

        Returns
        -------
        GroupDRO
            With the new `q`.

        Raises
        ------
        TypeError, ValueError
            As for the call; also for a mean loss that is not finite.
        """
        means = self._means(losses, groups, weight).means[0]
        bad = ~np.isfinite(means)
        if bad.any():
            group = int(np.argmax(bad))
            raise ValueError(f"losses: got a mean of {means[group]} in group {group}, wanted finite losses")
        # Of the exponents only differences count: the largest becomes 0.
        with np.errstate(divide="ignore"):
            exponents = np.log(self._q) + self.step * means
        shares = np.exp(exponents - exponents.max())
        return dataclasses.replace(self, q=tuple((shares / shares.sum()).tolist()))


@dataclass(frozen=True)
class WorstGroup(OfSampleLosses):
    r"""Mean loss of the group that has the largest.

    .. math:: \max_g \frac{1}{n_g} \sum_{i \in g} \ell_i

    The gradient is :math:`1 / n_g` for the samples of that group, of the lowest number where several are equal, and 0
    for all others. Groups without samples do not count. The losses may have any shape; float32, float64, float16,
    bfloat16 (integers and bool count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, 2020, equation 4

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.WorstGroup().value_and_grad([1.0, 3.0, 0.5, 1.5], [0, 0, 1, 1])
    (2.0, array([0.5, 0.5, 0. , 0. ]))
    """

    name: ClassVar[str] = "worst_group"
    info: ClassVar[Info] = Info(
        task="robustness over groups", convex=True, differentiable=False, outliers="high", source="Sagawa 2020"
    )

    def _of_means(self, means: Means) -> tuple[float, Numbers]:
        slopes = np.zeros_like(means.means)
        present = np.flatnonzero(means.weights[0] > 0.0)
        if not present.size:
            return 0.0, slopes
        worst = present[np.argmax(means.means[0, present])]
        slopes[0, worst] = 1.0
        return float(means.means[0, worst]), slopes


def _gap(kind: str, means: Numbers, weights: Numbers) -> tuple[float, Numbers]:
    """Return how far the means of groups are apart, and the gradient by them."""
    slopes = np.zeros_like(means)
    present = np.flatnonzero(weights > 0.0)
    if present.size < 2:
        return 0.0, slopes
    own = means[present]
    if kind == "difference":
        high, low = present[np.argmax(own)], present[np.argmin(own)]
        slopes[high] += 1.0
        slopes[low] -= 1.0
        return float(means[high] - means[low]), slopes
    shares = weights[present] / weights[present].sum()
    away = own - shares @ own
    slopes[present] = 2.0 * (away - shares * away.sum())
    return float(away @ away), slopes


@dataclass(frozen=True)
class DemographicParity(GroupLoss):
    r"""How far the mean predictions of groups are apart: 0 if who is in which group makes no difference on average.

    .. math:: \max_g \bar p_g - \min_g \bar p_g \quad\text{or}\quad \sum_g (\bar p_g - \bar p)^2

    with :math:`\bar p_g` the mean prediction of group g and :math:`\bar p` that of all. "difference" is Fairlearn's
    ``demographic_parity_difference``, of scores in place of decisions; its gradient is that of the extreme groups, of
    the lowest number where several are equal. "squared" is differentiable everywhere. Groups without samples do not
    count; of one group the value is 0.

    Parameters
    ----------
    kind : str, default "difference"
        "difference" or "squared".

    Raises
    ------
    TypeError, ValueError
        For another kind; for arguments of the wrong type or shape.

    References
    ----------
    Agarwal et al., A Reductions Approach to Fair Classification, 2018; fairlearn.metrics

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.DemographicParity().value_and_grad([1.0, 0.5, 0.25, 0.25], [0, 0, 1, 1])
    (0.5, array([ 0.5,  0.5, -0.5, -0.5]))
    """

    kind: str = choice("difference", KINDS)
    name: ClassVar[str] = "demographic_parity"
    info: ClassVar[Info] = Info(
        task="fairness", convex=True, differentiable=False, outliers="low", source="Agarwal 2018; Fairlearn"
    )

    def _of_means(self, means: Means) -> tuple[float, Numbers]:
        value, slopes = _gap(self.kind, means.means[0], means.weights[0])
        return value, slopes[None]

    def __call__(self, pred: ArrayLike, groups: ArrayLike, *, weight: ArrayLike = None) -> float:
        """Compute the gap.

        Parameters
        ----------
        pred : array_like
            Predictions: probabilities or other scores, of any shape; float32, float64, float16 or bfloat16 (integers
            and bool count as float64).
        groups : array_like of any integer dtype
            The group of each sample; of the same shape.
        weight : array_like, optional
            Finite, at least 0, broadcasts to `pred`; the means are weighted. Weight 0 leaves a sample out, even if its
            prediction is NaN.

        Returns
        -------
        float
            One number, added up in float64; 0 of no samples.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted.
        """
        return self._result(Means(pred, groups, weight, name="pred"), False, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self, pred: ArrayLike, groups: ArrayLike, *, weight: ArrayLike = None, out: Array | None = None
    ) -> tuple[float, Array]:
        """Compute the gap and its gradient by the predictions.

        Parameters
        ----------
        pred, groups, weight
            As for the call.
        out : ndarray, optional
            Takes the gradient: of the dtype and shape of `pred`, and may be `pred` itself.

        Returns
        -------
        value : float
            As for the call.
        grad : ndarray
            Dtype and shape of `pred`.
        """
        return self._result(Means(pred, groups, weight, name="pred"), True, out)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class EqualizedOdds(GroupLoss):
    r"""How far the mean predictions of groups are apart among the samples of the same true class.

    .. math:: \max_{y \in \{0, 1\}} \Delta_y, \qquad
        \Delta_y = \max_g \bar p_{g,y} - \min_g \bar p_{g,y}
        \quad\text{or}\quad \sum_g (\bar p_{g,y} - \bar p_y)^2

    with :math:`\bar p_{g,y}` the mean prediction of the samples of group g and class y: of decisions, the true positive
    rate (y = 1) and the false positive rate (y = 0). With "difference" and "worst_case" this is Fairlearn's
    ``equalized_odds_difference``, of scores in place of decisions; `agg` is also its parameter. The gradient is that of
    the extreme groups and of the worse class, of the lowest number where several are equal. Groups without samples of a
    class do not count in it.

    Parameters
    ----------
    kind : str, default "difference"
        "difference" or "squared".
    agg : str, default "worst_case"
        "worst_case" takes the larger of the two gaps, "mean" their mean.

    Raises
    ------
    TypeError, ValueError
        For another kind; for arguments of the wrong type or shape; for a target that is neither 0 nor 1.

    References
    ----------
    Hardt, Price and Srebro, Equality of Opportunity in Supervised Learning, 2016; fairlearn.metrics

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.EqualizedOdds().value_and_grad([1.0, 0.5, 0.25, 0.25], [1, 0, 1, 0], [0, 0, 1, 1])
    (0.75, array([ 1.,  0., -1.,  0.]))
    """

    kind: str = choice("difference", KINDS)
    agg: str = choice("worst_case", ("worst_case", "mean"))
    name: ClassVar[str] = "equalized_odds"
    info: ClassVar[Info] = Info(
        task="fairness", convex=True, differentiable=False, outliers="low", source="Hardt 2016; Fairlearn"
    )

    def _of_means(self, means: Means) -> tuple[float, Numbers]:
        gaps = [_gap(self.kind, *each) for each in zip(means.means, means.weights, strict=True)]
        values, slopes = np.array([gap[0] for gap in gaps]), np.stack([gap[1] for gap in gaps])
        shares = np.full(2, 0.5) if self.agg == "mean" else np.eye(2)[np.argmax(values)]
        value = values.mean() if self.agg == "mean" else values.max()
        return float(value), shares[:, None] * slopes + 0.0  # no negative zeros

    def __call__(self, pred: ArrayLike, target: ArrayLike, groups: ArrayLike, *, weight: ArrayLike = None) -> float:
        """Compute the gap.

        Parameters
        ----------
        pred : array_like
            Predictions: probabilities or other scores, of any shape; float32, float64, float16 or bfloat16 (integers
            and bool count as float64).
        target : array_like of bool or any integer dtype
            The true class of each sample, 0 or 1; of the same shape.
        groups : array_like of any integer dtype
            The group of each sample; of the same shape.
        weight : array_like, optional
            Finite, at least 0, broadcasts to `pred`; the means are weighted. Weight 0 leaves a sample out, even if its
            prediction is NaN.

        Returns
        -------
        float
            One number, added up in float64; 0 of no samples.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted.
        """
        means = Means(pred, groups, weight, name="pred", target=target)
        return self._result(means, False, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        groups: ArrayLike,
        *,
        weight: ArrayLike = None,
        out: Array | None = None,
    ) -> tuple[float, Array]:
        """Compute the gap and its gradient by the predictions.

        Parameters
        ----------
        pred, target, groups, weight
            As for the call.
        out : ndarray, optional
            Takes the gradient: of the dtype and shape of `pred`, and may be `pred` itself.

        Returns
        -------
        value : float
            As for the call.
        grad : ndarray
            Dtype and shape of `pred`.
        """
        means = Means(pred, groups, weight, name="pred", target=target)
        return self._result(means, True, out)  # type: ignore[no-any-return]
