"""Generative adversarial networks: losses of a discriminator's scores, for it and for the generator.

A score is a logit where the game is about probabilities. Every game is to be minimised by either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .._arguments import choice
from ._elementwise import Elementwise
from ._loss import Info

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
