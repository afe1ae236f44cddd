"""Ranking: losses of the order in which scores put the items of a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .._arguments import NON_NEGATIVE, POSITIVE, choice, count_or_none, parameter
from ._loss import Info
from ._ranking import RankingLoss

__all__ = ["LambdaRank", "ListMLE", "ListNet", "PairwiseRank"]


@dataclass(frozen=True)
class PairwiseRank(RankingLoss):
    r"""Every pair of a query's items in the wrong order, or not clearly in the right one.

    .. math:: \ell = \sum_{i, j:\ y_i > y_j} \varphi(s_i - s_j), \qquad
       \varphi(d) = \log(1 + e^{-d}),\ \max(0, m - d) \ \text{or}\ \max(0, m - d)^2

    s are the scores `pred`, y the relevances `target`, and pairs are of the same query. The kinds are "logistic"
    (RankNet), "hinge" and "squared_hinge". The hinges of n items are found in O(n log n), the logistic kind compares
    all pairs. At the kink, d = m, the hinge has slope -1 and the squared one a Hessian, as in torch.

    The mean is over all pairs of all queries, each with the weight of its query. A query of n items has O(n²) pairs:
    ``weight = 1 / pairs`` of each query (0 where it has none) lets all queries count alike, their pairs averaged.
    A query without a pair, of one item or of equal relevance, is 0 and does not count. A query with NaN, in scores or
    relevance, is NaN, as are its derivatives; others are not touched. Equal infinities are 0 apart.

    Parameters
    ----------
    kind : {"logistic", "hinge", "squared_hinge"}, default "logistic"
        The function of the difference of two scores.
    margin : float, default 1
        m of the hinges, greater than 0; the logistic kind has none.

    Raises
    ------
    TypeError, ValueError
        For another kind, a margin that is not positive, or one for the logistic kind; for arguments of the wrong type
        or shape.

    References
    ----------
    Burges et al., "Learning to rank using gradient descent", ICML 2005; Herbrich, Graepel, Obermayer, "Large margin
    rank boundaries for ordinal regression", 2000 (hinge); torch.nn.MarginRankingLoss of all pairs

    Examples
    --------
    >>> import pyloss as pl
    >>> loss = pl.PairwiseRank(kind="hinge")
    >>> loss.value_and_grad([2.0, 1.5, 0.25, 1.0], [1, 0, 0, 2], reduction="sum")
    (4.25, array([ 0.,  2.,  1., -3.]))
    >>> loss([2.0, 1.5, 0.25, 1.0], [1, 0, 0, 2], [7, 7, 3, 3], reduction="none")
    array([0.25, 0.5 ])
    """

    kind: str = choice("logistic", ("logistic", "hinge", "squared_hinge"))
    margin: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "pairwise_rank"
    info: ClassVar[Info] = Info(
        task="ranking", convex=True, differentiable=True, outliers="medium", source="Burges 2005, Herbrich 2000"
    )

    def __post_init__(self) -> None:
        """Check every parameter, and that they go together."""
        super().__post_init__()
        if self.kind == "logistic" and self.margin != 1.0:
            raise ValueError(f"margin: got {self.margin} with kind='logistic', wanted 1.0: that kind has no margin")

    @classmethod
    def _kernels(cls) -> dict[str, int]:
        return {"rank_logistic": 0, "rank_hinge": 1, "rank_squared_hinge": 1}

    @property
    def _kernel(self) -> tuple[str, list[float]]:
        return f"rank_{self.kind}", [] if self.kind == "logistic" else [self.margin]


@dataclass(frozen=True)
class LambdaRank(RankingLoss):
    r"""RankNet with every pair weighted by what its exchange would change in NDCG: the objective of LambdaMART.

    .. math:: \ell = \sum_{i, j:\ y_i > y_j} |\Delta_{ij}| \log(1 + e^{-(s_i - s_j)}), \qquad
       \Delta_{ij} = \frac{(2^{y_i} - 2^{y_j}) \, (1 / \log_2(r_i + 1) - 1 / \log_2(r_j + 1))}{\text{maxDCG@}k}

    s are the scores `pred`, y the relevances `target`, at least 0, and r the places, from 1, of the items of a query
    in the order of their scores; equal scores keep the order of their indices. The weights are held constant: gradient
    and Hessian are those of the sum with these weights, as in the boosters. A pair counts if the better placed of the
    two is among the first k, and maxDCG is that of the k most relevant items: LightGBM's
    ``lambdarank_truncation_level``, with ``lambdarank_norm=False`` and sigmoid 1; and XGBoost's
    ``lambdarank_num_pair_per_sample`` with ``lambdarank_pair_method="topk"`` and its normalizations off, whose Hessian
    is twice this one.

    The mean is over the queries with items of different relevance. Others are 0 and do not count. A query with NaN, in
    scores or relevance, is NaN, as are its derivatives; others are not touched. Equal infinities are 0 apart.

    Parameters
    ----------
    k : int, optional
        Truncation, at least 1; by default all places count.

    Raises
    ------
    TypeError, ValueError
        For a k that is not a positive integer; for arguments of the wrong type or shape; for a negative relevance.

    References
    ----------
    Burges, "From RankNet to LambdaRank to LambdaMART: an overview", 2010; LightGBM ``lambdarank``

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad, hess = pl.LambdaRank().value_grad_hess([0.0, 0.0, 1.0], [2, 0, 1], [5, 5, 5])
    >>> round(value, 4), grad.round(4), hess.round(4)
    (0.3851, array([-0.2027,  0.0911,  0.1116]), array([0.067 , 0.0541, 0.067 ]))
    """

    k: int | None = count_or_none()
    name: ClassVar[str] = "lambda_rank"
    info: ClassVar[Info] = Info(
        task="ranking", convex=False, differentiable=False, outliers="low", source="Burges 2010", target=NON_NEGATIVE
    )


@dataclass(frozen=True)
class ListNet(RankingLoss):
    r"""Cross-entropy between the softmax of the relevances of a query's items and that of their scores.

    .. math:: \ell = -\sum_i q_i \log p_i, \qquad q = \text{softmax}(y), \quad p = \text{softmax}(s)

    s are the scores `pred`, y the relevances `target`, both of one query: the probabilities that an item comes first.

    The mean is over the queries with items of different relevance. A query of one item, or of equal relevance, asks for
    no order: it is 0, with zero gradient, and does not count. A query with NaN, in scores or relevance, is NaN, as are
    its derivatives; others are not touched.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Cao et al., "Learning to rank: from pairwise approach to listwise approach", ICML 2007 (top one)

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.ListNet().value_and_grad([1.0, 1.0, 3.0], [1, 0, 2], [4, 4, 9], reduction="sum")
    >>> round(value, 4), grad.round(4)
    (0.6931, array([-0.2311,  0.2311,  0.    ]))
    """

    name: ClassVar[str] = "list_net"
    info: ClassVar[Info] = Info(task="ranking", convex=True, differentiable=True, outliers="medium", source="Cao 2007")


@dataclass(frozen=True)
class ListMLE(RankingLoss):
    r"""Negative log-likelihood of a query's items in the order of their relevance, by the Plackett-Luce model.

    .. math:: \ell = \sum_{r=1}^n \Bigl( \log \sum_{t \ge r} e^{s_{\pi(t)}} - s_{\pi(r)} \Bigr)

    s are the scores `pred`; the permutation pi puts the items of a query in the order of descending relevance `target`,
    equal ones in that of their indices. Computed in O(n log n).

    The mean is over the queries with items of different relevance. A query of one item, or of equal relevance, asks for
    no order: it is 0, with zero gradient, and does not count. A query with NaN, in scores or relevance, is NaN, as are
    its derivatives; others are not touched.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Xia et al., "Listwise approach to learning to rank: theory and algorithm", ICML 2008

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.ListMLE().value_and_grad([0.0, 0.0, 0.0], [1, 3, 2])
    >>> round(value, 4), grad.round(4)
    (1.7918, array([ 0.8333, -0.6667, -0.1667]))
    """

    name: ClassVar[str] = "list_mle"
    info: ClassVar[Info] = Info(
        task="ranking", convex=True, differentiable=True, outliers="medium", probabilistic=True, source="Xia 2008"
    )
