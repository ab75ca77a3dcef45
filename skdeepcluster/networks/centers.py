"""Centres of clusters in a code, from which assignments are read."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import nn

from skdeepcluster.networks.linear import Linear
from skdeepcluster.networks.linkage import path_linkage


def fit_quietly(model, X: np.ndarray):
    """Fit k-means, or a mixture, without its warning of few different rows.

    That there are empty clusters is told by the fit that this is part of.
    """
    with warnings.catch_warnings():
        few = "Number of distinct clusters"
        warnings.filterwarnings("ignore", few, ConvergenceWarning)
        return model.fit(X)


def _kmeans(n_clusters: int, codes: np.ndarray) -> KMeans:
    """K-means with as many starts as published for DEC."""
    return fit_quietly(KMeans(n_clusters, n_init=20, random_state=0), codes)


def _members(n_clusters: int, codes: np.ndarray, labels: np.ndarray):
    """Codes of each cluster; all codes for one that has none, as too few differ."""
    parts = [codes[labels == c] for c in range(n_clusters)]
    return [part if len(part) else codes for part in parts]


def _variance_around(kmeans: KMeans, codes: np.ndarray) -> float:
    """Mean variance of a value of a code around the nearest centre."""
    return max(kmeans.inertia_ / codes.size, 1e-12)


class Placed(nn.Module):
    """Base of what begins without a place in the code.

    Attributes
    ----------
    placed : tensor of shape ()
        1 once there are centres.
    """

    placed: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("placed", torch.zeros(()))

    @property
    def fitted(self) -> bool:
        """Whether there are any."""
        return bool(self.placed)


class _AtPoints(Placed):
    """Base of centres that are points, placed by k-means."""

    centers: torch.Tensor

    def fit(self, codes: np.ndarray) -> KMeans:
        """Place the centres by k-means of these codes, which is returned."""
        kmeans = _kmeans(len(self.centers), codes)
        self.centers.data.copy_(torch.from_numpy(kmeans.cluster_centers_))
        self.placed.fill_(1)
        return kmeans

    def squares(self, embedding: torch.Tensor) -> torch.Tensor:
        """Squared distance of each row to each centre."""
        # No tensor of all differences in this pass, nor the cancellation of a product.
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(embedding, self.centers, compute_mode=exact).square()


class Centers(_AtPoints):
    """Centres of clusters in a code, as Gaussians of one variance.

    Parameters
    ----------
    n_clusters : int
    n_embedding : int
        Width of the code.

    Attributes
    ----------
    centers : tensor of shape (n_clusters, n_embedding)
    variance : tensor of shape ()
        Of a value around them, when they were placed.
    """

    variance: torch.Tensor

    def __init__(self, n_clusters: int, n_embedding: int):
        super().__init__()
        self.register_buffer("centers", torch.zeros(n_clusters, n_embedding))
        self.register_buffer("variance", torch.ones(()))

    def fit(self, codes: np.ndarray) -> KMeans:
        """Place the centres by k-means of these codes, which is returned."""
        kmeans = super().fit(codes)
        self.variance.fill_(_variance_around(kmeans, codes))
        return kmeans

    def forward(self, embedding):
        """Logarithm of each Gaussian's density, up to a constant."""
        return -self.squares(embedding) / (2 * self.variance)


class StudentCenters(_AtPoints):
    r"""Soft assignment by Student's t-distribution around centres (DEC eq. 1).

    .. math::
        q_{ij}\propto\big(1+\lVert z_i-\mu_j\rVert^2/\alpha\big)^{-(\alpha+1)/2}

    Parameters
    ----------
    n_clusters : int
    n_embedding : int
        Width of the code.
    alpha : float, default=1.0
        Degrees of freedom :math:`\alpha`.

    Attributes
    ----------
    centers : parameter of shape (n_clusters, n_embedding)
        :math:`\mu`; trained.
    """

    def __init__(self, n_clusters: int, n_embedding: int, alpha: float = 1.0):
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(n_clusters, n_embedding))
        self.alpha = alpha

    def forward(self, embedding):
        """Logits of the assignment q."""
        # Not log(alpha + squares), which loses distances that are small beside alpha.
        squares = self.squares(embedding)
        return -(self.alpha + 1) / 2 * torch.log1p(squares / self.alpha)


class MixturePrior(Placed):
    r"""Gaussian mixture in the code, with one diagonal Gaussian per cluster (VaDE).

    Parameters
    ----------
    n_clusters : int
    n_embedding : int
        Width of the code.
    init : {"mixture", "kmeans"}, default="mixture"
        What `fit` fits: a mixture, by expectation maximisation, or k-means, of whose
        clusters it takes weights, means and variances.

    Attributes
    ----------
    log_weights : parameter of shape (n_clusters,)
        Unnormalised; their softmax is :math:`\pi`.
    means, log_variances : parameters of shape (n_clusters, n_embedding)
        :math:`\mu_c` and :math:`\log\sigma_c^2`.
    """

    def __init__(self, n_clusters: int, n_embedding: int, init: str = "mixture"):
        super().__init__()
        self.init = init
        self.log_weights = nn.Parameter(torch.zeros(n_clusters))
        self.means = nn.Parameter(torch.zeros(n_clusters, n_embedding))
        self.log_variances = nn.Parameter(torch.zeros(n_clusters, n_embedding))

    def fit(self, codes: np.ndarray) -> None:
        """Place the Gaussians by what is fitted to these codes, see `init`."""
        k, codes = len(self.means), codes.astype(np.float64)
        if self.init == "kmeans":
            labels = _kmeans(k, codes).labels_
            counts = np.bincount(labels, minlength=k)
            parts = _members(k, codes, labels)
            variances = np.stack([part.var(0) + 1e-6 for part in parts])
            # Those that have no codes: neither likely, nor wide, which would win all.
            variances[counts == 0] = variances[counts > 0].mean(0)
            means = np.stack([part.mean(0) for part in parts])
            self.set(np.maximum(counts, 1e-9) / len(codes), means, variances)
            return
        mixture = GaussianMixture(k, covariance_type="diag", n_init=5, random_state=0)
        fit_quietly(mixture, codes)
        self.set(mixture.weights_, mixture.means_, mixture.covariances_)

    @torch.no_grad()
    def set(self, weights, means, variances) -> None:
        """Take over a fitted mixture (arrays)."""
        self.log_weights.copy_(torch.from_numpy(weights).log())
        self.means.copy_(torch.from_numpy(means))
        self.log_variances.copy_(torch.from_numpy(variances).log())
        self.placed.fill_(1)

    def forward(self, z):
        """Logits of the cluster given a code, and the logarithm of its density."""
        ratio = (z[:, None] - self.means).square() / self.log_variances.exp()
        log_density = -(ratio + self.log_variances + math.log(2 * math.pi)).sum(2) / 2
        return self.log_weights.log_softmax(0) + log_density


class RunningCenters(Centers):
    r"""Centres that move towards each sample of theirs (DCN eq. 9).

    .. math:: \mu_c\leftarrow(1-\tfrac1{n_c})\,\mu_c+\tfrac1{n_c}f(x)

    with :math:`n_c` the samples so far, from 100 on.

    Attributes
    ----------
    counts : tensor of shape (n_clusters,)
        :math:`n_c`.
    """

    counts: torch.Tensor

    def __init__(self, n_clusters: int, n_embedding: int):
        super().__init__(n_clusters, n_embedding)
        self.register_buffer("counts", torch.zeros(n_clusters))

    def fit(self, codes: np.ndarray) -> KMeans:
        """Place the centres by k-means of these codes, which is returned."""
        self.counts.fill_(100)
        return super().fit(codes)

    @torch.no_grad()
    def measure(self, codes: np.ndarray) -> None:
        """Take the variance of these codes around the centres, where they are now."""
        nearest = self.squares(torch.from_numpy(codes).to(self.centers.device))
        variance = nearest.min(1).values.mean() / codes.shape[1]
        self.variance.copy_(variance.clamp(min=1e-12))

    @torch.no_grad()
    def nearest(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return the nearest centre of each row."""
        return self.squares(embedding).argmin(1)

    @torch.no_grad()
    def move(self, embedding: torch.Tensor, assigned: torch.Tensor) -> None:
        r"""Move the centres by rows that are assigned (one-hot) to them.

        All at once: m moves, one after the other, lead to
        :math:`(n_c\mu_c+\sum f(x))/(n_c+m)`.
        """
        counts = self.counts + assigned.sum(0)
        sums = self.counts[:, None] * self.centers + assigned.T @ embedding
        self.centers.copy_(sums / counts[:, None])
        self.counts.copy_(counts)


class LinearAssignment(Placed):
    r"""Softmax of a linear layer on the code (DEPICT eq. 1), placed by clusters.

    Where it begins, the most probable cluster is that of the nearest centre:
    :math:`-\lVert z-\mu\rVert^2/2` is linear up to what all clusters share.

    Parameters
    ----------
    n_clusters : int
    n_embedding : int
        Width of the code.
    init : {"kmeans", "agglomerative"}, default="kmeans"
        What finds the clusters that it begins with: k-means, or paths (`path_linkage`).

    Attributes
    ----------
    linear : linear layer
    """

    def __init__(self, n_clusters: int, n_embedding: int, init: str = "kmeans"):
        super().__init__()
        self.init = init
        self.linear = Linear(n_embedding, n_clusters)

    @torch.no_grad()
    def fit(self, codes: np.ndarray) -> np.ndarray:
        """Begin with clusters of these codes; return their labels."""
        n_clusters = self.linear.out_features
        if self.init == "kmeans":
            labels = _kmeans(n_clusters, codes).labels_
        else:
            labels = path_linkage(codes, n_clusters)
        parts = _members(n_clusters, codes, labels)
        centers = torch.from_numpy(np.stack([part.mean(0) for part in parts]))
        variance = (codes - centers.numpy()[labels]).var()
        # Codes that are few points would make weights that nothing can change again.
        variance = max(variance, 1e-2 * codes.var(), 1e-12)
        self.linear.weight.copy_(centers / variance)
        self.linear.bias.copy_(-centers.square().sum(1) / (2 * variance))
        self.placed.fill_(1)
        return labels

    def forward(self, embedding):
        """Logits of the clusters."""
        return self.linear(embedding)
