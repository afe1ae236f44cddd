"""What a loss must have, and in which words its absence is told."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import re

import pytest

import embedding_cases
import pyloss as pl
from cases import CASES, LOSSES, other_values
from pyloss import losses, reference
from pyloss._arguments import Interval
from pyloss.losses import registered
from pyloss.losses._rowwise import Targetless, Taught
from pyloss.reference import metric_learning

SECTIONS = [".. math::", "References\n", "Examples\n"]
GIVEN = {"contrastive": ("pairs", "contrastive_pairs"), "triplet": ("triplets", "triplet_indexed")}
"""Losses of embeddings that also take tuples: the argument, and the reference function of these."""
HOW_TRIPLETS_ARE_CHOSEN = {"mining", "swap"}
"""Parameters that its reference function leaves to `mine` and to `triplet_indexed`."""

every_class = pytest.mark.parametrize("cls", registered().values(), ids=registered())


@every_class
def test_loss_is_complete(cls):
    kinds = what_a_prediction_loss_lacks if cls.name in LOSSES else what_an_embedding_loss_lacks
    missing = [*what_is_missing(cls), *kinds(cls)]
    assert not missing, f"{cls.__name__} lacks: " + "; ".join(missing)


def test_every_loss_is_of_predictions_or_of_embeddings():
    assert registered() == LOSSES | embedding_cases.LOSSES


def what_is_missing(cls):
    """Of any loss."""
    doc, fields = inspect.getdoc(cls) or "", dataclasses.fields(cls)
    if getattr(pl, cls.__name__, None) is not cls or cls.__name__ not in pl.__all__:
        yield f"its name in pyloss/__init__.py, with __all__ (class {cls.__name__})"
    if getattr(losses, cls.__name__, None) is not cls or cls.__name__ not in losses.__all__:
        yield "its name in pyloss/losses/__init__.py, with __all__"
    for section in [*SECTIONS, *(["Parameters\n"] if fields else [])]:
        if section not in doc:
            yield f"the docstring section {section.strip()!r}"
    for field in fields:
        if not any(
            re.search(rf"\b{field.name}\b", line)
            for line in re.findall(r"^[\w, ]+ : .*(?:default|optional).*", doc, re.M)
        ):
            yield f"the parameter {field.name!r} with its type and default in the docstring"
        if "check" not in field.metadata:
            yield f"a check of the parameter {field.name!r}"
    if not doctest.DocTestParser().get_examples(doc):
        yield "a doctest in the docstring"
    for attribute in ("task", "outliers", "source", "formula"):
        if not getattr(cls.info, attribute):
            yield f"info.{attribute}"


def what_a_prediction_loss_lacks(cls):
    name, doc = cls.name, inspect.getdoc(cls) or ""
    family = cls.__module__.rpartition(".")[2]
    fields = dataclasses.fields(cls)
    function = getattr(reference, name, None)
    if function is None:
        yield f"a function {name!r} in pyloss/reference/{family}.py, exported by reference/__init__.py"
    else:
        inputs = {Targetless: ["pred"], Taught: ["pred", "target", "teacher"]}
        taken = next((names for base, names in inputs.items() if issubclass(cls, base)), ["pred", "target"])
        wanted = [*taken, *(field.name for field in fields)]
        if list(inspect.signature(function).parameters) != wanted:
            yield f"the parameters ({', '.join(wanted)}) of its reference function, by these names and in this order"
        elif any(inspect.signature(function).parameters[f.name].default != f.default for f in fields):
            yield "the class's defaults in its reference function"
        if function.__module__.rpartition(".")[2] != family:
            yield f"its reference function in the module of its family, {family}"
        if not inspect.getdoc(function):
            yield "a docstring of its reference function, with formula and source"
    if "Raises\n" not in doc:
        yield "the docstring section 'Raises'"
    for field in fields:
        if "check" in field.metadata and not other_values(field):
            yield f"values for the parameter {field.name!r}: other_values() in tests/cases.py does not know its check"
    for dtype in ("float32", "float64", "float16", "bfloat16", "shape"):
        if dtype not in doc:
            yield f"the word {dtype!r} in the docstring"
    if not (isinstance(cls.info.target, Interval) and isinstance(cls.info.pred, Interval)):
        yield "the domains info.target and info.pred"
    if not any(case.cls is cls for case in CASES):
        yield "a case in tests/cases.py"


def what_an_embedding_loss_lacks(cls):
    fields = dataclasses.fields(cls)
    wanted = {cls.name: [field for field in fields if field.name not in HOW_TRIPLETS_ARE_CHOSEN]}
    if cls.name in GIVEN:
        argument, given = GIVEN[cls.name]
        wanted[given] = [field for field in fields if field.name != "mining"]
        if argument not in inspect.signature(cls.__call__).parameters:
            yield f"the argument {argument!r} of its verbs"
        if not any(case.cls is cls and case.given == argument for case in embedding_cases.CASES):
            yield f"a case of given {argument} in tests/embedding_cases.py"
    for name, parameters in wanted.items():
        function = getattr(metric_learning, name, None)
        if function is None:
            yield f"a function {name!r} in pyloss/reference/metric_learning.py"
            continue
        known = inspect.signature(function).parameters
        names = [field.name for field in parameters]
        if list(known)[len(known) - len(names) :] != names:
            yield f"the parameters ({', '.join(names)}) last in {name}() of the reference, in this order"
        elif any(known[field.name].default != field.default for field in parameters):
            yield f"the class's defaults in {name}() of the reference"
        if not inspect.getdoc(function):
            yield f"a docstring of {name}() in the reference, with formula and source"
    for field in fields:
        if not embedding_cases.settings_of(cls)[field.name] - {field.default}:
            yield f"a case with the parameter {field.name!r} other than its default in tests/embedding_cases.py"
    for verb in ("__call__", "value_and_grad"):
        doc = inspect.getdoc(getattr(cls, verb)) or ""
        for section in ("Parameters\n", "Returns\n"):
            if section not in doc:
                yield f"the docstring section {section.strip()!r} of {verb}"
        for argument in set(inspect.signature(getattr(cls, verb)).parameters) - {"self"}:
            if not re.search(rf"\b{argument}\b", doc):
                yield f"the argument {argument!r} in the docstring of {verb}"
    for dtype in ("float32", "float64", "float16", "bfloat16", "shape"):
        if dtype not in (inspect.getdoc(cls.__call__) or ""):
            yield f"the word {dtype!r} in the docstring of __call__"
    if not any(case.cls is cls for case in embedding_cases.CASES):
        yield "a case in tests/embedding_cases.py"


@every_class
def test_docstring_examples_are_true(cls):
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    output: list[str] = []
    for example in finder.find(cls, cls.__name__, globs={}):
        runner.run(example, out=output.append)
    assert not runner.failures, "".join(output)


def test_every_kernel_has_a_class():
    kernels = losses._elementwise.kernels
    assert set(kernels.elementwise_losses()) | set(kernels.rowwise_losses()) == set(LOSSES)
    of_embeddings = {*kernels.embedding_losses(), *kernels.tuples_losses(), *kernels.covariance_losses()}
    used = {name for cls in embedding_cases.LOSSES.values() for name in cls._kernels()}
    assert not of_embeddings - used, f"kernels without a class: {sorted(of_embeddings - used)}"
    assert not used - of_embeddings, f"classes without a kernel: {sorted(used - of_embeddings)}"


def test_every_reference_function_has_a_class():
    helpers = {"reduce"} | {f"{name}_count" for name in LOSSES}
    assert set(reference.__all__) - helpers == set(LOSSES)
    functions = {
        name
        for name, value in vars(metric_learning).items()
        if inspect.isfunction(value) and value.__module__ == metric_learning.__name__ and not name.startswith("_")
    }
    assert functions - {"mine"} - {given for _, given in GIVEN.values()} == set(embedding_cases.LOSSES)


@pytest.mark.parametrize(
    ("base", "text"),
    [
        (losses._elementwise.Elementwise, "Missing: there is no elementwise kernel 'no_such_kernel'; the list in"),
        (losses._rowwise.Rowwise, "Missing: there is no rowwise kernel 'no_such_kernel'; the list in registry.hpp"),
        (losses._embedding.EmbeddingLoss, "Missing: there is no kernel 'no_such_kernel'; the lists in registry.hpp"),
        (losses._embedding.OneBatch, "Missing: there is no kernel 'no_such_kernel'; the lists in registry.hpp"),
    ],
)
def test_class_without_kernel_fails_at_once(base, text):
    with pytest.raises(ImportError, match=f"^{text}"):
        type("Missing", (base,), {"name": "no_such_kernel"})
    assert "no_such_kernel" not in registered()


def test_class_with_other_parameters_than_its_kernel_fails_at_once():
    with pytest.raises(ImportError, match="the kernel takes"):

        class Wrong(losses._elementwise.Elementwise):
            name = "huber"


def test_class_without_formula_fails_at_once():
    for base, of in ((losses._elementwise.Elementwise, pl.MSE), (losses._embedding.OneBatch, pl.SupCon)):
        with pytest.raises(TypeError, match="math"):
            type("Wordless", (base,), {"name": of.name, "info": of.info, "__doc__": "No formula."})
        assert registered()[of.name] is of


def test_get_names_what_it_does_not_know():
    with pytest.raises(ValueError, match=r"name: got 'hubert', wanted one of .*huber"):
        pl.get("hubert")
    with pytest.raises(TypeError, match=r"parameters: got 'beta', which Huber does not have; it has delta"):
        pl.get("huber", beta=1.0)
