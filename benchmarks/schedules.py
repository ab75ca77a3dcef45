"""What k-means in an autoencoder's code depends on: optimizer, weights, pixels, length.

DEC, IDEC, DCN and VaDE begin with such a code. `follow` trains one autoencoder and
looks at its code at ever longer intervals; the labels are for its scores alone.
"""

from __future__ import annotations

import functools

from sklearn.cluster import KMeans
from skorch.callbacks import Callback

from benchmarks.data import load
from benchmarks.run import hardware
from skdeepcluster import AutoencoderKMeans
from skdeepcluster.engine import TimeLimit
from skdeepcluster.metrics import external_scores
from skdeepcluster.networks import xavier_normal_

_FIRST, _RATIO = 500, 2


class _XavierWeights(AutoencoderKMeans):
    """Adam, from Xavier-normal weights."""

    def _draw_weights(self, name, network, generator):
        if name != "centers":
            xavier_normal_(network, generator)


class _BlackIsMinusOne(AutoencoderKMeans):
    """Pixels in [-1, 1]."""

    _pixel_range = (-1.0, 1.0)


# On images the default differs from each of the others in one thing.
SETTINGS = {
    "default": AutoencoderKMeans,
    "published": functools.partial(AutoencoderKMeans, optimizer="sgd"),
    "xavier weights": _XavierWeights,
    "black is -1": _BlackIsMinusOne,
    "denoising": functools.partial(AutoencoderKMeans, kind="denoising"),
}


class _Codes(Callback):
    """Scores of k-means in the code, after 500, 1,000, 2,000, ... steps."""

    def __init__(self, codes, y):
        self.codes, self.y, self.next, self.points = codes, y, _FIRST, []

    def on_epoch_end(self, net, **kwargs):
        if net.n_steps >= self.next:
            self.next = net.n_steps * _RATIO
            self.score(net)

    def on_train_end(self, net, **kwargs):
        if not self.points or self.points[-1]["step"] < net.n_steps:
            self.score(net)

    def score(self, net):
        codes = self.codes(net)
        kmeans = KMeans(len(set(self.y)), n_init=10, random_state=0)
        scores = external_scores(self.y, kmeans.fit_predict(codes.cpu().numpy()))
        loss = net.history[-1].get("loss")
        point = {"step": net.n_steps, "loss": loss, "code": float(codes.std(0).mean())}
        self.points.append(point | {k.lower(): float(v) for k, v in scores.items()})


def follow(setting: str, data: str, seed: int, minutes: float, **params) -> dict:
    """Train one autoencoder for so long, scores included; one row of the results."""
    X, y = load(data)
    model = SETTINGS[setting](len(set(y)), random_state=seed, **params)
    codes = _Codes(model._codes, y)
    model.set_params(callbacks=[codes, TimeLimit(60 * minutes)]).fit(X)
    return {
        "setting": setting,
        "data": data,
        "seed": seed,
        "minutes": minutes,
        "params": params,
        "steps": model.n_iter_,
        "seconds": float(model.history_["dur"].sum()),
        "curve": codes.points,
        **hardware(),
    }
