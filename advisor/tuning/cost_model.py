"""What things cost in this run: training, scoring, the end; how many folds, and whether there is time for it.

In: a contest, a candidate. Out: seconds, predicted from cards and corrected by what was measured. The time for refitting and
scoring the winner is part of every prediction, so whatever is best when time runs out can still be finished.
Does NOT cover: the clock and the card's own numbers (budget.py), how long a training may be (length.py).
"""

from __future__ import annotations

from advisor.data.splits import FOLDS
from advisor.records import Candidate
from advisor.records.trials import DEFAULT
from advisor.tuning import budget, candidates
from advisor.tuning.search_state import Contest
from advisor.tuning.study import key

# Images on which a trained candidate should be scored, by adding folds on small data: what a fixed amount of work can bear,
# and where there is a clock and time, what tells a usual gain from noise.
VALIDATION_AIM, SURE_AIM = 120, 400
FINISH_MARGIN = 1.25  # what is kept back for the end, over what it is predicted to take
HEAD_REFIT = 0.5  # of the time that scoring a head on five folds took: one fit on all images, features at hand
HEAD_S, HEAD_S_EACH = 1.0, 1.3e-4  # fitting a head that was not fitted yet: at least, and for each image and class
# How much slower a multiply-add of training is than one of a frozen pass, before it was measured: 0.8 to 1.3 with three small
# networks at 96 to 224 px, and twice where memory is the limit. The first steps of a trial tell the truth at little cost,
# and what is then seen not to fit is tried again, shortened.
TRAINING_OVER_FROZEN = 1.15
WATCHED = 200  # images on which it is seen how much of its source a winner has kept
RETENTION_SHARE = 0.03  # of the budget, which that may take
FOLDS_SHARE = 0.35  # of the time that is left, which all folds of one trained candidate may take


def train_s(contest: Contest, candidate: Candidate, images: int) -> float:
    """Predict the seconds of training a candidate on `images` images, corrected by what was measured."""
    if contest.is_deep(candidate):
        return card_s(contest, candidate, images) * _training_ratio(contest, candidate)
    same = [t for t in contest.contenders() if t.candidate.strategy == candidate.strategy]
    # A mirrored one may have made a pass of its own, which is counted apart.
    alone = [t.seconds - _mirrored(t.candidate) * _frozen_s(contest, t.candidate, contest.images) for t in same]
    fitting = max(0.0, *alone) if alone else HEAD_S + HEAD_S_EACH * images * len(contest.counts)
    return _pass_s(contest, candidate) + fitting


def _refit_s(contest: Contest, candidate: Candidate) -> float:
    """Predict the seconds of a refit on the pool: one training, or of a head that was scored on all folds a part of that."""
    whole = train_s(contest, candidate, contest.images)
    scored = any(key(t.candidate) == key(candidate) for t in contest.contenders())
    return whole if contest.is_deep(candidate) or not scored else HEAD_REFIT * whole


def _training_ratio(contest: Contest, candidate: Candidate) -> float:
    """Say how much longer than on its card a training takes: as measured, or by what it is over a frozen pass."""
    name = candidate.backbone
    if has_pace(contest, candidate):
        return contest.training[contest.strategies_of(candidate).regime].ratio(name)
    # What training is over a frozen pass differs fourfold between networks: another one's reading would mislead.
    return TRAINING_OVER_FROZEN * contest.frozen.ratio(name)


def has_pace(contest: Contest, candidate: Candidate) -> bool:
    """Whether a training of this regime on this network was seen."""
    measured = contest.training.get(contest.strategies_of(candidate).regime)
    return measured is not None and measured.known(candidate.backbone)


def trained(contest: Contest, candidate: Candidate, folds: int, taken_s: float) -> None:
    """Learn from the seconds that training on so many folds took."""
    predicted_s = folds * card_s(contest, candidate, contest.images - contest.images // FOLDS)
    speeds = contest.training.setdefault(contest.strategies_of(candidate).regime, budget.Speeds())
    speeds.learn(candidate.backbone, predicted_s, taken_s)


def _pass_s(contest: Contest, candidate: Candidate) -> float:
    """Predict the frozen passes over the pool: none where a probe, or a mirrored trial, has left its features."""
    place = (candidate.backbone, candidate.size_px)
    there = [c.candidate for c in contest.contenders() if (c.candidate.backbone, c.candidate.size_px) == place]
    passes = int(not there) + int(_mirrored(candidate) and not any(_mirrored(c) for c in there))
    return passes * _frozen_s(contest, candidate, contest.images)


def _frozen_s(contest: Contest, candidate: Candidate, images: int) -> float:
    backbone = contest.registry.backbone(candidate.backbone)
    macs = budget.at_size(backbone.macs, backbone.preprocess.size, candidate.size_px)
    return contest.frozen.ratio(candidate.backbone) * budget.extraction_s(images, macs, contest.device)


def test_s(contest: Contest, candidate: Candidate) -> float:
    """Predict the seconds of scoring the locked test."""
    return (2 if _mirrored(candidate) else 1) * _frozen_s(contest, candidate, contest.test_images)


def forward_s(contest: Contest, candidate: Candidate) -> float:
    """Predict the seconds of one image's frozen pass."""
    return _frozen_s(contest, candidate, 1)


def retention_s(contest: Contest, winner: Candidate) -> float:
    """Predict the seconds of seeing how much of its source a trained winner has kept, bounded where there is a clock."""
    if not contest.is_deep(winner):
        return 0.0
    passes = 12 if contest.settings.source else 6
    whole = HEAD_S + HEAD_S_EACH * contest.images * len(contest.counts) + passes * WATCHED * forward_s(contest, winner)
    return min(whole, RETENTION_SHARE * (contest.clock.asked_s or 0.0)) if contest.clocked else whole


def finish_s(contest: Contest, winner: Candidate, *, refit: bool = True) -> float:
    """Predict the seconds that the end takes if `winner` wins: both refits, both scores, a look back, the writing.

    Without `refit` winner and default are scored as their folds left them; a head is fitted anew all the same.
    """
    both = [winner]
    default = contest.default
    if default is not None and key(default.candidate) != key(winner):
        both.append(default.candidate)
    refits = sum(_refit_s(contest, c) for c in both if refit or not contest.is_deep(c))
    # Frozen networks share one pass over the test images; a trained one needs a pass of its own.
    passes = {(c.backbone, c.size_px, key(c) if contest.is_deep(c) else _mirrored(c)): test_s(contest, c) for c in both}
    return budget.FINISH_S + retention_s(contest, winner) + FINISH_MARGIN * (refits + sum(passes.values()))


def end_s(contest: Contest, candidate: Candidate, *, refit: bool = True) -> float:
    """Predict what to keep back while a candidate is tried: the end if it wins, or if the best so far stays ahead of it.

    Where that one was trained, the models of its folds stand ready and no refit of it is kept back.
    """
    best = contest.best()
    own = finish_s(contest, candidate, refit=refit)
    return own if best is None else max(own, finish_s(contest, best.candidate, refit=False))


def folds_for(contest: Contest, candidate: Candidate) -> tuple[int, ...]:
    """Choose the folds that a candidate is scored on: all for heads, enough for the aim for what is trained."""
    if not contest.is_deep(candidate):
        return tuple(range(FOLDS))
    each = max(1, contest.images // FOLDS)
    sure = contest.clocked and candidate.origin != DEFAULT  # the untuned default takes what it always takes
    wanted = min(FOLDS, -(-(SURE_AIM if sure else VALIDATION_AIM) // each))
    if contest.clocked:
        one, room = train_s(contest, candidate, contest.images - each), FOLDS_SHARE * contest.clock.left_s
        if least_folds(contest, candidate) > 1:  # their mean ships, so that the time of a refit is theirs
            room = max(room, contest.clock.left_s - end_s(contest, candidate, refit=False))
        while wanted > 1 and wanted * one > room:
            wanted -= 1
    return tuple(range(wanted))


def least_folds(contest: Contest, candidate: Candidate) -> int:
    """Say on how many folds a candidate should be scored at least: the first training on two, where one is few images.

    One fold of 200 images cannot tell a usual gain from noise, and the mean of two folds' models is worth a refit
    (docs/advice.md, "Two folds or a refit?").
    """
    begins = contest.clocked and contest.is_deep(candidate) and not contest.has_trained
    return 2 if begins and candidate.origin != DEFAULT and contest.images // FOLDS < SURE_AIM else 1


def affordable(
    contest: Contest, candidate: Candidate, *, share: float = 1.0, refit: bool = True, folds: int | None = None
) -> bool:
    """Whether a candidate can be scored (on so many folds), refitted (or not) and tested in this share of what is left."""
    if not contest.clocked:
        return True
    folds = (folds or len(folds_for(contest, candidate))) if contest.is_deep(candidate) else 1
    search_s = folds * train_s(contest, candidate, contest.images - contest.images // FOLDS)
    return search_s + end_s(contest, candidate, refit=refit) <= share * contest.clock.left_s


def card_s(contest: Contest, candidate: Candidate, images: int) -> float:
    """Predict the seconds of training on `images` images from cards alone, as if nothing had been measured."""
    backbone = contest.registry.backbone(candidate.backbone)
    context = contest.context(candidate.backbone, candidate.size_px)
    there = any(
        (p.candidate.backbone, p.candidate.size_px) == (backbone.name, candidate.size_px) for p in contest.probes
    )
    strategy = contest.strategies_of(candidate)
    return candidates.cost_s(candidate, strategy, backbone, context, images, has_features=there)


def _mirrored(candidate: Candidate) -> bool:
    return bool(candidate.parameters.get("mirror"))
