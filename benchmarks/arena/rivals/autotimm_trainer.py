"""AutoTimm's quick start: `ImageClassifier`, `AutoTrainer`, its learning-rate finder, as many epochs as fit the time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytorch_lightning as pl
import timm_weights
import torch
from autotimm import AutoTrainer, BackboneConfig, ImageClassifier, ImageDataModule, MetricConfig
from protocol import elapsed_s, finish, images, run, write_answers

BATCH, HELD_OUT, FINDER_STEPS = 32, 0.2, 100
ACCURACY = MetricConfig(
    name="accuracy",
    backend="torchmetrics",
    metric_class="Accuracy",
    params={"task": "multiclass"},
    stages=["train", "val"],
)


class Seen(pl.Callback):
    """Notes when each epoch ended and its validation accuracy."""

    def __init__(self) -> None:
        self.history: list[tuple[float, float]] = []

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note the epoch that ended; the pass before the first one aside."""
        if not trainer.sanity_checking:
            self.history.append((elapsed_s(), float(trainer.callback_metrics["val/accuracy"])))


def network(classes: int, seed: int):  # type: ignore[no-untyped-def]
    """Make the classifier with its defaults, without torch.compile, which takes longer here than a short limit holds."""
    config = BackboneConfig(model_name=timm_weights.NETWORK, pretrained=False)
    return ImageClassifier(
        backbone=config, num_classes=classes, metrics=[ACCURACY], compile_model=False, seed=seed, deterministic=False
    )


def epoch_seconds(model, data) -> float:  # type: ignore[no-untyped-def]
    """Predict an epoch from two passes of a batch: a step costs about three."""
    batch = next(iter(data.train_dataloader()))[0]
    with torch.inference_mode():
        model(batch)
        before = time.monotonic()
        model(batch)
        forward_s = (time.monotonic() - before) / len(batch)
    return 3.5 * forward_s * len(data.train_dataset)


def train(args):  # type: ignore[no-untyped-def]
    """Fit for as many epochs as the time holds, at most 20; the finder runs where it needs less than a third of it."""
    began = time.monotonic()
    torch.set_num_threads(args.threads)
    folder, out = Path(f"{args.out}-data"), Path(args.out)
    folder.mkdir()
    out.mkdir()
    (folder / "train").symlink_to(Path(args.train).resolve())
    data = ImageDataModule(
        data_dir=folder, image_size=224, batch_size=BATCH, num_workers=0, val_split=HELD_OUT, pin_memory=False
    )
    pl.seed_everything(args.seed)
    data.setup("fit")
    model = network(data.num_classes, args.seed)
    model.backbone.load_state_dict(timm_weights.headless(args.weights).state_dict())
    epoch_s = epoch_seconds(model, data)
    finder_s = FINDER_STEPS * BATCH * epoch_s / len(data.train_dataset)
    tunes = finder_s < args.seconds / 3
    left = args.seconds - (time.monotonic() - began) - (finder_s if tunes else 0.0)
    seen = Seen()
    trainer = AutoTrainer(
        max_epochs=max(1, min(20, int(left / epoch_s))),
        tuner_config=None if tunes else False,
        accelerator="cpu",
        devices=1,
        default_root_dir=str(out),
        callbacks=[seen],
        enable_progress_bar=False,
        max_time={"seconds": max(1, int(left))},
    )
    trainer.fit(model, datamodule=data)
    best = trainer.checkpoint_callback.best_model_path
    trainer.save_checkpoint(out / "last.ckpt", weights_only=True)
    (out / "run.json").write_text(json.dumps({"classes": data.class_names, "best": best}), encoding="utf-8")
    finish(seen.history[-1][1] if seen.history else None, "autotimm", "torch", history=seen.history)


def predict(args):  # type: ignore[no-untyped-def]
    """Classify with the checkpoint that was best on the held-out fifth, by the data module's own transforms."""
    from PIL import Image

    stored = json.loads((Path(args.out) / "run.json").read_text(encoding="utf-8"))
    classes = stored["classes"]
    state = torch.load(stored["best"] or Path(args.out) / "last.ckpt", weights_only=False)["state_dict"]
    model = network(len(classes), 0)
    model.load_state_dict(state, strict=False)
    model.eval()
    prepare = ImageDataModule(data_dir=args.test, image_size=224).eval_transforms
    paths, answers = images(args.test), []
    with torch.inference_mode():
        for first in range(0, len(paths), BATCH):
            part = paths[first : first + BATCH]
            batch = torch.stack([prepare(Image.open(p).convert("RGB")) for p in part])
            answers += [classes[k] for k in model(batch).argmax(1).tolist()]
    write_answers(args.answers, zip(paths, answers, strict=True))


if __name__ == "__main__":
    run(train, predict)
