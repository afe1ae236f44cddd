"""Measure everything beside the peers, in one process; write results/, the tables and the picture.

python bench/run.py [--quick] [--rounds 9]
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import random
import statistics
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

import pyloss as pl
from cases import THREADS, Case, accuracy, all_cases
from catalogue_cases import catalogue_cases
from embedding_cases import GROUP as EMBEDDINGS
from embedding_cases import Distances, embedding_cases
from memory import extra_memory
from plot import draw
from roofline import Roof, cpu, slug

HERE = Path(__file__).parent
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def roof_of(case: Case, roof: Roof) -> float:
    """Return the seconds that the roof's own pass takes: with an array written only for work that writes one."""
    return roof.read_read_stream() if case.writes else roof.read_read()


def measure(case: Case, roof: Roof, rounds: int) -> dict[str, Any]:
    """Time the contenders in turn, in an order that changes; the roof takes its turn too."""
    for name in case.contenders:
        case.check(name)
    times: dict[str, list[float]] = {name: [] for name in case.contenders}
    roofs, peaks = [], []
    order = list(case.contenders)
    shuffle = random.Random(0).shuffle
    gc.collect()
    gc.disable()
    for _ in range(min(rounds, case.rounds or rounds)):
        shuffle(order)
        if case.bytes:
            roof_of(case, roof)  # untimed, as below
            roofs.append(roof_of(case, roof))
        if case.flops:
            peaks.append(roof.fma_peak())
        for name in order:
            call = case.contenders[name]
            call()  # untimed: what the contender before it did to caches and page tables is not its work
            time.sleep(case.pause)
            start = time.perf_counter()
            for _ in range(case.calls):
                call()
            times[name].append((time.perf_counter() - start) / case.calls)
    gc.enable()
    result: dict[str, Any] = {
        "group": case.group,
        "size": case.size,
        "milliseconds": {name: 1e3 * statistics.median(t) for name, t in times.items()},
        "quartiles": {name: [1e3 * q for q in statistics.quantiles(t, n=4)] for name, t in times.items()},
    }
    if case.bytes:
        bandwidth = (12 if case.writes else 8) * roof.size / statistics.median(roofs)
        result["roof GB/s"] = bandwidth / 1e9
        result["share of roof"] = case.bytes / (result["milliseconds"]["pyloss"] * 1e-3) / bandwidth
    if case.flops:
        result["peak GFLOP/s"] = peak = statistics.median(peaks)
        result["share of FMA peak"] = case.flops / (result["milliseconds"]["pyloss"] * 1e-3) / (1e9 * peak)
    if isinstance(case, Distances):
        result["largest relative errors"] = case.errors
    return result


def best_peer(milliseconds: dict[str, float]) -> tuple[str, float] | None:
    """Return the fastest contender that is not pyloss, and how many times pyloss is faster."""
    peers = {name: t for name, t in milliseconds.items() if not name.startswith("pyloss")}
    if not peers:
        return None
    name = min(peers, key=peers.__getitem__)
    return name, peers[name] / milliseconds["pyloss"]


def _show(t: float | None) -> str:
    return "" if t is None else f"{t:.2f} ms" if t >= 0.1 else f"{1e3 * t:.2f} µs"


def _cell(ms: dict[str, float], library: str) -> str:
    """Return the time of a library, and in brackets those of its other ways to the same."""
    others = {name.removeprefix(f"{library}, "): t for name, t in ms.items() if name.startswith(f"{library}, ")}
    return _show(ms.get(library)) + "".join(f" ({_show(t)} with {way})" for way, t in others.items())


def _ratio(ms: dict[str, float]) -> str:
    """Return how many times pyloss is faster than the best peer; where there is none, than other work of its own."""
    best = best_peer(ms)
    if best:
        return f"{best[1]:.1f} x"
    beside = [name for name in ms if name.startswith("pyloss, ") and name != "pyloss, new array"]
    return "".join(f"{ms['pyloss'] / ms[name]:.3g} times {name.removeprefix('pyloss, ')}" for name in beside)


def _times(
    results: dict[str, Any], group: str, work: str, columns: tuple[str, ...], limit: str, rates: bool = False
) -> Iterator[str]:
    """Yield the lines of a group's table; `limit` is the share to show, rates are in elements of `pred`."""
    rate = " G elements/s |" if rates else ""
    yield f"| {work} | pyloss | {' | '.join(columns)} | faster than the best | of the {limit} |{rate}"
    yield "|---|---|" + "---|" * (len(columns) + 2 + rates)
    for name, result in results.items():
        if result["group"] == group:
            ms = result["milliseconds"]
            label = name if "x" in name or "n =" in name else f"{name}, n = {result['size'] / (1 << 20):.0f} Mi"
            share = f"{result[f'share of {limit}']:.0%}" if f"share of {limit}" in result else ""
            peers = " | ".join(_cell(ms, column) for column in columns)
            rate = f" {result['size'] / ms['pyloss'] / 1e6:.2f} |" if rates else ""
            yield f"| {label} | {_show(ms['pyloss'])} | {peers} | {_ratio(ms)} | {share} |{rate}"
    yield ""


def _numbers(works: dict[str, dict[str, float]], work: str, columns: tuple[str, ...], form: str) -> Iterator[str]:
    """Yield the lines of a table of a number for each work and library."""
    if works:
        yield f"| {work} | {' | '.join(columns)} |"
        yield "|---|" + "---|" * len(columns)
    for name, found in works.items():
        yield f"| {name} | {' | '.join(format(found[each], form) if each in found else '' for each in columns)} |"
    if works:
        yield ""


def table(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    works = report["works"]
    losses = ("NumPy", "scikit-learn", "torch", "JAX")
    embeddings = ("faiss", "torch", "scikit-learn", "SciPy", "pytorch-metric-learning")
    at_worst = {
        name: result["largest relative errors"] for name, result in works.items() if "largest relative errors" in result
    }
    lines = [
        *_times(works, "losses", "value + gradient, float32", losses, "roof"),
        *_times(works, EMBEDDINGS, "distances; losses with gradients; float32", embeddings, "FMA peak"),
        *_numbers(report["relative errors"], "relative error of the mean loss, float32", ("pyloss", "torch"), ".1e"),
        *_numbers(at_worst, "largest relative error of a distance, float32", ("pyloss", *embeddings[:-1]), ".1e"),
        *_numbers(report["extra MB"], "MB beyond inputs and gradients", ("pyloss", "torch"), ".0f"),
    ]
    return "\n".join([*lines, _measured(report)])


def catalogue(report: dict[str, Any]) -> str:
    """Return as Markdown what README's table does not have."""
    columns = ("NumPy", "scikit-learn", "torch", "JAX")
    table = _times(report["works"], "catalogue", "work, float32", columns, "roof", rates=True)
    return "\n".join([*table, _measured(report)])


def _measured(report: dict[str, Any]) -> str:
    machine, roof = report["machine"], report["roof"]
    peers = ", ".join(f"{name} {number}" for name, number in machine["peers"].items())
    return (
        f"{machine['cpu']}, {THREADS} threads, {report['date']}, level {machine['pyloss']['level']}; {peers}."
        " The roof is the bandwidth of reading two arrays and writing a third,"
        f" {roof['read, read, stream GB/s']:.0f} GB/s (of reading two alone {roof['read GB/s']:.0f});"
        " the peak is that of multiply-adds,"
        f" {roof['multiply-add GFLOP/s']:.0f} GFLOP/s."
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in ("numpy", "scipy", "scikit-learn", "torch", "jax", "faiss-cpu", "pytorch-metric-learning"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def memory() -> Iterator[tuple[str, dict[str, float]]]:
    """Yield work, and the memory that each library takes for it; pyloss alone where the matrix would not fit."""
    for rows, libraries in ((8192, ("pyloss", "torch")), (65536, ("pyloss",))):
        found = {library: extra_memory(library, rows) for library in libraries}
        print(f"memory of info_nce {rows} x 256: {found}", flush=True)
        yield f"info_nce {rows} x 256", {name: each["extra MB"] for name, each in found.items() if each}


def main() -> None:
    """Measure, print, and unless quick write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds, nothing written")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    pl.set_num_threads(THREADS)
    rounds = 3 if options.quick else options.rounds
    roof = Roof((1 if options.quick else 16) << 20, THREADS)
    streams = [roof.read_read_stream() for _ in range(21)]
    reads = [roof.read_read() for _ in range(21)]
    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {"cpu": cpu(), "pyloss": pl.show_config(), "peers": _versions()},
        "roof": {
            "read, read, stream GB/s": 12 * roof.size / statistics.median(streams) / 1e9,
            "read GB/s": 8 * roof.size / statistics.median(reads) / 1e9,
            "multiply-add GFLOP/s": roof.fma_peak(),
        },
        "works": {},
        "relative errors": {},
        "extra MB": {},
    }
    for case in chain(all_cases(options.quick), embedding_cases(options.quick), catalogue_cases(options.quick)):
        report["works"][case.name] = result = measure(case, roof, rounds)
        times = ", ".join(f"{name} {t:.4g}" for name, t in result["milliseconds"].items())
        shares = "".join(
            f"; {result[key]:.0%} {key[6:]}" for key in ("share of roof", "share of FMA peak") if key in result
        )
        print(f"{case.name}: {times} ms{shares}", flush=True)
        del case
    if not options.quick:
        for work, library, error in accuracy():
            report["relative errors"].setdefault(work, {})[library] = error
        report["extra MB"] = dict(memory())
    text, rest = table(report), catalogue(report)
    print(text, rest, sep="\n\n")
    if options.quick or not (HERE.parent / "README.md").exists():  # installed, not in its repository
        return
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{report['date']}-{slug(report['machine']['cpu'])}.json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8"
    )
    for path, told in ((HERE.parent / "README.md", text), (HERE.parent / "docs" / "benchmark.md", rest)):
        before, after = path.read_text(encoding="utf-8").split(BEGIN)
        path.write_text(f"{before}{BEGIN}\n{told}\n{END}{after.split(END)[1]}", encoding="utf-8")
    draw(report, HERE.parent / "docs" / "benchmark.png")


if __name__ == "__main__":
    main()
