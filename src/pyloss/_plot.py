"""Pictures of losses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ._arguments import Array, Interval
from .losses import PredictionLoss
from .losses._elementwise import Elementwise
from .losses._init_score import at_place

_POINTS = 1201


def plot(loss: PredictionLoss | Sequence[PredictionLoss], ax: Any = None) -> Any:
    """Draw the value, gradient and curvature of a loss over its prediction.

    The target is 0, or 1 where targets are not any number; further inputs are 1. The range of predictions is that in
    which the loss bends.

    Parameters
    ----------
    loss : elementwise loss, or sequence of such
        Several are drawn in one picture, as is a loss with an array of parameters: a family.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Lines are labelled for its legend: solid for the value, dashed for the gradient, dotted for the curvature, which
        is left out where the loss has none.

    Raises
    ------
    ImportError
        Without matplotlib: ``pip install "pyloss[plot]"``.
    TypeError, ValueError
        For anything but elementwise losses.

    Examples
    --------
    >>> import pyloss as pl
    >>> ax = pl.plot(pl.Huber(delta=2.0))  # doctest: +SKIP
    >>> ax = pl.plot([pl.Huber(delta=delta) for delta in (0.5, 1.0, 2.0)])  # doctest: +SKIP
    """
    losses = _family(loss)
    if ax is None:
        try:
            pyplot = import_module("matplotlib.pyplot")
        except ImportError as error:
            raise ImportError('plot: matplotlib is missing, wanted it installed: pip install "pyloss[plot]"') from error
        _, ax = pyplot.subplots()
    x = _range(losses)
    tallest = 0.0
    for each in losses:
        colour = None
        curves = _curves(each, x)
        shown = np.isfinite(curves).all(axis=0)
        tallest = max(tallest, float(np.abs(curves[0][shown]).max(initial=0.0)))
        for (what, style), y in zip(_CURVES, curves, strict=False):
            (line,) = ax.plot(x[shown], y[shown], style, color=colour)
            if len(losses) == 1:
                line.set_label(what)
            else:
                colour = line.get_color()
                line.set_label(repr(each) if what == "value" else None)
    # A derivative that grows beyond all bounds must not press the value flat.
    bottom, top = ax.get_ylim()
    if tallest > 0.0:
        ax.set_ylim(max(bottom, -2.0 * tallest), min(top, 2.0 * tallest))
    ax.set_xlabel(losses[0]._names()[0])
    if len(losses) == 1:
        ax.set_title(repr(losses[0]))
    ax.legend()
    return ax


_CURVES = (("value", "-"), ("gradient", "--"), ("curvature", ":"))


def _family(loss: object) -> list[Any]:
    """Return the losses to be drawn, or say what is wrong with them."""
    several = isinstance(loss, Sequence) and not isinstance(loss, str)
    given: list[object] = list(loss) if several else [loss]  # type: ignore[call-overload]
    if not given:
        raise ValueError("loss: got an empty sequence, wanted at least one elementwise loss")
    losses = []
    for i, each in enumerate(given):
        if not isinstance(each, Elementwise):
            name = f"loss[{i}]" if several else "loss"
            raise TypeError(f"{name}: got {each!r}, wanted an elementwise loss")
        places = {len(own) for _, term in each._terms for own in term._own_inputs if isinstance(own, tuple)}  # type: ignore[attr-defined]
        losses.extend([at_place(each, k) for k in range(max(places))] if places else [each])
    return losses


def _inside(domain: Interval, wanted: float) -> float:
    """Return a number of the domain: the one wanted if that is in it."""
    if wanted in domain:
        return wanted
    return domain.low + 1.0 if math.isfinite(domain.low) else domain.high - 1.0


def _target(loss: Any) -> float:
    domain = loss._terms[0][1].info.target
    return 0.0 if math.isinf(domain.low) else _inside(domain, 1.0)


def _range(losses: list[Any]) -> Array:
    """Return predictions around the targets, as far as twice the largest parameter, in the domain of all."""
    terms = [term for loss in losses for _, term in loss._terms]
    width = 4.0
    for term in terms:
        parameters = [getattr(term, field.name) for field in dataclasses.fields(term)]
        if math.isinf(term.info.target.low):
            width = max(
                [width, *(2.0 * each for each in parameters if isinstance(each, float) and math.isfinite(each))]
            )
    low, high = max(term.info.pred.low for term in terms), min(term.info.pred.high for term in terms)
    left, right = max(-width, low), min(width, high)
    if left > right or (math.isfinite(low) and math.isinf(high)):
        right = left + width
    x = np.linspace(left, right, _POINTS)
    return x[[all(float(each) in term.info.pred for term in terms) for each in x]]


def _curves(loss: Any, x: Array) -> list[Array]:
    """Return what is to be drawn: the value, its gradient, and its curvature if it has one."""
    info, names = loss._terms[0][1].info, loss._names()
    further = [*info.extra, *(domain for name, domain in info.optional if name in names)]
    fixed = [_target(loss), *(_inside(domain, 1.0) for domain in further)]
    inputs = (x, *(np.full_like(x, each) for each in fixed[: len(names) - 1]))
    try:
        results = loss.value_grad_hess(*inputs, reduction="none")
    except TypeError:
        results = loss.value_and_grad(*inputs, reduction="none")
    return [each[0] if isinstance(each, tuple) else each for each in results]
