"""advisor.training.trivial_augment: each operation beside torchvision's, alone and in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as reference

from advisor.training import augmentation, trivial_augment


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    """Three 32 px pieces of a real photograph, uint8 (3, 3, 32, 32)."""
    from sklearn.datasets import load_sample_image

    image = load_sample_image("china.jpg")
    pieces = [image[y : y + 32, x : x + 32] for y, x in ((150, 250), (220, 100), (30, 400))]
    return torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2).contiguous()


def chosen(name: str, strength: float, sign: float, count: int) -> trivial_augment.Choice:
    return trivial_augment.Choice(
        np.full(count, trivial_augment.OPERATIONS.index(name)), np.full(count, strength), np.full(count, sign)
    )


REFERENCE = {
    "brightness": lambda x, m, s: reference.adjust_brightness(x, 1 + 0.99 * m * s),
    "color": lambda x, m, s: reference.adjust_saturation(x, 1 + 0.99 * m * s),
    "contrast": lambda x, m, s: reference.adjust_contrast(x, 1 + 0.99 * m * s),
    "sharpness": lambda x, m, s: reference.adjust_sharpness(x, 1 + 0.99 * m * s),
    "posterize": lambda x, m, s: reference.posterize(x, 8 - round(6 * m)),
    "solarize": lambda x, m, s: reference.solarize(x, 255 * (1 - m)),
    "autocontrast": lambda x, m, s: reference.autocontrast(x),
    "equalize": lambda x, m, s: reference.equalize(x),
}


@pytest.mark.parametrize("name", trivial_augment.COLOUR)
@pytest.mark.parametrize(("strength", "sign"), [(0.0, 1.0), (0.5, -1.0), (1.0, 1.0)])
def test_colours_equal_torchvisions(photos: torch.Tensor, name: str, strength: float, sign: float) -> None:
    """Every colour operation equals torchvision's on uint8, but for its rounding."""
    ours = trivial_augment.colour(photos / 255.0, chosen(name, strength, sign, 3)) * 255.0
    theirs = torch.stack([REFERENCE[name](image, strength, sign) for image in photos]).float()
    # torchvision rounds the other picture before it blends, and blending doubles that.
    assert (ours - theirs).abs().max() <= (2.01 if name in trivial_augment.COLOUR[:4] else 1.01)


@pytest.mark.parametrize("name", trivial_augment.GEOMETRY)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_geometry_equals_torchvisions(photos: torch.Tensor, name: str, sign: float) -> None:
    """Every geometric operation moves pixels as torchvision's affine does, away from the borders."""
    strength, side = 0.2, 32
    maps = trivial_augment.geometry(chosen(name, strength, sign, 3))
    ours = augmentation.resample(photos.permute(0, 2, 3, 1), maps, side)
    amount = strength * sign
    shift = -amount * trivial_augment.TRANSLATE * side / 2
    angle = -amount * trivial_augment.ROTATE_DEG if name == "rotate" else 0.0
    matrix = {"shear_x": [1, amount * 0.99, 0, 0, 1, 0], "shear_y": [1, 0, 0, amount * 0.99, 1, 0]}.get(name)
    if matrix is not None:
        from torchvision.transforms._functional_tensor import affine

        theirs = affine(photos.float(), [float(v) for v in matrix], interpolation="bilinear")
    else:
        moved = [shift if name == "translate_x" else 0.0, shift if name == "translate_y" else 0.0]
        theirs = reference.affine(
            photos.float(),
            angle=angle,
            translate=moved,
            scale=1.0,
            shear=[0.0, 0.0],
            interpolation=reference.InterpolationMode.BILINEAR,
        )
    inner = slice(9, -9)
    difference = (ours - theirs)[..., inner, inner].abs()
    # torchvision shifts by whole pixels; there only a fraction of a pixel may lie between the two.
    tolerance = 60.0 if name.startswith("translate") else 1.0
    assert difference.max() <= tolerance


def test_a_row_is_changed_by_its_own_operation_only(photos: torch.Tensor) -> None:
    """In a batch every image gets what it drew, as if it were alone."""
    choice = trivial_augment.Choice(
        np.array([trivial_augment.OPERATIONS.index(n) for n in ("identity", "solarize", "equalize")]),
        np.array([1.0, 0.6, 0.3]),
        np.array([1.0, 1.0, -1.0]),
    )
    together = trivial_augment.colour(photos / 255.0, choice)
    for n in range(3):
        one = trivial_augment.Choice(choice.operation[n : n + 1], choice.strength[n : n + 1], choice.sign[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], trivial_augment.colour(photos[n : n + 1] / 255.0, one))
    torch.testing.assert_close(together[0], photos[0] / 255.0)


def test_a_plain_image_survives_every_operation() -> None:
    """An image of one colour has no contrast to stretch; nothing divides by zero."""
    plain = torch.full((1, 3, 16, 16), 0.4)
    for name in trivial_augment.COLOUR:
        changed = trivial_augment.colour(plain.clone(), chosen(name, 1.0, 1.0, 1))
        assert bool(torch.isfinite(changed).all())
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1


def test_choices_are_spread_evenly() -> None:
    """Every operation is drawn about equally often, strengths run from 0 to 1, signs are fair."""
    choice = trivial_augment.choose(np.random.default_rng(0).random((14_000, 3)))
    counts = np.bincount(choice.operation, minlength=len(trivial_augment.OPERATIONS))
    assert counts.min() > 850
    assert counts.max() < 1150
    assert choice.strength.min() == 0.0
    assert choice.strength.max() == 1.0
    assert abs((choice.sign > 0).mean() - 0.5) < 0.02
