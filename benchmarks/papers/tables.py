"""The papers' tables, each a few settings of an estimator on named data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from benchmarks.data import RETENTION


@dataclass(frozen=True)
class Setting:
    """An estimator with the paper's parameters on a data set.

    `method` is a name of `skdeepcluster.methods.METHODS`, `data` one of
    `benchmarks.data.DATA`; `published` are the paper's scores between 0 and 1.
    """

    name: str
    method: str
    data: str
    params: dict = field(default_factory=dict)
    published: dict = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """Name as part of a file's."""
        return re.sub(r"[^\w.]+", "-", self.name).strip("-")


@dataclass(frozen=True)
class Table:
    """Settings that belong together.

    `hours`: whether it has the paper's length, and so needs hours on a GPU.
    """

    about: str
    settings: tuple[Setting, ...]
    hours: bool = False


def _epochs(n_samples: int, batch_size: int, n_draws: int, n_iterations: int) -> int:
    """Passes that make so many iterations, each of which draws `n_draws` batches."""
    return round(n_iterations / max(1, n_samples // batch_size // n_draws))


# -- UDC ------------------------------------------------------------------------------


def _udc(n_samples: int, n_iterations: int = 900_000) -> dict:
    epochs = _epochs(n_samples, 100, 5, n_iterations)
    paper = {"learning_rate": 1e-4, "gp_weight": 100.0}
    return {"max_epochs": epochs, "tol": 0, **paper}


_WIDE = dict.fromkeys(
    ("hidden_layer_sizes", "generator_layer_sizes", "critic_layer_sizes"),
    (512, 512, 512),
)


_UDC_GAUSSIANS = Table(
    "UDC IV-B: eight Gaussians, by number of noise inputs; 100,000 iterations",
    tuple(
        Setting(
            f"n_noise={n}",
            "udc",
            "gaussians",
            {**_udc(100_000, 100_000), **_WIDE, "n_noise": n, "scale": None},
        )
        for n in (0, 1, 2, 3, 4, 8)
    ),
    hours=True,
)
_UDC_GAUSSIANS_SHORT = Table(
    "UDC IV-B with the default networks and length, for a processor",
    tuple(
        Setting(
            f"n_noise={n}", "udc", "gaussians", {"tol": 0, "n_noise": n, "scale": None}
        )
        for n in (0, 1, 2, 3, 4, 8)
    ),
)
_UDC = {
    "udc-mnist": Setting(
        "paper", "udc", "mnist_train", _udc(60_000), {"acc": 0.958, "ari": 0.912}
    ),
    "udc-fashion": Setting(
        "paper", "udc", "fashion_train", _udc(60_000), {"acc": 0.721, "ari": 0.555}
    ),
    "udc-usps700": Setting(
        "paper", "udc", "usps700", _udc(7_000), {"acc": 0.981, "ari": 0.957}
    ),
    "udc-orl": Setting(
        "identities", "udc", "orl", _udc(400, 30_000), {"acc": 0.910, "nmi": 0.893}
    ),
    "udc-cifar10": Setting(
        "paper", "udc", "cifar10_train", _udc(50_000), {"acc": 0.330, "nmi": 0.315}
    ),
    "udc-artifact": Setting(
        "paper", "udc", "mnist_artifact", _udc(60_000), {"acc": 1.0, "ari": 1.0}
    ),
}
_USPS_SIZES = {1500: 8_900, 1200: 8_600, 900: 8_000, 800: 7_700, 700: 7_000}
_UDC_UNIFORMITY = Table(
    "UDC IV-E: variants of USPS, from less to more equal classes",
    tuple(
        Setting(f"at most {cap} per class", "udc", f"usps{cap}", _udc(n))
        for cap, n in _USPS_SIZES.items()
    ),
    hours=True,
)

# -- SIMI-ClusterGAN ------------------------------------------------------------------

# The paper states neither iterations nor batch sizes: see the method's sheet.
_SIMI = {"prior_max_epochs": 50, "tol": 0, "assign": "kmeans"}


def _simi(n_samples: int, n_iterations: int) -> dict:
    return {**_SIMI, "max_epochs": _epochs(n_samples, 64, 6, n_iterations)}


_SMALL = {"prior_layer_sizes": (256, 256)}
_LARGE = {"prior_layer_sizes": (1200, 1200)}
_SIMI_MNIST = {**_simi(70_000, 200_000), **_LARGE, "n_noise": 30}
_SIMI_FULL = {
    "simi-mnist": Setting(
        "paper", "simi_clustergan", "mnist", _SIMI_MNIST, {"acc": 0.986, "nmi": 0.958}
    ),
    "simi-fashion": Setting(
        "paper",
        "simi_clustergan",
        "fashion",
        {**_SIMI_MNIST, "affine": True},
        {"acc": 0.745, "nmi": 0.705},
    ),
    "simi-usps": Setting(
        "paper",
        "simi_clustergan",
        "usps_rows",
        {**_simi(9_298, 50_000), **_SMALL, "n_noise": 30},
        {"acc": 0.951, "nmi": 0.894},
    ),
    "simi-pendigits": Setting(
        "paper",
        "simi_clustergan",
        "pendigits",
        {**_simi(10_992, 50_000), **_SMALL, "n_noise": 5, "batch_norm": True},
        {"acc": 0.857, "nmi": 0.825},
    ),
}
_OFF = {"alpha_re": 0.0, "alpha_cm": 0.0, "alpha_pcl": 0.0}


def _simi_ablation(data: str, **params) -> Table:
    """Table IV: losses one after the other."""
    return Table(
        f"SIMI-ClusterGAN, table IV: losses one after the other, on {data}; default "
        "length",
        tuple(
            Setting(
                name,
                "simi_clustergan",
                data,
                {
                    "n_noise": 30,
                    **params,
                    **{k: v for k, v in _OFF.items() if k not in on},
                },
                {"acc": acc, "nmi": nmi},
            )
            for name, on, acc, nmi in (
                ("J_ce + J_mse", (), 0.5853, 0.5796),
                ("+ J_rec", ("alpha_re",), 0.6996, 0.6580),
                ("+ J_cm", ("alpha_re", "alpha_cm"), 0.7056, 0.6620),
                ("all", tuple(_OFF), 0.7459, 0.7053),
            )
        ),
    )


_SIMI_IMBALANCE = Table(
    "SIMI-ClusterGAN, table VI: imbalanced MNIST",
    (
        Setting(
            "digit 0 at .1",
            "simi_clustergan",
            "mnist_one_class_less",
            {**_simi(54_669, 200_000), **_LARGE, "n_noise": 30},
            {"acc": 0.969, "nmi": 0.923},
        ),
        Setting(
            "digits 1, 3, 5 at .1, .3, .5",
            "simi_clustergan",
            "mnist_three_classes_less",
            {**_simi(46_929, 200_000), **_LARGE, "n_noise": 30},
            {"acc": 0.949, "nmi": 0.909},
        ),
    ),
    hours=True,
)

# -- Variational Clustering -----------------------------------------------------------


def _vc(n_epochs: int, **params) -> dict:
    """Weights change after 40 and 80 epochs; the number of epochs is not published."""
    stages = ((0.0, 0.01), (40 / n_epochs, 0.5), (80 / n_epochs, 1.0))
    strict = {"kl_warmup": 0.0, "elbo_on_augmented": True, "tol": 0}
    return {"max_epochs": n_epochs, "lambda_aug": stages, **strict, **params}


_VC_MNIST = _vc(200, batch_size=100, learning_rate=1e-3, augmentation="rotation")
_VC_FULL = {
    "vc-mnist": Setting("paper", "vc", "mnist_train", _VC_MNIST, {"acc": 0.982}),
    "vc-fashion": Setting(
        "paper",
        "vc",
        "fashion_train",
        {**_VC_MNIST, "augmentation": "binarise"},
        {"acc": 0.7172},
    ),
    "vc-cifar10": Setting(
        "paper",
        "vc",
        "cifar10_train",
        _vc(
            300,
            batch_size=30,
            learning_rate=1e-4,
            augmentation="affine",
            lambda_rec=((0.0, 0.5), (40 / 300, 0.1)),
        ),
        {"acc": 0.445},
    ),
}
_VC_ARCS = Table(
    "Variational Clustering V-A: arcs of five circles, the toy networks",
    (
        Setting(
            "toy networks",
            "vc",
            "arcs",
            {
                "hidden_layer_sizes": (120,),
                "share_trunk": False,
                "posterior_trunk_sizes": (10,),
                "posterior_layer_sizes": (10,),
                "prior_layer_sizes": (120,),
                "decoder_layer_sizes": (120, 120),
                "n_latent": 2,
                "likelihood": "gaussian",
                "augmentation": None,
                "max_epochs": 200,
            },
        ),
    ),
)


def _vc_ablation(data: str, **params) -> Table:
    """Table V: terms of the loss."""
    return Table(
        f"Variational Clustering, table V: terms of the loss, on {data}; default "
        "length",
        tuple(
            Setting(name, "vc", data, {**params, **off}, {"acc": acc})
            for name, off, acc in (
                ("plain ELBO", {"augmentation": None}, 0.968),
                ("+ L2 term", {"w2_weight": 0.0}, 0.972),
                ("+ W2 term", {"l2_weight": 0.0}, 0.977),
                ("all", {}, 0.982),
            )
        ),
    )


_VC_IMBALANCE = Table(
    "Variational Clustering, table IV: MNIST by retention rate",
    tuple(
        Setting(
            f"r_min={r_min}",
            "vc",
            f"mnist_r{r_min}",
            _VC_MNIST,
            {"acc": acc},
        )
        for r_min, acc in zip(
            RETENTION, (0.896, 0.903, 0.961, 0.969, 0.971), strict=True
        )
    ),
    hours=True,
)

# -- augmented GAN and information maximisation ---------------------------------------


def _augmented_gan(n_samples: int, n_iterations: int) -> dict:
    epochs = _epochs(n_samples, 128, 1, n_iterations)
    return {"gan_max_epochs": epochs, "max_epochs": 200, "tol": 0}


_AUGMENTED_GAN_FULL = {
    "augmented-gan-mnist": Setting(
        "paper",
        "augmented_gan",
        "mnist",
        _augmented_gan(70_000, 250_000),
        {"acc": 0.9885},
    ),
    "augmented-gan-cifar10": Setting(
        "paper",
        "augmented_gan",
        "cifar10",
        _augmented_gan(60_000, 500_000),
        {"acc": 0.6922},
    ),
}
_HEADS_ABLATION = Table(
    "Augmented GAN, table VI: heads and tolerance, here on fixed features of CIFAR-10",
    tuple(
        Setting(
            f"{n} head{'s' * (n > 1)}, {'' if tolerance else 'no '}tolerance",
            "augmented_gan",
            "cifar10_features",
            {
                "n_heads": n,
                "n_over_heads": int(n > 1),
                "tolerance": tolerance,
                "over_tolerance": 100 * tolerance,
                "max_epochs": 200,
                "tol": 0,
            },
            {"acc": acc},
        )
        for n, tolerance, acc in (
            (1, 0.0, 0.6571),
            (1, 1e-4, 0.6820),
            (5, 0.0, 0.6381),
            (5, 1e-4, 0.6964),
        )
    ),
)

# -- DCCS -----------------------------------------------------------------------------

_DCCS_FULL = {
    "dccs-mnist": Setting(
        "paper",
        "dccs",
        "mnist",
        {"max_epochs": 3_000, "tol": 0},
        {"acc": 0.989, "nmi": 0.970, "ari": 0.976},
    ),
    "dccs-cifar10": Setting(
        "paper",
        "dccs",
        "cifar10",
        {"max_epochs": 3_000, "tol": 0},
        {"acc": 0.656, "nmi": 0.569, "ari": 0.469},
    ),
    "dccs-fashion": Setting(
        "paper",
        "dccs",
        "fashion",
        {"max_epochs": 3_000, "tol": 0, "horizontal_flip": True},
        {"acc": 0.756, "nmi": 0.704, "ari": 0.623},
    ),
}

_FULL = _UDC | _SIMI_FULL | _VC_FULL | _AUGMENTED_GAN_FULL | _DCCS_FULL
TABLES: dict[str, Table] = {
    "udc-gaussians": _UDC_GAUSSIANS,
    "udc-gaussians-short": _UDC_GAUSSIANS_SHORT,
    "udc-uniformity": _UDC_UNIFORMITY,
    "simi-ablation": _simi_ablation("fashion10k", affine=True),
    "simi-ablation-rows": _simi_ablation("fashion10k_rows"),
    "simi-imbalance": _SIMI_IMBALANCE,
    "vc-arcs": _VC_ARCS,
    "vc-ablation": _vc_ablation("mnist10k"),
    "vc-ablation-rows": _vc_ablation("mnist10k_rows", likelihood="bernoulli"),
    "vc-imbalance": _VC_IMBALANCE,
    "heads-ablation": _HEADS_ABLATION,
    **{
        name: Table(f"{setting.data}, the paper's length", (setting,), hours=True)
        for name, setting in _FULL.items()
    },
}
