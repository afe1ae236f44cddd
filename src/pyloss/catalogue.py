"""Losses by name, and by what they are good for."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any, Literal

from .losses import Info, Loss, find, registered


def get(name: str, **parameters: Any) -> Loss:
    """Make a loss from its name.

    Parameters
    ----------
    name : str
        As `list_losses` gives it.
    **parameters
        Of the loss.

    Returns
    -------
    Loss
        The loss.

    Raises
    ------
    ValueError
        If there is no such loss.
    TypeError
        If it has no such parameter.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.get("huber", delta=2.0)
    Huber(delta=2.0)
    """
    cls = find(name)
    try:
        return cls(**parameters)
    except TypeError as error:
        fields = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        unknown = sorted(set(parameters) - set(fields))
        if unknown:
            known = ", ".join(fields) or "no parameters"
            raise TypeError(
                f"parameters: got {unknown[0]!r}, which {cls.__name__} does not have; it has {known}"
            ) from error
        raise


def parse(text: str) -> Loss:
    """Make a loss from text: its name, and its parameters if any.

    Parameters
    ----------
    text : str
        ``name`` or ``name:parameter=value,...``; values are written as in Python, words also without quotes.

    Returns
    -------
    Loss
        The loss.

    Raises
    ------
    ValueError, TypeError
        If the text is not of this form, or there is no such loss or parameter.

    Examples
    --------
    >>> parse("huber:delta=2"), parse("quantile:q=(0.1, 0.9)")
    (Huber(delta=2.0), Quantile(q=(0.1, 0.9)))
    """
    name, _, rest = text.strip().partition(":")
    wanted = ValueError(f"loss: got {text!r}, wanted name or name:parameter=value,...")
    try:
        call = ast.parse(f"_({rest})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise wanted
        parameters = {str(each.arg): _literal(each.value) for each in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise wanted from error
    return get(name, **parameters)


def _literal(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def list_losses(
    task: str | None = None,
    *,
    convex: bool | None = None,
    differentiable: bool | None = None,
    outliers: Literal["low", "medium", "high"] | None = None,
    probabilistic: bool | None = None,
) -> list[str]:
    """Name the losses that have the given properties.

    Parameters
    ----------
    task : str, optional
        Part of the task's name, such as "regression".
    convex, differentiable, probabilistic : bool, optional
        See `Info`.
    outliers : {"low", "medium", "high"}, optional
        How strongly outliers pull.

    Returns
    -------
    list of str
        Names for `get`, sorted.

    Raises
    ------
    ValueError
        For a value that no loss can have; it lists those that losses have.

    Examples
    --------
    Numbers with outliers, to be fitted by a method that needs a smooth, convex loss:

    >>> import pyloss as pl
    >>> names = pl.list_losses(task="regression", convex=True, differentiable=True, outliers="low")
    >>> {"huber", "log_cosh"} <= set(names)
    True

    Classes, as probabilities:

    >>> "cross_entropy" in pl.list_losses(task="classification", probabilistic=True)
    True

    What a loss is for, and where it is from:

    >>> info = pl.get("huber").info
    >>> info.task, info.source
    ('regression', 'Huber 1964')
    """
    infos = {name: cls.info for name, cls in registered().items()}
    tasks = sorted({info.task for info in infos.values()})
    if task is not None and not (isinstance(task, str) and any(task in known for known in tasks)):
        raise ValueError(f"task: got {task!r}, wanted (part of) one of {', '.join(tasks)}")
    wanted = {"convex": convex, "differentiable": differentiable, "outliers": outliers, "probabilistic": probabilistic}
    for name, value in wanted.items():
        known = ("low", "medium", "high") if name == "outliers" else (True, False)
        if value is not None and not any(value is each or (isinstance(value, str) and value == each) for each in known):
            raise ValueError(f"{name}: got {value!r}, wanted one of {', '.join(map(str, known))}")

    def fits(info: Info) -> bool:
        return (task is None or task in info.task) and all(
            value is None or getattr(info, name) == value for name, value in wanted.items()
        )

    return sorted(name for name, info in infos.items() if fits(info))
