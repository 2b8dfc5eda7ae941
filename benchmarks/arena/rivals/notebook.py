"""A plain tutorial script: SGD 0.001, momentum 0.9, a tenth after every 7 epochs, batch 4, 25 epochs, a fifth held out."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import torch
from protocol import elapsed_s, finish, images, run, write_answers
from torch import nn
from torchvision import datasets, models, transforms

STATS = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
TRAIN = transforms.Compose(
    [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), STATS]
)
TEST = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), STATS])


def network(classes: int) -> nn.Module:
    """Build MobileNetV2 with a new last layer."""
    made = models.mobilenet_v2()
    made.classifier[1] = nn.Linear(made.last_channel, classes)
    return made


def pretrained(weights: str, classes: int) -> nn.Module:
    """Build the network with the shared weights below its new last layer."""
    model = network(classes)
    tensors = torch.load(weights, weights_only=True)
    state = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items() if "classifier" not in k}
    model.load_state_dict(state, strict=False)
    return model


def train(args):  # type: ignore[no-untyped-def]
    """Train until 25 epochs or the time are over; keep the best validation epoch, as tutorials do."""
    began = time.monotonic()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    whole, plain = datasets.ImageFolder(args.train, TRAIN), datasets.ImageFolder(args.train, TEST)
    order = torch.randperm(len(whole)).tolist()
    held = max(1, len(whole) // 5)
    loader = torch.utils.data.DataLoader(torch.utils.data.Subset(whole, order[held:]), batch_size=4, shuffle=True)
    check = torch.utils.data.DataLoader(torch.utils.data.Subset(plain, order[:held]), batch_size=32)
    model = pretrained(args.weights, len(whole.classes))
    model.features.requires_grad_(args.regime != "head")
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.1)
    history: list[tuple[float, float]] = []
    best, best_weights = -1.0, copy.deepcopy(model.state_dict())
    for _ in range(25):
        epoch_began = time.monotonic()
        model.train()
        for seen, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(seen), labels).backward()
            optimizer.step()
            if time.monotonic() - began > args.seconds:
                break
        schedule.step()
        model.eval()
        with torch.inference_mode():
            right = sum(int((model(seen).argmax(1) == labels).sum()) for seen, labels in check)
        if right / held > best:
            best, best_weights = right / held, copy.deepcopy(model.state_dict())
            history.append((elapsed_s(), best))
        if time.monotonic() - began + (time.monotonic() - epoch_began) > args.seconds:
            break
    Path(args.out).mkdir()
    torch.save({"weights": best_weights, "classes": whole.classes}, Path(args.out) / "model.pt")
    finish(best, "torch", "torchvision", history=history)


def predict(args):  # type: ignore[no-untyped-def]
    """Classify with the stored network."""
    from PIL import Image

    stored = torch.load(Path(args.out) / "model.pt", weights_only=True)
    model = network(len(stored["classes"]))
    model.load_state_dict(stored["weights"])
    model.eval()
    paths, answers = images(args.test), []
    with torch.inference_mode():
        for start in range(0, len(paths), 32):
            batch = torch.stack([TEST(Image.open(p).convert("RGB")) for p in paths[start : start + 32]])
            answers += [stored["classes"][k] for k in model(batch).argmax(1)]
    write_answers(args.answers, zip(paths, answers, strict=True))


if __name__ == "__main__":
    run(train, predict)
