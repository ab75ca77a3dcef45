"""
SIMI-ClusterGAN: samples of clusters, the way between them, and unequal clusters
================================================================================

SIMI-ClusterGAN first learns clusters by information maximisation, then a generator that
makes samples of each. Here it gets the digits that ship inside scikit-learn, as rows of
64 pixels, of which only one in ten zeros is kept: the prior of the generator is learned
from the data, so that a small cluster may stay small.

The first picture shows generated digits, a row per cluster; the second the way from one
cluster to the next, with the noise fixed along each row.
"""

import numpy as np
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from skdeepcluster import SIMIClusterGAN
from skdeepcluster.datasets import take_per_class
from skdeepcluster.metrics import external_scores, uniformity_index

X, y = load_digits(return_X_y=True)
rows = take_per_class(y, {0: 0.1}, random_state=0)
X, y = X[rows], y[rows]
print(f"{len(X)} digits, uniformity {uniformity_index(y):.3f}")

# %%
# Labels are used for the scores alone.
model = SIMIClusterGAN(n_clusters=10, max_epochs=400, random_state=0).fit(X)
kmeans = KMeans(n_clusters=10, n_init=10, random_state=0).fit(X)
for name, labels in (("SIMI-ClusterGAN", model.labels_), ("KMeans", kmeans.labels_)):
    scores = external_scores(y, labels)
    print(name, {score: round(value, 3) for score, value in scores.items()})
print("sizes of the clusters:", np.bincount(model.labels_))


# %%
def draw(rows_of_images, path):
    """Draw rows of images of 8 x 8 pixels."""
    n_rows, n_columns = rows_of_images.shape[:2]
    figure = Figure(figsize=(0.6 * n_columns, 0.6 * n_rows))
    axes = figure.subplots(n_rows, n_columns)
    for axis, image in zip(axes.flat, rows_of_images.reshape(-1, 8, 8), strict=True):
        axis.imshow(image, cmap="gray_r", vmin=0, vmax=16)
        axis.set_axis_off()
    figure.savefig(path)


clusters = range(model.n_clusters_)
samples = np.stack([model.sample(10, cluster=c, random_state=0)[0] for c in clusters])
draw(samples, "plot_simi_clustergan_samples.png")

# %%
# From each cluster to the next.
paths = [
    model.interpolate(c, (c + 1) % model.n_clusters_, n_steps=10, random_state=0)[0]
    for c in clusters
]
draw(np.stack(paths), "plot_simi_clustergan_paths.png")
