"""Every loss in plain float64 NumPy, as its source writes it: documentation as much as oracle.

Each function has the name of a kernel and takes (pred, target, further inputs, and the parameters of the class); it
returns value, gradient and diagonal of the Hessian of each element, not reduced. Of a row loss the value is one for
each row, of a mask or a box one for each, without a Hessian.

`distances` holds the metrics, `metric_learning` the losses of embeddings, `ranking` those of lists, `penalties` those
of weights, `combination` what makes one of several tasks or groups, `randomized` random numbers; they return what
they say there.
"""

from . import combination as combination
from . import distances as distances
from . import metric_learning as metric_learning
from . import penalties as penalties
from . import randomized as randomized
from . import ranking as ranking
from ._terms import reduce
from .adversarial import gan_discriminator, gan_generator, gradient_penalty
from .binary import (
    asymmetric_focal,
    bce,
    bce_with_logits,
    exponential,
    focal,
    hinge,
    logistic,
    modified_huber,
    squared_hinge,
)
from .boxes import box_iou
from .likelihood import (
    beta_nll,
    gamma_deviance,
    gaussian_crps,
    gaussian_kl,
    gaussian_nll,
    laplace_nll,
    negative_binomial_nll,
    poisson_nll,
    student_t_nll,
    tweedie_deviance,
)
from .multiclass import (
    ada_cos,
    arc_face,
    categorical_cross_entropy,
    cos_face,
    cross_entropy,
    cross_entropy_count,
    distillation,
    entropy,
    generalized_cross_entropy,
    js_div,
    kl_div,
    multi_hinge,
    nll,
    nll_count,
    poly_cross_entropy,
    softmax_focal,
    sphere_face,
    symmetric_cross_entropy,
)
from .regression import (
    barron,
    barron_adaptive,
    cauchy,
    epsilon_insensitive,
    expectile,
    geman_mcclure,
    huber,
    log_cosh,
    mae,
    mape,
    mse,
    msle,
    pseudo_huber,
    quantile,
    rmse,
    smape,
    smooth_l1,
    tukey,
    welsch,
)
from .reinforcement import grpo, policy_gradient, ppo_clip, quantile_huber, td_huber
from .segmentation import dice, focal_tversky, jaccard, lovasz, tversky

__all__ = [
    "ada_cos",
    "arc_face",
    "asymmetric_focal",
    "barron",
    "barron_adaptive",
    "bce",
    "bce_with_logits",
    "beta_nll",
    "box_iou",
    "categorical_cross_entropy",
    "cauchy",
    "cos_face",
    "cross_entropy",
    "cross_entropy_count",
    "dice",
    "distillation",
    "entropy",
    "epsilon_insensitive",
    "expectile",
    "exponential",
    "focal",
    "focal_tversky",
    "gamma_deviance",
    "gan_discriminator",
    "gan_generator",
    "gaussian_crps",
    "gaussian_kl",
    "gaussian_nll",
    "geman_mcclure",
    "generalized_cross_entropy",
    "gradient_penalty",
    "grpo",
    "hinge",
    "huber",
    "jaccard",
    "js_div",
    "kl_div",
    "laplace_nll",
    "log_cosh",
    "logistic",
    "lovasz",
    "mae",
    "mape",
    "modified_huber",
    "mse",
    "msle",
    "multi_hinge",
    "negative_binomial_nll",
    "nll",
    "nll_count",
    "poisson_nll",
    "policy_gradient",
    "poly_cross_entropy",
    "ppo_clip",
    "pseudo_huber",
    "quantile",
    "quantile_huber",
    "reduce",
    "rmse",
    "smape",
    "smooth_l1",
    "softmax_focal",
    "sphere_face",
    "squared_hinge",
    "student_t_nll",
    "symmetric_cross_entropy",
    "td_huber",
    "tukey",
    "tversky",
    "tweedie_deviance",
    "welsch",
]
