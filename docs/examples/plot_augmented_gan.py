"""
Frozen features, several heads, and clusters of unequal size
============================================================

:class:`~skdeepcluster.AugmentedGANClustering` clusters features that are frozen: those
that a GAN has learned of images, those of your own network, or, as here, the columns of
a table. Several softmax heads learn side by side, and the one with the lowest loss is
the clustering.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from skdeepcluster import AugmentedGANClustering
from skdeepcluster.metrics import clustering_accuracy

# %%
# Three digits that KMeans confuses
# ---------------------------------
#
# Handwritten 3, 7 and 9. The labels are only looked at to score.

X, y = load_digits(return_X_y=True)
rows = np.isin(y, [3, 7, 9])
X, y = X[rows], y[rows]

kmeans = KMeans(3, n_init=10, random_state=0).fit(X)
model = AugmentedGANClustering(3, max_epochs=200, random_state=0).fit(X)
for name, labels in (("KMeans", kmeans.labels_), ("heads", model.labels_)):
    print(f"{name}: accuracy {clustering_accuracy(y, labels):.2f}")

# %%
# What the heads were asked for: sure and even clusters ("information"), which change
# neither under dropout nor under the small step that changes them most.

history = model.history_
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for name in ("information", "adversarial", "dropout"):
    ax.plot(history["step"], history[name], label=name)
ax.set(xlabel="iterations", ylabel="mean over all heads")
ax.legend()

# %%
# Typical members: the rows of each cluster that the head is most sure of.

proba = model.predict_proba(X)
fig, axes = plt.subplots(3, 8, figsize=(6, 2.6), layout="constrained")
for cluster, row in enumerate(axes):
    surest = np.argsort(-proba[:, cluster])[:8]
    for ax, i in zip(row, surest, strict=True):
        ax.imshow(X[i].reshape(8, 8), cmap="gray_r")
        ax.set_axis_off()

# %%
# Clusters of unequal size
# ------------------------
#
# Now three of four sevens are missing. The heads want even clusters; ``tolerance`` says
# how uneven they may be for nothing, as a share of the logarithm of their number. These
# three classes are uneven by about a tenth.

rng = np.random.default_rng(0)
kept = (y != 7) | (rng.random(len(y)) < 0.25)
X_few, y_few = X[kept], y[kept]
sizes = np.unique(y_few, return_counts=True)[1]
share = sizes / sizes.sum()
print(f"sizes {sizes}, uneven by {1 + (share * np.log(share)).sum() / np.log(3):.3f}")

for tolerance in (1e-4, 0.1):
    model = AugmentedGANClustering(
        3, tolerance=tolerance, max_epochs=200, random_state=0
    ).fit(X_few)
    print(
        f"tolerance {tolerance}: accuracy "
        f"{clustering_accuracy(y_few, model.labels_):.2f}, sizes "
        f"{np.sort(np.bincount(model.labels_))}"
    )

plt.show()
