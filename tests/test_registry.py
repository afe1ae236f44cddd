"""What a loss must have, and in which words its absence is told."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import re

import pytest

import pyloss as pl
from cases import CASES, other_values
from pyloss import losses, reference
from pyloss._arguments import Interval
from pyloss.losses import registered

SECTIONS = [".. math::", "Raises\n", "References\n", "Examples\n"]

every_class = pytest.mark.parametrize("cls", registered().values(), ids=registered())


@every_class
def test_loss_is_complete(cls):
    missing = list(what_is_missing(cls))
    assert not missing, f"{cls.__name__} lacks: " + "; ".join(missing)


def what_is_missing(cls):
    name, doc = cls.kernel, inspect.getdoc(cls) or ""
    family = cls.__module__.rpartition(".")[2]
    fields = dataclasses.fields(cls)
    if getattr(pl, cls.__name__, None) is not cls or cls.__name__ not in pl.__all__:
        yield f"its name in pyloss/__init__.py, with __all__ (class {cls.__name__})"
    if getattr(losses, cls.__name__, None) is not cls:
        yield "its name in pyloss/losses/__init__.py"
    function = getattr(reference, name, None)
    if function is None:
        yield f"a function {name!r} in pyloss/reference/{family}.py, exported by reference/__init__.py"
    else:
        wanted = ["pred", "target", *(field.name for field in fields)]
        if list(inspect.signature(function).parameters) != wanted:
            yield f"the parameters ({', '.join(wanted)}) of its reference function, by these names and in this order"
        elif any(inspect.signature(function).parameters[f.name].default != f.default for f in fields):
            yield "the class's defaults in its reference function"
        if function.__module__.rpartition(".")[2] != family:
            yield f"its reference function in the module of its family, {family}"
        if not inspect.getdoc(function):
            yield "a docstring of its reference function, with formula and source"
    for section in [*SECTIONS, *(["Parameters\n"] if fields else [])]:
        if section not in doc:
            yield f"the docstring section {section.strip()!r}"
    for field in fields:
        if not re.search(rf"^{field.name} : .*(default|optional)", doc, re.MULTILINE):
            yield f"the parameter {field.name!r} with its type and default in the docstring"
        if "check" not in field.metadata:
            yield f"a check of the parameter {field.name!r}"
        elif not other_values(field):
            yield f"values for the parameter {field.name!r}: other_values() in tests/cases.py does not know its check"
    for dtype in ("float32", "float64", "float16", "bfloat16", "shape"):
        if dtype not in doc:
            yield f"the word {dtype!r} in the docstring"
    if not doctest.DocTestParser().get_examples(doc):
        yield "a doctest in the docstring"
    for attribute in ("task", "outliers", "source", "formula"):
        if not getattr(cls.info, attribute):
            yield f"info.{attribute}"
    if not (isinstance(cls.info.target, Interval) and isinstance(cls.info.pred, Interval)):
        yield "the domains info.target and info.pred"
    if not any(case.cls is cls for case in CASES):
        yield "a case in tests/cases.py"


@every_class
def test_docstring_examples_are_true(cls):
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    output: list[str] = []
    for example in finder.find(cls, cls.__name__, globs={}):
        runner.run(example, out=output.append)
    assert not runner.failures, "".join(output)


def test_every_kernel_has_a_class():
    kernels = losses._elementwise.kernels
    kernel_names = set(kernels.elementwise_losses()) | set(kernels.rowwise_losses())
    assert kernel_names == set(registered())


def test_every_reference_function_has_a_class():
    helpers = {"reduce"} | {f"{name}_count" for name in registered()}
    assert set(reference.__all__) - helpers == set(registered())


def test_class_without_kernel_fails_at_once():
    with pytest.raises(ImportError, match="'no_such_kernel'"):

        class Missing(losses._elementwise.Elementwise):
            kernel = "no_such_kernel"


def test_class_with_other_parameters_than_its_kernel_fails_at_once():
    with pytest.raises(ImportError, match="the kernel takes"):

        class Wrong(losses._elementwise.Elementwise):
            kernel = "huber"


def test_class_without_formula_fails_at_once():
    with pytest.raises(TypeError, match="math"):

        class Wordless(losses._elementwise.Elementwise):
            """No formula."""

            info = pl.MSE.info
            kernel = "mse"


def test_get_names_what_it_does_not_know():
    with pytest.raises(ValueError, match=r"name: got 'hubert', wanted one of .*huber"):
        pl.get("hubert")
    with pytest.raises(TypeError, match=r"parameters: got 'beta', which Huber does not have; it has delta"):
        pl.get("huber", beta=1.0)
