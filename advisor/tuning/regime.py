"""Profile -> Regime: how much of the network to train, by a short table of rules on size and class count. Only a prior.

In: the number of training images (readable, outside a given test split, before the tool's own split) and of classes. Out: a
name and a reason in words. Later measurements overrule it (`settle`), and the result says so. With an earlier search, one seed
and 13 subsets of five data sets, the size rule alone named the best regime six times and lost up to 4.6 points of accuracy
(benchmarks/advice/regret.py, benchmarks/results/regret.json).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from advisor.errors import InputError
from advisor.records import Evidence, Profile, Regime
from advisor.records.trials import REGIME_WORDS, REGIMES, RegimeName, regime_name


@dataclass(frozen=True)
class SizeRule:
    """One line of the table: it speaks where `holds(images, images per class)`; the first that speaks decides."""

    name: RegimeName
    few_shot: bool
    holds: Callable[[int, float], bool]
    why: str
    origin: str


SURE_P = 0.05  # of the comparison with another regime, from which on the one that a person set is said to be worse
RULES: tuple[SizeRule, ...] = (
    SizeRule(
        "feature_extraction",
        True,
        lambda images, per_class: per_class < 10,
        "under 10 images per class: a head on frozen features, class means first, is all that they can carry",
        "few-shot practice: Snell et al. 2017 (arXiv:1703.05175), Chen et al. 2019 (arXiv:1904.04232)",
    ),
    SizeRule(
        "feature_extraction",
        False,
        lambda images, per_class: images < 1_000,
        "fewer than 1,000 images: frozen features and a small head leave little room to overfit",
        "the tutorials' size rule (CS231n, Transfer Learning)",
    ),
    SizeRule(
        "partial",
        False,
        lambda images, per_class: images < 10_000,
        "1,000 to 9,999 images: enough to adapt the last stages, not enough to repay training all of them",
        "the tutorials' size rule (CS231n, Transfer Learning)",
    ),
    SizeRule(
        "full",
        False,
        lambda images, per_class: True,
        "10,000 images or more: enough to adapt every stage",
        "the tutorials' size rule (CS231n, Transfer Learning)",
    ),
)


def classify(profile: Profile) -> Regime:
    """Return the prior for a profile."""
    return by_size(profile.training_images, len(profile.classes))


def by_size(images: int, classes: int) -> Regime:
    """Return the prior for `images` training images in `classes` classes: the first rule that holds."""
    per_class = images / max(1, classes)
    rule = next(r for r in RULES if r.holds(images, per_class))
    each = f"{per_class:.3g}" if per_class < 100 else f"{per_class:,.0f}"
    reason = f"{images:,} images in {classes:,} classes ({each} a class) - {rule.why}"
    return Regime(name=rule.name, reason=reason, prior=rule.name, few_shot=rule.few_shot, origin=rule.origin)


def override(regime: Regime, name: str) -> Regime:
    """Replace the prior by what a person asked for. Raises InputError where there is no such regime."""
    try:
        forced = regime_name(name.replace("-", "_"))
    except ValueError:
        raise InputError(
            f"--regime {name}: there is no such regime.", hint=f"Choose one of {', '.join(REGIMES)}."
        ) from None
    return Regime(
        name=forced,
        reason=f"set by --regime; the rule of thumb for this size is {REGIME_WORDS[regime.prior]}",
        prior=regime.prior,
        few_shot=regime.few_shot,
        origin="set by --regime",
        forced=True,
    )


def settle(
    prior: Regime, winner: RegimeName, evidence: Sequence[Evidence], reasons: Sequence[str], more: Sequence[str] = ()
) -> Regime:
    """Return the regime that the measurements support: the winner's, with its evidence, and what the prior was.

    `reasons` are the evidence in words, `more` further remarks.
    """
    return Regime(
        name=winner,
        reason=f"{REGIME_WORDS[winner]}: {'; '.join([*reasons, _rule_in_words(prior, winner, evidence), *more])}",
        prior=prior.prior,
        evidence=tuple(evidence),
        few_shot=prior.few_shot,
        origin=prior.origin if prior.forced or winner == prior.prior else "measured on this data set",
        forced=prior.forced,
    )


def _rule_in_words(prior: Regime, winner: str, evidence: Sequence[Evidence]) -> str:
    """Write what the rule of thumb has to do with the winner; nothing outweighs it where a person set the regime."""
    rule = f"the rule of thumb for this size is {REGIME_WORDS[prior.prior]}"
    if prior.forced and winner != prior.name:
        return f"--regime asks for {REGIME_WORDS[prior.name]}, which has no result ({rule})"
    if prior.forced:
        better = any(e.reference > e.value and e.p is not None and e.p <= SURE_P for e in evidence)
        return f"set by --regime{', without which it would not be recommended' if better else ''} ({rule})"
    if winner == prior.prior:
        return "this agrees with the rule of thumb for your data size"
    return f"measurements on your data outweigh the rule of thumb for your data size ({REGIME_WORDS[prior.prior]})"
