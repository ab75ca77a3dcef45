"""Linear layers that infer the same for a row wherever it stands."""

from __future__ import annotations

import torch
from torch import nn

# Outputs up to which a processor's matrix product was seen to round differently for
# different places of a row (MKL, fewer than 12).
_FEW = 16


class Linear(nn.Linear):
    """Linear layer that infers the same for a row wherever it stands.

    Where outputs are few they are computed as long rows, one for each output, in place
    of short ones: the same product, in the same time. A training, which has no order of
    rows to keep to, is left as torch has it.
    """

    def forward(self, x):
        """Return the outputs of rows."""
        if self.training or self.out_features > _FEW or x.ndim != 2:
            return super().forward(x)
        if self.bias is None:
            return torch.mm(self.weight, x.T).T
        return torch.addmm(self.bias[:, None], self.weight, x.T).T
