"""Every loss of elements or rows with several settings of its parameters, and inputs: from what the classes declare.

Losses of embeddings are in `embedding_cases`, those of masks and boxes in `region_cases`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from pyloss import _arguments, reference
from pyloss._arguments import Choice, Interval
from pyloss.losses import PredictionLoss, registered
from pyloss.losses._elementwise import Elementwise
from pyloss.losses._rowwise import LABELS, PROBABILITIES, Rowwise, Targetless, Taught

CLASSES = 10
"""Of the row losses' ordinary inputs."""
DRAWN = 8191
"""Elements or rows that are drawn at most; more are these again. No divisor of it is one of a block."""


def teacher_of(target: np.ndarray, classes: int) -> np.ndarray:
    """A teacher's scores, exact in every type: made of the target, so that they go with it into any part of a batch."""
    labels = np.argmax(target, axis=-1) if target.dtype.kind not in "iu" else target
    return (5 * labels[..., None] + 3 * np.arange(classes)) % 7 / 2.0 - 1.5


@dataclass(frozen=True)
class OfOtherInputs:
    """A loss without a target, or with a teacher, called with a prediction and a target as all others are."""

    loss: PredictionLoss

    def _inputs(self, pred: Any, target: Any) -> tuple[Any, ...]:
        if len(self.loss._names()) == 1:
            return (pred,)
        try:
            scores = np.asarray(pred)
            dtype = np.float64 if scores.dtype.kind in "iub" else scores.dtype
            return pred, target, teacher_of(np.asarray(target), scores.shape[-1]).astype(dtype)
        except (TypeError, ValueError, IndexError):  # bad input on purpose
            return pred, target, pred

    def __call__(self, pred: Any, target: Any, **options: Any) -> Any:
        return self.loss(*self._inputs(pred, target), **options)

    def value_and_grad(self, pred: Any, target: Any, **options: Any) -> Any:
        return self.loss.value_and_grad(*self._inputs(pred, target), **options)

    def value_grad_hess(self, pred: Any, target: Any, **options: Any) -> Any:
        return self.loss.value_grad_hess(*self._inputs(pred, target), **options)

    def __rmul__(self, factor: float) -> Any:
        return with_target(factor * self.loss)

    def __add__(self, other: PredictionLoss) -> Any:
        return with_target(self.loss + other)


def with_target(loss: PredictionLoss) -> Any:
    """The loss, with the verbs of a prediction and a target."""
    return loss if loss._names() == PredictionLoss.inputs else OfOtherInputs(loss)


@dataclass(frozen=True)
class Bound:
    """A loss as if it had `pred` and `target` alone: further inputs are fixed, derivatives by `pred` are kept."""

    bare: Any
    extra: tuple[Any, ...]

    def _inputs(self, pred: Any, target: Any) -> tuple[Any, ...]:
        return (pred, target, *self.extra)[: len(self.bare._names())]

    def _outputs(self, out: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """`out` for the derivative by the first input, and arrays for those by the others."""
        if out is None or len(self.bare._gradients()) == 1:
            return out
        named = zip(self.bare._names(), inputs, strict=True)
        by = [each for name, each in named if name in self.bare._gradients()[1:]]
        numbers = (np.asarray(x) if isinstance(x, (np.ndarray, np.generic, int, float)) else np.zeros(()) for x in by)
        whole = str(options.get("reduction")) == "none"
        return out, *(np.empty(np.shape(out) if whole else x.shape, _arguments.result_dtype(x)) for x in numbers)

    def __rmul__(self, factor: float) -> Bound:
        return replace(self, bare=factor * self.bare)

    def _first(self, results: Any) -> Any:
        return results if len(self.bare._gradients()) == 1 else results[0]

    def __call__(self, pred: Any, target: Any, **options: Any) -> Any:
        return self.bare(*self._inputs(pred, target), **options)

    def value_and_grad(self, pred: Any, target: Any, *, out: Any = None, **options: Any) -> Any:
        inputs = self._inputs(pred, target)
        value, grad = self.bare.value_and_grad(*inputs, out=self._outputs(out, inputs, options), **options)
        return value, self._first(grad)

    def value_grad_hess(self, pred: Any, target: Any, *, out: Any = None, **options: Any) -> Any:
        inputs = self._inputs(pred, target)
        if isinstance(out, tuple) and len(out) == 2:
            out = tuple(self._outputs(each, inputs, options) for each in out)
        value, grad, hess = self.bare.value_grad_hess(*inputs, out=out, **options)
        return value, self._first(grad), self._first(hess)


@dataclass(frozen=True)
class Case:
    """A loss as its class and parameters: each test makes its own, at its own level.

    Inputs behind `target` are fixed numbers, exact in every dtype; `tests/test_inputs.py` gives them arrays.
    """

    cls: type[PredictionLoss]
    parameters: tuple[tuple[str, Any], ...] = ()
    extra: tuple[Any, ...] = ()
    by: int = 0  # the input whose derivatives the reference gives, of those that have derivatives

    def __str__(self) -> str:
        behind = "".join(f", {name}={value}" for name, value in zip(self.inputs[2:], self.extra, strict=False))
        return f"{self.bare()!r}{behind}"

    def bare(self) -> Any:
        """The loss itself, with all its inputs."""
        return self.cls(**dict(self.parameters))

    def loss(self) -> Any:
        """The loss as a function of `pred` and `target`."""
        return self.bind(self.bare())

    def bind(self, loss: Any) -> Any:
        """A loss of this class as a function of `pred` and `target`."""
        if issubclass(self.cls, Rowwise):
            return with_target(loss)
        return loss if self.plain else Bound(loss, self.extra)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.bare()._names()  # type: ignore[no-any-return]

    @property
    def gradients(self) -> tuple[str, ...]:
        """The inputs that it has derivatives by."""
        return self.bare()._gradients() if issubclass(self.cls, Elementwise) else self.cls.gradients

    @property
    def domains(self) -> tuple[Interval, ...]:
        """Of the inputs behind `target`."""
        return domains_behind(self.cls, dict(self.parameters))

    @property
    def plain(self) -> bool:
        """Whether it takes `pred` and `target` and nothing else."""
        return self.inputs == PredictionLoss.inputs

    def takes(self, argument: str) -> bool:
        """Whether there is such an argument: some losses have no target."""
        return argument != "target" or len(self.inputs) > 1

    def called(self, argument: str) -> str:
        """What messages call `pred` and `target`."""
        return dict(zip(PredictionLoss.inputs, self.inputs, strict=False)).get(argument, argument)

    @property
    def name(self) -> str:
        return self.cls.info.name

    @property
    def rowwise(self) -> bool:
        return issubclass(self.cls, Rowwise)

    @property
    def labelled(self) -> bool:
        """Whether a target may be one label a row, or anything."""
        return issubclass(self.cls, Rowwise) and self.cls.targets != (PROBABILITIES,)

    def has(self, parameter: str) -> Any:
        """Value of a parameter, None if it is not set."""
        return dict(self.parameters).get(parameter)

    def without(self, parameter: str) -> Case:
        return replace(self, parameters=tuple(each for each in self.parameters if each[0] != parameter))

    def reference(self, pred: np.ndarray, target: np.ndarray, teacher: Any = None) -> reference._terms.Terms:
        inputs = self.reference_inputs(wide(pred), wide(target), teacher)
        with np.errstate(all="ignore"):
            return self.terms(*inputs)

    def terms(self, *inputs: Any, **changed: Any) -> Any:
        """The reference's value and its derivatives by one input."""
        parameters, by = dict(self.parameters) | changed, self.by
        if free := [name for name, _ in self.cls.info.optional if parameters.get(name, 0) is None]:
            # The reference has derivatives by all that may be an input.
            parameters |= dict(zip(free, inputs[len(inputs) - len(free) :], strict=True))
            value, grad, hess = getattr(reference, f"{self.name}_adaptive")(*inputs[: -len(free)], **parameters)
            names = [*self.cls.gradients, *(name for name, _ in self.cls.info.optional)]
            by = names.index(self.gradients[by])
        else:
            value, grad, hess = getattr(reference, self.name)(*inputs, **parameters)
        return (value, grad[by], hess[by]) if isinstance(grad, tuple) else (value, grad, hess)

    def reference_inputs(self, pred: Any, target: Any, teacher: Any = None) -> tuple[Any, ...]:
        """What the loss takes of these, and a teacher if it wants one."""
        if issubclass(self.cls, Targetless):
            return (pred,)
        if issubclass(self.cls, Taught):
            return pred, target, teacher_of(target, pred.shape[-1]) if teacher is None else teacher
        return (pred, target, *self.extra)[: len(self.inputs)]

    @property
    def scale(self) -> float:
        """What scores are multiplied by before a softmax."""
        loss: Any = self.bare()
        if self.name == "ada_cos":
            return float(np.sqrt(2) * np.log(CLASSES - 1))
        return getattr(loss, "scale", 1.0) / getattr(loss, "temperature", 1.0)

    def count(self, pred: np.ndarray, target: np.ndarray) -> Any:
        """How much each value counts in a mean."""
        count = getattr(reference, f"{self.name}_count", None)
        if count is None:
            return 1.0
        known = inspect.signature(count).parameters
        return count(pred, target, **{name: value for name, value in self.parameters if name in known})

    def draw(
        self, size: int, dtype: Any = np.float64, seed: int = 0, *, probabilities: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Random predictions and targets of the declared domains: `size` elements, or rows of `CLASSES` scores.

        Many are few, repeated: references are slow, and the domains need them.
        """
        if size > DRAWN:
            few = self.draw(DRAWN, dtype, seed, probabilities=probabilities)
            return tuple(np.resize(each, (size, *each.shape[1:])) for each in few)  # type: ignore[return-value]
        rng, info = np.random.default_rng(seed), self.cls.info
        shape = (size, CLASSES) if self.rowwise else (size,)
        pred = _draw(rng, info.pred, shape).astype(dtype)
        if self.rowwise:
            if PROBABILITIES not in self.cls.targets or (LABELS in self.cls.targets and not probabilities):
                return pred, rng.integers(0, CLASSES, size)
            target = rng.dirichlet(np.ones(CLASSES), size)
            return pred, (np.log(target) if self.has("log_target") else target).astype(dtype)
        ends = [info.target.low, info.target.high]
        target = (rng.choice(ends, shape) if info.binary else _draw(rng, info.target, shape)).astype(dtype)
        # Some parameters narrow the domains: a rate must be positive, and so must the target of a gamma distribution.
        for _ in range(2 if size else 0):
            target = np.where(np.isnan(self.reference(abs(pred), target)[0]), target + 1, target).astype(dtype)
            pred = np.where(np.isnan(self.reference(pred, target)[0]), abs(pred), pred)
        return pred, target

    def hard(self, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
        """Every hard prediction beside every hard target."""
        info, limits = self.cls.info, _limits(dtype)
        tiny, huge = float(limits.smallest_subnormal), float(limits.max) / 4  # two of them add up without overflow
        small = [0.0, tiny, float(limits.tiny), 1e-20, 1e-9, 1e-4, 0.4, 1.1]
        large = [2.6, 17, 37, 87, 89, 105, 700, 711, 750, 1e20, huge, np.inf]
        ends = [info.pred.low, info.pred.high]
        if np.all(np.isfinite(ends)):  # their neighbours: a step of the type, and one that even it can see
            within = np.array(ends, dtype)
            ends += [*np.nextafter(within, within[::-1]).tolist(), *(0.999 * within + 0.001 * within[::-1]).tolist()]
            small += ends
        both = np.array([sign * size for size in small + large for sign in (1, -1)] + [np.nan]).astype(dtype)
        pred = both[[np.isnan(x) or float(x) in info.pred for x in both]]
        if info.binary:
            target = np.array([info.target.low, info.target.high], dtype)
        elif np.isinf(info.target.low):
            target = both
        else:
            inner = np.array([0.0, 1e-4, 0.4, 1.0, 1.5, 20.0, 1e4, np.nan], dtype)
            target = inner[[np.isnan(x) or float(x) in info.target for x in inner]]
        pred, target = (each.ravel() for each in np.meshgrid(pred, target))
        return pred, target


def rows(
    size: int, classes: int, dtype: Any, ignored: int | None = None, *, probabilities: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of any number of classes, and labels or probabilities; a third of the labels `ignored`."""
    rng = np.random.default_rng(classes)
    pred = (3 * rng.standard_normal((size, classes))).astype(dtype)
    if probabilities:
        return pred, rng.dirichlet(np.full(classes, 0.5), size).astype(dtype)
    target = rng.integers(0, classes, size)
    if ignored is not None:
        target[::3] = ignored
    return pred, target


LONG_ROWS = [100, 5000]
"""Classes too many for the tiles of the row engine: in one block, and in several."""


def wide(array: Any) -> Any:
    """The same numbers in float64, labels as they are."""
    return array if array.dtype.kind in "iub" else array.astype(np.float64)


def _draw(rng: np.random.Generator, domain: Interval, shape: tuple[int, ...]) -> np.ndarray:
    if np.isfinite(domain.low) and np.isfinite(domain.high):
        return rng.uniform(domain.low, domain.high, shape)
    if np.isinf(domain.low):
        return 3 * rng.standard_normal(shape)
    # Counts with their zeros, and what lies between them.
    open_low = 0.125 if domain.open_low else 0.0
    return domain.low + open_low + rng.poisson(2.0, shape) + rng.choice([0.0, 0.25], shape)


def draw_inputs(case: Case, size: int, dtype: Any = np.float64, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Random arrays of the declared domains for all inputs of a loss."""
    rng = np.random.default_rng((seed, 1))
    extra = (_draw(rng, domain, (size,)).astype(dtype) for domain in case.domains)
    return (*case.draw(size, dtype, seed), *extra)[: len(case.inputs)]


def other_values(field: dataclasses.Field[Any]) -> list[Any]:
    """Values of a parameter other than its default, by how it is checked; none if this function does not know how."""
    check = field.metadata["check"]
    if isinstance(field.default, bool):
        return [not field.default]
    if isinstance(interval := getattr(check, "__self__", None), Interval):
        values: list[Any] = [value for value in (2.5, 0.3, 0.0) if value in interval and value != field.default]
        of_classes = check.__name__ == "optional_numbers" and field.metadata["as_input"] is None
        return values + [tuple(0.25 * c for c in range(CLASSES))] * of_classes
    if isinstance(choice := getattr(check, "__self__", None), Choice):
        return [word for word in choice.words if word != field.default]
    if check in (_arguments._optional_integer, _arguments.positive_integer):
        return [3]
    if check is _arguments.tweedie_power:
        return [0.0, 1.0, 2.0, 3.0, -1.0]
    if check is _arguments._weights_or_none:
        return [tuple(0.25 * c for c in range(CLASSES))]
    return []


def settings(cls: type[PredictionLoss]) -> Iterator[Case]:
    """The default, each parameter changed alone, and all of them together in two ways; once with other inputs too."""
    fields = {field.name: other_values(field) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name, _ in cls.info.optional:
        fields[name].append(None)
    each = [(name, value) for name, values in fields.items() for value in values]
    both = [tuple((name, values[which]) for name, values in fields.items() if values) for which in (0, -1)]
    yield made(cls, ())
    if cls.info.extra and not issubclass(cls, Rowwise):
        yield made(cls, (), 1)
    for name, value in each:
        yield made(cls, ((name, value),))
    if len(fields) > 1:
        yield from (made(cls, parameters) for parameters in both)


def made(cls: type[PredictionLoss], parameters: tuple[tuple[str, Any], ...], which: int = 0) -> Case:
    """A case with one number for each input behind `target`."""
    extra = (_numbers_in(domain)[which] for domain in domains_behind(cls, dict(parameters)))
    return Case(cls, parameters, tuple(extra))


def domains_behind(cls: type[PredictionLoss], parameters: dict[str, Any]) -> tuple[Interval, ...]:
    """Domains of the inputs behind `target`; a teacher is made of the target."""
    if issubclass(cls, Rowwise):
        return ()
    optional = (domain for name, domain in cls.info.optional if parameters.get(name, 0) is None)
    return *cls.info.extra, *optional


def _numbers_in(domain: Interval) -> list[float]:
    return [number for number in (0.75, -1.25, 2.5) if number in domain]


def is_of_elements(cls: type[Any]) -> bool:
    return issubclass(cls, Elementwise) and cls.additive


LOSSES = {name: cls for name, cls in registered().items() if issubclass(cls, Rowwise) or is_of_elements(cls)}
CASES = [case for cls in LOSSES.values() for case in settings(cls)]
DEFAULTS = [next(settings(cls)) for cls in LOSSES.values()]
ELEMENTWISE = [case for case in CASES if not case.rowwise]

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_loss = pytest.mark.parametrize("case", DEFAULTS, ids=str)
every_elementwise_case = pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
every_plain_case = pytest.mark.parametrize("case", [c for c in ELEMENTWISE if c.plain], ids=str)
every_elementwise_loss = pytest.mark.parametrize("case", [c for c in DEFAULTS if not c.rowwise], ids=str)


def _limits(dtype: Any) -> Any:
    if np.dtype(dtype).name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.finfo(dtype)
    return np.finfo(dtype)


LANES = 8
"""In which sums of float64 are laid out."""

_STEP = 2.0**-16
_ULPS = {"float32": 8, "float64": 16}
"""float64 is compared with a reference that has as many roundings of its own, and through NumPy's functions."""


@dataclass
class Expected:
    """What the reference says, and by how much a kernel of some dtype may differ.

    A kernel may be wrong by a few units in the last place of the result, and by what the result moves if an input moves
    by as much: no computation in that dtype can avoid this where terms cancel.
    """

    case: Case
    pred: np.ndarray
    target: np.ndarray

    @cached_property
    def terms(self) -> tuple[np.ndarray, ...]:
        return self.case.reference(self.pred, self.target)

    @cached_property
    def sizes(self) -> tuple[np.ndarray, ...]:
        with np.errstate(over="ignore", invalid="ignore"):
            return self._sizes()

    def _sizes(self) -> tuple[np.ndarray, ...]:
        sizes = [np.nan_to_num(abs(term), nan=0.0, posinf=0.0) for term in self.terms]
        for ways in self._moves():
            most = [np.zeros_like(size) for size in sizes]
            for case, *inputs in ways:
                for each, term, moved in zip(most, self.terms, case.reference(*inputs), strict=True):
                    np.fmax(each, np.nan_to_num(abs(moved - term) / _STEP, nan=0.0, posinf=0.0), out=each)
            sizes = [size + each for size, each in zip(sizes, most, strict=True)]
        if self.case.rowwise:
            sizes[1] += self._target_weights()
        if self.case.has("full"):  # the constant may cancel what the rest is made of
            sizes[0] += Expected(self.case.without("full"), self.pred, self.target).sizes[0]
        if softcap := self.case.has("softcap"):  # its slope is 1 - tanh²: right to a unit of 1, not of itself
            capped = softcap * np.tanh(wide(self.pred) / softcap)
            _, grad, hess = self.case.without("softcap").reference(capped, self.target)
            sizes[1] += abs(grad)
            sizes[2] += abs(hess) + 2 / softcap * (abs(grad) + self._target_weights())
        return tuple(sizes)

    @cached_property
    def floors(self) -> tuple[np.ndarray, ...]:
        """Sizes by which the reference itself is wrong: a textbook's softmax is, by units of 1 in float64."""
        unit, scale = float(self.case.rowwise), self.case.scale
        return tuple(np.full_like(term, unit * scale**order) for order, term in enumerate(self.terms))

    def _moves(self) -> Iterator[list[tuple[Any, ...]]]:
        """Inputs each moved a step; in a row every score goes its own way, so the worst of some random ways counts."""
        if self.case.rowwise:
            ways = np.random.default_rng(1).choice([-_STEP, _STEP], (8, *self.pred.shape))
            yield [(self.case, wide(self.pred) * (1 + way), self.target) for way in ways]
        else:
            yield [(self.case, wide(self.pred) * (1 + _STEP), self.target)]
        if self.target.dtype.kind not in "iub":
            each = ways if self.case.name == "symmetric_cross_entropy" else [_STEP]  # which takes their logarithms
            yield [(self.case, self.pred, wide(self.target) * (1 + way)) for way in each]
        if issubclass(self.case.cls, Taught):
            teacher = teacher_of(self.target, self.pred.shape[-1])
            yield [(self.case, self.pred, self.target, teacher * (1 + way)) for way in ways]
        for i, number in enumerate(self.case.extra):
            moved = (*self.case.extra[:i], number * (1 + _STEP), *self.case.extra[i + 1 :])
            yield [(replace(self.case, extra=moved), self.pred, self.target)]

    def _target_weights(self) -> np.ndarray:
        """Of the row engine: they are taken from a multiple of the softmax, which may leave little."""
        parameters, classes = dict(self.case.parameters), self.pred.shape[-1]
        labels = self.target.ndim < self.pred.ndim
        target = self.target[..., None] == np.arange(classes) if labels else wide(self.target)
        target = np.exp(target) if self.case.has("log_target") else target
        smoothing, weight = parameters.get("label_smoothing", 0.0), parameters.get("class_weight")
        weights = ((1 - smoothing) * target + smoothing / classes) * (1.0 if weight is None else np.asarray(weight))
        return np.nan_to_num(weights * self.case.scale)

    def __getitem__(self, index: Any) -> Expected:
        part = Expected(self.case, self.pred[index], self.target[index])
        part.terms, part.sizes = tuple(t[index] for t in self.terms), tuple(s[index] for s in self.sizes)
        return part

    def check(self, results: tuple[Any, ...], weight: np.ndarray | None = None, reduction: str = "none") -> None:
        """Compare the results of a call, of whichever verb."""
        dtype = results[1].dtype if len(results) > 1 else np.dtype(np.float64)
        limits, ulps = np.finfo(dtype), _ULPS[dtype.name]
        weight = None if weight is None else wide(weight)
        count = self.case.count(self.pred, self.target)
        terms = reference.reduce(self.terms, weight, reduction, count)
        sizes = reference.reduce(self.sizes, weight, reduction, count)
        floors = reference.reduce(self.floors, weight, reduction, count)
        for name, got, term, size, floor in zip(("value", "grad", "hess"), results, terms, sizes, floors, strict=False):
            tolerance = ulps * (float(limits.eps) * size + float(limits.smallest_subnormal)) + 2.0**-50 * floor
            if name == "value" and not np.ndim(got):
                tolerance += self._repeated() * abs(size)
            with np.errstate(over="ignore"):
                bound = float(limits.max)
                want = np.where(abs(term) > bound, np.copysign(np.inf, term), term) if np.ndim(got) else term
            assert np.shape(got) == np.shape(want), f"{name}: shape"
            with np.errstate(invalid="ignore"):
                wrong = ~((abs(got - want) <= tolerance) | (got == want) | (np.isnan(got) & np.isnan(want)))
            # Rounding may push the last numbers before overflow over it.
            wrong &= ~(np.isinf(got) & (abs(term) > bound * (1 - ulps * float(limits.eps))))
            assert not np.any(wrong), f"{self.case}, {dtype}, {name}: {self._worst(wrong, got, want, tolerance)}"

    def _repeated(self) -> float:
        """How much of a sum is lost where many terms are the same: in a lane, each rounds it the same way."""
        terms = self.terms[0][self.terms[0] != 0.0]
        return 2.0**-53 * max(np.unique(terms, return_counts=True)[1], default=0) / LANES

    def _worst(self, wrong: Any, got: Any, want: Any, tolerance: Any) -> str:
        if not np.ndim(got):
            return f"got {got!r}, wanted {want!r} within {tolerance:.2g}"
        i = tuple(int(axis) for axis in np.argwhere(wrong)[0])
        pred, target = (each[i[: 1 if self.case.rowwise else None]] for each in (self.pred, self.target))
        with np.printoptions(threshold=8):
            return (
                f"{np.sum(wrong)} of {wrong.size} wrong; first at {i}: pred {pred!r}, target {target!r}, "
                f"got {got[i]!r}, wanted {want[i]!r} within {tolerance[i]:.2g}"
            )


def assert_within(got: Any, want: Any, tolerance: Any) -> None:
    """Like assert_allclose, with a tolerance for each element."""
    with np.errstate(invalid="ignore"):  # infinity less itself
        wrong = ~((got == want) | (abs(got - want) <= tolerance))
    assert not np.any(wrong), f"{np.sum(wrong)} wrong: {got[wrong][:3]!r}, wanted {want[wrong][:3]!r}"


def same_bits(a: Any, b: Any) -> bool:
    """Whether two results are the same to the bit; NaNs are alike."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    nan = np.isnan(a) & np.isnan(b)
    return bool(np.all(nan | ((a == b) & (np.signbit(a) == np.signbit(b)))))


def assert_same_bits(a: tuple[Any, ...], b: tuple[Any, ...], what: object = "") -> None:
    assert len(a) == len(b)
    for name, x, y in zip(("value", "grad", "hess"), a, b, strict=False):
        assert same_bits(x, y), f"{what} {name}: {x!r} is not {y!r}"
