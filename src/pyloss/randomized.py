"""Randomness that is a function of a seed and of the index of an element alone: of private gradients and of dropout."""

from __future__ import annotations

from typing import Literal

from ._arguments import (
    BELOW_ONE,
    NON_NEGATIVE,
    POSITIVE,
    Array,
    ArrayLike,
    as_array,
    as_seed,
    check_choice,
    check_out,
    check_out_apart,
    needs_float64,
    operand,
    result_dtype,
)
from ._native import kernels
from .losses._call import empty
from .threads import get_num_threads

__all__ = ["clip_per_sample", "dropout", "dropout_backward"]


def clip_per_sample(
    grads: ArrayLike,
    norm: float,
    noise: float = 0.0,
    *,
    seed: int = 0,
    reduction: Literal["mean", "sum"] = "mean",
    out: Array | None = None,
) -> Array:
    r"""Gradient of a batch to which no sample contributes more than `norm`, plus noise: DP-SGD.

    .. math:: \frac{1}{n} \Big( \sum_{i=1}^n g_i \min(1, C / \|g_i\|_2) + \sigma C \, \mathcal{N}(0, I) \Big)

    with C = `norm` and :math:`\sigma` = `noise`. One pass over the gradients where one of them fits in the cache,
    otherwise two; sums are in float64. The noise of a coordinate is a function of the seed and of its index alone
    (Philox4x32-10, Box and Muller), so that the result is the same for any number of threads.

    The noise is reproducible on purpose. For the privacy of real data, take every seed from ``secrets.randbits(64)``,
    a new one for each step, and keep it secret; what the rounding of the noise to floating point reveals is not
    guarded against.

    Parameters
    ----------
    grads : array_like, shape (n, ...)
        The gradient of each sample; float32, float64, float16, bfloat16 (integers and bool count as float64).
    norm : float
        C, the length to which longer gradients are shortened; greater than 0.
    noise : float, default 0
        :math:`\sigma`, the standard deviation of the noise in units of `norm`; at least 0.
    seed : int, default 0
        Of 64 bits.
    reduction : {"mean", "sum"}, default "mean"
        "mean" divides sum and noise by n. Of no samples the sum is the noise alone, and the mean 0.
    out : ndarray, optional
        Takes the result; apart from `grads`.

    Returns
    -------
    ndarray
        Of the shape of one gradient and the dtype of `grads`. A gradient with NaN or infinity makes it NaN.

    Raises
    ------
    TypeError, ValueError
        For parameters out of range; for arguments of the wrong type or shape.

    References
    ----------
    Abadi et al., Deep Learning with Differential Privacy, 2016, algorithm 1; Salmon et al., Parallel Random Numbers: As
    Easy as 1, 2, 3, 2011

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.clip_per_sample([[3.0, 4.0], [0.0, 0.5]], norm=1.0, reduction="sum")
    array([0.6, 1.3])
    """
    array = as_array(grads, "grads")
    if array.ndim < 2:
        raise ValueError(f"grads: got shape {array.shape}, wanted (samples, ...), a gradient for each sample")
    longest, deviation, key = POSITIVE.number(norm, "norm"), NON_NEGATIVE.number(noise, "noise"), as_seed(seed)
    check_choice(reduction, "reduction", ("mean", "sum"))
    shape, dtype = array.shape[1:], result_dtype(array)
    if out is None:
        out = empty(shape, dtype)
    else:
        check_out_apart(out, "out", shape, dtype, {"grads": array})
    scale = 1.0 if reduction == "sum" else 1.0 / len(array) if len(array) else 0.0
    kernels.clip_rows(operand(array), longest, deviation * longest, key, scale, operand(out), get_num_threads())
    return out


def _drop(value: ArrayLike, name: str, p: float, seed: int, out: Array | None) -> Array:
    array = as_array(value, name)
    share, key = BELOW_ONE.number(p, "p"), as_seed(seed)
    if out is None:
        out = empty(array.shape, result_dtype(array))
    else:
        check_out(out, "out", array.shape, result_dtype(array), {name: array})
    kernels.dropout(operand(array), share, key, needs_float64([array]), operand(out), get_num_threads())
    return out


def dropout(x: ArrayLike, p: float = 0.5, seed: int = 0, *, out: Array | None = None) -> Array:
    r"""Set elements to 0 with probability p, and scale the others so that the mean stays (inverted dropout).

    .. math:: y_i = x_i \, m_i / (1 - p), \qquad P(m_i = 0) = p

    Whether an element is dropped is a function of the seed and of its index in C order alone (word i of Philox4x32-10):
    the same for any number of threads, any strides and any dtype. No mask is stored; `dropout_backward` makes it again.

    Parameters
    ----------
    x : array_like
        Of any shape; float32, float64, float16, bfloat16 (integers and bool count as float64).
    p : float, default 0.5
        From 0, which keeps everything, to less than 1; exact to :math:`2^{-32}`.
    seed : int, default 0
        Of 64 bits; another one for each call that is to be independent.
    out : ndarray, optional
        Takes the result: of the dtype and shape of `x`, and may be `x` itself.

    Returns
    -------
    ndarray
        Dtype and shape of `x`. A dropped element is 0 even if it is NaN.

    Raises
    ------
    TypeError, ValueError
        For parameters out of range; for arguments of the wrong type or shape.

    References
    ----------
    Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, 2014; Salmon et al., Parallel
    Random Numbers: As Easy as 1, 2, 3, 2011

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.dropout([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], p=0.5, seed=7)
    array([2., 0., 0., 0., 0., 0.])
    """
    return _drop(x, "x", p, seed, out)


def dropout_backward(cotangent: ArrayLike, p: float = 0.5, seed: int = 0, *, out: Array | None = None) -> Array:
    r"""Gradient by the input of `dropout`, given that by its output.

    .. math:: \partial / \partial x_i = m_i / (1 - p) \; \partial / \partial y_i

    Parameters
    ----------
    cotangent : array_like
        Gradient by the output: of its shape; float32, float64, float16, bfloat16 (integers and bool count as float64).
    p : float, default 0.5
        As in the forward pass.
    seed : int, default 0
        As in the forward pass.
    out : ndarray, optional
        Takes the result: of the dtype and shape of `cotangent`, and may be `cotangent` itself.

    Returns
    -------
    ndarray
        Dtype and shape of `cotangent`.

    Raises
    ------
    TypeError, ValueError
        As `dropout`.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.dropout_backward([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], p=0.5, seed=7)
    array([2., 0., 0., 0., 0., 0.])
    """
    return _drop(cotangent, "cotangent", p, seed, out)
