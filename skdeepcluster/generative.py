"""What the methods with a generator or a decoder share: samples of clusters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, check_random_state

from skdeepcluster.engine import Draws, inference


def prior_edges(prior: Any, n_clusters: int, device: torch.device) -> torch.Tensor:
    """Return cumulated proportions, without the last; None stands for equal ones."""
    prior = np.ones(n_clusters) if prior is None else np.asarray(prior, dtype=float)
    edges = np.cumsum(prior / prior.sum())[:-1]
    return torch.tensor(edges, dtype=torch.float32, device=device)


def draw_categories(n: int, edges: torch.Tensor, draws: Draws) -> torch.Tensor:
    """One-hot categories of shape (n, n_clusters) with these proportions."""
    category = torch.bucketize(draws.rand(n), edges, right=True)
    return one_hot(category, len(edges) + 1)


def one_hot(category: torch.Tensor, n_clusters: int) -> torch.Tensor:
    """Codes of shape (n, n_clusters), float32.

    Torch's own looks for categories out of range, for which a step has to wait.
    """
    all_clusters = torch.arange(n_clusters, device=category.device)
    return (category[:, None] == all_clusters).float()


def draw_gaussian(
    mean: torch.Tensor, log_variance: torch.Tensor, draws: Draws
) -> torch.Tensor:
    """Draw from diagonal Gaussians, in a way that has a gradient in both."""
    return mean + (log_variance / 2).exp() * draws.randn(*mean.shape)


class GenerativeMixin:
    """`sample` and `interpolate`, for a method that turns (category, noise) into rows.

    The method says what noise is (`_noise`), and generates (`_generate`).
    """

    # Set by DeepClusterer.
    _model: torch.nn.ModuleDict
    _kept: np.ndarray
    _chunk: int
    _description: dict[str, Any]
    _as_fitted: dict[str, Any]
    n_clusters_: int
    random_state: Any

    @abstractmethod
    def _noise(self, n: int, draws: Draws) -> torch.Tensor:
        """Draw the noise of n samples, of shape (n, n_noise)."""

    @abstractmethod
    def _generate(self, category: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return a scaled batch; rows of `category` sum to one over all clusters."""

    def _proportions(self) -> np.ndarray:
        """Proportions that clusters are sampled in, of shape (n_clusters,)."""
        prior = self._as_fitted.get("cluster_prior")
        if prior is None:
            return np.ones(self._description["n_clusters"])
        return np.asarray(prior, float)

    def sample(self, n_samples=1, cluster=None, random_state=None):
        """Generate rows of the clusters.

        Parameters
        ----------
        n_samples : int, default=1
        cluster : int or None, default=None
            Cluster of all samples, as in ``labels_``; by default they are drawn in the
            proportions that the method assumes.
        random_state : int, RandomState instance or None, default=None
            By default the estimator's.

        Returns
        -------
        X : ndarray of shape (n_samples, ...), float32
            In the shape and units of the training data (images as they were given).
        y : ndarray of shape (n_samples,), int64
            The cluster that each row was generated for.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If there is no such cluster, or `n_samples` is not positive.
        """
        check_is_fitted(self)
        _check_integer("n_samples", n_samples, 1)
        draws = self._draws(random_state)
        if cluster is None:
            edges = prior_edges(
                self._proportions()[self._kept], self.n_clusters_, draws.device
            )
            category = draw_categories(n_samples, edges, draws)
        else:
            category = self._one_cluster("cluster", cluster, draws.device).repeat(
                n_samples, 1
            )
        y = category.argmax(1).cpu().numpy()
        return self._rows_of(category, self._noise(n_samples, draws)), y

    def interpolate(self, start, stop, n_steps=8, n_samples=1, random_state=None):
        """Generate rows on the way from one cluster to another.

        The noise of a path is fixed, the category goes from one one-hot code to the
        other in equal steps.

        Parameters
        ----------
        start, stop : int
            Clusters, as in ``labels_``.
        n_steps : int, default=8
            Rows of a path, both ends included.
        n_samples : int, default=1
            Paths.
        random_state : int, RandomState instance or None, default=None
            By default the estimator's.

        Returns
        -------
        X : ndarray of shape (n_samples, n_steps, ...), float32
            In the shape and units of the training data.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If there is no such cluster, or a number is not positive.
        """
        check_is_fitted(self)
        draws, ends = self._path(start, stop, n_steps, n_samples, random_state)
        category = _between(*ends, n_steps).repeat(n_samples, 1)
        noise = self._noise(n_samples, draws).repeat_interleave(n_steps, 0)
        rows = self._rows_of(category, noise)
        return rows.reshape(n_samples, n_steps, *rows.shape[1:])

    # -- parts ------------------------------------------------------------------------

    def _path(self, start, stop, n_steps, n_samples, random_state):
        """Check a path's arguments; return a source of noise and both categories."""
        _check_integer("n_steps", n_steps, 1)
        _check_integer("n_samples", n_samples, 1)
        draws = self._draws(random_state)
        ends = {"start": start, "stop": stop}
        return draws, [self._one_cluster(*end, draws.device) for end in ends.items()]

    def _draws(self, random_state) -> Draws:
        given = self.random_state if random_state is None else random_state
        if given is None:
            given = np.random.SeedSequence().generate_state(1)[0]  # not numpy's state
        seed = check_random_state(given).randint(2**31 - 1)
        return Draws.seeded(seed, next(self._model.parameters()).device)

    def _one_cluster(self, name: str, cluster, device: torch.device) -> torch.Tensor:
        """One-hot category of a cluster, of shape (1, n_clusters_)."""
        _check_integer(name, cluster, 0, self.n_clusters_ - 1)
        return torch.eye(self.n_clusters_, device=device)[[int(cluster)]]

    def _all_clusters(self, category: torch.Tensor) -> torch.Tensor:
        """Categories over all clusters, of those over the ones that are not empty."""
        category = category.float()  # whatever torch's default type is
        full = category.new_zeros(len(category), self._description["n_clusters"])
        full[:, torch.from_numpy(self._kept).to(category.device)] = category
        return full

    def _rows_of(self, category: torch.Tensor, noise: torch.Tensor) -> np.ndarray:
        """Generate in chunks, and return to the units and shape of the input."""
        rows = np.concatenate(list(self._chunks_of(category, noise)))
        return rows.reshape(len(rows), *self._shape_of_a_row())  # type: ignore

    def _chunks_of(self, category, noise) -> Iterator[np.ndarray]:
        scaling: Any = self._model["scaling"]
        pairs = zip(category.split(self._chunk), noise.split(self._chunk), strict=True)
        for part, its_noise in pairs:
            with inference(noise.device):
                x = self._generate(self._all_clusters(part), its_noise)
            yield scaling.inverse(x)


def _check_integer(name: str, value, low: int, high: int | None = None) -> None:
    is_one = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_one or int(value) < low or (high is not None and int(value) > high):
        upwards = "upwards" if high is None else f"to {high}"
        raise ValueError(
            f"{name} must be an integer from {low} {upwards}; got {value!r}."
        )


def _between(start: torch.Tensor, stop: torch.Tensor, n: int) -> torch.Tensor:
    """Rows from `start` to `stop`, in equal steps; n = 1 is the start."""
    share = torch.linspace(0, 1, n, device=start.device)[:, None]
    return (1 - share) * start + share * stop
