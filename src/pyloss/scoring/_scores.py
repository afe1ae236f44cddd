"""What scoring returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..losses import PredictionLoss
from ._tally import Label


def names_of(losses: tuple[PredictionLoss, ...]) -> tuple[str, ...]:
    """Return what losses are called beside each other."""
    short = [getattr(loss, "name", repr(loss)) for loss in losses]
    long = [name if short.count(name) == 1 else repr(loss) for name, loss in zip(short, losses, strict=True)]
    return tuple(f"{name} #{i}" if long.index(name) != i else name for i, name in enumerate(long))


@dataclass(frozen=True)
class GroupValues:
    """What is known of groups: a row for each, a column for each loss."""

    labels: tuple[Label, ...]
    counts: NDArray[np.int64]
    weights: NDArray[np.float64]
    means: NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Mapping[str, float]):
    """Losses of rows, by name: weighted means, over all rows and over those of each group.

    A loss goes by its name, ``"huber"``, or as it is printed, ``"Huber(delta=2.0)"``, where others have its name.

    Attributes
    ----------
    losses : tuple of PredictionLoss
        The losses.
    means : tuple of float
        The mean of each; 0 if nothing counts.
    count : int
        Rows that count: those without weight 0.
    weight : float
        Sum of their weights.
    dropped : int
        Rows left out because of nulls.
    by : str or None
        What groups are called.
    group_values : GroupValues or None
        Labels, counts, weights and losses of the groups as arrays, by ascending label.

    Examples
    --------
    >>> import pyloss as pl
    >>> scorer = pl.Scorer(["mse", "huber:delta=1", "huber:delta=2"])
    >>> scorer.update([0.0, 5.0], [1.0, 1.0])
    >>> print(scorer.result())
    loss              mean
    mse                8.5
    Huber(delta=1.0)     2
    Huber(delta=2.0)  3.25
    2 rows
    """

    losses: tuple[PredictionLoss, ...]
    means: tuple[float, ...]
    count: int
    weight: float
    dropped: int = 0
    by: str | None = None
    group_values: GroupValues | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each loss is called here."""
        return names_of(self.losses)

    @cached_property
    def _by_name(self) -> dict[str, float]:
        return dict(zip(self.names, self.means, strict=True))

    def __getitem__(self, name: str) -> float:
        """Return the mean of the loss of this name."""
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.names)

    def __len__(self) -> int:
        """Return the number of losses."""
        return len(self.losses)

    @cached_property
    def groups(self) -> dict[Label, Scores]:
        """The scores of each group, by ascending label; empty without groups."""
        each = self.group_values
        if each is None:
            return {}
        rows = zip(each.labels, each.counts.tolist(), each.weights.tolist(), each.means.tolist(), strict=True)
        return {label: Scores(self.losses, tuple(means), count, weight) for label, count, weight, means in rows}

    def _counted(self) -> tuple[list[Label], NDArray[np.float64]]:
        """Return the groups that have rows that count."""
        each = self.group_values
        if each is None:
            return [], np.empty((0, len(self.losses)))
        keep = np.flatnonzero(each.counts)
        return [each.labels[i] for i in keep], each.means[keep]

    @cached_property
    def worst(self) -> dict[str, Label]:
        """The group of the largest mean, for each loss; empty without groups."""
        labels, values = self._counted()
        return dict(zip(self.names, [labels[i] for i in values.argmax(axis=0)], strict=True)) if labels else {}

    @cached_property
    def gap(self) -> dict[str, float]:
        """The largest mean of a group less the smallest, for each loss; empty without groups."""
        labels, values = self._counted()
        return dict(zip(self.names, np.ptp(values, axis=0).tolist(), strict=True)) if labels else {}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, text, lists and dictionaries."""
        told: dict[str, Any] = {
            "losses": dict(self),
            "count": self.count,
            "weight": self.weight,
            "dropped": self.dropped,
        }
        if self.by is not None:
            told["by"] = self.by
            told["groups"] = [
                {"group": _plain(label), "losses": dict(of), "count": of.count, "weight": of.weight}
                for label, of in self.groups.items()
            ]
            told["worst"] = {name: _plain(label) for name, label in self.worst.items()}
            told["gap"] = self.gap
        return told

    def table(self) -> list[list[str]]:
        """Return the scores as a table of text: a heading, a row for each loss, or one for all rows and each group."""
        if self.by is None:
            return [["loss", "mean"], *([name, f"{value:.7g}"] for name, value in self.items())]
        rows = [("all", self), *((str(label), of) for label, of in self.groups.items())]
        return [
            [self.by, *self.names, "rows"],
            *([label, *(f"{value:.7g}" for value in of.means), str(of.count)] for label, of in rows),
        ]

    def __str__(self) -> str:
        """Return a table."""
        table = self.table()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]) for first, *others in table]
        lines += [f"worst {name}: {self.by} {label}, gap {self.gap[name]:.7g}" for name, label in self.worst.items()]
        dropped = f", {self.dropped:,} with nulls dropped" if self.dropped else ""
        return "\n".join([*lines, f"{self.count:,} rows{dropped}"])

    def __repr__(self) -> str:
        """Return the losses and the number of rows."""
        groups = "" if self.by is None else f", by={self.by!r}: {len(self.groups)} groups"
        return f"Scores({self._by_name}, count={self.count}{groups})"


def _plain(label: Label) -> str | int | float | None:
    return label if isinstance(label, (str, int, float)) or label is None else str(label)
