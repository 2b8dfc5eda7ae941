"""fast.ai's documented way: `vision_learner`, the learning-rate finder, `fine_tune`, as many epochs as fit the time."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from fastai.vision.all import (
    ImageDataLoaders,
    Resize,
    accuracy,
    imagenet_stats,
    load_learner,
    models,
    set_seed,
    vision_learner,
)
from fastai.vision.learner import default_split, model_meta
from protocol import finish, images, run, write_answers

model_meta[models.mobilenet_v2] = {"cut": 1, "split": default_split, "stats": imagenet_stats, "weights": None}


def learner(args):  # type: ignore[no-untyped-def]
    """Make loaders (a fifth held out, the tutorial's item transform) and a learner on the shared weights."""
    loaders = ImageDataLoaders.from_folder(
        args.train, valid_pct=0.2, seed=args.seed, item_tfms=Resize(224), bs=32, num_workers=0
    )
    made = vision_learner(loaders, models.mobilenet_v2, metrics=accuracy, pretrained=False, normalize=False)
    weights = {
        k.removeprefix("features."): v.float() if v.is_floating_point() else v
        for k, v in torch.load(args.weights, weights_only=True).items()
        if k.startswith("features.")
    }
    made.model[0][0].load_state_dict(weights)
    made.freeze()
    return made


def train(args):  # type: ignore[no-untyped-def]
    """Find a rate, time one frozen epoch, and fine-tune for as many epochs as the rest of the time holds (at most 20)."""
    began = time.monotonic()
    torch.set_num_threads(args.threads)
    set_seed(args.seed)
    made = learner(args)
    with made.no_bar(), made.no_logging():
        rate = float(made.lr_find(show_plot=False).valley)
        before = time.monotonic()
        made.validate()
        look_s = time.monotonic() - before
        epoch_s = 4 * 4 * look_s  # four times the images, three times a forward pass, and some more
        left = args.seconds - (time.monotonic() - began)
        epochs = int(max(1, min(20, left / max(epoch_s, 1e-3) - 1)))
        made.fine_tune(epochs, rate)
        reported = float(made.validate()[1])
    Path(args.out).mkdir()
    made.export((Path(args.out) / "export.pkl").resolve())
    finish(reported, "fastai", "torch")


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
