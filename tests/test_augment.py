"""Augmentations against Pillow, and the ranges and rates that they promise."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from skdeepcluster import augment


@pytest.fixture
def photos():
    """Smooth random RGB images with values in [0, 1]."""
    x = torch.rand(6, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(x, (36, 28), mode="bicubic").clamp(0, 1)


def as_pillow(channel):
    return Image.fromarray(channel.numpy().astype(np.float32), mode=None)


def test_resized_crop_equals_pillow(photos):
    boxes = torch.tensor([[3, 5, 20, 17], [0, 0, 36, 28], [16, 8, 20, 20.0]])
    ours = augment.resized_crop(photos[:3, :1], boxes)
    for image, box, got in zip(photos[:3, 0], boxes, ours[:, 0], strict=True):
        top, left, height, width = box.int().tolist()
        crop = as_pillow(image[top : top + height, left : left + width])
        expected = np.asarray(crop.resize((28, 36), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)


def test_pixels_outside_the_box_have_no_part(photos):
    boxes = torch.tensor([[4.0, 4, 12, 12]])
    x = photos[:1]
    changed = torch.full_like(x, 7.0)
    changed[:, :, 4:16, 4:16] = x[:, :, 4:16, 4:16]
    assert torch.equal(
        augment.resized_crop(x, boxes), augment.resized_crop(changed, boxes)
    )


def test_boxes_have_the_promised_area_and_aspect(draws):
    top, left, h, w = augment.random_boxes(20_000, 28, 28, draws).unbind(1)
    assert (top >= 0).all() and (top + h <= 28).all()
    assert (left >= 0).all() and (left + w <= 28).all()
    area, aspect = h * w / 28**2, w / h
    # Whole pixels: half a pixel of each side is left to rounding.
    assert 0.36 < area.min() < 0.41 and area.max() == 1
    assert 0.70 < aspect.min() < 0.75 and 1.33 < aspect.max() < 1.43
    # Uniform area below the corner where wide boxes no longer fit.
    inside = area[area < 0.7]
    assert ((inside < 0.55).float().mean() - 0.5).abs() < 0.03
    # Each box of its own, at its own place.
    assert len(torch.unique(torch.stack([top, left, h, w], 1), dim=0)) > 2_000


def test_boxes_where_none_fits_are_central_as_in_torchvision(draws):
    boxes = augment.random_boxes(9, 16, 64, draws, area=(0.9, 1.0))
    assert (boxes == torch.tensor([0.0, 21, 16, 21])).all()


def test_grey_equals_pillow(photos):
    ours = augment.to_grey(photos)[0, 0] * 255
    rgb = (photos[0] * 255).round().byte().permute(1, 2, 0).numpy()
    expected = np.asarray(Image.fromarray(rgb).convert("L"), dtype=float)
    np.testing.assert_allclose(ours.numpy(), expected, atol=1.5)


@pytest.mark.parametrize("factor", [0.6, 1.4])
@pytest.mark.parametrize("kind", ["brightness", "contrast"])
def test_jitter_equals_pillow(photos, kind, factor):
    x = augment.to_grey(photos)
    rounded = (x * 255).round()
    ours = getattr(augment, kind)(rounded / 255, torch.full((6, 1, 1, 1), factor))
    enhance = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast}
    for got, image in zip(ours[:, 0], rounded[:, 0], strict=True):
        pillow = Image.fromarray(image.byte().numpy())
        expected = np.asarray(enhance[kind](pillow).enhance(factor), dtype=float)
        # 8-bit operations round the mean and the result.
        np.testing.assert_allclose(got.numpy() * 255, expected, atol=1.6)


def test_jitter_draws_both_orders_and_the_full_range(draws):
    x = torch.full((4_000, 1, 2, 2), 0.5)
    x[:, :, 0] = 0.4
    y = augment.colour_jitter(x, draws)
    level, spread = y.mean((1, 2, 3)), y[:, 0, 1, 0] - y[:, 0, 0, 0]
    assert 0.26 < level.min() < 0.28 and 0.62 < level.max() < 0.64
    # Brightness and contrast both scale the spread: 0.1 * 0.6 ** 2 ... 1.4 ** 2.
    assert 0.035 < spread.min() < 0.045 and 0.17 < spread.max() < 0.197


def test_one_draw_per_sample(draws):
    x = torch.rand(1, 3, 12, 12).expand(50, -1, -1, -1)
    for change in (
        augment.random_resized_crop,
        augment.colour_jitter,
        augment.permute_channels,
    ):
        assert len(torch.unique(change(x, draws).flatten(1), dim=0)) > 4


def test_flip_half_of_the_images_whole(draws):
    x = torch.rand(1, 1, 4, 5).expand(2_000, -1, -1, -1)
    y = augment.horizontal_flip(x, draws)
    flipped = (y == x.flip(3)).flatten(1).all(1)
    assert ((y == x).flatten(1).all(1) ^ flipped).all()
    assert abs(flipped.float().mean() - 0.5) < 0.05


def test_channels_are_permuted_without_loss(draws):
    x = torch.rand(40, 3, 4, 4)
    y = augment.permute_channels(x, draws)
    assert torch.equal(x.sort(1).values, y.sort(1).values)
    assert not torch.equal(x, y)


def test_corruption_takes_entries_of_the_same_column(draws):
    x = torch.arange(200.0)[:, None] + 1000 * torch.arange(5)
    y = augment.corrupt(x, draws, torch.zeros(5), noise=(0, 0), swap=(0.2, 0.2))
    assert ((y // 1000) == torch.arange(5)).all()
    assert 0.15 < (y != x).float().mean() < 0.25


def test_corruption_adds_noise_in_units_of_each_column(draws):
    std = torch.tensor([0.0, 1.0, 10.0])
    y = augment.corrupt(torch.zeros(20_000, 3), draws, std, (0.1, 0.3), (0, 0))
    # The share is uniform in [0.1, 0.3]: its root mean square is 0.2082.
    expected = np.sqrt((0.3**3 - 0.1**3) / (3 * 0.2)) * std
    torch.testing.assert_close(y.std(0), expected.float(), rtol=0.03, atol=0)


IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1, 0]])


def test_affine_equals_pillow(photos):
    """A rotation with shear and shift, away from the borders."""
    at = torch.tensor([[0.95, -0.3, 1.6], [0.25, 0.9, -2.3]])
    ours = augment.affine(photos, at.expand(6, 2, 3))
    # Pillow counts from the corner; it reads at A (p - c) + c + t.
    centre = np.array([14.0, 18])
    linear = at[:, :2].numpy()
    offset = centre - linear @ centre + at[:, 2].numpy()
    data = np.column_stack([linear, offset]).flatten().tolist()
    for image, got in zip(photos[:, 0], ours[:, 0], strict=True):
        kind = Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
        expected = np.asarray(as_pillow(image).transform((28, 36), *kind))
        inside = slice(10, 26), slice(10, 20)
        np.testing.assert_allclose(got.numpy()[inside], expected[inside], atol=1e-4)


def test_affine_without_a_move_is_the_image(photos):
    same = augment.affine(photos, IDENTITY.expand(6, 2, 3))
    torch.testing.assert_close(same, photos, rtol=0, atol=1e-5)


def test_affine_repeats_the_border(photos):
    shifted = IDENTITY + torch.tensor([[0, 0, 3.0], [0, 0, 0]])
    moved = augment.affine(photos, shifted.expand(6, 2, 3))
    torch.testing.assert_close(moved[..., :-3], photos[..., 3:], rtol=0, atol=1e-5)
    border = photos[..., -1:].expand(-1, -1, -1, 3)
    torch.testing.assert_close(moved[..., -3:], border, rtol=0, atol=1e-5)


def drawn_maps(monkeypatch, n, draws, **ranges):
    """Maps that `random_affine` draws for n images of 20 x 10 pixels."""
    seen = []
    monkeypatch.setattr(augment, "affine", lambda x, maps: seen.append(maps))
    augment.random_affine(torch.zeros(n, 1, 20, 10), draws, **ranges)
    return seen[0]


def test_random_affine_keeps_its_ranges(monkeypatch, draws):
    maps = drawn_maps(monkeypatch, 5_000, draws, degrees=3, shift=0.2)
    angle = torch.atan2(maps[:, 1, 0], maps[:, 0, 0]).rad2deg()
    assert 2.9 < angle.max() <= 3.001 and -3.001 <= angle.min() < -2.9
    assert abs(angle.mean()) < 0.1
    for shift, side in zip(maps[:, :, 2].unbind(1), (10, 20), strict=True):
        assert 0.19 * side < shift.max() <= 0.2 * side
        assert -0.2 * side <= shift.min() < -0.19 * side
    torch.testing.assert_close(torch.linalg.det(maps[:, :, :2]), torch.ones(5_000))


def test_random_affine_shears_and_mirrors(monkeypatch, draws):
    maps = drawn_maps(monkeypatch, 5_000, draws, shear=0.2)
    assert 0.19 < maps[:, 0, 1].max() <= 0.2 and -0.2 <= maps[:, 0, 1].min() < -0.19
    assert (maps[:, 1, 0] == 0).all()
    maps = drawn_maps(monkeypatch, 5_000, draws, flip=True)
    signs = maps[:, :, :2].diagonal(dim1=1, dim2=2)
    assert (signs.abs() == 1).all()
    kinds, counts = torch.unique(signs, dim=0, return_counts=True)
    assert len(kinds) == 4 and (counts / 5_000 - 0.25).abs().max() < 0.03


def test_each_image_is_moved_on_its_own(draws):
    x = torch.rand(1, 1, 12, 12).expand(50, -1, -1, -1)
    for moved in (
        augment.random_affine(x, draws, degrees=3),
        augment.brightness_shift(x, draws),
        augment.binarise(x, draws),
    ):
        assert len(torch.unique(moved.flatten(1), dim=0)) == 50


def test_brightness_is_shifted_as_a_whole(draws):
    x = torch.full((4_000, 1, 2, 2), 0.5)
    y = augment.brightness_shift(x, draws, 0.2)
    assert 0.3 <= y.min() < 0.31 and 0.69 < y.max() <= 0.7
    assert (y == y[:, :, :1, :1]).all()
    bright = augment.brightness_shift(torch.ones(100, 1, 2, 2), draws)
    assert bright.max() == 1 and bright.min() > 0.79


def test_binary_pixels_are_one_as_often_as_they_are_bright(draws):
    x = torch.tensor([0.0, 0.3, 0.8, 1.0]).expand(20_000, 1, 1, 4)
    y = augment.binarise(x, draws)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(y.mean((0, 1, 2)), x[0, 0, 0], rtol=0, atol=0.015)
