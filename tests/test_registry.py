"""What a loss must have, and in which words its absence is told."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import re

import pytest

import embedding_cases
import pyloss as pl
import quantile_cases
import ranking_cases
import region_cases
import test_combination
import test_penalties
import test_root
from cases import CASES, LOSSES, other_values
from pyloss import losses, reference
from pyloss._arguments import Interval
from pyloss.losses import registered
from pyloss.losses._groups import GroupLoss
from pyloss.losses._penalty import ElementwisePenalty, Penalty
from pyloss.losses._root import RootLoss
from pyloss.reference import metric_learning, ranking

SECTIONS = [".. math::", "References\n", "Examples\n"]
GIVEN = {"contrastive": ("pairs", "contrastive_pairs"), "triplet": ("triplets", "triplet_indexed")}
"""Losses of embeddings that also take tuples: the argument, and the reference function of these."""
HOW_TRIPLETS_ARE_CHOSEN = {"mining", "swap"}
"""Parameters that its reference function leaves to `mine` and to `triplet_indexed`."""

DTYPES = ("float32", "float64", "float16", "bfloat16", "shape")

OTHERS = {
    Penalty: (reference.penalties, test_penalties.NAMES),
    RootLoss: (reference.regression, test_root.NAMES),
    GroupLoss: (reference.combination, test_combination.NAMES),
    pl.UncertaintyWeighted: (reference.combination, test_combination.NAMES),
}
"""Bases of losses of other things: the module of their reference, and the losses that their tests make cases of."""

every_class = pytest.mark.parametrize("cls", registered().values(), ids=registered())


@every_class
def test_loss_is_complete(cls):
    kinds = {
        what_a_prediction_loss_lacks: LOSSES | region_cases.LOSSES | quantile_cases.LOSSES,
        what_an_embedding_loss_lacks: embedding_cases.LOSSES,
        what_a_ranking_loss_lacks: ranking_cases.LOSSES,
    }
    lacks = next((lacks for lacks, known in kinds.items() if cls.name in known), what_another_loss_lacks)
    missing = [*what_is_missing(cls), *lacks(cls)]
    assert not missing, f"{cls.__name__} lacks: " + "; ".join(missing)


def test_every_loss_is_of_a_known_kind():
    others = {name: cls for name, cls in registered().items() if issubclass(cls, tuple(OTHERS))}
    of_predictions = LOSSES | region_cases.LOSSES | quantile_cases.LOSSES | ranking_cases.LOSSES
    assert registered() == of_predictions | embedding_cases.LOSSES | others


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
        must = "" if field.default is dataclasses.MISSING else "(?:default|optional).*"
        if not any(re.search(rf"\b{field.name}\b", line) for line in re.findall(rf"^[\w, ]+ : .*{must}", doc, re.M)):
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
        wanted = [*cls.inputs, *(field.name for field in fields)]
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
    if len(cls.info.extra) != len(cls.inputs[2:]):
        yield f"the domains info.extra of its inputs {cls.inputs[2:]}"
    if cls.info.optional and getattr(reference, f"{name}_adaptive", None) is None:
        yield f"a reference function {name + '_adaptive'!r}, with derivatives by {dict(cls.info.optional)}"
    if not set(cls.gradients) <= set(cls.inputs):
        yield f"inputs called {cls.gradients}, which it says it has derivatives by"
    if not any(case.cls is cls for case in [*CASES, *region_cases.CASES, *quantile_cases.CASES]):
        yield "a case in tests/cases.py, tests/region_cases.py or tests/quantile_cases.py"


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
        yield from what_the_reference_lacks(metric_learning, name, parameters)
    for field in fields:
        if not embedding_cases.settings_of(cls)[field.name] - {field.default}:
            yield f"a case with the parameter {field.name!r} other than its default in tests/embedding_cases.py"
    yield from what_the_verbs_lack(cls, "__call__", "value_and_grad")
    if not any(case.cls is cls for case in embedding_cases.CASES):
        yield "a case in tests/embedding_cases.py"


def what_a_ranking_loss_lacks(cls):
    fields = dataclasses.fields(cls)
    yield from what_the_reference_lacks(ranking, cls.name, fields)
    if "Raises\n" not in (inspect.getdoc(cls) or ""):
        yield "the docstring section 'Raises'"
    for field in fields:
        if not ranking_cases.settings_of(cls)[field.name] - {field.default}:
            yield f"a case with the parameter {field.name!r} other than its default in tests/ranking_cases.py"
    yield from what_the_verbs_lack(cls, "__call__", "value_and_grad", "value_grad_hess")
    if not any(case.cls is cls for case in ranking_cases.CASES):
        yield "a case in tests/ranking_cases.py"


def what_the_reference_lacks(module, name, fields):
    """Of a function that has inputs of its own before the parameters."""
    family = module.__name__.rpartition(".")[2]
    function = getattr(module, name, None)
    if function is None:
        yield f"a function {name!r} in pyloss/reference/{family}.py"
        return
    known = inspect.signature(function).parameters
    names = [field.name for field in fields]
    if list(known)[len(known) - len(names) :] != names:
        yield f"the parameters ({', '.join(names)}) last in {name}() of the reference, in this order"
    elif any(known[f.name].default != f.default for f in fields if f.default is not dataclasses.MISSING):
        yield f"the class's defaults in {name}() of the reference"
    if not inspect.getdoc(function):
        yield f"a docstring of {name}() in the reference, with formula and source"


def what_the_verbs_lack(cls, *verbs):
    for verb in verbs:
        doc = inspect.getdoc(getattr(cls, verb)) or ""
        for section in ("Parameters\n", "Returns\n"):
            if section not in doc:
                yield f"the docstring section {section.strip()!r} of {verb}"
        for argument in set(inspect.signature(getattr(cls, verb)).parameters) - {"self"}:
            if not re.search(rf"\b{argument}\b", doc):
                yield f"the argument {argument!r} in the docstring of {verb}"
    if not issubclass(cls, tuple(OTHERS)):
        yield from (
            f"the word {word!r} in the docstring of __call__"
            for word in DTYPES
            if word not in (inspect.getdoc(cls.__call__) or "")
        )


def what_another_loss_lacks(cls):
    module, cases = next(wanted for base, wanted in OTHERS.items() if issubclass(cls, base))
    yield from what_the_reference_lacks(module, cls.name, dataclasses.fields(cls))
    verbs = [verb for verb in ("__call__", "value_and_grad", "value_grad_hess", "prox") if hasattr(cls, verb)]
    yield from what_the_verbs_lack(cls, *verbs)
    doc = (inspect.getdoc(cls) or "") + (inspect.getdoc(cls.__call__) or "")
    for word in ("Raises\n", *DTYPES):
        if word not in doc:
            yield f"the word {word.strip()!r} in the docstring"
    if cls.name not in cases:
        yield "a case in the tests of its family"


@every_class
def test_docstring_examples_are_true(cls):
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    output: list[str] = []
    for example in finder.find(cls, cls.__name__, globs={}):
        runner.run(example, out=output.append)
    assert not runner.failures, "".join(output)


def test_every_kernel_has_a_class():
    kernels = losses._elementwise.kernels
    known = {*kernels.elementwise_losses(), *kernels.rowwise_losses()}
    assert {name for cls in LOSSES.values() for name in cls._kernels()} == known - set(test_root.NAMES)
    assert {name for name, cls in registered().items() if issubclass(cls, ElementwisePenalty)} == set(
        kernels.penalty_losses()
    )
    of_embeddings = {*kernels.embedding_losses(), *kernels.tuples_losses(), *kernels.covariance_losses()}
    of_regions = {*kernels.overlap_losses(), *kernels.lovasz_losses(), *kernels.box_losses()}
    assert {name for cls in region_cases.LOSSES.values() for name in cls._kernels()} == of_regions
    used = {name for cls in embedding_cases.LOSSES.values() for name in cls._kernels()}
    assert not of_embeddings - used, f"kernels without a class: {sorted(of_embeddings - used)}"
    assert not used - of_embeddings, f"classes without a kernel: {sorted(used - of_embeddings)}"
    assert set(kernels.quantile_losses()) == set(quantile_cases.LOSSES)
    used = {name for cls in ranking_cases.LOSSES.values() for name in cls._kernels()}
    assert set(kernels.ranking_losses()) == used


def test_every_reference_function_has_a_class():
    helpers = {"reduce"} | {f"{name}_count" for name in LOSSES}
    helpers |= {f"{name}_adaptive" for name, cls in LOSSES.items() if cls.info.optional}
    public = set(LOSSES | region_cases.LOSSES | quantile_cases.LOSSES) | set(test_root.NAMES)
    assert set(reference.__all__) - helpers == public
    helpers = {"mine"} | {given for _, given in GIVEN.values()}
    assert public_functions(metric_learning) - helpers == set(embedding_cases.LOSSES)
    assert public_functions(ranking) == set(ranking_cases.LOSSES)
    penalties = {name for name, cls in registered().items() if issubclass(cls, Penalty)}
    assert public_functions(reference.penalties) == penalties | {f"{name}_prox" for name in penalties}
    made_one = {name for name, cls in registered().items() if issubclass(cls, (GroupLoss, pl.UncertaintyWeighted))}
    assert public_functions(reference.combination) == made_one | {"min_norm_gradient", "pcgrad"}


def public_functions(module):
    return {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("base", "text"),
    [
        (losses._elementwise.Elementwise, "Missing: there is no elementwise kernel 'no_such_kernel'; the list in"),
        (losses._rowwise.Rowwise, "Missing: there is no rowwise kernel 'no_such_kernel'; the list in registry.hpp"),
        (losses._overlap.MaskLoss, "Missing: there is no kernel 'no_such_kernel'; the lists in registry.hpp lack it"),
        (losses._quantiles.OfQuantiles, "Missing: there is no kernel 'no_such_kernel'; the lists in registry.hpp lack"),
        (losses._embedding.EmbeddingLoss, "Missing: there is no kernel 'no_such_kernel'; the lists in registry.hpp"),
        (
            ElementwisePenalty,
            "Missing: there is no kernel of weights 'no_such_kernel'; the list in registry.hpp lacks it",
        ),
        (losses._embedding.OneBatch, "Missing: there is no kernel 'no_such_kernel'; the lists in registry.hpp"),
        (losses._ranking.RankingLoss, "Missing: there is no ranking kernel 'no_such_kernel'; the list in registry.hpp"),
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

    with pytest.raises(ImportError, match="the kernel takes"):

        class WrongToo(losses._overlap.MaskLoss):
            name = "dice"

    with pytest.raises(ImportError, match="the kernel takes 1 parameters, the class has 0"):

        class Flat(losses._quantiles.OfQuantiles):
            name = "quantile_huber"

    with pytest.raises(ImportError, match="the kernel takes 1 parameters, the class declares 0"):

        class Endless(losses._ranking.RankingLoss):
            name = "lambda_rank"


def test_class_without_formula_fails_at_once():
    for base, of in (
        (losses._elementwise.Elementwise, pl.MSE),
        (losses._embedding.OneBatch, pl.SupCon),
        (losses._ranking.RankingLoss, pl.ListNet),
    ):
        with pytest.raises(TypeError, match="math"):
            type("Wordless", (base,), {"name": of.name, "info": of.info, "__doc__": "No formula."})
        assert registered()[of.name] is of


def test_get_names_what_it_does_not_know():
    with pytest.raises(ValueError, match=r"name: got 'hubert', wanted one of .*huber"):
        pl.get("hubert")
    with pytest.raises(TypeError, match=r"parameters: got 'beta', which Huber does not have; it has delta"):
        pl.get("huber", beta=1.0)
