"""Linear layers that infer the same for a row wherever it stands."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Linear(nn.Linear):
    """Linear layer that infers the same for a row wherever it stands.

    A processor's matrix product may round short rows of outputs by their place (MKL:
    fewer than 12 outputs, or without AVX-512 nearly any number). So outputs are
    computed as long rows, one for each output: the same product, in the same time, and
    alike in batches of a power of two from 32 on, as those of inference are. A
    training, which has no order of rows to keep to, is left as torch has it.
    """

    def forward(self, x):
        """Return the outputs of rows."""
        return self.of(x, self.weight)

    def of(self, x, weight):
        """Return the outputs of rows by these weights, such as a part of its own."""
        if self.training or not x.is_cpu:
            return F.linear(x, weight, self.bias)
        columns = x.flatten(0, -2).T
        if self.bias is None:
            out = torch.mm(weight, columns)
        else:
            out = torch.addmm(self.bias[:, None], weight, columns)
        return out.T.unflatten(0, x.shape[:-1])
