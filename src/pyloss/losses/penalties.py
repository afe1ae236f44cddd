"""Penalties of weights: regularisation, sparsity, memory of earlier tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._arguments import (
    NON_NEGATIVE,
    UNIT,
    Array,
    ArrayLike,
    as_groups,
    as_kept,
    bad_group,
    bad_weight,
    check_broadcast,
    check_out_apart,
    checked_by,
    needs_float64,
    operand,
    parameter,
    result_dtype,
)
from .._native import kernels
from ..threads import get_num_threads
from ._call import Call, maybe
from ._groups import SQUARE, Cells, numbered
from ._loss import Info
from ._penalty import ElementwisePenalty, HoldsArrays, Penalty


@dataclass(frozen=True)
class L1(ElementwisePenalty):
    r"""Sum of the absolute weights: the lasso, which sets weights to exactly 0.

    .. math:: l_1 \sum_i |w_i|

    The weights may have any shape; float32, float64, float16, bfloat16 (integers and bool count as float64). The
    gradient at 0 is 0. `prox` is soft-thresholding,
    :math:`\operatorname{sign}(w) \max(0, |w| - \text{step} \cdot l_1)`.

    Parameters
    ----------
    l1 : float, default 0.01
        Strength; at least 0.

    Raises
    ------
    TypeError, ValueError
        For a negative strength; for arguments of the wrong type or shape.

    References
    ----------
    Tibshirani, Regression Shrinkage and Selection via the Lasso, 1996

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.L1(l1=0.5).value_and_grad([3.0, 0.0, -1.0])
    (2.0, array([ 0.5,  0. , -0.5]))
    >>> pl.L1(l1=0.5).prox([3.0, 0.2, -1.0], step=1.0)
    array([ 2.5,  0. , -0.5])
    """

    l1: float = parameter(0.01, NON_NEGATIVE.number)
    name: ClassVar[str] = "l1"
    info: ClassVar[Info] = Info(
        task="penalty", convex=True, differentiable=False, outliers="low", source="Tibshirani 1996; Keras L1"
    )


@dataclass(frozen=True)
class L2(ElementwisePenalty):
    r"""Sum of the squared weights: ridge regression, weight decay.

    .. math:: l_2 \sum_i w_i^2

    Without the factor ½ that some libraries have. The weights may have any shape; float32, float64, float16, bfloat16
    (integers and bool count as float64). `prox` divides them by :math:`1 + 2 \cdot \text{step} \cdot l_2`.

    Parameters
    ----------
    l2 : float, default 0.01
        Strength; at least 0.

    Raises
    ------
    TypeError, ValueError
        For a negative strength; for arguments of the wrong type or shape.

    References
    ----------
    Hoerl and Kennard, Ridge Regression, 1970; keras.regularizers.L2

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.L2(l2=0.5).value_and_grad([3.0, -1.0])
    (5.0, array([ 3., -1.]))
    """

    l2: float = parameter(0.01, NON_NEGATIVE.number)
    name: ClassVar[str] = "l2"
    info: ClassVar[Info] = Info(
        task="penalty", convex=True, differentiable=True, outliers="high", source="Hoerl 1970; Keras L2"
    )


@dataclass(frozen=True)
class ElasticNet(ElementwisePenalty):
    r"""Absolute and squared weights together: sparse as the lasso, but correlated weights stay together.

    .. math:: \alpha \left( \rho \sum_i |w_i| + (1 - \rho) \sum_i w_i^2 \right)

    with :math:`\rho` = `l1_ratio`. scikit-learn's ``ElasticNet`` has ½ before the squares. The weights may have any
    shape; float32, float64, float16, bfloat16 (integers and bool count as float64). The gradient at 0 is 0. `prox` is
    that of `L1`, then that of `L2`.

    Parameters
    ----------
    alpha : float, default 1
        Strength; at least 0.
    l1_ratio : float, default 0.5
        Share of the absolute weights, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        For parameters out of range; for arguments of the wrong type or shape.

    References
    ----------
    Zou and Hastie, Regularization and Variable Selection via the Elastic Net, 2005

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.ElasticNet(alpha=2.0, l1_ratio=0.5).value_and_grad([3.0, 0.0, -1.0])
    (14.0, array([ 7.,  0., -3.]))
    """

    alpha: float = parameter(1.0, NON_NEGATIVE.number)
    l1_ratio: float = parameter(0.5, UNIT.number)
    name: ClassVar[str] = "elastic_net"
    info: ClassVar[Info] = Info(
        task="penalty", convex=True, differentiable=False, outliers="high", source="Zou and Hastie 2005"
    )


def _fisher(value: Any, name: str) -> Array:
    array = as_kept(value, name)
    first, _ = kernels.check_weights(operand(array), array.shape, get_num_threads())
    if first is not None:
        raise bad_weight(array, array.shape, first, name)
    return array


@dataclass(frozen=True, eq=False, repr=False)
class EWC(HoldsArrays, ElementwisePenalty):
    r"""Elastic weight consolidation: weights that mattered for an earlier task are held where they were.

    .. math:: \frac{\lambda}{2} \sum_i F_i (w_i - a_i)^2

    with :math:`\lambda` = `strength`, F = `fisher` and a = `anchor`. The weights may have any shape, to which `fisher`
    and `anchor` broadcast; float32, float64, float16, bfloat16 (integers and bool count as float64). `prox` is
    :math:`a + (w - a) / (1 + \text{step} \cdot \lambda F)`.

    The arrays are kept as they are, not copied: do not change them as long as the penalty is in use. Two penalties are
    equal if their arrays are.

    Parameters
    ----------
    fisher : array_like
        Diagonal of the Fisher information of the earlier task; finite, at least 0.
    anchor : array_like
        The weights that the earlier task arrived at.
    strength : float, default 1
        How much the earlier task counts; at least 0.

    Raises
    ------
    TypeError, ValueError
        For a negative strength or Fisher information; for arguments of the wrong type or shape.

    References
    ----------
    Kirkpatrick et al., Overcoming Catastrophic Forgetting in Neural Networks, 2017, equation 3

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.EWC(fisher=[4.0, 0.0], anchor=[1.0, 1.0]).value_and_grad([2.0, 5.0])
    (2.0, array([4., 0.]))
    """

    fisher: ArrayLike = field(metadata=checked_by(_fisher))
    anchor: ArrayLike = field(metadata=checked_by(as_kept))
    strength: float = parameter(1.0, NON_NEGATIVE.number)
    name: ClassVar[str] = "ewc"
    info: ClassVar[Info] = Info(
        task="penalty, continual learning",
        convex=True,
        differentiable=True,
        outliers="high",
        source="Kirkpatrick 2017",
    )

    @property
    def _own_inputs(self) -> dict[str, Array]:
        return {"fisher": self.fisher, "anchor": self.anchor}


def _groups(value: Any, name: str) -> Array:
    return as_kept(numbered(as_groups(value, name), get_num_threads())[0], name)


_SCALES = (1.0, 2.0**-600, 2.0**600)
"""Squares of what are taken: of the weights, and if these leave the range of float64, of smaller or larger ones."""


@dataclass(frozen=True, eq=False, repr=False)
class GroupLasso(HoldsArrays, Penalty):
    r"""Sum of the lengths of groups of weights: sets whole groups to exactly 0.

    .. math:: \alpha \sum_g \sqrt{n_g} \, \|w_g\|_2

    over the groups g of :math:`n_g` weights each. The weights may have any shape; float32, float64, float16, bfloat16
    (integers and bool count as float64). The gradient of a group of zeros is 0, and so is its Hessian. `prox` shortens
    each group by :math:`\text{step} \cdot \alpha \sqrt{n_g}`, or sets it to 0 if it is no longer than that.

    Parameters
    ----------
    groups : array_like of any integer dtype
        The group of each weight; broadcasts to the weights. For weights of shape (outputs, inputs),
        ``np.arange(inputs)`` makes each column a group, ``np.arange(outputs)[:, None]`` each row. Kept as it is, not
        copied: do not change it as long as the penalty is in use. Two penalties are equal if their groups are.
    alpha : float, default 0.01
        Strength; at least 0.

    Raises
    ------
    TypeError, ValueError
        For a negative strength; for groups that are no integers; for arguments of the wrong type or shape.

    References
    ----------
    Yuan and Lin, Model Selection and Estimation in Regression with Grouped Variables, 2006

    Examples
    --------
    >>> import pyloss as pl
    >>> penalty = pl.GroupLasso(groups=[0, 0, 0, 0, 1], alpha=0.5)
    >>> penalty.value_and_grad([3.0, 0.0, -4.0, 0.0, 0.0])
    (5.0, array([ 0.6,  0. , -0.8,  0. ,  0. ]))
    >>> penalty.prox([3.0, 0.0, -4.0, 0.0, 0.2], step=1.0)
    array([ 2.4,  0. , -3.2,  0. ,  0. ])
    """

    groups: ArrayLike = field(metadata=checked_by(_groups))
    alpha: float = parameter(0.01, NON_NEGATIVE.number)
    name: ClassVar[str] = "group_lasso"
    info: ClassVar[Info] = Info(
        task="penalty", convex=True, differentiable=False, outliers="low", source="Yuan and Lin 2006"
    )

    @classmethod
    def _check_kernel(cls) -> None:
        """Accept it without one of its name: its kernel is that of all sums over groups."""

    @cached_property
    def _cells(self) -> Cells:
        return operand(self.groups), numbered(self.groups, get_num_threads())[1], None, 1

    def _lengths(self, weights: Array, threads: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the length of each group and its size."""

        def sums(scale: float) -> NDArray[np.float64]:
            first, both = kernels.group_sums(
                values=operand(weights),
                cells=self._cells,
                weight=None,
                summand=SQUARE,
                scale=scale,
                float64=needs_float64([weights]),
                threads=threads,
            )
            if first is not None:
                raise bad_group(np.broadcast_to(self.groups, weights.shape), first, self._cells[1])
            return both.reshape(-1, 2).T

        squares, sizes = sums(_SCALES[0])
        lengths = np.sqrt(squares)
        if needs_float64([weights]):
            for scale, lost in ((_SCALES[1], squares == np.inf), (_SCALES[2], (squares < 2.0**-900) & (sizes > 0))):
                if lost.any():
                    lengths[lost] = np.sqrt(sums(scale)[0][lost]) / scale
        return lengths, sizes

    def _compute(self, call: Call, weights: Array, step: float | None) -> tuple[float, Array | None, Array | None]:
        check_broadcast(self.groups, "groups", weights.shape, "weights")
        _, grad, hess = call.outputs(weights.shape, (), result_dtype(weights), {"weights": weights})
        for each in (grad, hess):
            if each is not None and each.size:
                check_out_apart(each, "out", each.shape, each.dtype, {"groups": np.asarray(self.groups)})
        lengths, sizes = self._lengths(weights, call.threads)
        strengths = self.alpha * np.sqrt(sizes)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = float(np.sum(strengths * lengths))
            bends = 1.0 / lengths
            if step is None:
                slopes = strengths / lengths
                slopes[(lengths == 0.0) | np.isinf(slopes)] = 0.0
            else:
                slopes = np.where(lengths <= step * strengths, 0.0, 1.0 - step * strengths / lengths)
        bends[np.isinf(bends)] = 0.0
        if grad is not None:
            kernels.group_spread(
                cells=self._cells,
                factor=operand(weights),
                slope=slopes,
                bend=bends,
                grad=operand(grad),
                hess=maybe(hess),
                threads=call.threads,
            )
        return value, grad, hess
