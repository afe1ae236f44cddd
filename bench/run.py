"""Measure everything beside the peers, in one process; write results/, README's table and the picture.

python bench/run.py [--quick] [--rounds 21]
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import platform
import random
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyloss as pl
from cases import THREADS, Case, accuracy, all_cases
from plot import draw
from roofline import Roof

HERE = Path(__file__).parent
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def measure(case: Case, roof: Roof, rounds: int) -> dict[str, Any]:
    """Time the contenders in turn, in an order that changes; the roof takes its turn too."""
    for name in case.contenders:
        case.check(name)
    times: dict[str, list[float]] = {name: [] for name in case.contenders}
    roofs = []
    order = list(case.contenders)
    shuffle = random.Random(0).shuffle
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        shuffle(order)
        if case.bytes:
            roofs.append(roof.read_read_stream())
        for name in order:
            call = case.contenders[name]
            time.sleep(0.005)  # the thread pool of the one before stops spinning
            start = time.perf_counter()
            for _ in range(case.calls):
                call()
            times[name].append((time.perf_counter() - start) / case.calls)
    gc.enable()
    result: dict[str, Any] = {
        "size": case.size,
        "milliseconds": {name: 1e3 * statistics.median(t) for name, t in times.items()},
        "quartiles": {name: [1e3 * q for q in statistics.quantiles(t, n=4)] for name, t in times.items()},
    }
    if case.bytes:
        bandwidth = 12 * roof.size / statistics.median(roofs)
        result["roof GB/s"] = bandwidth / 1e9
        result["share of roof"] = case.bytes / (result["milliseconds"]["pyloss"] * 1e-3) / bandwidth
    return result


def best_peer(milliseconds: dict[str, float]) -> tuple[str, float] | None:
    """Return the fastest contender that is not pyloss, and how many times pyloss is faster."""
    peers = {name: t for name, t in milliseconds.items() if not name.startswith("pyloss")}
    if not peers:
        return None
    name = min(peers, key=peers.__getitem__)
    return name, peers[name] / milliseconds["pyloss"]


def table(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    columns = ("NumPy", "scikit-learn", "torch", "JAX")
    lines = [
        f"| value + gradient, float32 | pyloss | {' | '.join(columns)} | faster than the best | of the roof |",
        "|---|---|" + "---|" * (len(columns) + 2),
    ]

    def show(t: float | None) -> str:
        return "" if t is None else f"{t:.2f} ms" if t >= 0.1 else f"{1e3 * t:.2f} µs"

    for name, result in report["works"].items():
        ms = result["milliseconds"]
        best = best_peer(ms)
        share = f"{result['share of roof']:.0%}" if "share of roof" in result else ""
        ratio = f"{best[1]:.1f} x" if best else ""
        if not best and "pyloss, mse alone" in ms:
            ratio = f"{ms['pyloss'] / ms['pyloss, mse alone']:.2f} times mse alone"
        numpy = show(ms.get("NumPy")) + (f" ({show(ms['NumPy, out='])} with out=)" if "NumPy, out=" in ms else "")
        others = " | ".join(show(ms.get(column)) for column in columns[1:])
        label = name if "x" in name or "n =" in name else f"{name}, n = {result['size'] / (1 << 20):.0f} Mi"
        lines.append(f"| {label} | {show(ms['pyloss'])} | {numpy} | {others} | {ratio} | {share} |")
    lines += ["", "| relative error of the mean loss, float32 | pyloss | torch |", "|---|---|---|"]
    for work, errors in report["relative errors"].items():
        lines.append(
            f"| {work} | {errors['pyloss']:.1e} | {format(errors['torch'], '.1e') if 'torch' in errors else ''} |"
        )
    machine, roof = report["machine"], report["roof"]
    peers = ", ".join(f"{name} {number}" for name, number in machine["peers"].items())
    lines += [
        "",
        f"{machine['cpu']}, {THREADS} threads, {report['date']}, level {machine['pyloss']['level']}; {peers}."
        " The roof is the bandwidth of reading two arrays and writing a third,"
        f" {roof['read, read, stream GB/s']:.0f} GB/s; multiply-add peak {roof['multiply-add GFLOP/s']:.0f} GFLOP/s.",
    ]
    return "\n".join(lines)


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for name in ("numpy", "scikit-learn", "torch", "jax"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Measure, print, and unless quick write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds, nothing written")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    pl.set_num_threads(THREADS)
    rounds = 3 if options.quick else options.rounds
    roof = Roof((1 if options.quick else 16) << 20, THREADS)
    streams = [roof.read_read_stream() for _ in range(21)]
    reads = [roof.read_read() for _ in range(21)]
    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {"cpu": _cpu(), "pyloss": pl.show_config(), "peers": _versions()},
        "roof": {
            "read, read, stream GB/s": 12 * roof.size / statistics.median(streams) / 1e9,
            "read GB/s": 8 * roof.size / statistics.median(reads) / 1e9,
            "multiply-add GFLOP/s": roof.fma_peak(),
        },
        "works": {},
        "relative errors": {},
    }
    for case in all_cases(options.quick):
        report["works"][case.name] = result = measure(case, roof, rounds)
        times = ", ".join(f"{name} {t:.4g}" for name, t in result["milliseconds"].items())
        print(f"{case.name}: {times} ms; {result.get('share of roof', 0):.0%} of the roof", flush=True)
        del case
    if not options.quick:
        for work, library, error in accuracy():
            report["relative errors"].setdefault(work, {})[library] = error
    text = table(report)
    print(text)
    if options.quick:
        return
    cpu = "-".join(report["machine"]["cpu"].lower().replace("(r)", "").split())
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{report['date']}-{cpu}.json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8"
    )
    readme = HERE.parent / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")
    draw(report, HERE.parent / "docs" / "benchmark.png")


if __name__ == "__main__":
    main()
