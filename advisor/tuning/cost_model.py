"""What things cost in this run: training, scoring, the final refits; how many folds, and whether there is time for it.

In: a `SearchState`, a candidate. Out: seconds, predicted from cards and corrected by measured speeds. The time for refitting
and scoring the winner is part of every prediction, so whatever is best when time runs out can still be finished. Pure.
Does NOT cover: the cards' own numbers (`budget`), how long a training may be (`epoch_budget`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from advisor.data.splits import FOLDS
from advisor.records import Candidate
from advisor.records.trials import DEFAULT
from advisor.tuning import budget, policy
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.search_state import SearchState
from advisor.tuning.trials.study import key

HEAD_REFIT = 0.5  # of the time that scoring a head on five folds took: one fit on all images, features available
HEAD_S, HEAD_S_EACH = 1.0, 1.3e-4  # fitting a head that was not fitted yet: at least, and for each image and class
# How much slower a multiply-add of training is than one of a frozen pass, before it was measured. On a CPU, where passes fold
# BatchNorm, at 128 and 224 px: 1.2 with SqueezeNet, 1.3 with ResNet-18, 2.2 and 1.6 with EfficientNet-B0, 2.7 and 2.0 with
# MobileNetV2. The first steps of a trial measure it at little cost; what is then seen not to fit is tried again, shortened.
TRAINING_OVER_FROZEN = 1.5
FORGETTING_PASSES, FORGETTING_PASSES_WITH_SOURCE = 6, 12  # over the watched images, for all shares of the weights


def train_s(state: SearchState, candidate: Candidate, images: int) -> float:
    """Predict the seconds of training a candidate on `images` images, corrected by what was measured."""
    if state.trains_backbone(candidate):
        return card_s(state, candidate, images) * _training_ratio(state, candidate)
    same = [t for t in state.contenders() if t.candidate.strategy == candidate.strategy]
    # A mirrored one may have made a pass of its own, which is counted apart.
    alone = [t.seconds - _mirrored(t.candidate) * _pass_s(state, t.candidate, state.images) for t in same]
    fitting = max(0.0, *alone) if alone else HEAD_S + HEAD_S_EACH * images * len(state.counts)
    return _missing_passes_s(state, candidate) + fitting


def refit_s(state: SearchState, candidate: Candidate) -> float:
    """Predict the seconds of a refit on the pool: one training, or of a head that was scored on all folds a part of that."""
    whole = train_s(state, candidate, state.images)
    return whole if state.trains_backbone(candidate) or not state.has_score(candidate) else HEAD_REFIT * whole


def _training_ratio(state: SearchState, candidate: Candidate) -> float:
    """Predict how much longer than on its card a training takes: as measured, or by what it is over a frozen pass."""
    if has_pace(state, candidate):
        measured = state.speeds.trainings[state.strategy_of(candidate).regime]
        return state.speeds.slowdown * measured.ratio(candidate.backbone)
    # What training is over a frozen pass differs fourfold between networks: another one's reading would mislead.
    return TRAINING_OVER_FROZEN * state.speeds.slowdown * state.speeds.passes.ratio(candidate.backbone)


def has_pace(state: SearchState, candidate: Candidate) -> bool:
    """Return True if a training of this regime on this network was measured."""
    return state.speeds.has_training(state.strategy_of(candidate).regime, candidate.backbone)


def observe_training(
    speeds: budget.MeasuredSpeeds, state: SearchState, candidate: Candidate, folds: int, taken_s: float
) -> None:
    """Update `speeds` with the seconds that training a candidate on so many folds took."""
    predicted_s = folds * card_s(state, candidate, state.fold_images)
    speeds.observe_training(state.strategy_of(candidate).regime, candidate.backbone, predicted_s, taken_s)


def _missing_passes_s(state: SearchState, candidate: Candidate) -> float:
    """Predict the frozen passes over the pool: none where a probe, or a mirrored trial, has left its features."""
    at = BackboneAtSize.of(candidate)
    alike = [c.candidate for c in state.contenders() if BackboneAtSize.of(c.candidate) == at]
    passes = int(not alike) + int(_mirrored(candidate) and not any(_mirrored(c) for c in alike))
    return passes * _pass_s(state, candidate, state.images)


def _pass_s(state: SearchState, candidate: Candidate, images: int) -> float:
    """Predict the seconds of one frozen pass over so many images."""
    backbone = state.registry.backbone(candidate.backbone)
    macs = budget.at_size(backbone.macs, backbone.preprocess.size, candidate.size_px)
    ratio = state.speeds.slowdown * state.speeds.passes.ratio(candidate.backbone)
    return ratio * budget.extraction_s(images, macs, state.device)


def test_scoring_s(state: SearchState, candidates: Iterable[Candidate]) -> float:
    """Predict the seconds of scoring the locked test by these candidates.

    The images are decoded once for each size. Candidates that train nothing share their passes over them, one for each view;
    a trained one needs passes of its own.
    """
    candidates = tuple(candidates)
    decode_s = state.test_images * state.speeds.decode_s * state.speeds.slowdown
    passes = {
        (c.backbone, c.size_px, mirrors, key(c) if state.trains_backbone(c) else ""): _pass_s(
            state, c, state.test_images
        )
        for c in candidates
        for mirrors in range(1 + _mirrored(c))
    }
    return decode_s * len({c.size_px for c in candidates}) + sum(passes.values())


def forward_s(state: SearchState, candidate: Candidate) -> float:
    """Predict the seconds of one image's frozen pass."""
    return _pass_s(state, candidate, 1)


def forgetting_s(state: SearchState, winner: Candidate) -> float:
    """Predict the seconds of measuring forgetting by a trained winner, bounded where there is a deadline."""
    if not state.trains_backbone(winner):
        return 0.0
    passes = FORGETTING_PASSES_WITH_SOURCE if state.settings.source else FORGETTING_PASSES
    head_s = HEAD_S + HEAD_S_EACH * state.images * len(state.counts)
    whole = head_s + passes * policy.FORGETTING_IMAGES * forward_s(state, winner)
    return min(whole, policy.FORGETTING_SHARE * (state.settings.budget_s or 0.0)) if state.has_deadline else whole


def insight_s(state: SearchState) -> float:
    """Return the seconds that are reserved for what the data show, 0 in a short budget and without a deadline."""
    budget_s = state.settings.budget_s or 0.0
    return policy.INSIGHT_SHARE * budget_s if budget_s >= policy.MIN_INSIGHT_BUDGET_S else 0.0


def finish_s(
    state: SearchState, winner: Candidate, *, refit: bool = True, beside: Sequence[Candidate] | None = None
) -> float:
    """Predict the seconds that the end takes if `winner` wins: refits and scores of it and of the default, the writing.

    Without `refit` winner and default are scored as their folds left them; a head is fitted anew all the same. `beside` are
    the other members of an ensemble, by default those whose time is reserved.
    """
    both = [winner]
    if state.default is not None and key(state.default.candidate) != key(winner):
        both.append(state.default.candidate)
    refits = sum(refit_s(state, c) for c in both if refit or not state.trains_backbone(c))
    margin = policy.FINISH_MARGIN
    members = reserved_members(state, winner) if beside is None else beside
    refits += members_refit_s(state, members)
    looks = forgetting_s(state, winner) + insight_s(state)
    return writing_s(state) + looks + margin * (refits + test_scoring_s(state, (*both, *members)))


def reserved_members(state: SearchState, winner: Candidate) -> tuple[Candidate, ...]:
    """List the heads on other networks for whose ensemble with the winner time is reserved: the best that fit into its share.

    What averaging networks brings on few images no training of the same seconds does (docs/advice.md).
    """
    if state.images >= policy.ENSEMBLE_IMAGES or state.costs.limited:
        return ()
    heads = [t.candidate for t in state.rivals_of(winner) if not state.trains_backbone(t.candidate)]
    allowed_s = policy.ENSEMBLE_SHARE * (state.settings.budget_s or math.inf)
    members = tuple(heads[: policy.ENSEMBLE_MEMBERS - 1])
    while members and members_refit_s(state, members) + test_scoring_s(state, members) > allowed_s:
        members = members[:-1]
    return members


def members_refit_s(state: SearchState, members: Iterable[Candidate]) -> float:
    """Predict the seconds of fitting an ensemble's members: before a deadline, what was trained joins as its folds left it."""
    return sum(refit_s(state, c) for c in members if not (state.has_deadline and state.trains_backbone(c)))


def writing_s(state: SearchState) -> float:
    """Predict the seconds of writing model, recipe and report: longer where other processes share the processor."""
    return budget.FINISH_S * state.speeds.first_contention * state.speeds.slowdown


def rescoring_s(state: SearchState) -> float:
    """Predict the seconds that re-evaluating the leaders takes: heads twice, a training on its folds; at most its share."""
    share_s = policy.RESCORING_SHARE * (state.settings.budget_s or 0.0)
    leaders = sorted(state.contenders(), key=lambda t: t.rank)[: policy.LEADERS]
    needed_s = sum((1.0 if state.trains_backbone(t.candidate) else 2.0) * max(t.seconds, HEAD_S) for t in leaders)
    return min(share_s, needed_s)


def reserve_s(state: SearchState, candidate: Candidate, *, refit: bool = True) -> float:
    """Predict the seconds to reserve while a candidate is tried: the end if it wins, or if the best so far stays ahead of it.

    If it was trained, its fold models are available, so no time is reserved for a refit.
    """
    best = state.best()
    needed_s = finish_s(state, candidate, refit=refit)
    return needed_s if best is None else max(needed_s, finish_s(state, best.candidate, refit=False))


def folds_for(state: SearchState, candidate: Candidate) -> tuple[int, ...]:
    """Choose the folds that a candidate is scored on: all for heads, enough validation images for what is trained."""
    if not state.trains_backbone(candidate):
        return tuple(range(FOLDS))
    each = max(1, state.images // FOLDS)
    sure = state.has_deadline and candidate.origin != DEFAULT  # the untuned default takes what it always takes
    count = min(FOLDS, -(-(policy.SURE_VALIDATION_IMAGES if sure else policy.VALIDATION_IMAGES) // each))
    if state.has_deadline:
        one, room = train_s(state, candidate, state.images - each), policy.FOLDS_SHARE * state.left_s
        if least_folds(state, candidate) > 1:  # their mean ships, so that the time of a refit is theirs
            room = max(room, state.left_s - reserve_s(state, candidate, refit=False))
        while count > 1 and count * one > room:
            count -= 1
    return tuple(range(count))


def least_folds(state: SearchState, candidate: Candidate) -> int:
    """Return on how many folds a candidate should be scored at least: the first training on two, where one is few images.

    One fold of 200 images cannot tell a usual gain from noise, and the mean of two folds' models is worth a refit
    (docs/advice.md, "Two folds or a refit?").
    """
    begins = state.has_deadline and state.trains_backbone(candidate) and not state.has_trained
    return 2 if begins and candidate.origin != DEFAULT and state.images // FOLDS < policy.SURE_VALIDATION_IMAGES else 1


def fits_time(
    state: SearchState, candidate: Candidate, *, share: float = 1.0, refit: bool = True, folds: int | None = None
) -> bool:
    """Return True if a candidate can be scored (on so many folds), refitted (or not) and tested in this share of the time."""
    if not state.has_deadline:
        return True
    folds = (folds or len(folds_for(state, candidate))) if state.trains_backbone(candidate) else 1
    search_s = folds * train_s(state, candidate, state.fold_images)
    return search_s + reserve_s(state, candidate, refit=refit) <= share * state.left_s


def card_s(state: SearchState, candidate: Candidate, images: int) -> float:
    """Predict the seconds of training on `images` images from cards alone, as if nothing had been measured."""
    return budget.card_s(
        candidate,
        state.strategy_of(candidate),
        state.registry.backbone(candidate.backbone),
        state.context(candidate.backbone, candidate.size_px),
        images,
        has_features=state.has_probe_at(BackboneAtSize.of(candidate)),
    )


def _mirrored(candidate: Candidate) -> bool:
    return bool(candidate.parameters.get("mirror"))
