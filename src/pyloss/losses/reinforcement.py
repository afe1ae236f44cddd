"""Reinforcement learning: losses of log-probabilities of actions taken, of predicted returns and of their quantiles.

All are to be minimised: a policy's objective enters with its sign turned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .._arguments import NON_NEGATIVE, OPEN_UNIT, POSITIVE, REAL, parameter
from ._elementwise import Elementwise
from ._loss import Info
from ._quantiles import OfQuantiles


@dataclass(frozen=True)
class PolicyGradient(Elementwise):
    r"""Surrogate whose gradient is that of the expected return (REINFORCE, actor-critic).

    .. math:: \ell = -\text{log\_prob} \cdot \text{advantage}

    Inputs are `log_prob`, the log-probability (or log-density) of the action taken, of any shape, and `advantage`,
    which broadcasts to it; the gradient is by `log_prob`. float32, float64, float16, bfloat16 (integers and bool count
    as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning", Machine
    Learning 8 (1992).

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.PolicyGradient().value_and_grad([-0.5, -2.0], [1.0, -1.0], reduction="sum")
    (-1.5, array([-1.,  1.]))
    """

    name: ClassVar[str] = "policy_gradient"
    inputs: ClassVar[tuple[str, ...]] = ("log_prob", "advantage")
    gradients: ClassVar[tuple[str, ...]] = ("log_prob",)
    info: ClassVar[Info] = Info(
        task="reinforcement learning", convex=True, differentiable=True, outliers="medium", source="Williams 1992"
    )


@dataclass(frozen=True)
class PPOClip(Elementwise):
    r"""Proximal policy optimisation: no reward for moving the policy further than by a factor of 1 ± clip.

    .. math:: \ell = -\min(\rho A, \operatorname{clip}(\rho, 1 - \epsilon, 1 + \epsilon) A), \qquad
        \rho = e^{\text{log\_prob} - \text{old\_log\_prob}}

    Where the clipped term is the smaller one, the gradient is 0; at the end of the clip's range it is that of the
    unclipped term, as torch's autograd has it. Inputs are `log_prob` of any shape, and `old_log_prob` and `advantage`
    (A), which broadcast to it; the gradient is by `log_prob`. float32, float64, float16, bfloat16 (integers and bool
    count as float64).

    Parameters
    ----------
    clip : float, default 0.2
        Epsilon, in (0, 1).

    Raises
    ------
    TypeError, ValueError
        For a clip outside (0, 1); for arguments of the wrong type or shape.

    References
    ----------
    Schulman et al., "Proximal policy optimization algorithms", 2017.

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.PPOClip().value_and_grad([0.0, 1.0], [0.0, 0.0], [1.0, 1.0], reduction="sum")
    >>> value
    -2.2
    >>> grad
    array([-1., -0.])
    """

    clip: float = parameter(0.2, OPEN_UNIT.number)
    name: ClassVar[str] = "ppo_clip"
    inputs: ClassVar[tuple[str, ...]] = ("log_prob", "old_log_prob", "advantage")
    gradients: ClassVar[tuple[str, ...]] = ("log_prob",)
    info: ClassVar[Info] = Info(
        task="reinforcement learning",
        convex=False,
        differentiable=False,
        outliers="medium",
        source="Schulman et al. 2017",
        extra=(REAL,),
    )


@dataclass(frozen=True)
class GRPO(Elementwise):
    r"""Group relative policy optimisation: `PPOClip` and a penalty for leaving a reference policy.

    .. math:: \ell = -\min(\rho A, \operatorname{clip}(\rho, 1 - \epsilon, 1 + \epsilon) A) + \beta (e^d - d - 1),
        \qquad \rho = e^{\text{log\_prob} - \text{old\_log\_prob}}, \quad d = \text{ref\_log\_prob} - \text{log\_prob}

    The penalty is the unbiased, never negative estimate k3 of the divergence from the reference policy, and differs
    from 0 by all its digits however close the policies are. Inputs are `log_prob` of any shape (a token's, say), and
    `old_log_prob`, `advantage` (A: the return less the mean of its group, over its deviation) and `ref_log_prob`, which
    broadcast to it; the gradient is by `log_prob`. float32, float64, float16, bfloat16 (integers and bool count as
    float64). Tokens and sequences are weighed by `weight`.

    Parameters
    ----------
    clip : float, default 0.2
        Epsilon, in (0, 1).
    kl : float, default 0.04
        Beta, at least 0; 0 does not read the reference's digits.

    Raises
    ------
    TypeError, ValueError
        For a clip outside (0, 1) or a negative kl; for arguments of the wrong type or shape.

    References
    ----------
    Shao et al., "DeepSeekMath: pushing the limits of mathematical reasoning in open language models", 2024; Schulman,
    "Approximating KL divergence", 2020.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.GRPO().value_and_grad([0.0], [0.0], [1.0], [0.0])
    (-1.0, array([-1.]))
    """

    clip: float = parameter(0.2, OPEN_UNIT.number)
    kl: float = parameter(0.04, NON_NEGATIVE.number)
    name: ClassVar[str] = "grpo"
    inputs: ClassVar[tuple[str, ...]] = ("log_prob", "old_log_prob", "advantage", "ref_log_prob")
    gradients: ClassVar[tuple[str, ...]] = ("log_prob",)
    info: ClassVar[Info] = Info(
        task="reinforcement learning",
        convex=False,
        differentiable=False,
        outliers="high",
        source="Shao et al. 2024",
        extra=(REAL, REAL),
    )


@dataclass(frozen=True)
class TDHuber(Elementwise):
    r"""Huber loss of the temporal difference: a Q-network's, with the error clipped in the gradient.

    .. math:: \ell = r^2/2 \ \text{if}\ |r| \le \delta\ \text{else}\ \delta(|r| - \delta/2), \qquad
        r = \text{pred} - \text{target}

    `pred` is the value of the action taken, `target` the reward plus the discounted value of what follows, which is
    held constant. `pred` may have any shape, and `target` broadcasts to it; float32, float64, float16, bfloat16
    (integers and bool count as float64).

    Parameters
    ----------
    delta : float, default 1
        Difference at which the loss turns linear; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For a delta that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    Mnih et al., "Human-level control through deep reinforcement learning", Nature 518 (2015).

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.TDHuber().value_and_grad([0.5, 5.0], [0.0, 2.0], reduction="sum")
    (2.625, array([0.5, 1. ]))
    """

    delta: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "td_huber"
    info: ClassVar[Info] = Info(
        task="reinforcement learning", convex=True, differentiable=True, outliers="low", source="Mnih et al. 2015"
    )


@dataclass(frozen=True)
class QuantileHuber(OfQuantiles):
    r"""Quantile Huber loss of a return's distribution (QR-DQN): every predicted quantile against every sample.

    .. math:: \ell = \sum_{i=1}^N \frac{1}{M} \sum_{j=1}^M |\tau_i - \mathbb{1}\{u_{ij} < 0\}|
        \frac{L_\kappa(u_{ij})}{\kappa}, \qquad u_{ij} = \text{target}_j - \text{pred}_i, \quad
        \tau_i = \frac{i - 1/2}{N}, \quad
        L_\kappa(u) = u^2/2 \ \text{if}\ |u| \le \kappa\ \text{else}\ \kappa(|u| - \kappa/2)

    With kappa = 0 it is the quantile regression loss, :math:`|\tau_i - \mathbb{1}\{u < 0\}| |u|`, whose slope at u = 0
    is 0. `pred` has shape (..., N): the quantiles that are predicted for the value of one action of one state. `target`
    has shape (..., M), and its other axes broadcast to those of `pred`: reward plus discounted quantiles (or samples)
    of what follows, which is held constant. One value a row; weights are of rows. float32, float64, float16, bfloat16
    (integers and bool count as float64). The N x M table is not stored, and sums over it are of float64.

    Parameters
    ----------
    kappa : float, default 1
        Difference at which the loss turns linear; at least 0.

    Raises
    ------
    TypeError, ValueError
        For a negative kappa; for arguments of the wrong type or shape.

    References
    ----------
    Dabney, Rowland, Bellemare and Munos, "Distributional reinforcement learning with quantile regression", AAAI 2018,
    equation 10 and algorithm 1, where the Huber loss is not yet divided by kappa, as it is in "Implicit quantile
    networks for distributional reinforcement learning", ICML 2018.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.QuantileHuber().value_and_grad([[0.0, 2.0]], [[0.0, 4.0]])
    (1.1875, array([[-0.125, -0.25 ]]))
    """

    kappa: float = parameter(1.0, NON_NEGATIVE.number)
    name: ClassVar[str] = "quantile_huber"
    info: ClassVar[Info] = Info(
        task="reinforcement learning", convex=True, differentiable=True, outliers="low", source="Dabney et al. 2018"
    )
