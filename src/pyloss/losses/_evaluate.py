"""Several losses of the same predictions at once."""

from __future__ import annotations

from collections.abc import Sequence

from .._arguments import ArrayLike, Reduction
from ._call import VALUE, EachTerm
from ._loss import Loss, PredictionLoss


def evaluate(
    losses: Sequence[PredictionLoss],
    pred: ArrayLike,
    target: ArrayLike = ...,
    *inputs: ArrayLike,
    weight: ArrayLike = None,
    reduction: Reduction = "mean",
) -> tuple[float, ...]:
    """Compute several losses of the same inputs, reading these once.

    The elementwise losses, and sums of them, are one pass over memory, the row losses another. Each number has the same
    bits as that of a call of its loss.

    Parameters
    ----------
    losses : sequence of PredictionLoss
        Losses that take these inputs.
    pred, target, *inputs, weight
        As for a call of each loss. float32, float64, float16, bfloat16; integers and bool count as float64.
    reduction : {"mean", "sum"}, default "mean"
        As for a call of each loss.

    Returns
    -------
    tuple of float
        The loss of each, in the order given.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is wanted.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.evaluate([pl.MSE(), pl.MAE(), 0.5 * pl.MSE() + pl.Huber()], [0.0, 5.0], [1.0, 1.0])
    (8.5, 2.5, 6.25)
    """
    if isinstance(losses, Loss) or not isinstance(losses, Sequence):
        raise TypeError(f"losses: got {losses!r}, wanted a sequence of losses")
    call = EachTerm(reduction)
    passes: dict[tuple[object, ...], list[int]] = {}
    bound: list[tuple[ArrayLike, ...]] = []
    for i, loss in enumerate(losses):
        if not isinstance(loss, PredictionLoss):
            raise TypeError(f"losses[{i}]: got {loss!r}, wanted a loss of predictions")
        bound.append(loss._bind(pred, target, inputs, {}))
        passes.setdefault(loss._engine, []).append(i)
    values = [0.0] * len(losses)
    for places in passes.values():
        terms = {i: losses[i]._in_pass() for i in places}
        distinct: list[tuple[float, PredictionLoss]] = []
        for i in places:
            distinct.extend(term for term in terms[i] if term not in distinct)
        each = distinct[0][1]._sum(tuple(distinct))._run(call, bound[places[0]], weight, "exact")
        for i in places:
            value = losses[i]._of_pass([each[distinct.index(term)] for term in terms[i]])
            if value is None:
                value = losses[i]._compute(VALUE, bound[i], weight, reduction, None)[0]
            values[i] = value
    return tuple(values)
