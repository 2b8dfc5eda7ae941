"""Reachable backbones -> probes, cheapest first, and from them the places (backbone, input size) that the search visits.

In: a contest. Out: its probes, written to probes.json; the untuned default, fixed from cards before the first of them.
A probe is a closed-form head on frozen features, scored out of fold: seconds, and a strong floor for everything deeper.
"""

from __future__ import annotations

from dataclasses import replace

from advisor.errors import InputError
from advisor.hooks import Backbone, Strategy
from advisor.records import Candidate, Trial
from advisor.records.messages import Probe, Probed
from advisor.records.trials import DEFAULT
from advisor.runtime import durations
from advisor.tuning import budget, candidates, cost_model
from advisor.tuning.search_state import Contest

PROBE_SHARE = 0.2  # of the budget, for all probes together
SHORTLIST = 2  # backbones by probe; the best by published accuracy comes on top
UNCLOCKED_S = 900.0  # what `--trials` alone is taken to afford where cards decide
QUICK = "ridge"  # the head of a probe: one factorization scores all of its strengths


def default(contest: Contest, reachable: list[Backbone]) -> Candidate:
    """Fix the untuned default from cards alone: backbone, the prior regime's strategy, its first guess.

    Where the budget affords no training at all, it is the head of a frozen backbone.
    Raises InputError where no strategy that may be used applies to any backbone in reach.
    """
    budget_s = contest.settings.budget_s
    for regime_name in (contest.regime.name, "feature_extraction"):
        choice = candidates.default_strategy(
            replace(contest.regime, name=regime_name), contest.strategies, contest.images
        )
        guesses = {b.name: _first(contest, b, choice) for b in reachable}
        found = {name: guess for name, guess in guesses.items() if guess is not None}
        if not found:
            continue
        # Searching and refitting cost about two trainings.
        cost = {name: 2.0 * cost_model.card_s(contest, guess, contest.images) for name, guess in found.items()}
        chosen = candidates.default_backbone([b for b in reachable if b.name in found], cost, budget_s)
        if budget_s is None or cost[chosen.name] <= budget_s / 3 or regime_name == "feature_extraction":
            return found[chosen.name]
    raise InputError(f"no strategy that may be used applies here: {_why_not(contest, reachable[0])}.")


def _why_not(contest: Contest, backbone: Backbone) -> str:
    context = contest.context(backbone.name, contest.sizes[backbone.name][0])
    told = ((name, strategy.applies(context)) for name, strategy in contest.strategies.items())
    return "; ".join(f"{name}: {reason}" for name, reason in told if reason)


def _first(contest: Contest, backbone: Backbone, strategy: str) -> Candidate | None:
    size_px = contest.sizes[backbone.name][0]  # nearest to the images' own; others must earn their cost
    found = candidates.guesses(
        {strategy: contest.registry.strategy(strategy)},
        contest.context(backbone.name, size_px),
        backbone=backbone.name,
        size_px=size_px,
    )
    return replace(found[0], origin=DEFAULT) if found else None


def probe_all(contest: Contest, reachable: list[Backbone]) -> None:
    """Probe every backbone and size, cheapest first, within the probes' share of the budget; at least one."""
    contest.probes = list(contest.rundir.read("probes.json", list[Trial]) or [])
    done = {(p.candidate.backbone, p.candidate.size_px) for p in contest.probes}
    cost_model = {
        (b.name, size): budget.extraction_s(
            contest.images, budget.at_size(b.macs, b.preprocess.size, size), contest.device
        )
        for b in reachable
        for size in contest.sizes[b.name]
    }
    allowed = PROBE_SHARE * (contest.clock.asked_s or UNCLOCKED_S)
    spent = 0.0
    for place, cost in sorted(cost_model.items(), key=lambda kv: (kv[1], kv[0])):
        ratio = contest.frozen.ratio(place[0]) if contest.clocked else 1.0
        if spent and spent + cost * ratio > allowed:
            contest.listener.note(
                f"{place[0]} at {place[1]} px is not probed: it would take {durations.words(cost * ratio)}"
            )
            continue
        spent += cost * ratio
        if place not in done:
            _probe(contest, place, cost)
    if contest.probes and not contest.rundir.recipe.exists():  # killed between a probe and its recipe
        contest.on_better(min(contest.probes, key=lambda p: (p.log_loss, p.number)))


def _probe(contest: Contest, place: tuple[str, int], predicted_s: float) -> None:
    name, size_px = place
    contest.listener.stage(f"probing {name} at {size_px} px")
    guesses = candidates.guesses(
        _heads(contest), contest.context(name, size_px), backbone=name, size_px=size_px, each=2
    )
    if not guesses:
        return
    job = Probe(
        backbone=name,
        candidates=tuple(replace(g, origin="probe") for g in guesses),
        first_number=-len(contest.probes) - 1,
        seed=contest.settings.seed,
        timed=contest.clocked,
    )
    answer = contest.ask(job, Probed)
    if answer.images_per_s:
        contest.frozen.learn(
            name, predicted_s, contest.images / answer.images_per_s
        )  # the pass alone, no start of a process
    contest.probed(answer.trials)


def _heads(contest: Contest) -> dict[str, Strategy]:
    """Choose the probe's head: ridge, also where a person allows only other strategies, since they start from it."""
    if QUICK in contest.registry.strategies:
        return {QUICK: contest.registry.strategies[QUICK]}
    return {n: s for n, s in contest.registry.strategies.items() if s.regime == "feature_extraction"}


def places(contest: Contest) -> list[tuple[str, int]]:
    """Rank backbones with input sizes by their best probe: all sizes of the shortlist and of the best published one."""
    best: dict[tuple[str, int], float] = {}
    for p in contest.probes:
        place = (p.candidate.backbone, p.candidate.size_px)
        best[place] = min(best.get(place, float("inf")), p.log_loss)
    ranked = sorted(best, key=lambda place: (best[place], place))
    names = list(dict.fromkeys(name for name, _ in ranked))
    published = max(names, key=lambda n: (contest.registry.backbone(n).published_accuracy or 0.0, n), default=None)
    kept = {*names[:SHORTLIST], published}
    return [place for place in ranked if place[0] in kept]
