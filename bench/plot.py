"""Draw the newest results: python bench/plot.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {
    "NumPy": "#4d77cf",
    "scikit-learn": "#f89939",
    "torch": "#ee4c2c",
    "JAX": "#8e5bb5",
    "faiss": "#0a8f8f",
    "SciPy": "#7a7a7a",
    "pytorch-metric-learning": "#b0703c",
}


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw how many times longer each peer takes than pyloss."""
    works = {name: result["milliseconds"] for name, result in report["works"].items() if result["group"] != "catalogue"}
    works = {name: ms for name, ms in works.items() if any(peer in ms for peer in COLOURS)}
    figure, axes = plt.subplots(figsize=(8, 0.62 * len(works) + 1), layout="constrained")
    height = 0.8 / max(sum(peer in ms for peer in COLOURS) for ms in works.values())
    for row, ms in enumerate(works.values()):
        peers = [peer for peer in COLOURS if peer in ms]
        for place, peer in enumerate(peers):
            ratio = ms[peer] / ms["pyloss"]
            y = row + (place - (len(peers) - 1) / 2) * height
            axes.barh(y, ratio - 1, height * 0.9, left=1, color=COLOURS[peer], label=peer)
            axes.text(ratio, y, f" {ratio:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(works)), list(works))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("time of the peer / time of pyloss")
    axes.spines[["top", "right"]].set_visible(False)
    handles = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), frameon=False, loc="outside upper center", ncols=len(handles))
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    here = Path(__file__).parent
    newest = max((here / "results").glob("*.json"))
    draw(json.loads(newest.read_text(encoding="utf-8")), here.parent / "docs" / "benchmark.png")
