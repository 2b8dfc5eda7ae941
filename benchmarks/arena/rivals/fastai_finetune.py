"""fast.ai's documented way: `vision_learner`, the learning-rate finder, `fine_tune`, as many epochs as fit the time."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from fastai.vision.all import (
    Callback,
    ImageDataLoaders,
    Normalize,
    Resize,
    accuracy,
    imagenet_stats,
    load_learner,
    models,
    set_seed,
    vision_learner,
)
from fastai.vision.learner import default_split, model_meta
from protocol import elapsed_s, finish, images, run, write_answers

DEFAULT_RATE = 2e-3  # base_lr of fine_tune
model_meta[models.mobilenet_v2] = {"cut": 1, "split": default_split, "stats": imagenet_stats, "weights": None}


class Seen(Callback):
    """Notes when each epoch ended and its validation accuracy; runs after the recorder (order 50)."""

    order = 60

    def __init__(self) -> None:
        self.history: list[tuple[float, float]] = []

    def after_epoch(self) -> None:
        """Note the epoch that ended."""
        self.history.append((elapsed_s(), float(self.learn.recorder.values[-1][-1])))


def learner(args):  # type: ignore[no-untyped-def]
    """Make loaders (a fifth held out, the tutorial's item transform) and a learner on the shared weights."""
    loaders = ImageDataLoaders.from_folder(
        args.train,
        valid_pct=0.2,
        seed=args.seed,
        item_tfms=Resize(224),
        batch_tfms=Normalize.from_stats(*imagenet_stats),  # vision_learner adds it to networks that it fetched itself
        bs=32,
        num_workers=0,
    )
    made = vision_learner(
        loaders, models.mobilenet_v2, metrics=accuracy, pretrained=False, normalize=False, path=Path(args.out).resolve()
    )
    weights = {
        k.removeprefix("features."): v.float() if v.is_floating_point() else v
        for k, v in torch.load(args.weights, weights_only=True).items()
        if k.startswith("features.")
    }
    made.model[0][0].load_state_dict(weights)
    made.freeze()
    return made


def train(args):  # type: ignore[no-untyped-def]
    """Find a rate where there is time for it, and fine-tune for as many epochs as the rest of the time holds (at most 20).

    The finder takes 100 steps: where these need more than a third of the time, fine_tune's documented default is used.
    """
    began = time.monotonic()
    torch.set_num_threads(args.threads)
    set_seed(args.seed)
    made = learner(args)
    with made.no_bar(), made.no_logging():
        before = time.monotonic()
        made.validate()
        forward_s = (time.monotonic() - before) / len(made.dls.valid_ds)
        trained = len(made.dls.train_ds)
        finder_s = 1.3 * 100 * 32 * forward_s
        rate = float(made.lr_find(show_plot=False).valley) if finder_s < args.seconds / 3 else DEFAULT_RATE
        left = args.seconds - (time.monotonic() - began)
        frozen_s, epoch_s = 1.3 * trained * forward_s, 3 * trained * forward_s
        epochs = int(max(1, min(20, (left - frozen_s) / epoch_s)))
        seen = Seen()
        made.fine_tune(epochs, rate, cbs=seen)
        reported = float(made.validate()[1])
    Path(args.out).mkdir(exist_ok=True)
    made.export((Path(args.out) / "export.pkl").resolve())
    finish(reported, "fastai", "torch", history=seen.history)


def predict(args):  # type: ignore[no-untyped-def]
    """Classify with the exported learner."""
    made = load_learner(Path(args.out) / "export.pkl")
    paths = images(args.test)
    with made.no_bar(), made.no_logging():
        scores, _ = made.get_preds(dl=made.dls.test_dl(paths, num_workers=0))
    names = made.dls.vocab
    write_answers(args.answers, ((p, names[k]) for p, k in zip(paths, scores.argmax(1).tolist(), strict=True)))


if __name__ == "__main__":
    run(train, predict)
