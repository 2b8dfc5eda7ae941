"""Train a small transformer from random weights: `python benchmarks/networks/small_vit.py --data CIFAR10 --to FILE`.

timm's `test_vit` (0.4 million parameters) on the training images of CIFAR-10 at 64 px, AdamW 1e-3, cosine, flips and
shifts. What it learns is little; it is enough to compare full fine-tuning, low-rank updates and biases on a
transformer where no published weights can be had (transfer.py, with --weights timm/test_vit=FILE).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

SIDE = 64


def main() -> None:
    """Train and write the file, with the accuracy on held-out images."""
    import timm

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 with train/ and test/ of class folders")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2000, help="training images per class")
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, labels = read(args.data / "train", args.images)
    held, held_labels = read(args.data / "test", 100)
    network = timm.create_model("test_vit", num_classes=10, dynamic_img_size=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    steps = args.epochs * (len(images) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    for step in range(steps):
        rows = torch.randint(len(images), (128,))
        loss = functional.cross_entropy(network(augment(images[rows])), labels[rows], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step} of {steps}: {float(loss):.3f}", flush=True)
    network.eval()
    with torch.inference_mode():
        right = torch.cat([network(prepare(part)).argmax(1) for part in held.split(200)]) == held_labels
    print(f"held out: {float(right.float().mean()):.3f} of {len(held)}")
    save_file(network.state_dict(), args.to)


def read(folder: Path, each: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the first images of every class as uint8 (N, 32, 32, 3)."""
    images, labels = [], []
    for label, name in enumerate(sorted(p for p in folder.iterdir() if p.is_dir())):
        for file in sorted(name.iterdir())[:each]:
            images.append(np.asarray(Image.open(file).convert("RGB")))
            labels.append(label)
    return torch.from_numpy(np.stack(images)), torch.tensor(labels)


def prepare(batch: torch.Tensor) -> torch.Tensor:
    """Scale to -1..1 and enlarge."""
    x = batch.permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return functional.interpolate(x, size=SIDE, mode="bicubic", antialias=True)


def augment(batch: torch.Tensor) -> torch.Tensor:
    """Shift by up to four pixels and flip half of the images."""
    x = functional.pad(prepare(batch), (8, 8, 8, 8))
    top, left = (int(torch.randint(17, ())) for _ in range(2))
    x = x[:, :, top : top + SIDE, left : left + SIDE]
    return torch.where((torch.rand(len(x)) < 0.5)[:, None, None, None], x.flip(3), x)


if __name__ == "__main__":
    main()
