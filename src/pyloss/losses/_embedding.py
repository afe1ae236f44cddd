"""The verbs of losses that set rows of embeddings against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .._arguments import (
    LABELS_OF_FLOAT32,
    Array,
    ArrayLike,
    Reduction,
    as_labels,
    as_rows,
    check_out_apart,
    check_reduction,
    check_shape,
    needs_float64,
    result_dtype,
)
from .._native import kernels
from ..threads import get_num_threads
from ._loss import Loss, kernel_parameters

Indices = NDArray[np.int64]


class Batch:
    """One call: its inputs as the kernels take them, and its results as the caller does."""

    def __init__(self, inputs: dict[str, Array], wants_grad: bool, reduction: object, out: object) -> None:
        check_reduction(reduction)
        if wants_grad and reduction == "none":
            raise ValueError("reduction: got 'none', wanted 'mean' or 'sum': every row's gradient is of many values")
        self.reduction = reduction
        self.threads = get_num_threads()
        self._inputs = inputs
        self._wants_grad = wants_grad
        self._out = self._check_out(out)
        self.use_float64(needs_float64(inputs.values()))

    def _check_out(self, out: Any) -> tuple[Array, ...] | None:
        if out is None:
            return None
        given = out if isinstance(out, tuple) else (out,)
        if len(given) != len(self._inputs) or (isinstance(out, tuple) and len(given) == 1):
            wanted = "an array" if len(self._inputs) == 1 else f"a tuple of {len(self._inputs)} arrays"
            raise TypeError(f"out: got {type(out).__name__}, wanted {wanted}, for the gradients")
        for i, (each, of) in enumerate(zip(given, self._inputs.values(), strict=True)):
            name = f"out[{i}]" if len(given) > 1 else "out"
            others = {f"out[{j}]": other for j, other in enumerate(given[:i])}
            check_out_apart(each, name, of.shape, result_dtype(of), self._inputs | others)
        return given

    def use_float64(self, float64: bool) -> None:
        """Choose what is computed in."""
        dtype = np.dtype(np.float64 if float64 else np.float32)
        self.rows = [np.ascontiguousarray(each, dtype) for each in self._inputs.values()]
        self.grads = []
        for i, rows in enumerate(self.rows if self._wants_grad else []):
            grad = self._out[i] if self._out else None
            if grad is not None and grad.dtype == dtype and grad.flags.c_contiguous:
                grad[...] = 0.0
            else:
                # Unlike zeros_like, it leaves the clearing of pages to who writes them.
                grad = np.zeros(rows.shape, dtype)
            self.grads.append(grad)

    def grad(self, i: int) -> Array | None:
        """Return where the gradient by input i goes."""
        return self.grads[i] if self.grads else None

    def result(self, value: float, terms: Array | None = None) -> Any:
        """Return the value, and the gradients if they were asked for."""
        reduced: Any = value
        if self.reduction == "none" and terms is not None:
            reduced = terms.astype(
                max((result_dtype(each) for each in self._inputs.values()), key=lambda d: d.itemsize)
            )
        if not self._wants_grad:
            return reduced
        grads: tuple[Array, ...]
        if self._out is not None:
            grads = self._out
            for to, grad in zip(grads, self.grads, strict=True):
                if to is not grad:
                    to[...] = grad
        else:
            with np.errstate(over="ignore"):
                grads = tuple(
                    grad.astype(result_dtype(of), copy=False)
                    for grad, of in zip(self.grads, self._inputs.values(), strict=True)
                )
        return reduced, grads[0] if len(grads) == 1 else grads


class EmbeddingLoss(Loss):
    """A loss of rows of embeddings against each other; no matrix of all pairs is stored."""

    @classmethod
    def _check_kernel(cls) -> None:
        known = kernels.embedding_losses() | kernels.tuples_losses() | kernels.covariance_losses()
        for name in cls._kernels():
            if name not in known:
                raise ImportError(f"{cls.__name__}: there is no kernel {name!r}; the lists in registry.hpp lack it")

    @classmethod
    def _kernels(cls) -> tuple[str, ...]:
        """Names of the kernels that compute this loss."""
        return (cls.name,)

    @property
    def _parameters(self) -> list[float]:
        return kernel_parameters(self)

    def _all_pairs(
        self,
        batch: Batch,
        labels: tuple[Indices, Indices],
        at: tuple[int, int] = (0, 1),
        *,
        kernel: str | None = None,
        parameters: Sequence[float] | None = None,
        scale: float = 1.0,
    ) -> tuple[float, Array]:
        """Compute the loss of anchors, the rows of input `at[0]`, against those of `at[1]`."""
        x, y = at
        if max(int(each.max(initial=0)) for each in labels) >= LABELS_OF_FLOAT32:
            batch.use_float64(True)
        terms = np.empty(len(batch.rows[x]))
        value = kernels.embedding(
            loss=kernel or self._kernels()[0],
            parameters=list(self._parameters if parameters is None else parameters),
            metric=getattr(self, "metric", ""),
            x=batch.rows[x],
            x_labels=labels[0],
            y=batch.rows[y],
            y_labels=labels[1],
            self=x == y,
            mean=batch.reduction == "mean",
            scale=scale,
            terms=terms,
            grad_x=batch.grad(x),
            grad_y=None if x == y else batch.grad(y),
            threads=batch.threads,
        )
        return value, terms

    def _of_tuples(
        self,
        batch: Batch,
        sources: tuple[int, ...],
        indices: Indices,
        marks: Array | None = None,
        *,
        parameters: Sequence[float] | None = None,
    ) -> tuple[float, Array]:
        """Compute the loss of given tuples; place i of a tuple is a row of input `sources[i]`."""
        terms = np.empty(len(indices))
        value = kernels.tuples(
            loss=self._kernels()[-1],
            parameters=list(self._parameters if parameters is None else parameters),
            metric=getattr(self, "metric", ""),
            inputs=batch.rows,
            sources=list(sources),
            indices=indices,
            marks=marks,
            mean=batch.reduction == "mean",
            terms=terms,
            grads=batch.grads,
            threads=batch.threads,
        )
        return value, terms


class OneBatch(EmbeddingLoss):
    """A loss of one batch of labelled embeddings."""

    def _compute(self, batch: Batch, labels: Indices) -> tuple[float, Array]:
        return self._all_pairs(batch, (labels, labels), (0, 0))

    def _run(self, wants_grad: bool, embeddings: ArrayLike, labels: ArrayLike, reduction: object, out: object) -> Any:
        rows = as_rows(embeddings, "embeddings")
        numbered = as_labels(labels, "labels", len(rows))
        batch = Batch({"embeddings": rows}, wants_grad, reduction, out)
        return batch.result(*self._compute(batch, numbered))

    @overload
    def __call__(self, embeddings: ArrayLike, labels: ArrayLike, *,
                 reduction: Literal["mean", "sum"] = "mean") -> float: ...  # fmt: skip
    @overload
    def __call__(self, embeddings: ArrayLike, labels: ArrayLike, *, reduction: Literal["none"]) -> Array: ...
    def __call__(self, embeddings: ArrayLike, labels: ArrayLike, *, reduction: Reduction = "mean") -> float | Array:
        """Compute the loss.

        Parameters
        ----------
        embeddings : array_like, shape (n, d)
            Rows of float32, float64, float16 or bfloat16 (integers and bool count as float64).
        labels : array_like of any integer dtype, shape (n,)
            The class of each row.
        reduction : {"mean", "sum", "none"}, default "mean"
            "none" gives the losses of the anchors, what the mean divides by is told by the class.

        Returns
        -------
        float or ndarray
            One number, added up in float64; with "none" an array of n.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted.
        """
        return self._run(False, embeddings, labels, reduction, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        out: Array | None = None,
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient by the embeddings.

        Parameters
        ----------
        embeddings, labels
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
        return self._run(True, embeddings, labels, reduction, out)  # type: ignore[no-any-return]


class WithProxies(EmbeddingLoss):
    """A loss of labelled embeddings against a learned row for each class."""

    def _compute(self, batch: Batch, labels: Indices) -> tuple[float, Array]:
        classes = np.arange(len(batch.rows[1]), dtype=np.int64)
        return self._all_pairs(batch, (labels, classes))

    def _run(
        self,
        wants_grad: bool,
        embeddings: ArrayLike,
        labels: ArrayLike,
        proxies: ArrayLike,
        reduction: object,
        out: object,
    ) -> Any:
        rows = as_rows(embeddings, "embeddings")
        others = as_rows(proxies, "proxies", width=rows.shape[1], of="embeddings")
        classes = as_labels(labels, "labels", len(rows), len(others))
        batch = Batch({"embeddings": rows, "proxies": others}, wants_grad, reduction, out)
        return batch.result(*self._compute(batch, classes))

    @overload
    def __call__(self, embeddings: ArrayLike, labels: ArrayLike, proxies: ArrayLike, *,
                 reduction: Literal["mean", "sum"] = "mean") -> float: ...  # fmt: skip
    @overload
    def __call__(self, embeddings: ArrayLike, labels: ArrayLike, proxies: ArrayLike, *,
                 reduction: Literal["none"]) -> Array: ...  # fmt: skip
    def __call__(
        self, embeddings: ArrayLike, labels: ArrayLike, proxies: ArrayLike, *, reduction: Reduction = "mean"
    ) -> float | Array:
        """Compute the loss.

        Parameters
        ----------
        embeddings : array_like, shape (n, d)
            Rows of float32, float64, float16 or bfloat16 (integers and bool count as float64).
        labels : array_like of any integer dtype, shape (n,)
            The class of each row, an index of `proxies`.
        proxies : array_like, shape (classes, d)
            A row for each class.
        reduction : {"mean", "sum", "none"}, default "mean"
            "none" gives the terms of which "sum" is the sum.

        Returns
        -------
        float or ndarray
            One number, added up in float64; with "none" an array.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted; for labels, the first bad index and value.
        """
        return self._run(False, embeddings, labels, proxies, reduction, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike,
        proxies: ArrayLike,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        out: tuple[Array, Array] | None = None,
    ) -> tuple[float, tuple[Array, Array]]:
        """Compute the loss and its gradients by the embeddings and by the proxies.

        Parameters
        ----------
        embeddings, labels, proxies
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
            By `embeddings` and by `proxies`, each of the shape and dtype of its input.
        """
        return self._run(True, embeddings, labels, proxies, reduction, out)  # type: ignore[no-any-return]


class TwoViews(EmbeddingLoss):
    """A loss of two batches whose rows belong together in pairs."""

    def _compute(self, batch: Batch) -> tuple[float, Array]:
        labels = np.arange(len(batch.rows[0]), dtype=np.int64)
        return self._all_pairs(batch, (labels, labels))

    def _run(self, wants_grad: bool, x: ArrayLike, y: ArrayLike, reduction: object, out: object) -> Any:
        first = as_rows(x, "x")
        second = as_rows(y, "y")
        check_shape(second, "y", first.shape, "the shape of x")
        batch = Batch({"x": first, "y": second}, wants_grad, reduction, out)
        return batch.result(*self._compute(batch))

    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, *, reduction: Literal["mean", "sum"] = "mean") -> float: ...
    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, *, reduction: Literal["none"]) -> Array: ...
    def __call__(self, x: ArrayLike, y: ArrayLike, *, reduction: Reduction = "mean") -> float | Array:
        """Compute the loss.

        Parameters
        ----------
        x, y : array_like, shape (n, d)
            Rows of float32, float64, float16 or bfloat16 (integers and bool count as float64). Row i of `x` belongs to
            row i of `y`.
        reduction : {"mean", "sum", "none"}, default "mean"
            "mean" divides by the number of rows; "none" gives the losses of the rows.

        Returns
        -------
        float or ndarray
            One number, added up in float64; with "none" an array of n.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted.
        """
        return self._run(False, x, y, reduction, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        out: tuple[Array, Array] | None = None,
    ) -> tuple[float, tuple[Array, Array]]:
        """Compute the loss and its gradients by both batches.

        Parameters
        ----------
        x, y
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
        return self._run(True, x, y, reduction, out)  # type: ignore[no-any-return]


class TwoSamples(EmbeddingLoss):
    """A loss of two sets of rows as wholes: one number, which no row has a share of."""

    _same_size: bool = False

    def _compute(self, batch: Batch) -> float:
        raise NotImplementedError

    def _run(self, wants_grad: bool, x: ArrayLike, y: ArrayLike, out: object) -> Any:
        first = as_rows(x, "x")
        second = as_rows(y, "y", width=first.shape[1], of="x")
        if self._same_size:
            check_shape(second, "y", first.shape, "the shape of x")
        batch = Batch({"x": first, "y": second}, wants_grad, "sum", out)
        return batch.result(self._compute(batch))

    def __call__(self, x: ArrayLike, y: ArrayLike) -> float:
        """Compute the loss.

        Parameters
        ----------
        x : array_like, shape (n, d)
            Rows of float32, float64, float16 or bfloat16 (integers and bool count as float64).
        y : array_like, shape (m, d)
            The other set; n = m where the class says so.

        Returns
        -------
        float
            Added up in float64; 0 if a set is empty.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted.
        """
        return self._run(False, x, y, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self, x: ArrayLike, y: ArrayLike, *, out: tuple[Array, Array] | None = None
    ) -> tuple[float, tuple[Array, Array]]:
        """Compute the loss and its gradients by both sets.

        Parameters
        ----------
        x, y
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
        return self._run(True, x, y, out)  # type: ignore[no-any-return]

    def _covariances(self, batch: Batch) -> float:
        grads = (batch.grads[0], batch.grads[1]) if batch.grads else None
        return kernels.covariance(self.name, self._parameters, batch.rows[0], batch.rows[1], grads, batch.threads)

    def _of_pairs(self, batch: Batch, kernel: str, parameters: list[float], sign: float, of_itself: float) -> float:
        """Return sign times the means of `kernel` within x and within y, less twice that between x and y."""
        x, y = (len(each) for each in batch.rows)
        if x == 0 or y == 0:
            return 0.0
        value = sign * of_itself * (1.0 / x + 1.0 / y)
        parts: tuple[tuple[tuple[int, int], float], ...]
        parts = (((0, 0), 1.0 / x**2), ((1, 1), 1.0 / y**2), ((0, 1), -2.0 / (x * y)))
        for at, share in parts:
            one_class = (np.zeros(len(batch.rows[at[0]]), np.int64), np.zeros(len(batch.rows[at[1]]), np.int64))
            value += self._all_pairs(batch, one_class, at, kernel=kernel, parameters=parameters, scale=sign * share)[0]
        return value
