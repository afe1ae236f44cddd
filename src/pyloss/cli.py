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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .catalogue import list_losses
from .config import show_config
from .losses import Loss, find, registered
from .scoring import Scorer, Scores, score
from .threads import num_threads

OK, FAILED, WRONG_COMMAND, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; the data could not be scored; the command is wrong; Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options, options.parser)
        print(end="", flush=True)
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        # Nothing more can be written; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # whoever read the output has had enough
            return OK
        print(f"pyloss: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pyloss", description="Losses over large batches.")
    parser.set_defaults(run=_config, parser=parser)
    commands = parser.add_subparsers(metavar="command", title="commands")

    scoring = commands.add_parser(
        "score",
        help="score the predictions in files",
        usage="%(prog)s source [source ...] --loss LOSS [options]",
        description="Score the predictions in files, in one pass that holds little of them in memory.",
        epilog="Exit codes: 0 done, 1 the data could not be scored, 2 the command is wrong, 130 interrupted.",
    )
    add = scoring.add_argument
    several = "may be given several times"
    add("source", nargs="+", help="Parquet, Arrow, CSV, .npy or .npz files, or a directory of them")
    add("--loss", action="append", required=True, metavar="LOSS", help=f"mse, huber:delta=2, ...; {several}")
    add(
        "--pred", default="pred", metavar="COLUMN", help="predictions (default: pred); class scores by a pattern: 'p_*'"
    )
    add("--target", default="target", metavar="COLUMN", help="targets (default: target)")
    add("--input", action="append", default=[], metavar="NAME=COLUMN",
        help=f"a further input of the losses: var=variance; {several}")  # fmt: skip
    add("--weight", metavar="COLUMN", help="weights of rows (default: 1 each)")
    add("--by", metavar="COLUMN", help="groups of rows: score each by itself, too")
    add("--nulls", choices=("error", "drop"), default="error",
        help="rows with nulls are an error, or are dropped and counted (default: error)")  # fmt: skip
    add("--format", choices=tuple(_FORMATS), default="table",
        help="of the scores (default: table); with --by, csv has the groups alone")  # fmt: skip
    add("--output", metavar="FILE", help="write the scores there (default: standard output)")
    add("--rows", metavar="FILE", help="write the losses of each row there, as Parquet")
    add("--id", metavar="COLUMN", help="what --rows calls a row (default: its number)")
    add("--scheduler", metavar="ADDRESS", help="let a Dask cluster read and score the files: tcp://host:8786")
    add("--threads", type=_positive, metavar="N", help="how many to use (default: all CPUs of this process)")
    add("--no-progress", action="store_true", help="show no progress bar, even on a terminal")
    scoring.set_defaults(run=_score, parser=scoring)

    losses = commands.add_parser("losses", help="list the losses with their formulas")
    losses.add_argument("task", nargs="?", help="part of what they are for: regression, classification, ...")
    losses.set_defaults(run=_losses, parser=losses)

    show = commands.add_parser("show", help="tell everything about one loss")
    show.add_argument("loss", help="its name")
    show.set_defaults(run=_show, parser=show)

    bench = commands.add_parser("bench", help="measure this machine's bandwidth, and the losses beside the peers")
    bench.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    bench.add_argument("--rounds", type=_positive, default=9, metavar="N", help="how often each is timed (default: 9)")
    bench.set_defaults(run=_bench, parser=bench)

    config = commands.add_parser("config", help="tell what is installed and in use (the default)")
    config.set_defaults(run=_config, parser=config)
    return parser


def _positive(text: str) -> int:
    with contextlib.suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, wanted a positive integer")


def _config(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    for name, value in show_config().items():
        print(f"{name:13} {', '.join(value) if isinstance(value, list) else value}")
    return OK


def _score(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    inputs = _inputs(options.input, parser)
    try:
        losses = Scorer(options.loss).losses
    except (TypeError, ValueError) as error:
        parser.error(f"--loss: {error}")
    if options.rows and options.scheduler:
        parser.error(f"--rows: got {options.rows!r} with --scheduler, wanted one of them: one process writes rows")
    if options.id and not options.rows:
        parser.error(f"--id: got {options.id!r} without --rows, wanted both: it is what these are called")
    for name in ("output", "rows"):
        file = getattr(options, name)
        if file is not None and (Path(file).is_dir() or not Path(file).parent.is_dir()):
            parser.error(f"--{name}: got {file!r}, wanted a file in a directory that exists")
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
        if options.output is not None:
            Path(options.output).write_text(f"{text}\n", encoding="utf-8")
    except (ImportError, MemoryError, OSError, TypeError, ValueError) as error:
        print(f"pyloss score: {str(error) or type(error).__name__}", file=sys.stderr)
        return FAILED
    if options.output is None:
        print(text)
    return OK


def _inputs(texts: list[str], parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the columns of further inputs by name."""
    inputs: dict[str, str] = {}
    for text in texts:
        name, _, column = text.partition("=")
        if not (name and column):
            parser.error(f"--input: got {text!r}, wanted NAME=COLUMN")
        if name in inputs or name in inspect.signature(score).parameters:
            parser.error(f"--input: got {text!r}, wanted an input of the losses that no other option gives")
        inputs[name] = column
    return inputs


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
            elapsed = bar.format_dict["elapsed"]
            if elapsed:
                bar.set_postfix_str(f"{size / elapsed / 1e9:.2f} GB/s", refresh=False)
            bar.update(rows - bar.n)

        yield show


def _json(scores: Scores) -> str:
    return json.dumps(_plain(scores.to_dict()), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return what JSON can say; infinities and NaN as text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


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


_FORMATS: dict[str, Callable[[Scores], str]] = {"table": str, "json": _json, "csv": _csv}


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
    print(f"{cls.__name__}{_parameters(cls)}\n")
    print(f"name           {info.name}\ntask           {info.task}\nsource         {info.source}")
    print(f"convex         {'yes' if info.convex else 'no'}\ndifferentiable {'yes' if info.differentiable else 'no'}")
    print(f"outliers pull  {info.outliers}")
    print(f"a likelihood   {'yes' if info.probabilistic else 'no'}\n")
    print(inspect.getdoc(cls))
    return OK


def _parameters(cls: type[Loss]) -> inspect.Signature:
    """Return how a loss is made, without types: its text tells them."""
    signature = inspect.signature(cls)
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=signature.empty)


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
