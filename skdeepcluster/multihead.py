"""What the methods with several heads share: one of them is read."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn


class MultiHeadMixin:
    """Read the head with the lowest running loss, once training has ended.

    The method has a network "heads" (`networks.ClusterHeads`), trained in the phase
    `_settles_in`, whose step lets it follow its losses.
    """

    # Set by DeepClusterer.
    _model: nn.ModuleDict
    _settles_in: str | None
    _late_mean: Callable[..., float]

    def _complete(self, X):
        self._model["heads"].choose()

    def _own_criterion(self, X):
        """How good a fit is among fits of the same data; higher is better.

        It is minus the loss of the head that was chosen, which chooses among heads too;
        minus infinity where no head has been trained, or the training failed.
        """
        if math.isinf(self._late_mean("loss", self._settles_in)):
            return -math.inf
        return -float(self._model["heads"].losses.min())
