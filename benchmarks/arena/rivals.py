"""Who takes part: script, packages of its environment, and whether it can use the shared pretrained file."""

from __future__ import annotations

from dataclasses import dataclass

TORCH = ("torch==2.14.1", "torchvision==0.29.1")
AUTOGLUON = ("autogluon.multimodal==1.6.3", "torch==2.13.0", "torchvision==0.28.0", "pillow<13", "setuptools<80")
# What takes no part, and the line that stopped it.
ABSENT = {
    "cvic 1.2.4": "does not install: `ERROR: No matching distribution found for cvic==1.2.4`",
    "LightlyTrain 0.18": "installs; with the shared MobileNetV2 its classification ends at once: `RuntimeError: mat1 "
    "and mat2 shapes cannot be multiplied (32x320 and 1280x2)`; networks of its own are downloads",
    "Quick-Tune-Tool 0.0.4": "installs, with `requests` added; its predictor of learning curves is a download that was not "
    "available: `NameResolutionError` in `get_pretrained_optimizer('mtlbm/full')`",
    "Ultralytics classify 8.4": "installs; its weights were not available, and from scratch it is no comparison",
    "Keras with KerasTuner": "installs; the shared weights are a torch file, and its own were not available",
    "AutoGluon best quality": "made for hours; medium takes part; high has a script but was not run",
}


@dataclass(frozen=True)
class Rival:
    """One row's method. `requirements` None means the environment that runs the arena."""

    name: str
    script: str
    requirements: tuple[str, ...] | None
    options: tuple[str, ...] = ()
    note: str = ""


RIVALS = (
    Rival("tl-advise", "ours.py", None),
    Rival("scikit-learn on frozen features", "sklearn_features.py", None, note="logistic regression, C by 5 folds"),
    Rival("plain notebook, last layer", "notebook.py", None, ("--regime", "head"), "up to 25 epochs, SGD 0.001"),
    Rival("plain notebook, full", "notebook.py", None, ("--regime", "full"), "up to 25 epochs, SGD 0.001"),
    Rival(
        "fast.ai fine_tune",
        "fastai_finetune.py",
        (*TORCH, "fastai>=2.8"),
        note="learning-rate finder where it fits, fine_tune",
    ),
    Rival(
        "AutoTimm",
        "autotimm_trainer.py",
        (*TORCH, "autotimm==0.7.37"),
        note="learning-rate finder where it fits, AutoTrainer",
    ),
    Rival(
        "FujiCV",
        "fujicv_trainer.py",
        (*TORCH, "fujicv==1.16.0"),
        note="learning-rate finder where it fits, Trainer, cosine schedule",
    ),
    Rival("AutoGluon medium", "autogluon_mm.py", AUTOGLUON, ("--presets", "medium_quality")),
    Rival("AutoGluon high", "autogluon_mm.py", AUTOGLUON, ("--presets", "high_quality")),
)
