"""
Digits without labels: DCCS beside KMeans
=========================================

DCCS draws the codes of all samples towards a prior in which each cluster is sure and
all are of one size, and asks that an augmented copy stays in its cluster. Here it gets
the 1,797 digits that ship inside scikit-learn, as rows of 64 pixels. Labels are used
for the scores alone.

The first picture shows the embedding and the most typical members of each cluster, the
second the quantity that tells whether the training has worked: the critic's estimate of
the distance between codes and prior rises while the critic learns, then falls.
"""

from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from skdeepcluster import DCCS
from skdeepcluster.metrics import external_scores
from skdeepcluster.plotting import plot_clusters

X, y = load_digits(return_X_y=True)

# %%
# 1,400 of the 2,000 iterations that are the default, so that it takes about two
# minutes.
model = DCCS(n_clusters=10, max_epochs=280, random_state=0).fit(X)
kmeans = KMeans(n_clusters=10, random_state=0).fit(X)
for name, labels in (("DCCS", model.labels_), ("KMeans", kmeans.labels_)):
    scores = external_scores(y, labels)
    print(name, {score: round(value, 3) for score, value in scores.items()})

# %%
# Embedding and typical members.
plot_clusters(model, X, image_shape=(8, 8)).savefig("plot_dccs_clusters.png")

# %%
# The critic's distance.
figure = Figure(figsize=(6, 3.5), layout="constrained")
axes = figure.subplots()
axes.plot(model.history_["step"], model.history_["wasserstein"])
axes.set(xlabel="iteration", ylabel="critic's distance")
figure.savefig("plot_dccs_distance.png")
