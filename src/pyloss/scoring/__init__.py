"""Losses of rows that come in batches: from memory, files, streams and clusters."""

from ._score import score
from ._scorer import Scorer
from ._scores import GroupValues, Scores

__all__ = ["GroupValues", "Scorer", "Scores", "score"]
