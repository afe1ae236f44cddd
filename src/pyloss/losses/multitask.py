"""Losses of several tasks made one, by weights that are learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._arguments import (
    Array,
    ArrayLike,
    as_array,
    check_choice,
    check_out,
    check_shape,
    parameter,
    result_dtype,
)
from ._loss import Info, Loss

KINDS = ("regression", "classification")


def _kinds(value: Any, name: str) -> str | tuple[str, ...]:
    if isinstance(value, str):
        check_choice(value, name, KINDS)
        return value
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name}: got {value!r}, wanted one of {', '.join(KINDS)}, or one for each task")
    for i, each in enumerate(value):
        check_choice(each, f"{name}[{i}]", KINDS)
    return tuple(value)


@dataclass(frozen=True)
class UncertaintyWeighted(Loss):
    r"""Losses of several tasks, each weighted by how uncertain the task is, which is learned beside the weights.

    .. math:: \sum_k c_k \, e^{-s_k} L_k + \tfrac{1}{2} s_k, \qquad s_k = \log \sigma_k^2

    with :math:`c_k` = ½ for a regression, whose loss is of squares, and 1 for a classification, whose loss is a
    cross-entropy (equations 7 and 10 of the paper). Multiply the gradient by the weights of task k by
    :math:`\partial / \partial L_k`, the first of the gradients here.

    There is one number for each task and no batch: float64 NumPy computes it. The losses may be float32, float64,
    float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    kinds : str or sequence of str, default "regression"
        "regression" or "classification", for all tasks or for each.

    Raises
    ------
    TypeError, ValueError
        For another kind; for arguments of the wrong type or shape.

    References
    ----------
    Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, 2018

    Examples
    --------
    >>> import pyloss as pl
    >>> loss = pl.UncertaintyWeighted(kinds=("regression", "classification"))
    >>> value, (by_losses, by_log_variances) = loss.value_and_grad([4.0, 1.0], [0.0, 0.0])
    >>> value
    3.0
    >>> by_losses
    array([0.5, 1. ])
    >>> by_log_variances
    array([-1.5, -0.5])
    """

    kinds: str | tuple[str, ...] = parameter("regression", _kinds)
    name: ClassVar[str] = "uncertainty_weighted"
    info: ClassVar[Info] = Info(
        task="multi-task", convex=False, differentiable=True, outliers="high", probabilistic=True, source="Kendall 2018"
    )

    @classmethod
    def _check_kernel(cls) -> None:
        """Accept it without one: a number for each task is no batch."""

    def _terms(self, losses: ArrayLike, log_variances: ArrayLike) -> tuple[Array, Array, Array, Array]:
        """Return the arrays given, and of each task the weight and the weighted loss."""
        given, s = as_array(losses, "losses"), as_array(log_variances, "log_variances")
        if given.ndim != 1:
            raise ValueError(f"losses: got shape {given.shape}, wanted one axis, a loss for each task")
        check_shape(s, "log_variances", given.shape, "one for each loss")
        kinds = (self.kinds,) * len(given) if isinstance(self.kinds, str) else self.kinds
        if len(kinds) != len(given):
            raise ValueError(f"losses: got {len(given)} losses, wanted {len(kinds)}, one for each of kinds")
        factors = np.array([0.5 if kind == "regression" else 1.0 for kind in kinds])
        with np.errstate(over="ignore", invalid="ignore"):
            weights = factors * np.exp(-np.asarray(s, np.float64))
            return given, s, weights, weights * np.asarray(given, np.float64)

    def __call__(self, losses: ArrayLike, log_variances: ArrayLike) -> float:
        """Compute the sum of the weighted losses.

        Parameters
        ----------
        losses : array_like, shape (tasks,)
            The loss of each task.
        log_variances : array_like, shape (tasks,)
            The logarithm of each task's variance; 0 at first.

        Returns
        -------
        float
            One number.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted.
        """
        _, s, _, weighted = self._terms(losses, log_variances)
        return float(np.sum(weighted + 0.5 * np.asarray(s, np.float64)))

    def value_and_grad(
        self, losses: ArrayLike, log_variances: ArrayLike, *, out: tuple[Array, Array] | None = None
    ) -> tuple[float, tuple[Array, Array]]:
        """Compute the sum and its gradients by the losses and by the log-variances.

        Parameters
        ----------
        losses, log_variances
            As for the call.
        out : (ndarray, ndarray), optional
            Takes the gradients: each of the dtype and shape of its input, and may be its input.

        Returns
        -------
        value : float
            As for the call.
        grads : (ndarray, ndarray)
            By `losses`, that is the weight of each task, and by `log_variances`; dtype and shape of each.
        """
        given, s, weights, weighted = self._terms(losses, log_variances)
        value = float(np.sum(weighted + 0.5 * np.asarray(s, np.float64)))
        with np.errstate(over="ignore"):
            grads = weights.astype(result_dtype(given)), (0.5 - weighted).astype(result_dtype(s))
        if out is None:
            return value, grads
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(f"out: got {type(out).__name__}, wanted a tuple of two arrays, for the gradients")
        for i, (to, grad) in enumerate(zip(out, grads, strict=True)):
            check_out(to, f"out[{i}]", grad.shape, grad.dtype, {})
        if np.may_share_memory(*out):
            raise ValueError("out: got two arrays that overlap, wanted separate ones for the two gradients")
        for to, grad in zip(out, grads, strict=True):
            to[...] = grad
        return value, out
