"""Graphs of neighbours, and what is smooth on them."""

from __future__ import annotations

import torch

# Columns up to which distances are taken one by one.
_NARROW = 32
# Rows whose distances to all are held at once.
_BLOCK = 1_024


def nearest_others(points: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances and indices of the other rows that are nearest to each.

    By a matrix product near points of a far cluster lie apart by its rounding; without
    one rows of many columns take too long.

    Parameters
    ----------
    points : tensor of shape (n, n_features)
    k : int
        At most n - 1 are taken.

    Returns
    -------
    distances, indices : tensor of shape (n, k)
        Nearest first.
    """
    exact = "donot_use_mm_for_euclid_dist" if points.shape[1] <= _NARROW else None
    found = []
    for i, block in enumerate(points.split(_BLOCK)):
        mode = exact or "use_mm_for_euclid_dist"
        distances = torch.cdist(block, points, compute_mode=mode)
        distances.diagonal(i * _BLOCK).fill_(torch.inf)
        found.append(distances.topk(min(k, len(points) - 1), largest=False))
    distances, indices = (torch.cat(parts) for parts in zip(*found, strict=True))
    return distances, indices


def neighbour_affinity(
    points: torch.Tensor, n_neighbors: int, scale_neighbor: int
) -> torch.Tensor:
    r"""Gaussian affinities of the nearest neighbours within a batch.

    With :math:`N_k(i)` the :math:`k` nearest neighbours of a row, itself left out, and
    :math:`\sigma` the median distance to the :math:`s`-th,

    .. math::
        A_{ij}=\mathbf 1[j\in N_k(i)]\,e^{-\lVert x_i-x_j\rVert^2/2\sigma^2},\qquad
        W=\tfrac12(A+A^\top)

    Parameters
    ----------
    points : tensor of shape (n, n_features)
        Rows between which distances are measured.
    n_neighbors : int
        :math:`k`; at most n - 1 are taken.
    scale_neighbor : int
        :math:`s`, counted alike.

    Returns
    -------
    tensor of shape (n, n)
    """
    n = len(points)
    k, s = (min(count, n - 1) for count in (n_neighbors, scale_neighbor))
    nearest, neighbours = nearest_others(points, max(k, s))
    # Of rows that are mostly copies the scale is zero; copies then are as near as can
    # be, and all else is far.
    scale = nearest[:, s - 1].median().clamp(min=torch.finfo(nearest.dtype).tiny)
    weights = (-(nearest[:, :k] / scale).square() / 2).exp()
    A = weights.new_zeros(n, n).scatter_(1, neighbours[:, :k], weights)
    return (A + A.T) / 2


def laplacian_form(affinity: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    r"""How much outputs differ along the edges of a graph (SpectralNet eq. 3).

    With :math:`L=\mathrm{diag}(\sum_jW_{ij})-W`,

    .. math::
        \frac1{2m}\sum_{ij}W_{ij}\lVert y_i-y_j\rVert^2
        =\frac1m\operatorname{tr}(Y^\top LY)

    Among all :math:`Y` with :math:`Y^\top Y=mI` it is least, the sum of the smallest
    eigenvalues of :math:`L`, where the columns span the eigenvectors of these.

    Parameters
    ----------
    affinity : tensor of shape (m, m)
        Symmetric :math:`W`.
    y : tensor of shape (m, n_outputs)
    """
    return (y * _laplacian(affinity, y)).sum() / len(y)


def laplacian_residual(affinity: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    r"""What is left of the gradient of `laplacian_form` where orthonormality is kept.

    .. math:: \frac1m(LY-Y\Lambda),\qquad\Lambda=\tfrac1mY^\top LY

    Up to a factor of 2. The other part is within the span of :math:`Y`, which it leaves
    as it is; the residual is zero where the columns span eigenvectors of :math:`L`.

    Parameters
    ----------
    affinity : tensor of shape (m, m)
        Symmetric :math:`W`.
    y : tensor of shape (m, n_outputs)
        With :math:`Y^\top Y=mI`, or nearly so.

    Returns
    -------
    tensor, shaped as y
    """
    Ly = _laplacian(affinity, y)
    return (Ly - y @ (y.T @ Ly) / len(y)) / len(y)


def _laplacian(affinity: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Product with the unnormalised Laplacian: L Y."""
    return affinity.sum(1, keepdim=True) * y - affinity @ y


def contrastive(
    near: torch.Tensor, far: torch.Tensor, margin: float = 1.0
) -> torch.Tensor:
    r"""Contrastive loss of a siamese network (SpectralNet, section 3.3).

    .. math::
        \tfrac12\Big(\mathbb E_{\text{near}}\,d^2
        +\mathbb E_{\text{far}}\max(c-d,\,0)^2\Big)

    Parameters
    ----------
    near, far : tensor of shape (n,)
        Squared distances :math:`d^2` in pairs that belong together, and in others.
    margin : float, default=1.0
        Distance :math:`c` from which on a pair is far enough.
    """
    # The slope of a root has no limit at 0, where such a pair would not be moved.
    d = far.clamp(min=1e-12).sqrt()
    return (near.mean() + (margin - d).clamp(min=0).square().mean()) / 2
