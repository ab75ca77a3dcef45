"""Augmentations of whole batches, on the device, with one draw per sample.

Images are float tensors of shape (n, channels, height, width); `net` is anything that
draws random numbers (`rand`, `randn`), such as the engine's net.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

# ITU-R 601-2 luma, the weights of Pillow's and torchvision's conversion to grey.
_LUMA = (0.299, 0.587, 0.114)


def to_grey(x: torch.Tensor) -> torch.Tensor:
    """Grey images of RGB ones; other numbers of channels are left as they are."""
    if x.shape[1] != 3:
        return x
    red, green, blue = x.split(1, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def permute_channels(x: torch.Tensor, net) -> torch.Tensor:
    """Give each image its channels in a random order of its own."""
    order = net.rand(len(x), x.shape[1]).argsort(1)
    return x.gather(1, order[:, :, None, None].expand_as(x))


def horizontal_flip(x: torch.Tensor, net, p: float = 0.5) -> torch.Tensor:
    """Mirror each image with probability `p`."""
    return torch.where((net.rand(len(x), 1, 1, 1) < p), x.flip(3), x)


def random_boxes(
    n: int,
    height: int,
    width: int,
    net,
    area: tuple[float, float] = (0.4, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    attempts: int = 10,
) -> torch.Tensor:
    """Draw crop boxes as torchvision's ``RandomResizedCrop`` does.

    The area is uniform, the aspect ratio (width to height) log-uniform; of ten
    attempts the first box that fits is taken, where none does the largest central box
    of an allowed aspect.

    Returns
    -------
    tensor of shape (n, 4)
        Top, left, height, width of each box, in whole pixels, as floats.
    """
    u = net.rand(4, n, attempts)
    target = height * width * (area[0] + (area[1] - area[0]) * u[0])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = torch.exp(low + (high - low) * u[1])
    w, h = (target * ratio).sqrt().round(), (target / ratio).sqrt().round()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    top = (u[2] * (height - h + 1)).floor()
    left = (u[3] * (width - w + 1)).floor()
    boxes = torch.stack([top, left, h, w], 2)
    first = fits.int().argmax(1)
    chosen = boxes.gather(1, first[:, None, None].expand(-1, 1, 4)).squeeze(1)
    h0 = min(height, round(width / aspect[0]))
    w0 = min(width, round(height * aspect[1]))
    central = ((height - h0) // 2, (width - w0) // 2, h0, w0)
    fitted = fits.any(1)
    parts = zip(chosen.unbind(1), central, strict=True)
    return torch.stack([torch.where(fitted, a, b) for a, b in parts], 1)


def resized_crop(x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Cut a box out of each image and enlarge it back to full size, bilinearly.

    Interpolation is separable, so it is two batched matrix products; pixels outside
    the box have no part in it, as when the box is cut out first.
    """
    top, left, h, w = boxes.unbind(1)
    rows = _interpolation(top, h, x.shape[2])
    columns = _interpolation(left, w, x.shape[3])
    return rows[:, None] @ x @ columns[:, None].mT


def _interpolation(start, length, size: int) -> torch.Tensor:
    """Matrices (n, size, size) that enlarge pixels [start, start + length) to size."""
    pixels = torch.arange(size, device=start.device, dtype=start.dtype)
    at = (pixels + 0.5) * (length / size)[:, None] - 0.5
    at = at.clamp(min=0).minimum(length[:, None] - 1) + start[:, None]
    return (1 - (at[:, :, None] - pixels).abs()).clamp(min=0)


def random_resized_crop(x: torch.Tensor, net, **ranges) -> torch.Tensor:
    """Crop and enlarge each image; see `random_boxes` for the ranges."""
    n, _, height, width = x.shape
    return resized_crop(x, random_boxes(n, height, width, net, **ranges))


def brightness(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Multiply images with values in [0, 1] by a factor each (n, 1, 1, 1), clipped."""
    return (x * factor).clamp(0, 1)


def contrast(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Scale the distance to each image's mean by a factor (n, 1, 1, 1), clipped."""
    mean = to_grey(x).mean((1, 2, 3), keepdim=True)
    return (mean + (x - mean) * factor).clamp(0, 1)


def colour_jitter(
    x: torch.Tensor, net, low: float = 0.6, high: float = 1.4
) -> torch.Tensor:
    """Brightness and contrast, each with a factor of its own, in random order.

    Saturation and hue, listed by the papers too, do nothing to grey images.
    """
    u = net.rand(3, len(x), 1, 1, 1)
    b, c = low + (high - low) * u[0], low + (high - low) * u[1]
    return torch.where(
        u[2] < 0.5, contrast(brightness(x, b), c), brightness(contrast(x, c), b)
    )


def corrupt(
    x: torch.Tensor,
    net,
    std: torch.Tensor,
    noise: tuple[float, float] = (0.1, 0.3),
    swap: tuple[float, float] = (0.1, 0.2),
) -> torch.Tensor:
    """Augment rows of a table: noise on every entry, some entries of other rows.

    Parameters
    ----------
    x : tensor of shape (n, n_features)
    net : source of random numbers
    std : tensor of shape (n_features,)
        Standard deviation of each column.
    noise : tuple of float
        The noise of a row is normal with a share of `std`, drawn from this range.
    swap : tuple of float
        Probability that an entry of a row is replaced by the same column's entry of a
        random row of the batch, drawn from this range for each row.
    """
    n, d = x.shape
    u = net.rand(2, n, 1)
    rate = swap[0] + (swap[1] - swap[0]) * u[0]
    donors = (net.rand(n, d) * n).long().clamp(max=n - 1)
    x = torch.where(net.rand(n, d) < rate, x.gather(0, donors), x)
    scale = noise[0] + (noise[1] - noise[0]) * u[1]
    return x + net.randn(n, d) * scale * std


def affine(x: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Move the pixels of each image by a linear map of its own, bilinearly.

    Parameters
    ----------
    x : tensor of shape (n, channels, height, width)
    maps : tensor of shape (n, 2, 3)
        Where a pixel of the result is read, in pixels from the image's centre, right
        and down: ``maps @ (right, down, 1)``. Outside, the nearest pixel is taken.
    """
    height, width = x.shape[2:]
    # torch counts in halves of the sides. (By numbers of the host: a tensor made here
    # would be a copy to the device in every step.)
    (a, b, right), (c, d, down) = (row.unbind(1) for row in maps.unbind(1))
    rows = [
        torch.stack([a, b * (height / width), right * (2 / width)], 1),
        torch.stack([c * (width / height), d, down * (2 / height)], 1),
    ]
    theta = torch.stack(rows, 1)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def random_affine(
    x: torch.Tensor,
    net,
    degrees: float = 0.0,
    shift: float = 0.0,
    shear: float | tuple[float, float] = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    flip: bool = False,
) -> torch.Tensor:
    """Rotate, shear, scale, mirror and shift each image, in one interpolation.

    Parameters
    ----------
    x : tensor of shape (n, channels, height, width)
    net : source of random numbers
    degrees, shift : float
        Angle, and shift in shares of each side, are uniform between minus and plus
        this value.
    shear : float or tuple of float
        Largest shear factor along the horizontal axis, or along both axes.
    scale : tuple of float
        Range of the scale, drawn for each axis; below 1 the content shrinks.
    flip : bool
        Mirror left to right, and top to bottom, each with probability 1/2.
    """
    n, _, height, width = x.shape
    u = 2 * net.rand(5, n) - 1
    across, along = shear if isinstance(shear, tuple) else (shear, 0.0)
    size = scale[0] + (scale[1] - scale[0]) * net.rand(2, n)
    if flip:
        size = torch.where(net.rand(2, n) < 0.5, -size, size)
    angle, one = u[0] * math.radians(degrees), torch.ones_like(u[0])
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([cos, -sin, sin, cos], 1).view(n, 2, 2)
    shearing = torch.stack([one, across * u[1], along * u[2], one], 1).view(n, 2, 2)
    moved = torch.stack([u[3] * shift * width, u[4] * shift * height], 1)
    # From a pixel of the result back to where it is read: divided by its scale.
    linear = rotation @ shearing / size.T[:, None]
    return affine(x, torch.cat([linear, moved[:, :, None]], 2))


def brightness_shift(x: torch.Tensor, net, delta: float = 0.2) -> torch.Tensor:
    """Add to each image with values in [0, 1] one number up to `delta`, clipped."""
    return (x + delta * (2 * net.rand(len(x), 1, 1, 1) - 1)).clamp(0, 1)


def binarise(x: torch.Tensor, net) -> torch.Tensor:
    """Make each pixel in [0, 1] one with its value as the probability, else zero."""
    return (x > net.rand(*x.shape)).to(x.dtype)
