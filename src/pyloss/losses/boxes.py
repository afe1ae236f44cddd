"""Detection: losses of boxes, and how much all pairs of boxes overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .._arguments import (
    NON_NEGATIVE,
    Array,
    ArrayLike,
    as_rows,
    check_choice,
    choice,
    needs_float64,
    operand,
    parameter,
    result_dtype,
)
from .._native import kernels
from ..threads import get_num_threads
from ._call import matrix
from ._loss import Info
from ._overlap import FORMATS, BoxLoss

KINDS = ("iou", "giou", "diou", "ciou")


@dataclass(frozen=True)
class BoxIoU(BoxLoss):
    r"""One minus the intersection over union of a box and the true one, or of a kin of it.

    .. math:: \ell = 1 - \frac{|A \cap B|}{|A \cup B|} + \begin{cases} (|C| - |A \cup B|) / |C| & \text{giou} \\
        \rho^2 / c^2 & \text{diou} \\ \rho^2 / c^2 + \alpha v & \text{ciou} \end{cases}

    C is the smallest box around both, c its diagonal, :math:`\rho` the distance of the centres; v = (4 / π²)
    (atan(w/h of B) - atan(w/h of A))², and :math:`\alpha` = v / (1 - IoU + v) is held constant in the gradient. `pred`
    (A) has shape (..., 4), and `target` (B) broadcasts to it; float32, float64, float16, bfloat16 (integers and bool
    count as float64), computed in float64. There is one value, and one `weight`, for each box. The gradient is by
    `pred` alone. Where two edges are the same, either is the outer one by half, as in torch. A box must not end before
    it begins; of a box without an area all is finite, a point has no aspect ratio (v = 0), and with ``eps=0`` 0/0 is 0.

    Parameters
    ----------
    kind : {"iou", "giou", "diou", "ciou"}, default "iou"
        Which loss.
    format : {"xyxy", "xywh", "cxcywh"}, default "xyxy"
        What the four numbers are: two corners; a corner, width and height; the centre, width and height.
    eps : float, default 1e-7
        Added to each denominator, as in torchvision; at least 0. With 0 the loss does not depend on the unit of length.

    Raises
    ------
    TypeError, ValueError
        For another kind or format; for arguments of the wrong type or shape; for `value_grad_hess`, since the Hessian
        is not diagonal.

    References
    ----------
    Rezatofighi and others 2019; Zheng and others 2020; torchvision.ops.generalized_box_iou_loss, distance_box_iou_loss,
    complete_box_iou_loss.

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.BoxIoU(eps=0.0).value_and_grad([[0.0, 0.0, 2.0, 2.0]], [[1.0, 1.0, 3.0, 3.0]])
    >>> round(value, 6)
    0.857143
    >>> grad.round(3)
    array([[-0.041, -0.041, -0.122, -0.122]])
    """

    kind: str = choice("iou", KINDS)
    format: str = choice("xyxy", FORMATS)
    eps: float = parameter(1e-7, NON_NEGATIVE.number)
    name: ClassVar[str] = "box_iou"
    info: ClassVar[Info] = Info(
        task="detection",
        convex=False,
        differentiable=False,
        outliers="low",
        source="torchvision",
    )

    @classmethod
    def _kernels(cls) -> tuple[str, ...]:
        return KINDS


def box_iou(
    a: ArrayLike, b: ArrayLike = None, kind: str = "iou", format: str = "xyxy", *, out: Array | None = None
) -> Array:
    """Intersection over union of every box of `a` with every box of `b`.

    Parameters
    ----------
    a : array_like, shape (n, 4)
        Boxes of float32, float64, float16, bfloat16, integers or bool.
    b : array_like, shape (m, 4), optional
        By default `a` itself.
    kind : {"iou", "giou", "diou", "ciou"}, default "iou"
        The loss `BoxIoU` of that kind, with ``eps=0``, is 1 less this.
    format : {"xyxy", "xywh", "cxcywh"}, default "xyxy"
        What the four numbers are: two corners; a corner, width and height; the centre, width and height.
    out : ndarray, shape (n, m), optional
        Where the results go; any strides.

    Returns
    -------
    ndarray, shape (n, m)
        `out`, or a new array of the wider type of `a` and `b` (float64 for integers and bool). 0/0, of boxes without
        an area, is 0.

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit each other.
    MemoryError
        A new result that would not fit in memory, before it is allocated.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.box_iou([[0.0, 0.0, 2.0, 2.0]], [[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]]).round(3)
    array([[1.   , 0.333, 0.   ]])
    """
    check_choice(kind, "kind", KINDS)
    check_choice(format, "format", FORMATS)
    a = as_rows(a, "a", width=4, of="boxes")
    given = {"a": a} if b is None else {"a": a, "b": as_rows(b, "b", width=4, of="boxes")}
    b = given.get("b", a)
    float64 = needs_float64(given.values())
    types = {result_dtype(each) for each in given.values()}
    dtype = types.pop() if len(types) == 1 else np.dtype(np.float64 if float64 else np.float32)
    shape = (len(a), len(b))
    out = matrix(out, shape, dtype, given)
    kernels.box_matrix(kind, FORMATS.index(format), operand(a), operand(b), operand(out), float64, get_num_threads())
    return out
