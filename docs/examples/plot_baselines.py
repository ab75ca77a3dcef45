"""
The baselines: eleven ways to learn clusters, beside each other
===============================================================

The papers of this package compare themselves with these methods. Here each of them is
fitted to the digits 0 to 4 that ship inside scikit-learn, for some seconds and with
small networks: enough to see what kind of embedding it learns, not what it can reach.

The picture shows the embeddings, in their first two principal components, coloured by
the clusters that were found.
"""

import warnings

from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skdeepcluster import (
    DCN,
    DEC,
    DEPICT,
    GMVAE,
    IDEC,
    IIC,
    IMSAT,
    AutoencoderKMeans,
    ClusterGAN,
    SpectralNet,
    VaDE,
)
from skdeepcluster.metrics import external_scores

X, y = load_digits(n_class=5, return_X_y=True)
small = {"hidden_layer_sizes": (128, 128), "random_state": 0}
coded = {**small, "n_latent": 5, "pretrain_max_epochs": 100, "max_epochs": 100}
layers = {"generator_layer_sizes": (128, 128), "critic_layer_sizes": (128, 128)}
models = [
    AutoencoderKMeans(5, **small, n_latent=5, max_epochs=100),
    DEC(5, **coded),
    IDEC(5, **coded),
    DCN(5, **coded),
    DEPICT(5, **coded),
    VaDE(5, **coded),
    GMVAE(5, **small, max_epochs=100),
    IMSAT(5, **small),
    IIC(5, **small, max_epochs=200),
    ClusterGAN(5, **small, **layers, max_epochs=500),
    SpectralNet(5, **small, batch_size=450, max_epochs=500),
]

# %%
# Labels are used for the scores alone. So short a training need not have converged.
figure = Figure(figsize=(12, 9), layout="constrained")
axes = figure.subplots(3, 4).flat
for model, axis in zip(models, axes, strict=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = model.fit_predict(X)
    scores = external_scores(y, labels)
    name = type(model).__name__
    print(name, {score: round(value, 3) for score, value in scores.items()})
    points = PCA(2).fit_transform(model.transform(X))
    axis.scatter(*points.T, c=labels, s=4, cmap="viridis")
    axis.set_title(f"{name}, ACC {scores['ACC']:.2f}")
    axis.set_xticks([])
    axis.set_yticks([])
for axis in axes:
    axis.set_axis_off()
figure.savefig("plot_baselines.png")
