import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from skdeepcluster.engine import Batches, ResidentBatches
from skdeepcluster.networks import (
    ConvEncoder,
    CustomEncoder,
    Decoder,
    DeepConvEncoder,
    GaussianPosterior,
    GaussianPrior,
    Linear,
    MLPEncoder,
    PlainEncoder,
    ResidualEncoder,
    Scaling,
    add_to_statistics,
    dcgan,
    ghost_batches,
    mlp_gan,
    still_statistics,
    xavier_normal_,
    xavier_uniform_,
)


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "network, shape, n_activation, millions",
    [
        (ConvEncoder((1, 28, 28), 60), (1, 28, 28), 3_200, 3.47),
        (ResidualEncoder((1, 32, 32), 60), (1, 32, 32), 8_192, 9.49),
        (ResidualEncoder((1, 96, 96), 60), (1, 96, 96), 18_432, None),
        (ConvEncoder((1, 16, 16), 60), (1, 16, 16), 512, None),
        (ConvEncoder((1, 8, 8), 60), (1, 8, 8), 512, None),
        (ConvEncoder((3, 31, 20), 60), (3, 31, 20), 2_304, None),
        (ResidualEncoder((3, 50, 36), 60), (3, 50, 36), 512 * 6 * 4, None),
        (MLPEncoder(16, (512, 256), 60), (16,), 256, None),
    ],
)
def test_sizes_follow_the_input(network, shape, n_activation, millions):
    a, out = network(torch.randn(2, *shape))
    assert a.shape == (2, n_activation) == (2, network.n_activation)
    assert out.shape == (2, 60)
    if millions:  # as published
        assert n_parameters(network) / 1e6 == pytest.approx(millions, abs=0.005)


def test_published_widths_of_the_residual_encoder():
    for side, widths in ((32, [128, 256, 512]), (96, [64, 128, 256, 512])):
        blocks = list(ResidualEncoder((1, side, side), 60).body)
        assert [block.main[-2].out_channels for block in blocks] == widths


@pytest.mark.parametrize(
    "shape, n_features, parameters",
    [
        ((1, 24, 24), 1152, (166_720, 288_752)),  # .167 M, .289 M
        ((3, 32, 32), 1024, (4_857_281, 4_401_280)),  # 4.86 M, 4.40 M
        ((3, 48, 48), 1024, (10_100_161, 11_990_464)),  # 10.1 M, 11.99 M
        ((1, 28, 28), 128 * 4 * 4, None),
        ((1, 9, 8), 128 * 3 * 2, None),
        ((2, 4, 5), 128 * 1 * 2, None),
        ((1, 70, 65), 1024, None),
    ],
)
def test_dcgan_follows_the_image(shape, n_features, parameters):
    """Published numbers of parameters, and any other size."""
    D, G = dcgan(shape)
    if parameters:
        assert (n_parameters(D), n_parameters(G)) == parameters
    images = G(torch.rand(2, G[0].in_features))
    assert images.shape == (2, *shape)
    assert 0 <= images.min() and images.max() <= 1
    logits, M, m = D(images, 0.0)
    assert logits.shape == (2, 1)
    assert M.shape == m.shape == (2, n_features) == (2, D.n_features)
    torch.testing.assert_close(m, torch.nn.functional.leaky_relu(M, 0.2))


def test_initialisation_is_xavier_and_repeatable():
    networks = [
        xavier_normal_(ConvEncoder((1, 28, 28), 60), torch.Generator().manual_seed(s))
        for s in (0, 0, 1)
    ]
    weight, same, other = (n.body[3].weight for n in networks)
    assert torch.equal(weight, same) and not torch.equal(weight, other)
    expected = (2 / ((64 + 128) * 16)) ** 0.5
    assert weight.std().item() == pytest.approx(expected, rel=0.02)
    assert networks[0].head[-1].bias.abs().sum() == 0


def test_own_encoder_is_copied():
    own = nn.Linear(3, 4)
    network = CustomEncoder(own, (3,), 5)
    assert network.body is not own
    a, out = network(torch.randn(2, 3))
    assert a.shape == (2, 4) and out.shape == (2, 5)


def test_factory_gets_the_shape_of_one_input():
    network = CustomEncoder(lambda shape: nn.Flatten(), (2, 4, 4), 5)
    assert network.n_activation == 32
    with pytest.raises(TypeError, match="must return a torch.nn.Module"):
        CustomEncoder(lambda shape: 3, (3,), 5)


class Sum(nn.Module):
    def forward(self, x):
        return x.sum()


@pytest.mark.parametrize(
    "own, message",
    [
        (nn.Linear(7, 4), r"does not accept a batch of shape \(n, 3\)"),
        (Sum(), r"one row of features per sample; for a batch of 2 it returned shape"),
        (nn.LSTM(3, 2), "it returned tuple"),
        (nn.Flatten(0), "it returned shape"),
    ],
)
def test_own_encoder_of_a_wrong_shape(own, message):
    with pytest.raises(ValueError, match=message):
        CustomEncoder(own, (3,), 5)


@pytest.mark.parametrize(
    "shape, posterior, prior, sides, n_activation, millions",
    [
        (
            (1, 28, 28),
            (256, 512),
            (),
            [26, 24, 22, 10, 8, 6, 2, 6, 8, 10, 12, 24, 26, 28],
            1024,
            3.116,
        ),
        (
            (3, 32, 32),
            (512, 512),
            (64, 64),
            [30, 28, 13, 11, 9, 4, 9, 11, 13, 28, 30, 32, 32],
            3072,
            4.098,
        ),
    ],
)
def test_published_variational_networks(
    shape, posterior, prior, sides, n_activation, millions
):
    """Sides of all maps, number of features and of parameters, for 10 clusters."""
    active = nn.ReLU()
    networks = [
        PlainEncoder(shape, (), 10),
        GaussianPosterior(n_activation, 10, posterior, 32, active),
        GaussianPrior(10, prior, 32),
        Decoder(32, (), shape, None if shape[0] == 1 else 1e-3),
    ]
    assert networks[0].n_activation == n_activation
    assert sum(map(n_parameters, networks)) / 1e6 == pytest.approx(millions, abs=5e-4)
    seen = []
    for network in (networks[0], networks[-1]):
        for layer in network.body:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(lambda *args: seen.append(args[2].shape[2]))
    networks[0](torch.zeros(1, *shape))
    location, variance = networks[-1](torch.zeros(1, 32))
    assert seen == sides
    assert location.shape == (1, shape[0] * shape[1] ** 2)
    assert (variance is None) == (shape[0] == 1)


@pytest.mark.parametrize(
    "shape",
    [(5,), (1, 2, 3), (1, 8, 8), (1, 30, 57), (1, 64, 60), (3, 8, 8), (2, 31, 20)]
    + [(3, 28, 33), (3, 96, 70)],
)
def test_decoder_and_trunk_fit_any_size(shape):
    encoder = PlainEncoder(shape, (7,), 4)
    a, logits = encoder(torch.randn(2, *shape))
    assert a.shape == (2, encoder.n_activation) and logits.shape == (2, 4)
    location, variance = Decoder(3, (7,), shape, 0.5)(torch.randn(2, 4, 3))
    n_values = torch.Size(shape).numel()
    assert location.shape == variance.shape == (2, 4, n_values)
    assert variance.min() > 0.5


@pytest.mark.parametrize("hidden", [(6,), (6, 5)])
def test_posterior_is_that_of_sample_and_cluster_side_by_side(hidden):
    network = GaussianPosterior(3, 4, hidden, 2, nn.Tanh())
    x = torch.randn(5, 3)
    mean, variance = network(x)
    assert mean.shape == variance.shape == (5, 4, 2) and variance.min() > 0
    pairs = torch.cat([x[2], torch.eye(4)[3]])
    expected = network.hidden(torch.tanh(network.first(pairs)))
    torch.testing.assert_close(mean[2, 3], network.out(expected)[0])
    clusters = torch.tensor([[3, 1]]).expand(5, 2)
    some = network(x, clusters)
    torch.testing.assert_close(some[0], mean[:, [3, 1]])
    torch.testing.assert_close(some[1], variance[:, [3, 1]])


def test_prior_without_hidden_layers_is_a_table():
    network = GaussianPrior(4, (), 2)
    assert n_parameters(network) == (4 + 1) * 4
    mean, variance = network.table()
    between, _ = network(torch.tensor([[0.5, 0.5, 0, 0]]))
    torch.testing.assert_close(between[0], mean[:2].mean(0))
    assert variance.shape == (4, 2) and variance.min() > 0


def test_uniform_initialisation_reaches_transposed_convolutions():
    networks = [
        xavier_uniform_(
            Decoder(32, (), (1, 28, 28), None), torch.Generator().manual_seed(s)
        )
        for s in (0, 0, 1)
    ]
    weight, same, other = (n.body[-1].weight for n in networks)
    assert torch.equal(weight, same) and not torch.equal(weight, other)
    limit = (6 / ((64 + 1) * 9)) ** 0.5
    assert 0.95 * limit < weight.abs().max().item() <= limit


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [Batches, ResidentBatches])
def test_read_only_rows_are_read_without_a_warning(kind):
    X = np.arange(12, dtype=np.uint8).reshape(6, 2)
    X.flags.writeable = False
    cpu = torch.device("cpu")
    scaling = Scaling.fit(X, None)
    batches = kind(X, 3, scaling, torch.Generator().manual_seed(0), cpu)
    rows = torch.cat(list(batches.in_order(4)))
    np.testing.assert_array_equal(rows.numpy(), X)
    assert batches.draw().shape == (3, 2)
    np.testing.assert_array_equal(scaling.centre(X).numpy(), X)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_passes_that_leave_the_averages_of_batch_norm(momentum):
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm1d(3, momentum=momentum))
    x, y = torch.randn(8, 3), 5 + torch.randn(8, 3)
    add_to_statistics(network, x)
    before = copy.deepcopy(network.state_dict())
    with still_statistics(network):
        out = network(y)
    assert abs(out.mean()) < 1e-5  # by the batch's own statistics
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    add_to_statistics(network, y)
    weight = 0.5 if momentum is None else momentum  # of two batches, where cumulative
    mean = before["0.running_mean"].lerp(y.mean(0), weight)
    torch.testing.assert_close(network.state_dict()["0.running_mean"], mean)


def test_ghost_batches_equal_passes_one_after_the_other():
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU())
    other = copy.deepcopy(one)
    batches = torch.randn(4, 8, 3) * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None]
    with ghost_batches(one, 4):
        merged = one(batches.flatten(0, 1))
    apart = torch.cat([other(x) for x in batches])
    torch.testing.assert_close(merged, apart)
    for a, b in zip(one.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b)
    # Statistics of all of them together are another matter, and are back afterwards.
    assert (one(batches.flatten(0, 1)) - apart).abs().max() > 0.1


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_in, n_out", [(5, 5), (10, 2), (10, 20), (50, 3), (50, 64)])
def test_a_row_has_the_same_output_wherever_it_stands(n_in, n_out, bias):
    torch.manual_seed(0)
    layer, x = Linear(n_in, n_out, bias=bias).eval(), torch.randn(1_024, n_in)
    expected = torch.nn.Linear.forward(layer, x)
    torch.testing.assert_close(layer(x), expected)
    for _ in range(5):
        order = torch.randperm(len(x))
        torch.testing.assert_close(layer(x[order]), layer(x)[order], rtol=0, atol=0)


IMAGE, ROW = (1, 16, 16), (6,)


@pytest.mark.parametrize(
    "read, shape",
    [
        (ConvEncoder(IMAGE, 3).eval(), IMAGE),
        (DeepConvEncoder(IMAGE, 3).eval(), IMAGE),
        (dcgan(IMAGE)[0].eval().features, IMAGE),
        (mlp_gan(6)[0].eval().features, ROW),
        (GaussianPosterior(6, 3, (20, 10), 2, nn.ReLU()).eval(), ROW),
    ],
    ids=["conv", "deep-conv", "dcgan", "mlp-gan", "posterior"],
)
def test_networks_read_a_row_alike_wherever_it_stands(read, shape):
    x = torch.randn(1_024 if shape == ROW else 256, *shape)
    for _ in range(3):
        order = torch.randperm(len(x))
        with torch.no_grad():
            moved, there = read(x[order]), read(x)
        if torch.is_tensor(moved):
            moved, there = (moved,), (there,)
        for a, b in zip(moved, there, strict=True):
            torch.testing.assert_close(a, b[order], rtol=0, atol=0)


def test_rows_are_read_alike_by_older_instructions_too():
    """Where matrix products depend on places more than on recent processors."""
    command = [sys.executable, "-m", "pytest", __file__, "-k", "wherever"]
    older = {**os.environ, "MKL_ENABLE_INSTRUCTIONS": "AVX2", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=older, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
