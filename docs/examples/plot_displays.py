"""
Displays: has it worked, and what is in there?
==============================================

Every picture here is a display in scikit-learn's manner: ``from_estimator``, often
``from_predictions``, and ``ax=``. A variational autoencoder with a mixture prior (VaDE)
clusters the digits 0 to 4 that ship inside scikit-learn, as images, for a few seconds.

The pictures show how its losses fell, phase by phase; how the clusters lie to each
other; how many rows they have, and how sure these are; what they have to do with the
digits; who is typical of them, and who is on their border; what the method generates
for each of them, and on the way from one to the next. The last one asks for the number
of clusters: there are five digits, but more ways to write them.
"""

import warnings

from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from skdeepcluster import VaDE
from skdeepcluster.plotting import (
    ClusterConfusionDisplay,
    ClusterSizesDisplay,
    EmbeddingDisplay,
    InterpolationDisplay,
    MembersDisplay,
    NumberOfClustersDisplay,
    SamplesDisplay,
    SilhouetteDisplay,
    TrainingCurvesDisplay,
)

warnings.simplefilter("ignore", ConvergenceWarning)  # so short a training
digits = load_digits(n_class=5)
X, y = digits.images, digits.target
params = {"hidden_layer_sizes": (128, 128), "n_latent": 5, "random_state": 0}
model = VaDE(5, **params, pretrain_max_epochs=100, max_epochs=100).fit(X)

# %%
# How it was trained.
TrainingCurvesDisplay.from_estimator(model).figure_.savefig("plot_displays_curves.png")

# %%
# What was found. Labels are used in the last panel alone.
figure = Figure(figsize=(13, 4), layout="constrained")
silhouettes, sizes, confusion = figure.subplots(1, 3)
SilhouetteDisplay.from_estimator(model, X, ax=silhouettes)
ClusterSizesDisplay.from_estimator(model, X, ax=sizes)
ClusterConfusionDisplay.from_estimator(model, X, y, ax=confusion)
figure.savefig("plot_displays_clusters.png")

# %%
# Where the clusters lie in the code: by principal components, and by t-SNE.
figure = Figure(figsize=(9, 4), layout="constrained")
left, right = figure.subplots(1, 2)
EmbeddingDisplay.from_estimator(model, X, ax=left)
EmbeddingDisplay.from_estimator(model, X, method="tsne", ax=right)
figure.savefig("plot_displays_embedding.png")

# %%
# Who is in them: the surest rows, and the least sure.
members = MembersDisplay.from_estimator(model, X, n_members=8)
members.figure_.savefig("plot_displays_members.png")

# %%
# What it takes each cluster for, and what lies between them.
paths = InterpolationDisplay.from_estimator(model, n_steps=12, random_state=0)
paths.figure_.savefig("plot_displays_paths.png")
samples = SamplesDisplay.from_estimator(model, 12, random_state=0)
samples.figure_.savefig("plot_displays_samples.png")

# %%
# How many clusters there are, by scores that need no labels.
short = VaDE(5, **params, pretrain_max_epochs=30, max_epochs=30)
numbers = NumberOfClustersDisplay.from_estimator(short, X, range(2, 9))
print("number of clusters:", numbers.n_clusters_)
numbers.figure_.savefig("plot_displays_number.png")
