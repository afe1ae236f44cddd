"""Generative adversarial networks: losses of a discriminator's scores, for it and for the generator, and of gradients.

A score is a logit where the game is about probabilities. Every game is to be minimised by either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .._arguments import NON_NEGATIVE, choice, parameter
from ._elementwise import Elementwise
from ._loss import Info
from ._rowwise import Targetless

GAMES = ("minimax", "non_saturating", "least_squares", "hinge", "wasserstein")
"""In the order of C++'s enum Game."""


@dataclass(frozen=True)
class GANDiscriminator(Elementwise):
    r"""What a real and a fake sample of the same place cost the discriminator (the critic).

    .. math:: \ell = f(\text{real}) + g(\text{fake}), \qquad f, g =
        \begin{cases}
        -\log \sigma(x), \ -\log(1 - \sigma(x)) & \text{minimax, non\_saturating} \\
        (x - 1)^2 / 2, \ x^2 / 2 & \text{least\_squares} \\
        \max(0, 1 - x), \ \max(0, 1 + x) & \text{hinge} \\
        -x, \ x & \text{wasserstein}
        \end{cases}

    "minimax" and "non_saturating" are one for the discriminator; their scores are logits. "least_squares" has Mao's
    halves, with the codes 0 for fake and 1 for real; "hinge" has none. "wasserstein" is the critic's without its
    Lipschitz constraint: see `GradientPenalty`. Inputs are `real` and `fake`, which broadcasts to the shape of `real`;
    gradients are by both. float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    kind : {"minimax", "non_saturating", "least_squares", "hinge", "wasserstein"}, default "non_saturating"
        The game.

    Raises
    ------
    TypeError, ValueError
        For an unknown kind; for arguments of the wrong type or shape.

    References
    ----------
    Goodfellow et al., "Generative adversarial nets", NIPS 2014; Mao et al., "Least squares generative adversarial
    networks", ICCV 2017; Lim and Ye, "Geometric GAN", 2017; Arjovsky, Chintala and Bottou, "Wasserstein generative
    adversarial networks", ICML 2017.

    Examples
    --------
    >>> import pyloss as pl
    >>> value, (by_real, by_fake) = pl.GANDiscriminator("least_squares").value_and_grad([0.0, 1.0], [0.0, 2.0])
    >>> value
    1.25
    >>> by_real, by_fake
    (array([-0.5,  0. ]), array([0., 1.]))
    """

    kind: str = choice("non_saturating", GAMES, kernel=True)
    name: ClassVar[str] = "gan_discriminator"
    inputs: ClassVar[tuple[str, ...]] = ("real", "fake")
    gradients: ClassVar[tuple[str, ...]] = ("real", "fake")
    info: ClassVar[Info] = Info(
        task="adversarial",
        convex=True,
        differentiable=False,
        outliers="medium",
        source="Goodfellow 2014, Mao 2017, Lim and Ye 2017, Arjovsky 2017",
    )


@dataclass(frozen=True)
class GANGenerator(Elementwise):
    r"""What a fake sample costs the generator, by the score that the discriminator gives it.

    .. math:: \ell =
        \begin{cases}
        \log(1 - \sigma(\text{fake})) & \text{minimax} \\
        -\log \sigma(\text{fake}) & \text{non\_saturating} \\
        (\text{fake} - 1)^2 / 2 & \text{least\_squares} \\
        -\text{fake} & \text{hinge, wasserstein}
        \end{cases}

    For "minimax" and "non_saturating" the score is a logit; "least_squares" has Mao's half. The only input is `fake`,
    of any shape; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    kind : {"minimax", "non_saturating", "least_squares", "hinge", "wasserstein"}, default "non_saturating"
        The game.

    Raises
    ------
    TypeError, ValueError
        For an unknown kind; for arguments of the wrong type or shape.

    References
    ----------
    As for `GANDiscriminator`.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.GANGenerator("least_squares").value_and_grad([0.0, 1.0])
    (0.25, array([-0.5,  0. ]))
    """

    kind: str = choice("non_saturating", GAMES, kernel=True)
    name: ClassVar[str] = "gan_generator"
    inputs: ClassVar[tuple[str, ...]] = ("fake",)
    gradients: ClassVar[tuple[str, ...]] = ("fake",)
    info: ClassVar[Info] = Info(
        task="adversarial",
        convex=False,
        differentiable=True,
        outliers="medium",
        source="Goodfellow 2014, Mao 2017, Lim and Ye 2017, Arjovsky 2017",
    )


@dataclass(frozen=True)
class GradientPenalty(Targetless):
    r"""How far the lengths of gradients are from 1: keeps the critic of `GANDiscriminator("wasserstein")` Lipschitz.

    .. math:: \ell = (\lVert g \rVert_2 - t)^2

    `pred` has a critic's gradient (g) in each row: by one of its inputs, as a rule a random point between a real and a
    fake sample, flattened: shape (..., d). One value a row, whose factor (Gulrajani's lambda, 10) is that of ``10 *
    GradientPenalty()``. The derivatives are by the elements of g and go back into the framework that has made it. A row
    of zeros has none: they are 0 there. float32, float64, float16, bfloat16 (integers and bool count as float64); no
    square overflows or underflows.

    Parameters
    ----------
    target : float, default 1
        The length wanted (t), at least 0; 0 for the penalties R1 and R2 of Mescheder, which are half of it.

    Raises
    ------
    TypeError, ValueError
        For a negative target; for arguments of the wrong type or shape.

    References
    ----------
    Gulrajani et al., "Improved training of Wasserstein GANs", NIPS 2017; Mescheder, Geiger and Nowozin, "Which training
    methods for GANs do actually converge?", ICML 2018.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.GradientPenalty().value_and_grad([[3.0, 4.0], [0.0, 0.0]])
    (8.5, array([[2.4, 3.2],
           [0. , 0. ]]))
    """

    target: float = parameter(1.0, NON_NEGATIVE.number)
    name: ClassVar[str] = "gradient_penalty"
    row: ClassVar[tuple[str, str, str]] = ("a gradient's elements", "elements", "element")
    info: ClassVar[Info] = Info(
        task="adversarial", convex=False, differentiable=False, outliers="high", source="Gulrajani et al. 2017"
    )
