"""
Samples of clusters, and the ways between them
==============================================

VariationalClustering learns a Gaussian per cluster in the space
of a latent code, and a decoder. So a fitted model can draw new rows of a cluster, and
walk from one cluster to another. Here on the 8 x 8 digits that ship with scikit-learn,
taken as a table of 64 columns.
"""

# %%
# Fit
# ---
# A hundred passes over the data. The evidence lower bound rises while
# the entropy of the assignments falls: the clusters become sure.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skdeepcluster import VariationalClustering

X = load_digits().data
model = VariationalClustering(n_clusters=10, max_epochs=100, random_state=0).fit(X)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for axes, name in ((left, "elbo"), (right, "entropy")):
    axes.plot(model.history_["step"], model.history_[name])
    axes.set(xlabel="step", ylabel=f"{name} in nats")


# %%
# Samples
# -------
# One row per cluster: on the left the mean of its members, then samples.
def draw(pictures, title):
    """Show rows of images of shape (n_rows, n_columns, 64)."""
    n_rows, n_columns = pictures.shape[:2]
    tiles = pictures.reshape(n_rows, n_columns, 8, 8).swapaxes(1, 2)
    figure, axes = plt.subplots(
        figsize=(n_columns / 2, n_rows / 2 + 0.3), layout="constrained"
    )
    axes.imshow(
        tiles.reshape(n_rows * 8, n_columns * 8), cmap="gray_r", vmin=0, vmax=16
    )
    axes.set(xticks=[], yticks=[], title=title)


samples = [model.sample(8, cluster=c)[0] for c in range(model.n_clusters_)]
centers = model.cluster_centers_[:, None]
draw(np.concatenate([centers, samples], axis=1), "mean of the members, and samples")

# %%
# Between two clusters
# --------------------
# ``space="z"`` moves the latent code in a line from a sample of the one cluster to a
# sample of the other; ``space="k"`` moves the one-hot code, from which the prior makes
# a Gaussian that no cluster has.
for space in ("z", "k"):
    paths = [
        model.interpolate(c, c + 1, n_steps=10, space=space)[0]
        for c in range(model.n_clusters_ - 1)
    ]
    draw(np.stack(paths), f"interpolation in {space}")

plt.show()
