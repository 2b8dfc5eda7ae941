"""The honest strong baseline: MobileNetV2's pooled features and scikit-learn's logistic regression, C by 5 folds."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from protocol import elapsed_s, finish, images, run, write_answers
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision import models, transforms

SIZE = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


def features(paths: list[Path], weights: dict) -> np.ndarray:  # type: ignore[type-arg]
    """Return pooled features (N, 1280)."""
    network = models.mobilenet_v2()
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()}, strict=False)
    network.classifier = torch.nn.Identity()
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(paths), 32):
            batch = torch.stack([SIZE(Image.open(p).convert("RGB")) for p in paths[start : start + 32]])
            parts.append(network(batch).numpy())
    return np.concatenate(parts)


def train(args):  # type: ignore[no-untyped-def]
    """Fit, and keep the weights beside the head so that a fresh process needs nothing else."""
    torch.set_num_threads(args.threads)
    weights = torch.load(args.weights, weights_only=True)
    paths = images(args.train)
    labels = np.array([p.parent.name for p in paths])
    folds = max(2, min(5, min(np.unique(labels, return_counts=True)[1])))
    head = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=[1e-4, 1e-3, 1e-2, 0.1], cv=folds, max_iter=300))
    head.fit(features(paths, weights), labels)
    out = Path(args.out)
    out.mkdir()
    torch.save(weights, out / "weights.pt")
    (out / "head.pkl").write_bytes(pickle.dumps(head))
    scores = head[-1].scores_
    best = max(float(np.mean(s, axis=0).max()) for s in (scores.values() if isinstance(scores, dict) else [scores]))
    finish(best, "scikit-learn", "torch", history=[(elapsed_s(), best)])


def predict(args):  # type: ignore[no-untyped-def]
    """Classify with the stored head."""
    paths = images(args.test)
    head = pickle.loads((Path(args.out) / "head.pkl").read_bytes())
    seen = features(paths, torch.load(Path(args.out) / "weights.pt", weights_only=True))
    write_answers(args.answers, zip(paths, head.predict(seen), strict=True))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    run(train, predict)
