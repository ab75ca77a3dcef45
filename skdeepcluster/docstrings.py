"""Parts of docstrings that all estimators share."""

from __future__ import annotations

import inspect
import re

_PARTS = {
    "shared parameters": """
    n_init : int, default=1
        Fits from independent seeds, of which the best is kept, without labels: see
        `init_scores_`.
    consensus : bool, default=False
        Combine the fits in place of keeping the best: their clusters are matched with
        each other (Hungarian), and they vote, also in `predict`, which costs as much
        more. `predict_proba` are shares of the votes; the mean of the fits'
        probabilities has one vote, which decides where others are equal. Embedding and
        networks are those of the fit that agrees most with the others (adjusted Rand
        index). Fits whose score is not finite, or with a single cluster where others
        have more, have no vote. Needs ``n_init > 1``.
    n_jobs : int, default=None
        Processes that they are spread over, each with a share of the threads; None is
        one, unless joblib's context says otherwise. On a GPU, fits that are trained at
        once, side by side in one process, up to eight (which None is), each with a copy
        of the data. Callbacks are copies in either case; those of scikit-learn
        (`set_callbacks`) see several fits as one task, without epochs.
    image_shape : tuple of int, default=None
        (height, width) or (height, width, channels) of images given as rows.
    scale : {"auto", "standard", "common", "minmax"} or None, default="auto"
        Scaling that is part of the model. "standard": each column to mean 0 and
        standard deviation 1. "common": each column to mean 0, all divided by one
        number, which keeps their proportions. "minmax": all values to the range that
        the method wants of pixels, [-1, 1] or [0, 1] (from 0...255 if uint8, else from
        their own range). "auto": "minmax" for images; "common" for tables where half
        of the columns span at least half of the widest range, as pixels and embeddings
        do; else "standard". None: as they are; images must then lie in that range.
    transform_to : {"embedding", "distance", "proba"}, default="embedding"
        What `transform` gives.
    device : str or torch.device, default="auto"
        "auto": cuda, mps or cpu, the first that there is.
    graph : bool or "auto", default="auto"
        Capture a whole iteration as one CUDA graph and replay it: the same results
        within rounding, without the processor's part in each. "auto": where the device
        is a CUDA one. Where it cannot be captured (a callback that wants every batch,
        data that do not fit on the device, an encoder or augmentation that asks the
        device for a number) iterations are made one by one, and the logger
        ``skdeepcluster`` says why, at level INFO.
    precision : {"auto", "float32", "tf32", "bf16"}, default="auto"
        Of the networks' matrix products and convolutions in training: tf32 rounds
        float32's factors (CUDA only), bf16 is ``torch.autocast``. "auto": tf32 on a
        CUDA device, else float32. Critics with a gradient penalty, penalties and losses
        stay in float32. Torch's own settings are put back, and hold for predictions.
    compile : bool or dict, default=False
        Pass the networks, but for critics with a gradient penalty, through
        ``torch.compile`` in training; a dict holds its arguments. The first iterations
        then take seconds to minutes.
    callbacks : list of skorch callbacks, default=None
        Called as in any skorch training.
    random_state : int, RandomState instance or None, default=None
        Seed. Global random states are neither used nor changed.
    verbose : int, default=0
        Print a row per epoch where positive.
""",
    "n_clusters": """
    n_clusters : int or "auto", default=8
        Number of clusters. "auto": an autoencoder is trained first, which costs another
        pretraining, its code is clustered into 30, and clusters are merged as long as
        that raises the modularity among nearest neighbours: an estimate, see
        ``n_clusters_``. Callbacks, time limits too, see only the fit that follows. One
        blob without gaps is cut in several.
""",
    "autoencoder parameters": """
    encoder : nn.Module or callable, default=None
        Own encoder: a module (copied, never trained in place) that maps a batch of
        shape (n, n_features) or (n, channels, height, width) to features (n, ...), or
        a factory called with the shape of one input. The code is a linear layer on
        top; the decoder stays as it is.
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Hidden layers from the input to the code, with ReLU; the decoder mirrors them.
        "auto": (500, 500, 2000) for images, as published, which are read as rows; (500,
        500) for tables, where the widest layer would take most of the time.
    n_latent : int, default=10
        Width of the code.
    convolutional : bool, default=False
        Strided convolutions in place of the linear layers, for images of any size.
""",
    "pretraining parameters": r"""
    pretrain_optimizer : {"adam", "sgd"}, default="adam"
        Of the pretraining. "sgd": with momentum .9, as published for MNIST; what it
        takes and gives is told in :class:`AutoencoderKMeans`.
    pretrain_learning_rate : float or "auto", default="auto"
        Step size of the pretraining. "auto": 1e-3 of Adam; of "sgd" 1 for images, as
        published, .1 for tables.
    pretrain_max_epochs : int or "auto", default="auto"
        Passes over the data in the pretraining. "auto": a budget of 4 steps per row, at
        least 500, at most 3,000 for tables, 10,000 for images.
""",
    "shared attributes": """
    labels_ : ndarray of shape (n_samples,)
        Cluster of each training sample, from 0.
    n_clusters_ : int
        Clusters that are not empty.
    cluster_centers_ : ndarray of shape (``n_clusters_``, n_features) or as the images
        Mean input of each cluster, in input space.
    n_iter_ : int
        Iterations done.
    init_scores_ : ndarray of shape (n_init,)
        Only where ``n_init > 1``: how good each (finished) fit is; the greatest one is
        kept. Of a table, the modularity of the fit's clusters in the graph of nearest
        neighbours, see :class:`skdeepcluster.metrics.ModularityScorer`, or minus
        infinity where the method's own criterion is. Of images, that own criterion.
        %(init score)s
    consensus_agreement_ : ndarray of shape (n_samples,)
        Only with `consensus`: for each sample, the share of the fits that put it where
        all together do.
    n_features_in_ : int
        Columns, or values of an image.
    feature_names_in_ : ndarray of shape (``n_features_in_``,)
        Names of the columns, where X has them.
""",
    "X and y": """
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) \
or (n_samples, height, width, channels)
            A table, images, or images as rows with ``image_shape=`` set. uint8 images
            are never converted as a whole. May be a memmap.
        y : array-like of shape (n_samples,), default=None
            Not used by the method; passed on to scikit-learn's callbacks.
""",
    "fit": """

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the input is not valid; before any training.
        TypeError
            If a callback is none.
        KeyboardInterrupt
            If the fit was interrupted; the estimator is then fitted with what was
            trained so far.

        Warns
        -----
        ConvergenceWarning
            If a loss stopped being finite (the last good state is kept), clusters
            ended up empty (they are dropped), or training ended while its criterion
            was still falling.
""",
}


def documented(of):
    """Fill the shared parts into a docstring, where ``%(name)s`` stands on a line.

    It is that of a class of estimators, or of a method.
    """
    if of.__doc__:  # none under python -OO
        for name, text in _PARTS.items():
            line = re.compile(rf"^ *%\({name}\)s\n", re.MULTILINE)
            of.__doc__ = line.sub(lambda _, text=text: text[1:], of.__doc__)
    if of.__doc__ and inspect.isclass(of):
        said = inspect.getdoc(of._own_criterion).split("\n\n", 1)[1]
        said = said.replace("\n", "\n        ")
        of.__doc__ = of.__doc__.replace("%(init score)s", said)
    return of
