"""advisor.training.augmentation: views belong to images, geometry is what it says, mixing keeps probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from advisor.errors import InputError
from advisor.hooks import AUGMENTATION_LEVELS, Augmentation, Preprocess
from advisor.models import normalise
from advisor.runtime import rng
from advisor.training import augmentation, random_crop, trivial_augment

PREPROCESS = Preprocess(size=24, resize=28)
PLAIN = Preprocess(size=24, resize=28, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
IDS = np.array([5, 9, 2, 77], dtype=np.uint64)


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    """Four 28 px pieces of a real photograph."""
    from sklearn.datasets import load_sample_image

    image = load_sample_image("flower.jpg")
    return torch.from_numpy(
        np.stack([image[y : y + 28, x : x + 28] for y, x in ((80, 150), (90, 300), (200, 280), (10, 5))])
    )


def test_normalise_equals_torchvision(photos: torch.Tensor) -> None:
    """Pixels are normalised by the weights' own mean and std (mistake 3), in the layout asked for."""
    ours = normalise.normalise(photos, PREPROCESS)
    theirs = reference.normalize(photos.permute(0, 3, 1, 2) / 255.0, PREPROCESS.mean, PREPROCESS.std)
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert normalise.normalise(photos, PREPROCESS, "contiguous").is_contiguous()
    assert photos.dtype == torch.uint8


def view(photos: torch.Tensor, level: str, rows: list[int] | None = None, step: int = 3, **more: float) -> torch.Tensor:
    rows = rows or list(range(4))
    augment = Augmentation(level=level, **more)
    return augmentation.train_view(photos[rows], IDS[rows], step, 1, augment, 24, PLAIN)


def test_normalising_rows_gives_the_bits_of_one_channel_after_another(photos: torch.Tensor) -> None:
    """The fast way over whole rows is, to the bit, the product and the difference channel by channel."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PREPROCESS.mean, PREPROCESS.std))
    plain = photos.permute(0, 3, 1, 2).float() * (1.0 / (255.0 * std)) - mean / std
    assert torch.equal(normalise.normalise(photos, PREPROCESS), plain)
    inner = photos[:, 3:20, 5:11]
    assert torch.equal(normalise.normalise(inner, PREPROCESS), plain[:, :, 3:20, 5:11])


@pytest.mark.parametrize("level", AUGMENTATION_LEVELS)
def test_a_view_belongs_to_its_image(photos: torch.Tensor, level: str) -> None:
    """An image's view does not depend on who else is in the batch, or where it stands; the pixels stay as they were."""
    before = photos.clone()
    whole = view(photos, level)
    torch.testing.assert_close(view(photos, level, [2, 0]), whole[[2, 0]], atol=1e-6, rtol=0)
    assert torch.equal(photos, before)
    assert whole.shape == (4, 3, 24, 24)
    assert whole.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("level", ["flip", "light", "trivial"])
def test_views_differ_from_step_to_step(photos: torch.Tensor, level: str) -> None:
    """Other steps show other views, the same step the same one."""
    views = [view(photos, level, step=s) for s in range(6)]
    assert torch.equal(views[0], view(photos, level, step=0))
    assert any(not torch.equal(views[0], v) for v in views[1:])


def test_none_is_the_centre_crop(photos: torch.Tensor) -> None:
    """Without augmentation a training view is what evaluation sees."""
    expected = normalise.normalise(photos[:, 2:26, 2:26], PLAIN)
    torch.testing.assert_close(view(photos, "none"), expected)


def test_light_is_the_drawn_box_resized_as_torchvision_does(photos: torch.Tensor) -> None:
    """A light view is torchvision's resized crop, antialiased, of the box that the image drew."""
    draws = rng.uniform(1, "view", 3, IDS, 8)
    boxes = random_crop.draw(draws, 0.35, 28)
    for row, ours in enumerate(view(photos, "light")):
        box = [int(v[row]) for v in (boxes.top, boxes.left, boxes.height, boxes.width)]
        theirs = reference.resized_crop(photos[row].permute(2, 0, 1), *box, [24, 24], antialias=True)
        theirs = theirs.flip(-1) if boxes.mirrored[row] else theirs
        torch.testing.assert_close(ours, theirs / 255.0, atol=1e-6, rtol=0)


def test_trivial_keeps_crop_and_geometry_together(photos: torch.Tensor) -> None:
    """Whether an image is cut or resampled, a strength of nothing gives nearly the same view."""
    draws = np.random.default_rng(3).random((4, 8))
    boxes = random_crop.draw(draws, 0.35, 28)
    still = trivial_augment.Choice(np.full(4, trivial_augment.OPERATIONS.index("rotate")), np.zeros(4), np.ones(4))
    nothing = trivial_augment.Choice(np.zeros(4, dtype=np.int64), np.zeros(4), np.ones(4))
    one, other = (augmentation._shaped(photos, boxes, choice, 24) for choice in (still, nothing))
    assert (one - other).abs().mean() < 3.0  # of 255: antialiased or not, rounded or not


def test_flip_mirrors_about_half(photos: torch.Tensor) -> None:
    """A flipped view is the mirrored centre crop, and about half of all views are flipped."""
    expected = normalise.normalise(photos[:, 2:26, 2:26], PLAIN)
    flipped = 0
    for step in range(50):
        for ours, theirs in zip(view(photos, "flip", step=step), expected, strict=True):
            same, mirrored = torch.equal(ours, theirs), torch.equal(ours, theirs.flip(-1))
            assert same or mirrored
            flipped += mirrored and not same
    assert 70 < flipped < 130


def test_identity_resampling_changes_nothing(photos: torch.Tensor) -> None:
    """The identity map at full size gives the pixels back."""
    same = augmentation.resample(photos, np.tile(np.eye(3), (4, 1, 1)), 28)
    torch.testing.assert_close(same, photos.permute(0, 3, 1, 2).float(), atol=1e-3, rtol=0)


def test_resampling_a_box_is_crop_and_resize(photos: torch.Tensor) -> None:
    """A map onto a box equals torchvision's crop and bilinear resize without antialiasing, inside the box."""
    maps = np.tile(np.eye(3), (4, 1, 1))
    maps[:, 0, 0], maps[:, 1, 1] = 14 / 28, 7 / 28
    maps[:, 0, 2], maps[:, 1, 2] = -14 / 28 + 2 * 4 / 28, -21 / 28 + 2 * 10 / 28  # left 4, top 10, 14 wide, 7 high
    ours = augmentation.resample(photos, maps, 28)
    images = photos.permute(0, 3, 1, 2).float()
    theirs = reference.resized_crop(images, 10, 4, 7, 14, [28, 28], antialias=False)
    torch.testing.assert_close(ours[:, :, 2:-2, 1:-1], theirs[:, :, 2:-2, 1:-1], atol=0.02, rtol=0)


def test_unknown_level_is_named(photos: torch.Tensor) -> None:
    """A misspelt level is one line with those that exist."""
    with pytest.raises(InputError, match=r"heavy.*none, flip, light, trivial"):
        view(photos, "heavy")


@pytest.mark.parametrize("mixing", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixing_keeps_images_and_targets_in_step(photos: torch.Tensor, mixing: dict[str, float]) -> None:
    """Targets stay probabilities, with exactly the share of each image that its pixels have."""
    images = torch.zeros(4, 3, 20, 20)
    images += torch.arange(4.0).view(4, 1, 1, 1)  # every image is its own number, the next one's is one more
    targets = torch.eye(4)
    for step in range(20):
        mixed, soft = augmentation.mix(images, targets, IDS, step, 0, Augmentation(**mixing))
        torch.testing.assert_close(soft.sum(1), torch.ones(4))
        numbers = (soft * torch.arange(4.0)).sum(1)
        torch.testing.assert_close(mixed.mean((1, 2, 3)), numbers, atol=1e-5, rtol=0)


def test_no_mixing_returns_what_came() -> None:
    """Without mixup and CutMix nothing is touched, nor with a single image."""
    images, targets = torch.rand(1, 3, 8, 8), torch.eye(1)
    assert augmentation.mix(images, targets, IDS[:1], 0, 0, Augmentation(mixup=1.0))[0] is images
    assert augmentation.mix(images, targets, IDS[:1], 0, 0, Augmentation())[1] is targets


def test_mixing_shares_follow_beta() -> None:
    """mixup's shares are Beta(alpha, alpha) distributed."""
    stats = pytest.importorskip("scipy.stats")
    shares = augmentation._beta(np.random.default_rng(1).random(4000), 0.4)
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 1e-3
