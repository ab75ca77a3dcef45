"""Outputs made orthogonal over the rows of a batch."""

from __future__ import annotations

import torch
from torch import nn

# Directions with less than this share of the outputs' mean square are left small: they
# are rounding of float32.
_LEAST = 1e-10


class Orthogonalisation(nn.Module):
    r"""Linear layer that makes the columns of a batch's outputs orthonormal.

    With :math:`R` the Cholesky factor of :math:`\tilde Y^\top\tilde Y/m=R^\top R`,
    which is that of a QR decomposition up to signs,

    .. math:: Y=\tilde YR^{-1},\qquad Y^\top Y=mI

    Parameters
    ----------
    n_outputs : int

    Attributes
    ----------
    factor, inverse : tensor of shape (n_outputs, n_outputs)
        :math:`R` and :math:`R^{-1}`, upper triangular; the identity at first. They are
        set, not trained.
    """

    factor: torch.Tensor
    inverse: torch.Tensor

    def __init__(self, n_outputs: int):
        super().__init__()
        self.register_buffer("factor", torch.eye(n_outputs))
        self.register_buffer("inverse", torch.eye(n_outputs))

    @torch.no_grad()
    def fit(self, y: torch.Tensor) -> None:
        """Make these outputs, of shape (m, n_outputs), orthonormal from here on."""
        # In float64, as the condition of the product is the square of that of y.
        y = y.to(self._dtype())
        self.set(y.T @ y / len(y))

    @torch.no_grad()
    def set(self, gram: torch.Tensor) -> None:
        r"""Take :math:`\tilde Y^\top\tilde Y/m` of outputs."""
        gram = gram.to(self.factor.device, self._dtype())
        identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        share = _LEAST if gram.dtype == torch.float64 else 1e-6
        # Where all outputs are zero they stay so.
        least = (share * gram.diagonal().sum()).clamp(min=1e-30)
        # The one that does not ask the device whether it was possible.
        R, _ = torch.linalg.cholesky_ex(gram + least * identity, upper=True)
        self.factor.copy_(R)
        self.inverse.copy_(torch.linalg.solve_triangular(R, identity, upper=True))

    @torch.no_grad()
    def forget(self) -> None:
        """Leave outputs as they are."""
        for matrix in (self.factor, self.inverse):
            matrix.copy_(torch.eye(len(matrix)))

    # No forward: the inverse is large where outputs are nearly collinear, and a pass of
    # a network may be in a lower precision.

    def orthonormal(self, y: torch.Tensor) -> torch.Tensor:
        """Return the rows of Y."""
        return self._product(y, self.inverse)

    def back(self, change: torch.Tensor) -> torch.Tensor:
        r"""Return the change of :math:`\tilde Y` that makes this change of Y."""
        return self._product(change, self.factor)

    def _product(self, rows, matrix):
        exact = self._dtype()
        return (rows.to(exact) @ matrix.to(exact)).to(rows.dtype)

    def _dtype(self) -> torch.dtype:
        mps = self.factor.device.type == "mps"
        return torch.float32 if mps else torch.float64
