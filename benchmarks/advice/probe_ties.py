"""How wide a tie between two probes should be: which network is taken, and what another rule, or several, would have brought.

    python benchmarks/advice/probe_ties.py [--seeds 6] [--data DIR] [--to DIR] [--work DIR] [--minutes M]

A run draws a pool from 800 images of a set, fits the probe's head out of fold on the frozen features of every network and
size, chooses one by each rule, and compares the accuracy of the chosen head on the remaining images with the highest of
all. Rules: the lowest log-loss; a tie within a share of it, or within a number of standard errors of the paired
difference, where the highest published accuracy is taken. Beside them the mean of the probabilities of several networks,
each at its better size, the ones with the lowest log-loss first; the ensemble that the search would choose; and the same with
all members but the winner on squares that are not their own, those of MobileNetV2 at 128 px. Features are kept in `--work`.
Does NOT cover: trained networks.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import ledger
import numpy as np
from numpy.typing import NDArray
from torch import nn

from advisor import registry
from advisor.data import pixels, splits
from advisor.features import extract_features
from advisor.heads import fitting, outputs
from advisor.metrics import classification
from advisor.models import backbone as backbones
from advisor.models import inference, pretrained_weights
from advisor.models.classifier import Classifier, SquareResize
from advisor.records import Candidate, ForwardSpec, Head, Trial
from advisor.runtime import device
from advisor.selection import ensemble
from advisor.tuning import policy

SETS = {
    "ants and bees": ("hymenoptera", "*/*/*"),
    "five flowers": ("five_flowers", "*/*"),
    "photos": ("pacs/photo", "*/*"),
    "sketches": ("pacs/sketch", "*/*"),
    "CIFAR-10": ("cifar10/test", "*/*"),
    "20 flowers": ("flowers102/test", "*/*"),
}
NETWORKS = ("pocket", "squeezenet1_1", "mobilenet_v2", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
ENSEMBLE, SHARED = "the search's ensemble", "the same on shared squares"
MEANS = {"mean of 2 networks": 2, "mean of 3 networks": 3, "mean of all six": 6}
SIZES, POOLS, IMAGES, CLASSES, FOLDS = (64, 128), (30, 50, 100, 200, 400), 800, 20, 5
LEAST_REST = 100  # images that score a choice
Losses = Mapping[str, NDArray[np.float64]]  # of every pool image, by network and size


def within(share: float) -> Callable[[Losses], set[str]]:
    """Return the rule of ties within a share of the lowest log-loss."""

    def ties(losses: Losses) -> set[str]:
        lowest = min(loss.mean() for loss in losses.values())
        return {key for key, loss in losses.items() if loss.mean() <= (1 + share) * lowest}

    return ties


def noise(errors: float) -> Callable[[Losses], set[str]]:
    """Return the rule of ties within so many standard errors of the paired difference to the lowest log-loss."""

    def ties(losses: Losses) -> set[str]:
        best = min(losses.values(), key=lambda loss: loss.mean())
        gaps = {key: loss - best for key, loss in losses.items()}
        return {key for key, gap in gaps.items() if gap.mean() <= errors * gap.std(ddof=1) / len(gap) ** 0.5}

    return ties


RULES = {
    "lowest log-loss": within(0.0),
    **{f"within {share:.0%}": within(share) for share in (0.02, 0.05, 0.1, 0.2)},
    **{f"within {errors:g} SE": noise(errors) for errors in (0.25, 0.5, 1.0, 2.0)},
}


def files(data: Path, name: str) -> list[Path]:
    """Draw the images of a set: at most 800, of at most 20 classes, the largest ones."""
    folder, pattern = SETS[name]
    paths = sorted(path for path in (data / folder).glob(pattern) if path.is_file())
    names, counts = np.unique([path.parent.name for path in paths], return_counts=True)
    commonest = set(names[np.argsort(-counts, kind="stable")[:CLASSES]])
    paths = [path for path in paths if path.parent.name in commonest]
    return [paths[i] for i in sorted(np.random.default_rng(0).permutation(len(paths))[:IMAGES].tolist())]


def features(name: str, args: argparse.Namespace) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    """Extract features (N, D) of every network and size, or read them from `--work`; and the labels (N,)."""
    paths = files(args.data, name)
    labels = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
    values, offered = {}, registry.load()
    args.work.mkdir(parents=True, exist_ok=True)
    for network in NETWORKS:
        for size_px in SIZES:
            file = args.work / f"{name}-{network}-{size_px}.npy"
            if not file.exists():
                backbone = offered.backbone(network)
                np.save(file, extract_features(backbone, paths, size_px=size_px, offline=True))
            values[f"{network} {size_px} px"] = np.load(file)
    return values, labels


def shared_features(name: str, args: argparse.Namespace) -> dict[str, NDArray[np.float32]]:
    """Extract features (N, D) of every network and size from one set of squares, or read them from `--work`."""
    values, offered, side_px = {}, registry.load(), max(SIZES)
    rule = pixels.rule_for(offered.backbone("mobilenet_v2").preprocess, side_px, "crop")
    canvas: NDArray[np.uint8] | None = None
    for network in NETWORKS:
        for size_px in SIZES:
            file = args.work / f"{name}-{network}-{size_px}-shared.npy"
            if not file.exists():
                if canvas is None:
                    canvas = np.stack([pixels.decode(path, rule) for path in files(args.data, name)])
                backbone = offered.backbone(network)
                weights = pretrained_weights.locate(backbone, offline=True)
                body = backbones.build(backbone, pretrained_weights.read(backbone, weights)[0])
                resize = None if size_px == side_px else SquareResize(side_px, size_px)
                whole = Classifier(backbone, body, nn.Identity(), resize=resize).eval()
                spec = ForwardSpec(backbone.preprocess, side_px, device.choose("cpu", backbone))
                np.save(file, inference.logits(whole, canvas, np.arange(len(canvas)), spec))
            values[f"{network} {size_px} px"] = np.load(file)
    return values


def chosen_members(logits: Mapping[str, NDArray[np.float64]], labels: NDArray[np.int64]) -> list[str]:
    """Choose members by the search's own function, each network at its better size: the winner first, or alone."""
    trials = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (key, rows) in enumerate(logits.items()):
            file = f"{number}.npz"
            np.savez(Path(folder) / file, rows=np.arange(len(labels)), logits=rows, labels=labels)
            network, size_px = key.split(" ")[:2]
            trials[number] = Trial(
                number=number,
                candidate=Candidate(backbone=network, strategy="ridge", parameters={}, size_px=int(size_px)),
                regime="feature_extraction",
                state="complete",
                temperature=classification.fit_temperature(rows, labels),
                predictions=file,
            )
        winner, *rivals = trials.values()
        chosen = ensemble.choose_by_predictions(Path(folder), winner, rivals, len(labels))
    keys = list(logits)
    return [keys[t.number] for t in chosen.members] if chosen else keys[:1]


def once(
    values: Mapping[str, NDArray[np.float32]],
    shared: Mapping[str, NDArray[np.float32]],
    labels: NDArray[np.int64],
    published: Mapping[str, float],
    count: int,
    seed: int,
) -> ledger.Row:
    """Draw a pool, probe it, choose by every rule: the points of accuracy that each choice falls short of the best."""
    classes = int(labels.max()) + 1
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(labels))
    pool = np.concatenate([order[labels[order] == k][: max(1, count // classes)] for k in range(classes)])
    rest = np.setdiff1d(np.arange(len(labels)), pool)
    folds = splits.folds(labels[pool], None, k=min(FOLDS, max(2, count // classes)), seed=seed)
    losses, predicted, on_shared, oof, head = {}, {}, {}, {}, Head(kind="ridge")
    for key, rows in values.items():
        logits = fitting.oof(head, rows[pool], labels[pool], classes, folds, seed=seed)
        temperature = classification.fit_temperature(logits, labels[pool])
        shares = classification.probabilities(logits, temperature=temperature)
        losses[key] = -np.log(np.maximum(shares[np.arange(len(pool)), labels[pool]], 1e-12))
        fitted = fitting.fit(head, rows[pool], labels[pool], classes, seed=seed)
        predicted[key] = classification.probabilities(outputs.predict(fitted, rows[rest]), temperature=temperature)
        resized = outputs.predict(fitted, shared[key][rest])
        on_shared[key], oof[key] = classification.probabilities(resized, temperature=temperature), logits
    accuracies = {key: float((shares.argmax(1) == labels[rest]).mean()) for key, shares in predicted.items()}
    row = {}
    for rule, ties in RULES.items():
        taken = max(ties(losses), key=lambda key: (published[key.split(" ")[0]], -losses[key].mean()))
        row[rule] = 100 * (max(accuracies.values()) - accuracies[taken])
    best_sizes = {key.split(" ")[0]: key for key in sorted(losses, key=lambda key: -losses[key].mean())}
    ranked = sorted(best_sizes.values(), key=lambda key: losses[key].mean())
    means = {name: [predicted[key] for key in ranked[:several]] for name, several in MEANS.items()}
    largest_px = policy.ENSEMBLE_ENLARGES * int(ranked[0].split(" ")[1])
    able = [key for key in sorted(losses, key=lambda key: losses[key].mean()) if int(key.split(" ")[1]) <= largest_px]
    first = {key.split(" ")[0]: key for key in reversed(able)}
    winner, *others = chosen_members({key: oof[key] for key in able if key in first.values()}, labels[pool])
    means[ENSEMBLE] = [predicted[key] for key in (winner, *others)]
    means[SHARED] = [predicted[winner], *(on_shared[key] for key in others)]
    for name, each in means.items():
        mean = np.mean(each, axis=0)
        row[name] = 100 * (max(accuracies.values()) - float((mean.argmax(1) == labels[rest]).mean()))
    return row


def report(rows: list[ledger.Row]) -> str:
    """Write the table: points below the best choice, by rule and number of images, over sets and seeds."""
    lines = []
    for rule in (*RULES, *MEANS, ENSEMBLE, SHARED):
        cells = [rule]
        for count in POOLS:
            short = [row[rule] for row in rows if row["images"] == count]
            cells.append(f"{np.mean(short):.2f} ({max(short):.1f})" if short else "-")
        lines.append([*cells, f"{np.mean([row[rule] for row in rows]):.2f}" if rows else "-"])
    return ledger.table(["rule", *(f"{count} images" for count in POOLS), "all"], lines)


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--work", type=Path, default=ledger.ROOT / ".scratch" / "probe-ties", help="for the features")
    ledger.add_options(parser)
    args = parser.parse_args()
    offered = registry.load()
    published = {name: offered.backbone(name).published_accuracy or 0.0 for name in NETWORKS}
    book, end = ledger.Ledger(args.to, "probe_ties"), time.monotonic() + 60 * args.minutes
    for name in () if args.table else SETS:
        values, labels = features(name, args)
        shared = shared_features(name, args)
        for count in (c for c in POOLS if 2 * (labels.max() + 1) <= c <= len(labels) - LEAST_REST):
            for seed in range(args.seeds):
                if time.monotonic() > end:
                    sys.exit("stopped at --minutes; the next call goes on")
                if not book.has(data=name, images=count, seed=seed):
                    row = once(values, shared, labels, published, count, seed)
                    book.add({"data": name, "images": count, "seed": seed, **row})
        print(name, flush=True)
    ledger.publish("probe-ties", report(book.rows))


if __name__ == "__main__":
    main()
