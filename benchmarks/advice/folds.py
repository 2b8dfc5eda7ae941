"""Two folds or a refit? What the model of one fold, the mean of two folds' weights, and a refit on all images are worth.

    python benchmarks/advice/folds.py [--seeds 2] [--epochs 4] [--only NAME ...] [--data DIR] [--to DIR] [--work DIR]

1,000 training images, MobileNetV2, the first guess of `full` at a few epochs; accuracy and log-loss on up to 2,000 test
images. "Both answers" averages the probabilities of the two folds' models, at twice the cost. The last columns are the two
folds' own verdicts: log-loss of the head minus that of the training on a fold's 200 images, and on the test.
Resumable: every set and seed is a row. Does NOT cover: the search (regret.py).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import ledger
import numpy as np
import numpy.typing as npt
import regret

from advisor import registry
from advisor.data import dataset
from advisor.execution import fold_averaging, trainer
from advisor.execution.resources import Resources
from advisor.metrics import classification
from advisor.models import predictor
from advisor.models.classifier import Classifier
from advisor.records import Candidate, TrainPlan
from advisor.records.messages import OpenDataset
from advisor.runtime import device

PLACES = {"cifar10": 96, "sketch": 128, "five_flowers": 128}  # set, input size
HEAD = Candidate(backbone="mobilenet_v2", strategy="logistic", parameters={"layers": "all", "mirror": True})
Rows = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


class Bench:
    """One set, laid out as regret.py does, with its pool and its test images side by side."""

    def __init__(self, name: str, args: argparse.Namespace, seed: int) -> None:
        folder = regret.folder(name, "1000", args)
        assert folder is not None
        data_set = dataset.read(folder)
        items = data_set.pool + data_set.test
        job = OpenDataset(
            root=data_set.root,
            classes=data_set.classes,
            items=items,
            folds=5,
            seed=seed,
            device="cpu",
            run_dir="",
            offline=True,
            threads=args.threads,
        )
        self.resources = Resources(job, registry.load(), lambda what, done, total: None)
        self.backbone = self.resources.registry.backbone("mobilenet_v2")
        device.apply(self.resources.compute(self.backbone))
        self.pool, self.test = np.arange(len(data_set.pool)), np.arange(len(data_set.pool), len(items))
        self.size_px, self.seed = PLACES[name], seed

    def fitted(self, candidate: Candidate, rows: Rows) -> tuple[TrainPlan, Classifier]:
        """Train a candidate on these rows."""
        context = self.resources.context(self.backbone, rows, self.size_px, 32)
        strategy = self.resources.registry.strategy(candidate.strategy)
        plan = strategy.plan({**strategy.first_guesses(context)[0], **candidate.parameters}, context)
        classifier = trainer.classifier_for(self.resources, candidate, plan, rows, self.seed)
        if plan.phases:
            loop = trainer.train_loop(self.resources, candidate, plan, classifier, rows, self.seed)
            for _ in loop.run():
                pass
            loop.finish()
        return plan, classifier

    def logits(self, candidate: Candidate, plan: TrainPlan, classifier: Classifier, rows: Rows) -> Logits:
        """Score rows."""
        return trainer.score_rows(self.resources, candidate, plan, classifier, rows)

    def scored(self, logits: Logits, rows: Rows) -> dict[str, float]:
        """Return accuracy, and log-loss at the temperature that suits these rows."""
        labels = self.resources.labels[rows]
        scaled = logits / np.float32(classification.fit_temperature(logits, labels))
        return {
            "accuracy": classification.accuracy(logits, labels),
            "log_loss": classification.log_loss(scaled, labels),
        }


def once(name: str, seed: int, args: argparse.Namespace) -> ledger.Row:
    """Train on two folds and on all images, and score what comes of it."""
    from sklearn.model_selection import StratifiedKFold

    bench = Bench(name, args, seed)
    full = Candidate(
        backbone="mobilenet_v2", strategy="full", parameters={"epochs": args.epochs}, size_px=bench.size_px
    )
    head = Candidate(backbone=HEAD.backbone, strategy=HEAD.strategy, parameters=HEAD.parameters, size_px=bench.size_px)
    cuts = StratifiedKFold(5, shuffle=True, random_state=seed).split(bench.pool, bench.resources.labels[bench.pool])
    states, answers, ahead, ahead_on_test = [], [], [], []
    for rows, val in list(cuts)[:2]:
        head_plan, probe = bench.fitted(head, rows)
        plan, classifier = bench.fitted(full, rows)
        answers.append(bench.logits(full, plan, classifier, bench.test))
        states.append(predictor.state_tensors(classifier))
        own = bench.scored(bench.logits(full, plan, classifier, val), val)["log_loss"]
        ahead.append(bench.scored(bench.logits(head, head_plan, probe, val), val)["log_loss"] - own)
        probed = bench.scored(bench.logits(head, head_plan, probe, bench.test), bench.test)
        ahead_on_test.append(probed["log_loss"] - bench.scored(answers[-1], bench.test)["log_loss"])
    classifier.load_state_dict(fold_averaging.mean(states))
    mean = bench.scored(bench.logits(full, plan, classifier, bench.test), bench.test)
    plan, classifier = bench.fitted(full, bench.pool)
    refit = bench.scored(bench.logits(full, plan, classifier, bench.test), bench.test)
    plan, classifier = bench.fitted(head, bench.pool)
    both = np.log(np.mean([np.exp(_log_softmax(a)) for a in answers], axis=0)).astype(np.float32)
    return {
        "data": name,
        "seed": seed,
        "epochs": args.epochs,
        "n": len(bench.test),
        "head": bench.scored(bench.logits(head, plan, classifier, bench.test), bench.test),
        "fold": bench.scored(answers[0], bench.test),
        "mean": mean,
        "both": bench.scored(both, bench.test),
        "refit": refit,
        "ahead": ahead,
        "ahead_on_test": ahead_on_test,
    }


def _log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    from scipy.special import log_softmax

    log_probabilities: npt.NDArray[np.float64] = log_softmax(logits.astype(np.float64), axis=1)
    return log_probabilities


def report(rows: list[ledger.Row]) -> str:
    """Write a line a set and seed, and the means."""
    names = ("head", "fold", "mean", "both", "refit")
    lines = []
    for row in sorted(rows, key=lambda r: (r["data"], r["seed"])):
        cells = [f"{row[n]['accuracy']:.3f} ({row[n]['log_loss']:.3f})" for n in names]
        folds = ", ".join(f"{x:+.3f}" for x in row["ahead"])
        lines.append(
            [row["data"], str(row["seed"]), *cells, folds, ", ".join(f"{x:+.3f}" for x in row["ahead_on_test"])]
        )
    if rows:
        means = [
            f"**{np.mean([r[n]['accuracy'] for r in rows]):.3f}** ({np.mean([r[n]['log_loss'] for r in rows]):.3f})"
            for n in names
        ]
        lines.append(["mean", "", *means, "", ""])
    titles = ["data", "seed", "head on all", "one fold's model", "mean of two", "both answers", "refit on all"]
    text = ledger.table([*titles, "ahead of the head, on each fold", "the same on the test"], lines)
    return text + (f"\n{rows[0]['epochs']:g} epochs. {ledger.machine()}.\n" if rows else "")


def main() -> int:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", action="append", choices=PLACES)
    parser.add_argument("--data", type=Path, default=ledger.ROOT / ".scratch" / "data")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-regret")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    book = ledger.Ledger(args.to, "folds")
    for seed in range(args.seeds):
        for name in args.only or PLACES:
            if not book.has(data=name, seed=seed, epochs=args.epochs):
                book.add(once(name, seed, args))
                print(book.rows[-1], flush=True)
    ledger.publish("folds", report(book.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
