"""FujiCV's quick start: `ModelBuilder`, AdamW, its learning-rate finder and `Trainer`, as many epochs as fit the time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import held_out
import pandas as pd
import timm_weights
import torch
from fujicv.data.dataloader import build_dataloaders
from fujicv.engine.base_logger import BaseLogger
from fujicv.engine.trainer import Trainer
from fujicv.inference.predictor import Predictor
from fujicv.losses.classification import CrossEntropyLoss
from fujicv.metrics.classification import Accuracy
from fujicv.models.builder import ModelBuilder
from fujicv.training import LRFinder
from fujicv.utils.seed import set_seed
from protocol import elapsed_s, finish, images, run, write_answers

BATCH, RATE, DECAY, FINDER_STEPS = 32, 1e-3, 1e-4, 100  # rate and decay are the quick start's


class Seen(BaseLogger):
    """Notes when each epoch ended and its validation accuracy."""

    def __init__(self) -> None:
        self.history: list[tuple[float, float]] = []

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Note the epoch that ended."""
        self.history.append((elapsed_s(), metrics["val_accuracy"]))

    def finish(self) -> None:
        """Close nothing."""


def network(classes: int):  # type: ignore[no-untyped-def]
    """Make the classifier."""
    return ModelBuilder(timm_weights.NETWORK, pretrained=False, task="classification", num_outputs=classes).build()


def table(files: list[Path]) -> pd.DataFrame:
    """List files and labels."""
    return pd.DataFrame({"path": [str(p) for p in files], "label": [p.parent.name for p in files]})


def optimizer(model, rate: float):  # type: ignore[no-untyped-def]
    """Make the quick start's optimizer."""
    return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=DECAY)


def found_rate(model, loader) -> float:  # type: ignore[no-untyped-def]
    """Return the finder's suggestion, the quick start's rate where it has none."""
    finder = LRFinder(model, optimizer(model, RATE), CrossEntropyLoss())
    finder.range_test(loader, num_iter=FINDER_STEPS)
    suggested = float(finder.suggestion())
    finder.reset()
    return suggested if suggested > 0 else RATE


def loaders(args, names: list[str]):  # type: ignore[no-untyped-def]
    """Make the loaders of the training images and of the held-out fifth."""
    parts = held_out.split(args.train, args.seed)
    settings = {
        "image_dir": args.train,
        "image_col": "path",
        "label_col": "label",
        "task": "classification",
        "class_to_idx": {name: index for index, name in enumerate(names)},
        "batch_size": BATCH,
        "num_workers": 0,
        "pin_memory": False,
    }
    return build_dataloaders(table(parts["train"]), table(parts["val"]), None, settings)[:2]


def seconds_per_image(model, loader) -> float:  # type: ignore[no-untyped-def]
    """Predict the time of a training step per image: 3.5 passes."""
    batch = next(iter(loader))[0]
    with torch.no_grad():
        model(batch)
        before = time.monotonic()
        model(batch)
    return 3.5 * (time.monotonic() - before) / len(batch)


def train(args):  # type: ignore[no-untyped-def]
    """Fit for as many epochs as the time holds, at most 20; the finder runs where it needs less than a third of it."""
    began = time.monotonic()
    torch.set_num_threads(args.threads)
    set_seed(args.seed)
    names = sorted({path.parent.name for path in images(args.train)})
    training, validation = loaders(args, names)
    model = network(len(names))
    model.backbone.load_state_dict(timm_weights.headless(args.weights).state_dict())
    image_s = seconds_per_image(model, training)
    tunes = FINDER_STEPS * BATCH * image_s < args.seconds / 3
    chosen = optimizer(model, found_rate(model, training) if tunes else RATE)
    left_s = args.seconds - (time.monotonic() - began)
    epochs = max(1, min(20, int(left_s / (image_s * len(training.dataset)))))
    seen = Seen()
    trainer = Trainer(
        model=model,
        train_loader=training,
        val_loader=validation,
        loss_fn=CrossEntropyLoss(),
        metrics={"accuracy": Accuracy()},
        optimizer=chosen,
        scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(chosen, epochs),
        device="cpu",
        epochs=epochs,
        output_dir=args.out,
        monitor_metric="val_accuracy",
        class_to_idx=training.dataset.class_to_idx,
        loggers=[seen],
    )
    trainer.train()
    (Path(args.out) / "classes.json").write_text(json.dumps(names), encoding="utf-8")
    finish(max(accuracy for _, accuracy in seen.history), "fujicv", "torch", history=seen.history)


def predict(args):  # type: ignore[no-untyped-def]
    """Classify with the checkpoint that was best on the held-out fifth."""
    names = json.loads((Path(args.out) / "classes.json").read_text(encoding="utf-8"))
    predictor = Predictor.from_checkpoint(Path(args.out) / "best.pt", model=network(len(names)), device="cpu")
    paths = images(args.test)
    write_answers(args.answers, ((p, predictor.predict(str(p))[0]) for p in paths))


if __name__ == "__main__":
    run(train, predict)
