"""Draw every elementwise loss on one page: value solid, gradient dashed, curvature dotted.

    python docs/gallery/plot_losses.py losses.png

A parameter that has no default is 1.5.
"""

from __future__ import annotations

import dataclasses
import sys

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

import pyloss as pl
from pyloss.losses import registered
from pyloss.losses._elementwise import Elementwise


def losses() -> list[pl.Loss]:
    """Return every elementwise loss, with its defaults."""
    classes = [cls for cls in registered().values() if issubclass(cls, Elementwise)]
    required = [
        {field.name: 1.5 for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
        for cls in classes
    ]
    return [cls(**parameters) for cls, parameters in zip(classes, required, strict=True)]


def main(path: str) -> None:
    """Draw them all into one file."""
    every = losses()
    columns = 4
    rows = -(-len(every) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(every) :]:
        ax.remove()
    for loss, ax in zip(every, axes.flat, strict=False):
        pl.plot(loss, ax)
        ax.set_title(type(loss).__name__)
        ax.get_legend().remove()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    figure.savefig(path, dpi=100)
    print(f"{len(every)} losses in {path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "losses.png")
