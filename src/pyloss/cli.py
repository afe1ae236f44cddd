"""The command line: score files, look losses up, measure this machine."""

from __future__ import annotations

import argparse
import contextlib
import csv
import inspect
import io
import json
import math
import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .catalogue import list_losses, parse
from .config import show_config
from .losses import find, registered
from .scoring import Scores, score
from .threads import num_threads

OK, FAILED, WRONG_COMMAND, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; the data could not be scored; the command is wrong; Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options, parser)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has had enough; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pyloss", description="Losses over large batches.")
    parser.set_defaults(run=_config)
    commands = parser.add_subparsers(metavar="command", title="commands")

    scoring = commands.add_parser(
        "score", help="score the predictions in files", description=score.__doc__.splitlines()[0]
    )  # type: ignore[union-attr]
    scoring.add_argument("source", nargs="+", help="Parquet, Arrow, CSV, .npy or .npz files, or a directory of them")
    scoring.add_argument(
        "--loss", action="append", required=True, metavar="LOSS", help="mse, huber:delta=2, ...; as often as wanted"
    )
    scoring.add_argument(
        "--pred", default="pred", metavar="COLUMN", help="predictions (default: pred); of class scores a pattern, 'p_*'"
    )
    scoring.add_argument("--target", default="target", metavar="COLUMN", help="targets (default: target)")
    scoring.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="a further input of the losses, such as variance=var",
    )
    scoring.add_argument("--weight", metavar="COLUMN", help="weights of rows")
    scoring.add_argument("--by", metavar="COLUMN", help="groups to score one by one, too")
    scoring.add_argument(
        "--nulls",
        choices=("error", "drop"),
        default="error",
        help="what to do with rows that have nulls (default: error)",
    )
    scoring.add_argument(
        "--format", choices=("table", "json", "csv"), default="table", help="of the output (default: table)"
    )
    scoring.add_argument("--output", metavar="FILE", help="where it goes (default: standard output)")
    scoring.add_argument("--rows", metavar="FILE", help="a Parquet file that takes the losses of each row")
    scoring.add_argument("--id", metavar="COLUMN", help="what to call a row there (default: its number)")
    scoring.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster that scores the files")
    scoring.add_argument("--threads", type=int, metavar="N", help="how many to use (default: all CPUs of this process)")
    scoring.add_argument("--no-progress", action="store_true", help="no progress bar, even on a terminal")
    scoring.set_defaults(run=_score)

    losses = commands.add_parser("losses", help="list the losses with their formulas")
    losses.add_argument("task", nargs="?", help="part of what they are for: regression, classification, ...")
    losses.set_defaults(run=_losses)

    show = commands.add_parser("show", help="tell everything about one loss")
    show.add_argument("loss", help="its name")
    show.set_defaults(run=_show)

    bench = commands.add_parser("bench", help="measure this machine's bandwidth, and the losses beside the peers")
    bench.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    bench.add_argument("--rounds", type=int, default=9, help="how often each is timed (default: 9)")
    bench.set_defaults(run=_bench)

    config = commands.add_parser("config", help="tell what is installed and in use (the default)")
    config.set_defaults(run=_config)
    return parser


def _config(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    for name, value in show_config().items():
        print(f"{name:13} {', '.join(value) if isinstance(value, list) else value}")
    return OK


def _score(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    inputs = {}
    for text in options.input:
        name, equals, column = text.partition("=")
        if not (name and equals and column):
            parser.error(f"--input: got {text!r}, wanted NAME=COLUMN")
        inputs[name] = column
    try:
        losses = [parse(text) for text in options.loss]
    except (TypeError, ValueError) as error:
        parser.error(f"--loss: {error}")
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads: got {options.threads}, wanted a positive integer")
    source = options.source[0] if len(options.source) == 1 else options.source
    try:
        with (
            num_threads(options.threads) if options.threads else contextlib.nullcontext(),
            _progress(options) as progress,
        ):
            scores = score(
                source, losses, pred=options.pred, target=options.target, weight=options.weight, by=options.by,
                nulls=options.nulls, scheduler=options.scheduler, rows=options.rows, id=options.id, progress=progress,
                **inputs,
            )  # fmt: skip
        text = _FORMATS[options.format](scores)
        if options.output is None:
            print(text)
        else:
            Path(options.output).write_text(text + "\n", encoding="utf-8")
    except BrokenPipeError:
        raise
    except (ImportError, MemoryError, OSError, TypeError, ValueError) as error:
        print(f"pyloss score: {error}", file=sys.stderr)
        return FAILED
    return OK


@contextlib.contextmanager
def _progress(options: argparse.Namespace) -> Iterator[Any]:
    """Show a bar while rows are scored, if somebody is looking."""
    if options.no_progress or not sys.stderr.isatty():
        yield None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield None
        return
    with tqdm(unit=" rows", unit_scale=True, dynamic_ncols=True, leave=False) as bar:

        def show(rows: int, total: int | None, size: int) -> None:
            bar.total = total
            bar.update(rows - bar.n)
            elapsed = bar.format_dict["elapsed"]
            if elapsed:
                bar.set_postfix_str(f"{size / elapsed / 1e9:.2f} GB/s", refresh=False)

        yield show


def _json(scores: Scores) -> str:
    return json.dumps(_plain(scores.to_dict()), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return what JSON can say; infinities and NaN as text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (str, int, float)) or value is None else str(value)


def _csv(scores: Scores) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if scores.by is None:
        writer.writerow(["loss", "mean"])
        writer.writerows(scores.items())
    else:
        writer.writerow([scores.by, *scores.names, "rows", "weight"])
        writer.writerows([label, *of.means, of.count, of.weight] for label, of in scores.groups.items())
    return out.getvalue().rstrip("\n")


_FORMATS = {"table": str, "json": _json, "csv": _csv}


def _losses(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    try:
        names = list_losses(options.task)
    except ValueError as error:
        parser.error(str(error))
    known = registered()
    width, tasks = max(map(len, names)), max(len(known[name].info.task) for name in names)
    for name in names:
        info = known[name].info
        print(f"{name.ljust(width)}  {info.task.ljust(tasks)}  {info.formula}")
    return OK


def _show(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    try:
        cls = find(options.loss)
    except ValueError as error:
        parser.error(str(error))
    info = cls.info
    print(f"{cls.__name__}{inspect.signature(cls)}\n")
    print(f"name           {info.name}\ntask           {info.task}\nsource         {info.source}")
    print(f"convex         {'yes' if info.convex else 'no'}\ndifferentiable {'yes' if info.differentiable else 'no'}")
    print(f"outliers pull  {info.outliers}")
    print(f"a likelihood   {'yes' if info.probabilistic else 'no'}\n")
    print(inspect.getdoc(cls))
    return OK


def _bench(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    here = Path(__file__).resolve().parent
    folder = next((each for each in (here / "_bench", here.parents[1] / "bench") if each.is_dir()), None)
    if folder is None:
        print("pyloss bench: the benchmark is not installed", file=sys.stderr)
        return FAILED
    before = sys.argv, sys.path[:]
    sys.argv = ["pyloss bench", "--rounds", str(options.rounds), *(["--quick"] if options.quick else [])]
    sys.path.insert(0, str(folder))
    try:
        runpy.run_path(str(folder / "run.py"), run_name="__main__")
    except ImportError as error:
        print(f'pyloss bench: {error}; pip install "pyloss[bench]"', file=sys.stderr)
        return FAILED
    finally:
        sys.argv, sys.path[:] = before
    return OK
