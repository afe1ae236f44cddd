"""Every name of the catalogue: public, documented, with a reference and tests."""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import embedding_cases
import pyloss as pl
import quantile_cases
import ranking_cases
import region_cases
import test_combination
import test_penalties
import test_root
from cases import LOSSES
from pyloss import reference
from pyloss.losses import registered

CLASSES = {
    "regression": """MSE RMSE MSLE MAE MAPE SMAPE Huber SmoothL1 PseudoHuber LogCosh Quantile Expectile
        EpsilonInsensitive Tukey Cauchy Welsch GemanMcClure Barron""",
    "likelihood": """PoissonNLL GaussianNLL BetaNLL LaplaceNLL StudentTNLL NegativeBinomialNLL GammaDeviance
        TweedieDeviance GaussianCRPS GaussianKL""",
    "binary": """BCE BCEWithLogits Focal AsymmetricFocal Hinge SquaredHinge ModifiedHuber Exponential Logistic""",
    "multiclass": """CrossEntropy CategoricalCrossEntropy NLL SoftmaxFocal PolyCrossEntropy GeneralizedCrossEntropy
        SymmetricCrossEntropy MultiHinge KLDiv JSDiv Distillation ArcFace CosFace SphereFace AdaCos Entropy""",
    "segmentation": "Dice Jaccard Tversky FocalTversky Lovasz",
    "boxes": "BoxIoU",
    "adversarial": "GANDiscriminator GANGenerator GradientPenalty",
    "reinforcement": "PolicyGradient PPOClip GRPO TDHuber QuantileHuber",
    "ranking": "PairwiseRank LambdaRank ListNet ListMLE",
    "metric_learning": """Contrastive Triplet Quadruplet LiftedStructure NPair Circle MultiSimilarity Center ProxyNCA
        ProxyAnchor NCA LMNN InfoNCE NTXent SigLIP SupCon CosineEmbedding BarlowTwins VICReg MMD CORAL
        EnergyDistance""",
    "penalties": "L1 L2 ElasticNet GroupLasso EWC",
    "multitask": "UncertaintyWeighted",
    "groups": "GroupDRO WorstGroup DemographicParity EqualizedOdds",
}
"""By the module of each family."""

FUNCTIONS = [
    "class_balanced_weights",
    "box_iou",
    "min_norm_gradient",
    "pcgrad",
    "clip_per_sample",
    "dropout",
    "pairwise",
    "paired",
    "nearest",
    "within",
    "pairwise_vjp",
    "mine",
    "evaluate",
]
TESTED = [*LOSSES.values(), *region_cases.LOSSES.values(), *ranking_cases.LOSSES.values()]
TESTED += [*embedding_cases.LOSSES.values(), *quantile_cases.LOSSES.values()]
TESTED += [registered()[name] for name in (*test_penalties.NAMES, *test_combination.NAMES, *test_root.NAMES)]

REFERENCES = {
    name
    for module in pkgutil.iter_modules(reference.__path__)
    for name in vars(import_module(f"pyloss.reference.{module.name}"))
}


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family, names in CLASSES.items() for name in names.split()]
)
def test_class(family, name):
    cls = getattr(pl, name)
    assert name in pl.__all__
    assert cls.__module__ == f"pyloss.losses.{family}"
    assert registered()[cls.name] is cls
    doc = inspect.getdoc(cls) or ""
    assert all(section in doc for section in (".. math::", "References\n", ">>> "))
    assert cls.name in REFERENCES
    assert cls in TESTED


def test_no_class_is_beyond_the_catalogue():
    assert {cls.__name__ for cls in registered().values()} == set(" ".join(CLASSES.values()).split())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    assert name in pl.__all__
    doc = inspect.getdoc(getattr(pl, name)) or ""
    assert all(section in doc for section in ("Parameters\n", "Returns\n", "Raises\n", ">>> "))
    calls = re.compile(rf"\bpl\.{name}\(")
    assert any(calls.search(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.glob("test_*.py"))
