"""fast.ai's own way, in its own environment: `vision_learner(...).fine_tune(epochs)`; it knows nothing of the product.

    pip install fastai        (in an environment of its own)
    python fastai_script.py DATA --epochs 5 --size 224 --batch 16

DATA holds train/ and test/. The item transform is the one of fast.ai's vision tutorial; MobileNetV2 is not in its own list
of networks, so its facts are added there, as for its own. One JSON line an epoch, `at_s` counted from the
start of the process.
"""

import argparse
import json
import time
import warnings

START = time.time() - time.process_time()
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from fastai.vision.all import (  # noqa: E402
    Callback,
    ImageDataLoaders,
    Resize,
    accuracy,
    imagenet_stats,
    models,
    set_seed,
    vision_learner,
)
from fastai.vision.learner import default_split, model_meta  # noqa: E402

# fast.ai ships these facts for other networks: where the body ends, what the pixels are normalised by.
model_meta[models.mobilenet_v2] = {
    "cut": 1,
    "split": default_split,
    "stats": imagenet_stats,
    "weights": models.MobileNet_V2_Weights.IMAGENET1K_V1,
}
parser = argparse.ArgumentParser()
parser.add_argument("data", help="a folder with train/ and test/")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int)
args = parser.parse_args()


class Tell(Callback):
    """Print the accuracy after every epoch."""

    order = 60  # behind the recorder

    def after_epoch(self) -> None:
        """Print one line."""
        value = float(self.learn.recorder.values[-1][-1]) if self.learn.recorder.values else float("nan")
        print(json.dumps({"test": value, "at_s": time.time() - START}), flush=True)


if __name__ == "__main__":
    if args.threads:
        torch.set_num_threads(args.threads)
    set_seed(args.seed)
    loaders = ImageDataLoaders.from_folder(
        args.data,
        train="train",
        valid="test",
        item_tfms=Resize(args.size),
        bs=args.batch,
        seed=args.seed,
    )
    learner = vision_learner(loaders, models.mobilenet_v2, metrics=accuracy, cbs=Tell())
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(args.epochs)
        final = float(learner.validate()[1])
    print(json.dumps({"test": final, "at_s": time.time() - START}), flush=True)
