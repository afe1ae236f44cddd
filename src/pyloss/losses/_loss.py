"""What every loss is: an immutable value with three verbs, which can be scaled and added."""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, overload

from .._arguments import REAL, Array, ArrayLike, Interval, Reduction, check_choice
from ._call import GRAD, HESS, VALUE, Call

Curvature: TypeAlias = Literal["exact", "fisher", "xgboost", "lightgbm"]
CURVATURES = ("exact", "fisher", "xgboost", "lightgbm")

_registry: dict[str, type[Loss]] = {}


@dataclass(frozen=True)
class Info:
    """What a textbook's table says of a loss.

    Parameters
    ----------
    task : str
        What the loss is for: "regression", "count regression", "binary classification", ...
    convex : bool
        Whether it is convex in the prediction.
    differentiable : bool
        Whether it has a derivative everywhere.
    outliers : str
        How strongly outliers pull: "low", "medium" or "high".
    probabilistic : bool
        Whether it is a negative log-likelihood.
    source : str
        Paper or peer whose convention it follows.
    target : Interval
        Allowed targets (not checked element by element: that would be a second pass over memory).
    pred : Interval
        Predictions at which the loss is finite.
    binary : bool
        Whether only the ends of `target` are allowed.
    extra : tuple of Interval
        Allowed values of the inputs behind `target`.
    optional : tuple of (str, Interval)
        Parameters that are such inputs, too, where they are None, and what is allowed then.
    name : str
        Name for `pyloss.get`; filled in from the class.
    formula : str
        LaTeX; filled in from the docstring.
    """

    task: str
    convex: bool
    differentiable: bool
    outliers: Literal["low", "medium", "high"]
    probabilistic: bool = False
    source: str = ""
    target: Interval = REAL
    pred: Interval = REAL
    binary: bool = False
    extra: tuple[Interval, ...] = ()
    optional: tuple[tuple[str, Interval], ...] = ()
    name: str = ""
    formula: str = ""


def _formula(cls: type) -> str:
    """Return the first ``.. math::`` of a class's own docstring."""
    match = re.search(r"\.\. math::(.*?)(?:\n\s*\n|$)", cls.__dict__.get("__doc__") or "", re.DOTALL)
    if not match:
        raise TypeError(f"{cls.__name__}: its docstring has no '.. math::' formula")
    return " ".join(match[1].split())


def kernel_parameters(loss: object) -> list[float]:
    """Return the parameters of a loss that are its kernel's, as this wants them."""
    fields = [field for field in dataclasses.fields(loss) if field.metadata.get("kernel")]  # type: ignore[arg-type]
    return [field.metadata["encode"](getattr(loss, field.name)) for field in fields]


def check_kernels(cls: type, known: dict[str, int], names: tuple[str, ...]) -> None:
    """Raise unless there are kernels of these names that take the parameters of a class that is being made."""
    # The dataclass decorator has not run yet: fields still stand where they were declared.
    fields = [value.metadata for value in cls.__dict__.values() if isinstance(value, dataclasses.Field)]
    expected = sum(field["kernel"] for field in fields)
    for name in names:
        if name not in known:
            raise ImportError(f"{cls.__name__}: there is no kernel {name!r}; the lists in registry.hpp lack it")
        if known[name] != expected:
            raise ImportError(f"{cls.__name__}: the kernel takes {known[name]} parameters, the class has {expected}")


def find(name: str) -> type[Loss]:
    """Return the class of the loss called `name`."""
    if name not in _registry:
        raise ValueError(f"name: got {name!r}, wanted one of {', '.join(sorted(_registry))}")
    return _registry[name]


def registered() -> dict[str, type[Loss]]:
    """Return all losses, by name."""
    return dict(_registry)


class Loss(ABC):
    """What every loss is: immutable, hashable, printed as its constructor, known to `pyloss.get` by its name."""

    info: ClassVar[Info]
    name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register a loss that names its kernel; without the kernel, the import fails."""
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            cls._check_kernel()
            cls.info = dataclasses.replace(cls.info, name=cls.name, formula=_formula(cls))
            _registry[cls.name] = cls

    def __post_init__(self) -> None:
        """Check every parameter; what is stored is its final value."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if "check" in field.metadata:
                object.__setattr__(self, field.name, field.metadata["check"](getattr(self, field.name), field.name))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parameters alone: what is prepared for the kernels is prepared again."""
        return type(self), tuple(getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore[arg-type]

    @classmethod
    @abstractmethod
    def _check_kernel(cls) -> None:
        """Raise if the kernels have no such loss, or one of other parameters."""


class PredictionLoss(Loss):
    """A loss of predictions: call it for its value, or ask for its derivatives in the same pass over memory.

    ``a * loss`` and ``loss + loss`` are losses too; sums of losses with the same inputs are computed in one pass.
    """

    inputs: ClassVar[tuple[str, ...]] = ("pred", "target")
    gradients: ClassVar[tuple[str, ...]] = ("pred",)

    def _bind(
        self, pred: ArrayLike, target: ArrayLike, more: tuple[ArrayLike, ...], named: dict[str, ArrayLike]
    ) -> Any:
        """Return all inputs in the order of their names."""
        given = (pred, *(() if target is ... else (target,)), *more)
        names = self._names()
        wanted = f"wanted {' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)}"
        if len(given) > len(names):
            raise TypeError(f"inputs: got {len(given)} arrays, {wanted}")
        bound = dict(zip(names, given, strict=False))
        for name, value in named.items():
            if name not in names or name in bound:
                raise TypeError(f"{name}: got it {'twice' if name in bound else 'unexpectedly'}, {wanted}")
            bound[name] = value
        for name in names:
            if name not in bound:
                raise TypeError(f"{name}: got nothing, {wanted}")
        return tuple(bound[name] for name in names)

    def _names(self) -> tuple[str, ...]:
        return self.inputs

    def _small(self, pred: ArrayLike, target: ArrayLike, want: int, reduction: object, out: object) -> Any:
        """Return the result of a small plain call, or None if it is not one."""
        return None

    @abstractmethod
    def _sum(self, terms: tuple[tuple[float, PredictionLoss], ...]) -> PredictionLoss:
        """Return a sum of scaled losses of this kind."""

    @abstractmethod
    def _run(self, call: Call, inputs: tuple[ArrayLike, ...], weight: ArrayLike, curvature: str) -> tuple[Any, ...]:
        """Check the inputs of a call and compute it; the value, then the derivatives wanted."""

    def _compute(
        self, want: int, inputs: tuple[ArrayLike, ...], weight: ArrayLike, reduction: object, out: object,
        curvature: str = "exact",
    ) -> tuple[Any, ...]:  # fmt: skip
        check_choice(curvature, "curvature", CURVATURES)
        return self._run(Call(want, reduction, out), inputs, weight, curvature)

    @property
    @abstractmethod
    def _engine(self) -> tuple[object, ...]:
        """What must be the same of losses that are computed in one pass."""

    @abstractmethod
    def _best_constant(self, target: ArrayLike, weight: ArrayLike) -> float | Array:
        """Return the constant prediction that minimises the weighted mean."""

    @property
    def _terms(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return ((1.0, self),)

    def _in_pass(self) -> tuple[tuple[float, PredictionLoss], ...]:
        """Return what of this loss is computed in one pass with others."""
        return self._terms

    def _of_pass(self, values: list[float]) -> float | None:
        """Return the loss from the values of `_in_pass`; None if it must be computed by itself."""
        value: float = self._of_means(values)
        return value

    def _of_means(self, values: list[Any]) -> Any:
        """Return the loss, or an array of it, from the means of `_in_pass`."""
        return sum(values)

    def __mul__(self, factor: float) -> PredictionLoss:
        """Scale the loss."""
        if isinstance(factor, Loss):
            return NotImplemented
        number = REAL.number(factor, "factor")
        return self._sum(tuple((number * coefficient, loss) for coefficient, loss in self._terms))

    __rmul__ = __mul__

    def __neg__(self) -> PredictionLoss:
        """Turn the loss into a gain."""
        return self * -1.0

    def __add__(self, other: PredictionLoss) -> PredictionLoss:
        """Add a loss of the same inputs."""
        if not isinstance(other, PredictionLoss):
            return NotImplemented
        return self._sum(self._terms + other._terms)

    @overload
    def __call__(self, pred: ArrayLike, target: ArrayLike = ..., *inputs: ArrayLike, weight: ArrayLike = None,
                 reduction: Literal["mean", "sum"] = "mean", out: Array | None = None,
                 **named: ArrayLike) -> float: ...  # fmt: skip
    @overload
    def __call__(self, pred: ArrayLike, target: ArrayLike = ..., *inputs: ArrayLike, weight: ArrayLike = None,
                 reduction: Literal["none"], out: Array | None = None, **named: ArrayLike) -> Array: ...  # fmt: skip
    def __call__(
        self,
        pred: ArrayLike,
        target: ArrayLike = ...,
        *inputs: ArrayLike,
        weight: ArrayLike = None,
        reduction: Reduction = "mean",
        out: Array | None = None,
        **named: ArrayLike,
    ) -> float | Array:
        """Compute the loss.

        Parameters
        ----------
        pred, target : array_like
            Predictions and what they should have been. `target` broadcasts to `pred`.
        *inputs, **named : array_like
            Further inputs, where the loss has any: by position or by the names that its documentation gives them.
        weight : array_like, optional
            Finite, at least 0, broadcasts to `pred` (to its rows for row losses). Weight 0 leaves an element out, even
            if it is NaN.
        reduction : {"mean", "sum", "none"}, default "mean"
            "mean" divides the weighted sum by the sum of weights; of nothing, it is 0.
        out : ndarray, optional
            With "none": takes the values.

        Returns
        -------
        float or ndarray
            One number, added up in float64; with "none" an array of the values.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted. Nothing has been written then.
        """
        if weight is None and out is None and not inputs and not named:
            small = self._small(pred, target, VALUE, reduction, None)
            if small is not None:
                return small  # type: ignore[no-any-return]
        return self._compute(VALUE, self._bind(pred, target, inputs, named), weight, reduction, out)[0]  # type: ignore[no-any-return]

    @overload
    def value_and_grad(self, pred: ArrayLike, target: ArrayLike = ..., *inputs: ArrayLike, weight: ArrayLike = None,
                       reduction: Literal["mean", "sum"] = "mean", out: Array | None = None,
                       **named: ArrayLike) -> tuple[float, Array]: ...  # fmt: skip
    @overload
    def value_and_grad(self, pred: ArrayLike, target: ArrayLike = ..., *inputs: ArrayLike, weight: ArrayLike = None,
                       reduction: Literal["none"], out: Array | None = None,
                       **named: ArrayLike) -> tuple[Array, Array]: ...  # fmt: skip
    def value_and_grad(
        self,
        pred: ArrayLike,
        target: ArrayLike = ...,
        *inputs: ArrayLike,
        weight: ArrayLike = None,
        reduction: Reduction = "mean",
        out: Array | None = None,
        **named: ArrayLike,
    ) -> tuple[float | Array, Array]:
        """Compute the loss and its gradient by `pred` in one pass over memory.

        Parameters
        ----------
        pred, target, *inputs, **named, weight, reduction
            As for the call.
        out : ndarray, optional
            Takes the gradient: of the dtype and shape of `pred`, and may be `pred` itself. A tuple of arrays where the
            loss has gradients by several inputs.

        Returns
        -------
        value : float or ndarray
            As for the call.
        grad : ndarray or tuple of ndarray
            Gradient of the reduced value (with "none": of each own value); dtype and shape of `pred`. Where the loss
            has gradients by several inputs, a tuple in the order of the inputs, each of the dtype and shape of its own
            (with "none" of the shape of `pred`).
        """
        if weight is None and not inputs and not named:
            small = self._small(pred, target, GRAD, reduction, out)
            if small is not None:
                return small  # type: ignore[no-any-return]
        return self._compute(GRAD, self._bind(pred, target, inputs, named), weight, reduction, out)

    @overload
    def value_grad_hess(self, pred: ArrayLike, target: ArrayLike = ..., *inputs: ArrayLike, weight: ArrayLike = None,
                        reduction: Literal["mean", "sum"] = "mean", out: tuple[Array, Array] | None = None,
                        curvature: Curvature = "exact", **named: ArrayLike,
                        ) -> tuple[float, Array, Array]: ...  # fmt: skip
    @overload
    def value_grad_hess(self, pred: ArrayLike, target: ArrayLike = ..., *inputs: ArrayLike, weight: ArrayLike = None,
                        reduction: Literal["none"], out: tuple[Array, Array] | None = None,
                        curvature: Curvature = "exact", **named: ArrayLike,
                        ) -> tuple[Array, Array, Array]: ...  # fmt: skip
    def value_grad_hess(
        self,
        pred: ArrayLike,
        target: ArrayLike = ...,
        *inputs: ArrayLike,
        weight: ArrayLike = None,
        reduction: Reduction = "mean",
        out: tuple[Array, Array] | None = None,
        curvature: Curvature = "exact",
        **named: ArrayLike,
    ) -> tuple[float | Array, Array, Array]:
        """Compute the loss, its gradient and the diagonal of its Hessian in one pass over memory.

        Parameters
        ----------
        pred, target, *inputs, **named, weight, reduction
            As for the call.
        out : (ndarray, ndarray), optional
            Takes the gradient and the Hessian: each of the dtype and shape of `pred`; one of them may be `pred` itself.
        curvature : {"exact", "fisher", "xgboost", "lightgbm"}, default "exact"
            What stands for the second derivative. "fisher" is its expectation where the loss is a log-likelihood;
            "xgboost" and "lightgbm" are what these libraries use in their own objective: 1 for `MAE` and `Quantile`
            (LightGBM: `Huber` too), exp(0.7) times the exact one for `PoissonNLL` of a log-rate, at least 1e-16 for
            `BCEWithLogits` in XGBoost, and for `CrossEntropy` of C classes 2 p (1 - p), at least 1e-16, in XGBoost and
            C / (C - 1) p (1 - p) in LightGBM. But for "exact", what would be negative is 0.

        Returns
        -------
        value : float or ndarray
            As for the call.
        grad, hess : ndarray
            First and second derivatives of the reduced value; dtype and shape of `pred`, or tuples as above.
        """
        if weight is None and out is None and not inputs and not named and curvature == "exact":
            small = self._small(pred, target, HESS, reduction, None)
            if small is not None:
                return small  # type: ignore[no-any-return]
        return self._compute(HESS, self._bind(pred, target, inputs, named), weight, reduction, out, curvature)

    def init_score(self, target: ArrayLike, weight: ArrayLike = None) -> float | Array:
        """Compute the constant prediction from which boosting starts: the one that minimises the weighted mean.

        Parameters
        ----------
        target : array_like
            Finite where the weight is not 0.
        weight : array_like, optional
            Finite, at least 0, broadcasts to `target` (to its rows, where these are probabilities).

        Returns
        -------
        float or ndarray
            The mean for `MSE`, the logarithm of the mean for `PoissonNLL`, the logit of the mean for `BCEWithLogits`,
            log class shares for `CrossEntropy`: an array of as many as the target has columns, the loss class weights,
            or labels from 0 to the largest. For `MAE` and `Quantile` the smallest target up to which the weights add up
            to the quantile, as numpy.quantile with "inverted_cdf" (LightGBM interpolates between two targets). For
            other losses, and sums, the root of the slope to the last digits; of a loss that is not convex, the minimum
            in whose valley the best of 0, the mean and fifteen quantiles lies. An array where the parameters are
            arrays: a number for each place of the last axis.

        Raises
        ------
        TypeError
            For losses with further inputs, and row losses other than `CrossEntropy`.
        ValueError
            If no finite prediction is best (only zeros in `PoissonNLL`, a class that does not occur), if a target that
            counts is not finite, or if none counts.

        Examples
        --------
        >>> import pyloss as pl
        >>> pl.Quantile(q=0.9).init_score([3.0, 1.0, 2.0, 10.0])
        10.0
        >>> round(pl.Huber().init_score([0.0, 1.0, 100.0]), 6)
        1.0
        >>> pl.CrossEntropy().init_score([0, 1, 1, 1]).round(3)
        array([-1.386, -0.288])
        """
        return self._best_constant(target, weight)


def show_sum(terms: tuple[tuple[float, Loss], ...]) -> str:
    """Return a sum of losses as one would write it."""
    return " + ".join(
        f"{coefficient:g} * {loss!r}" if coefficient != 1.0 else repr(loss) for coefficient, loss in terms
    )
