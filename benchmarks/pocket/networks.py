"""The frozen networks of the table, their features on disk, and how fast they are.

In: a list of image files. Out: features_ND, float16, cached under the network's name, the input size and the list; for
"pixels" the 32 px image itself. A killed extraction starts again with the network and data set that it was at.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import advisor_pocket

BATCH = 64
POCKET_PX = advisor_pocket.BACKBONE.preprocess.size
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pocket(checkpoints: Path) -> nn.Module:
    """Build the pocket network with its weights."""
    network = advisor_pocket.BACKBONE.build()
    advisor_pocket.BACKBONE.load_state(network, load_file(advisor_pocket.WEIGHTS_FILE))
    return network


def pocket_random(checkpoints: Path) -> nn.Module:
    """Build the pocket network as it was before pretraining."""
    torch.manual_seed(0)
    return advisor_pocket.BACKBONE.build()


def squeezenet(checkpoints: Path) -> nn.Module:
    """Build SqueezeNet 1.1 with the shared weights, pooled to 512 features."""
    return _torchvision("squeezenet1_1", checkpoints / "squeezenet1_1-b8a52dc0.pth")


def mobilenet(checkpoints: Path) -> nn.Module:
    """Build MobileNetV2 with the shared weights, pooled to 1,280 features."""
    return _torchvision("mobilenet_v2", checkpoints / "mobilenet_v2-b0353104.pth")


def _torchvision(name: str, file: Path) -> nn.Module:
    from torchvision import models

    network = models.get_model(name)
    state = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())


NETWORKS: dict[str, Callable[[Path], nn.Module]] = {
    "pocket": pocket,
    "pocket_random": pocket_random,
    "squeezenet1_1": squeezenet,
    "mobilenet_v2": mobilenet,
}
PIXELS = "pixels"


def decode(path: Path, size: int) -> np.ndarray:
    """Read an image, its short side to `size`, the centre square of it, as uint8 (size, size, 3)."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def features(name: str, size: int, files: list[Path], root: Path, checkpoints: Path, cache: Path) -> np.ndarray:
    """Return features_ND of `files`, computed once per network, weights, size and list."""
    listed = hashlib.sha256("\n".join(str(path.relative_to(root)) for path in files).encode())
    if name == "pocket":
        listed.update(advisor_pocket.WEIGHTS_SHA256.encode())
    stored = cache / f"{name}-{size}-{listed.hexdigest()[:16]}.npy"
    if stored.exists():
        return np.load(stored)
    network = None if name == PIXELS else prepared(name, checkpoints)
    parts = []
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(files), BATCH):
            pixels_NHWC = np.stack(list(pool.map(lambda path: decode(path, size), files[start : start + BATCH])))
            parts.append(forward(network, pixels_NHWC) if network else pixels_NHWC.reshape(len(pixels_NHWC), -1))
    stored.parent.mkdir(parents=True, exist_ok=True)
    temporary = stored.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, np.concatenate(parts))
    os.replace(temporary, stored)
    return np.load(stored)


def prepared(name: str, checkpoints: Path) -> nn.Module:
    """Build a network as inference uses it: float32, channels last, evaluation mode."""
    return NETWORKS[name](checkpoints).eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def forward(network: nn.Module, pixels_NHWC: np.ndarray) -> np.ndarray:
    """Run a batch of uint8 pixels to float16 features (N, D)."""
    images_NCHW = torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).float().div_(255)
    images_NCHW = images_NCHW.sub_(torch.tensor(MEAN)[:, None, None]).div_(torch.tensor(STD)[:, None, None])
    return network(images_NCHW).half().numpy()


def speeds(sizes: dict[str, int], checkpoints: Path, rounds: int = 5) -> dict[str, float]:
    """Measure forward images per second of one core's processor time, float32, batches of 64, in turns; the best round.

    Processor time, since other work on the machine multiplies the time on the wall and spares this one mostly.
    """
    torch.set_num_threads(1)
    networks = {name: prepared(name, checkpoints) for name in sizes}
    inputs = {n: torch.randn(BATCH, 3, s, s).to(memory_format=torch.channels_last) for n, s in sizes.items()}
    taken: dict[str, list[float]] = {name: [] for name in sizes}
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for name, network in networks.items():
                began = time.process_time()
                network(inputs[name])
                if turn:  # the first round warms up
                    taken[name].append(time.process_time() - began)
    return {name: BATCH / min(times) for name, times in taken.items()}
