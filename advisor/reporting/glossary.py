"""The terms that terminal, report and pages use, in plain words: the one source of docs/glossary.md.

Does NOT cover: where a term is explained on the page (`report`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GlossaryTerm:
    """A term: its key (the anchor on a page), how it is written, and what it means."""

    key: str
    name: str
    text: str


TERMS = (
    GlossaryTerm(
        "accuracy",
        "Accuracy",
        "The share of images that are classified correctly.",
    ),
    GlossaryTerm(
        "always-guessing",
        "Always guessing",
        "What you would score by always answering the largest class. A model that is not clearly above this has "
        "learned nothing useful.",
    ),
    GlossaryTerm(
        "arm",
        "Arm",
        "One of the strategies that `compare` trains side by side.",
    ),
    GlossaryTerm(
        "backbone",
        "Backbone, network",
        "A pretrained image network without its last layer. It turns an image into features.",
    ),
    GlossaryTerm(
        "balanced-accuracy",
        "Balanced accuracy",
        "The mean of the recalls of all classes: every class counts the same, regardless of its size.",
    ),
    GlossaryTerm(
        "budget",
        "Budget",
        "The time that a run may take, start-up and test included.",
    ),
    GlossaryTerm(
        "calibration-error",
        "Calibration error",
        "The average gap between confidence and accuracy. With a calibration error of 3 %, images that the model "
        "calls 90 % certain are right about 87 to 93 % of the time.",
    ),
    GlossaryTerm(
        "confusion-matrix",
        "Confusion matrix",
        "A table of true classes (rows) against predicted classes (columns). Mistakes lie off the diagonal.",
    ),
    GlossaryTerm(
        "embedding",
        "Embedding, features",
        "The numbers that a backbone computes from an image. Similar images have similar features.",
    ),
    GlossaryTerm(
        "epoch",
        "Epoch",
        "One pass of training over all training images.",
    ),
    GlossaryTerm(
        "feature-extraction",
        "Feature extraction",
        "The backbone stays as it is (it is frozen); only a head is trained on its features.",
    ),
    GlossaryTerm(
        "fine-tuning",
        "Fine-tuning",
        "The backbone itself is trained further: only its last stages (partial) or all of it (full).",
    ),
    GlossaryTerm(
        "fit",
        "Fit (crop, squash, pad)",
        "How a rectangular image becomes the square that a network takes: cut to its centre, squeezed, or bordered. "
        "Fit crop cuts to the centre.",
    ),
    GlossaryTerm(
        "fold",
        "Fold, cross-validation",
        "The training images are divided into five parts. Each part in turn is kept for validation while the other "
        "four are used for training, so that every image is predicted once by a model that was not trained on it.",
    ),
    GlossaryTerm(
        "head",
        "Head",
        "The last layer, which turns features into class probabilities: ridge (a linear model with closed-form "
        "solution), logistic (logistic regression), prototypes (the mean of each class), k-NN (nearest neighbours).",
    ),
    GlossaryTerm(
        "interval",
        "Interval, 95 % interval",
        "The range in which the accuracy on many more images of the same kind would lie with 95 % confidence. Few "
        "test images give a wide interval.",
    ),
    GlossaryTerm(
        "layers-all",
        "Layers all, layers last",
        "Whether a head uses the features of all stages of the backbone, or only those of the last one.",
    ),
    GlossaryTerm(
        "learned",
        "Learned",
        "The test accuracy is higher than always guessing the largest class, beyond what chance explains.",
    ),
    GlossaryTerm(
        "layercam",
        "LayerCAM",
        "A picture of which parts of an image speak for the predicted class, computed from the network's activations and "
        "their gradients. It shows what the network uses, not why.",
    ),
    GlossaryTerm(
        "learning-curve",
        "Learning curve",
        "How the accuracy rises with the number of training images (or, while a network trains, with the steps).",
    ),
    GlossaryTerm(
        "locked-test",
        "Locked test, test set",
        "Images that were held out before anything was tried. No decision used them; they are scored once, at the "
        "end. So the test score is an honest estimate for new images of the same kind.",
    ),
    GlossaryTerm(
        "log-loss",
        "Log-loss",
        "How well the predicted probabilities fit the truth: the mean of −ln(probability of the true class). Lower is "
        "better. A model that is right with 60 % certainty and one that is right with 99 % certainty have the same "
        "accuracy but different log-loss. With few images, accuracy moves in large steps and log-loss does not: that "
        "is why the best trial goes by log-loss, and can have a slightly lower accuracy than another.",
    ),
    GlossaryTerm(
        "macro-f1",
        "Macro F1",
        "The mean over classes of the harmonic mean of precision and recall.",
    ),
    GlossaryTerm(
        "mirror",
        "Mirror",
        "The features of an image and of its mirror image are averaged.",
    ),
    GlossaryTerm(
        "objective",
        "Objective",
        "The score that the search improves: log-loss unless you choose another.",
    ),
    GlossaryTerm(
        "optimism",
        "Optimism",
        "How much higher the best validation score is than the test score. The best of many trials is partly lucky, "
        "so its validation score tends to be too high.",
    ),
    GlossaryTerm(
        "pool",
        "Pool",
        "The images for training and validation: everything except the test set.",
    ),
    GlossaryTerm(
        "precision",
        "Precision",
        "Of the images that were predicted as a class, the share that belong to it.",
    ),
    GlossaryTerm(
        "probe",
        "Probe",
        "A quick first trial: a closed-form head on the frozen features of a network. It takes seconds and is a "
        "strong reference for everything that takes longer.",
    ),
    GlossaryTerm(
        "recall",
        "Recall",
        "Of the images of a class, the share that were recognised.",
    ),
    GlossaryTerm(
        "recipe",
        "Recipe",
        "The file `recipe.yaml`: everything that is needed to train the same model again. `tl-advise rerun` does it.",
    ),
    GlossaryTerm(
        "refit",
        "Refit, final training",
        "After the search, the winner is trained once more on all images for training and validation.",
    ),
    GlossaryTerm(
        "regime",
        "Regime",
        "How much of the network is trained: feature extraction, partial fine-tuning or full fine-tuning.",
    ),
    GlossaryTerm(
        "ridge",
        "Ridge",
        "A linear head whose solution is computed directly; its strength is chosen by cross-validation.",
    ),
    GlossaryTerm(
        "rule-of-thumb",
        "Rule of thumb",
        "What textbooks recommend from the number of images alone. The search starts there and measures whether it "
        "holds for your data.",
    ),
    GlossaryTerm(
        "stage",
        "Stage",
        "A group of consecutive layers of a backbone, from the input (stem) to the last block.",
    ),
    GlossaryTerm(
        "statistically-tied",
        "Statistically tied",
        "The validation images cannot show which of the two is better.",
    ),
    GlossaryTerm(
        "strategy",
        "Strategy",
        "How a network is adapted to your data: a kind of head, or a way of fine-tuning. `tl-advise plugins` lists "
        "all.",
    ),
    GlossaryTerm(
        "strength",
        "Strength",
        "Of ridge: how strongly large weights are penalised. Of logistic regression, `c` is its inverse.",
    ),
    GlossaryTerm(
        "temperature",
        "Temperature",
        "A number by which the model's outputs are divided before they become probabilities, fitted so that the "
        "probabilities match how often the model is right.",
    ),
    GlossaryTerm(
        "trial",
        "Trial",
        "One candidate (network, strategy, parameters) that the search trains and scores by cross-validation. A trial "
        "that is clearly behind the others is stopped early.",
    ),
    GlossaryTerm(
        "untuned-default",
        "Untuned default",
        "What you would get without a search: the network with the best probe that fits the budget, with the default "
        "parameters of the rule of thumb. It is fixed before the first trial, and tuning is compared with it.",
    ),
    GlossaryTerm(
        "within-noise",
        "Within noise",
        "The difference is no larger than chance explains with this number of test images.",
    ),
)
BY_KEY = {term.key: term for term in TERMS}


def as_markdown() -> str:
    """Return docs/glossary.md."""
    import textwrap

    head = "# Glossary\n\nTerms that the terminal, the report and the pages use, in plain words.\n"
    paragraphs = (textwrap.fill(f"**{term.name}.** {term.text}", 120, break_on_hyphens=False) for term in TERMS)
    return "\n".join([head, *(f"{paragraph}\n" for paragraph in paragraphs)])
