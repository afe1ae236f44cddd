"""The verbs of losses that compare the items of a query by their scores."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, overload

from .._arguments import (
    Array,
    ArrayLike,
    Reduction,
    as_array,
    as_query,
    as_scores,
    bad_relevance,
    check_shape,
    needs_float64,
    operand,
    result_dtype,
)
from .._native import kernels
from ._call import GRAD, HESS, VALUE, Call, maybe
from ._loss import Loss


class RankingLoss(Loss):
    """A loss of the scores of lists of items against their relevance, each list by itself."""

    @classmethod
    def _check_kernel(cls) -> None:
        known = kernels.ranking_losses()
        for name, parameters in cls._kernels().items():
            if name not in known:
                raise ImportError(
                    f"{cls.__name__}: there is no ranking kernel {name!r}; the list in registry.hpp lacks it"
                )
            if known[name] != parameters:
                raise ImportError(
                    f"{cls.__name__}: the kernel takes {known[name]} parameters, the class declares {parameters}"
                )

    @classmethod
    def _kernels(cls) -> dict[str, int]:
        """Names of the kernels that compute this loss, and how many parameters they take."""
        # The dataclass decorator has not run yet: fields still stand where they were declared.
        return {cls.name: sum(isinstance(value, dataclasses.Field) for value in cls.__dict__.values())}

    @property
    def _kernel(self) -> tuple[str, list[float]]:
        """The kernel and its parameters; None is no limit."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        return self.name, [math.inf if value is None else float(value) for value in values]

    def _run(
        self,
        want: int,
        pred: ArrayLike,
        target: ArrayLike,
        query: ArrayLike,
        weight: ArrayLike,
        reduction: object,
        out: object,
    ) -> Any:
        call = Call(want, reduction, out)
        scores, relevance = as_scores(pred, "pred"), as_array(target, "target")
        check_shape(relevance, "target", scores.shape, "a relevance for each score")
        named = {"pred": scores, "target": relevance}
        if query is not None:
            named["query"] = as_query(query, "query", len(scores))
        queries = kernels.Queries(maybe(named.get("query")), len(scores))
        lists = (queries.count,)
        weights, _ = call.weights(weight, lists, "the queries")
        if weights is not None:
            named["weight"] = weights
        value, grad, hess = call.outputs(scores.shape, lists, result_dtype(scores), named)
        name, parameters = self._kernel
        reduced, bad = kernels.ranking(
            loss=name,
            parameters=parameters,
            queries=queries,
            pred=operand(scores),
            target=operand(relevance),
            weight=maybe(weights),
            value=maybe(value),
            grad=maybe(grad),
            hess=maybe(hess),
            mean=reduction == "mean",
            want=want,
            float64=needs_float64((scores,)),
            threads=call.threads,
        )
        if bad is not None:
            raise bad_relevance(relevance, bad)
        result = call.result([reduced], [1.0], value, grad, hess)
        return result[0] if want == VALUE else result

    @overload
    def __call__(self, pred: ArrayLike, target: ArrayLike, query: ArrayLike = None, *, weight: ArrayLike = None,
                 reduction: Literal["mean", "sum"] = "mean", out: Array | None = None) -> float: ...  # fmt: skip
    @overload
    def __call__(self, pred: ArrayLike, target: ArrayLike, query: ArrayLike = None, *, weight: ArrayLike = None,
                 reduction: Literal["none"], out: Array | None = None) -> Array: ...  # fmt: skip
    def __call__(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        query: ArrayLike = None,
        *,
        weight: ArrayLike = None,
        reduction: Reduction = "mean",
        out: Array | None = None,
    ) -> float | Array:
        """Compute the loss.

        Parameters
        ----------
        pred : array_like, shape (n,)
            Scores of float32, float64, float16 or bfloat16 (integers and bool count as float64).
        target : array_like, shape (n,)
            The relevance of each item, of any of these types; only more or less relevant is compared, unless the class
            says more.
        query : array_like of any integer dtype, shape (n,), optional
            The id of each item's query, in any order; ascending ids need no sorting. Without, all are of one query.
        weight : array_like, shape (queries,), optional
            Of each query, in the order of ``numpy.unique(query)``; finite, at least 0. Weight 0 leaves a query out,
            even if it has NaN.
        reduction : {"mean", "sum", "none"}, default "mean"
            "none" gives the sum of each query, in the order of ``numpy.unique(query)``, times its weight. What the mean
            divides by is told by the class.
        out : ndarray, shape (queries,), optional
            With "none": takes the values.

        Returns
        -------
        float or ndarray
            One number, added up in float64; with "none" an array of a value for each query.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted. Nothing has been written then.
        """
        return self._run(VALUE, pred, target, query, weight, reduction, out)  # type: ignore[no-any-return]

    @overload
    def value_and_grad(self, pred: ArrayLike, target: ArrayLike, query: ArrayLike = None, *, weight: ArrayLike = None,
                       reduction: Literal["mean", "sum"] = "mean", out: Array | None = None,
                       ) -> tuple[float, Array]: ...  # fmt: skip
    @overload
    def value_and_grad(self, pred: ArrayLike, target: ArrayLike, query: ArrayLike = None, *, weight: ArrayLike = None,
                       reduction: Literal["none"], out: Array | None = None,
                       ) -> tuple[Array, Array]: ...  # fmt: skip
    def value_and_grad(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        query: ArrayLike = None,
        *,
        weight: ArrayLike = None,
        reduction: Reduction = "mean",
        out: Array | None = None,
    ) -> tuple[float | Array, Array]:
        """Compute the loss and its gradient by the scores.

        Parameters
        ----------
        pred, target, query, weight, reduction
            As for the call.
        out : ndarray, shape (n,), optional
            Takes the gradient: of the dtype of `pred`, and may be `pred` itself.

        Returns
        -------
        value : float or ndarray
            As for the call.
        grad : ndarray, shape (n,)
            Gradient of the reduced value (with "none": of each query's own); of the dtype of `pred`.
        """
        return self._run(GRAD, pred, target, query, weight, reduction, out)  # type: ignore[no-any-return]

    @overload
    def value_grad_hess(self, pred: ArrayLike, target: ArrayLike, query: ArrayLike = None, *, weight: ArrayLike = None,
                        reduction: Literal["mean", "sum"] = "mean", out: tuple[Array, Array] | None = None,
                        ) -> tuple[float, Array, Array]: ...  # fmt: skip
    @overload
    def value_grad_hess(self, pred: ArrayLike, target: ArrayLike, query: ArrayLike = None, *, weight: ArrayLike = None,
                        reduction: Literal["none"], out: tuple[Array, Array] | None = None,
                        ) -> tuple[Array, Array, Array]: ...  # fmt: skip
    def value_grad_hess(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        query: ArrayLike = None,
        *,
        weight: ArrayLike = None,
        reduction: Reduction = "mean",
        out: tuple[Array, Array] | None = None,
    ) -> tuple[float | Array, Array, Array]:
        """Compute the loss, its gradient by the scores and the diagonal of its Hessian.

        Parameters
        ----------
        pred, target, query, weight, reduction
            As for the call.
        out : (ndarray, ndarray), optional
            Takes the gradient and the Hessian: each of the dtype and shape of `pred`; one of them may be `pred` itself.

        Returns
        -------
        value : float or ndarray
            As for the call.
        grad, hess : ndarray, shape (n,)
            First and second derivatives of the reduced value; of the dtype of `pred`.
        """
        return self._run(HESS, pred, target, query, weight, reduction, out)  # type: ignore[no-any-return]
