"""AutoGluon's image predictor with a time limit, on the shared MobileNetV2 as a local timm checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import timm_weights
import torch
from protocol import finish, images, run, write_answers


def checkpoint(weights: str, to: Path) -> Path:
    """Write the shared network as a local timm checkpoint folder."""
    network = timm_weights.headless(weights)
    to.mkdir(parents=True)
    torch.save(network.state_dict(), to / "pytorch_model.bin")
    settings = {
        "architecture": timm_weights.NETWORK,
        "num_classes": 0,
        "num_features": 1280,
        "pretrained_cfg": {**network.pretrained_cfg, "interpolation": "bilinear"},
    }
    (to / "config.json").write_text(json.dumps(settings, default=str), encoding="utf-8")
    return to


def train(args):  # type: ignore[no-untyped-def]
    """Fit with the preset and the time limit."""
    from autogluon.multimodal import MultiModalPredictor

    torch.set_num_threads(args.threads)
    rows = pd.DataFrame([{"image": str(p), "label": p.parent.name} for p in images(args.train)])
    local = checkpoint(args.weights, Path(f"{args.out}-checkpoint"))
    predictor = MultiModalPredictor(label="label", path=args.out, presets=args.presets)
    predictor.fit(
        rows,
        time_limit=args.seconds,
        seed=args.seed,
        hyperparameters={
            "model.timm_image.checkpoint_name": str(local),
            "env.num_workers": 0,
            "env.accelerator": "cpu",
        },
    )
    finish(float(predictor._learner.best_score) if hasattr(predictor._learner, "best_score") else None, "torch")


def predict(args):  # type: ignore[no-untyped-def]
    """Classify with the stored predictor."""
    from autogluon.multimodal import MultiModalPredictor

    paths = images(args.test)
    answers = MultiModalPredictor.load(args.out).predict(pd.DataFrame({"image": [str(p) for p in paths]}))
    write_answers(args.answers, zip(paths, answers, strict=True))


if __name__ == "__main__":
    run(train, predict)
