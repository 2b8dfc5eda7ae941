"""The search's policy in one place: how a budget is divided, what is worth a trial, when to stop. Change the search here.

Every number says what it bounds and where it comes from; "chosen" means that no measurement speaks for the exact value. Does
NOT cover: what things are predicted to cost (`cost_model`, `budget`), what a strategy may reach (`expected_loss`).
"""

from __future__ import annotations

from advisor.records.trials import RUNGS

# ---- Dividing the budget -----------------------------------------------------------------------------------------

# Of the usable budget, the first frozen pass over the pool; beyond it a sample of the pool stands for it. In a budget too
# short to train anything, heads are all there is and gain from every image: the larger share, up to so many seconds
# (docs/decisions.md, "Many images in a short budget").
POOL_PASS_SHARE = 0.2
SHORT_POOL_PASS_SHARE, SHORT_POOL_PASS_S = 0.35, 15.0
TEST_SCORING_SHARE = 0.15  # of the usable budget, for scoring the locked test once (chosen)
PROBES_SHARE = 0.2  # of the budget, for all probes together (chosen)
UNBOUNDED_BUDGET_S = 900.0  # what `--trials` alone is taken to afford where cards decide: the default budget
DEFAULT_WORK_SHARE = 1 / 3  # of the budget, which the untuned default's two trainings may take (chosen)
RESCORING_SHARE = 0.15  # of the budget, reserved for re-evaluating the leaders on new folds (chosen)
ENSEMBLE_SHARE = 0.15  # of the budget: as many members as are predicted to need less have their time reserved (chosen)
FORGETTING_SHARE = 0.03  # of the budget, for measuring forgetting of the source task (chosen)
INSIGHT_SHARE = 0.04  # of the budget, for what the data show: learning curve, map, where the model looks (chosen)
# What is not needed at the end may go into training the winner on parts of the images, for a forecast with more: at most so
# much of the budget, without a deadline of the trainings that the search made, counted by cards (chosen). It must be scored on
# so many validation images, a 95 % interval of about +-10 points; heads, fitted more often, say more on fewer (chosen).
FORECAST_SHARE, FORECAST_IMAGES = 0.15, 100
MIN_INSIGHT_BUDGET_S = 30.0  # below which nothing is reserved for it (chosen)
NOVELTY_SHARE = 0.01  # of the budget, for the index of training images, where the network was trained (chosen)
FORGETTING_IMAGES = 200  # on which forgetting is measured: a 95 % interval of about +-7 points
FINISH_MARGIN = 1.25  # reserved for the final refits and scores, over what they are predicted to take (chosen)
FOLDS_SHARE = 0.35  # of the time left, which all folds of one trained candidate may take (chosen)
INCUMBENT_REFIT_SHARE = 0.05  # of the time left, which putting a better recipe on disk on the way may cost (chosen)
# Of the time left, what a shortened training may fill: with a guessed pace, and with one that was measured here. What is
# shortened to fit must not fail because a prediction was a little off.
FILL_SHARE, FILL_SHARE_MEASURED = 0.85, 0.95
FETCH_SHARE = 0.1  # of the budget, for unrequested downloads of weights
TYPICAL_IMAGES = 1000  # weights are chosen before any image is read
FETCH_BYTES_PER_S = 4e6  # a slow line; decides whether a download fits the budget, never measured
# Unrequested downloads of one run: their number, the size of each.
MAX_FETCHES, MAX_FETCH_BYTES = 2, 120_000_000

# ---- How surely a candidate is scored ----------------------------------------------------------------------------

# Validation images on which a trained candidate should be scored, by adding folds on small data: at a fixed amount of work,
# and with a deadline, where it tells a usual gain from noise (docs/advice.md, "Two folds or a refit?").
VALIDATION_IMAGES, SURE_VALIDATION_IMAGES = 120, 400
# Fewer passes and fewer optimizer steps than both of these teach nothing: 75 steps lowered the log-loss of the probe by 15 to
# 30 % on sketches, flowers and CIFAR-10 (docs/advice.md, "Gain of first guesses over the probe").
MIN_EPOCHS, MIN_STEPS = 2.0, 75.0
MIN_EPOCHS_EVER = 0.2  # however many steps that is: fewer images would have been better as a smaller sample
EPOCH_BISECTIONS = 6  # of the range in which the affordable length is searched: to 1/64 of it

# ---- What is tried, in which order -------------------------------------------------------------------------------

# Probes whose log-loss differs by less tie; the published accuracy decides, where the best one's is known. On six sets and 30
# to 400 images no other width, fixed or in standard errors, was better beyond noise (docs/advice.md, "How wide is a tie?").
PROBE_TIE = 0.02
LEADER_PROBE_SHARE = 0.35  # of the time left: a larger size of the leading backbone, on few images (chosen)
# Of the time left beside the run's end, for a probe that was skipped, when nothing else is worth a trial. A head on its
# features takes the rest. At a half, 12 to 17 s of a minute were idle where a larger input lowered the log-loss by a tenth.
SKIPPED_PROBE_SHARE = 0.9
LONGER = 2.0  # times the length of the best training, which is tried if time is left (chosen)
LEAST_LONGER = 1.25  # times its length: less is the same training again (chosen)
# Times the best log-loss: if a head of a strategy is this far behind, its other parameters are not tried on the same features
# (chosen).
FAR_BEHIND = 1.5
SHORTLIST = 2  # backbones by their best probe; the most accurate published one comes on top
CHEAP_SHARE = 0.06  # of the time left: a head that costs less is tried before anything is weighed (chosen)
MIN_IMPROVEMENT = 0.01  # of the log-loss's logarithm: a guess expected to improve less is not worth a trial of its own
# Of the highest expected improvement: any training above this share may be the first one, and the most accurate network's
# is taken (Kornblith et al. 2019, 1805.08974). The share itself is chosen.
FIRST_TRAINING_SHARE = 0.4
HEAD_GUESSES, TRAINING_GUESSES = 3, 2  # of one strategy; without a deadline one of each that is trained
PATIENCE_TRIALS = 24  # sampled trials in a row without a better one; more would only fit the validation images (chosen)
SAMPLER_DRAWS = 8  # for one candidate that is new and fits into the time (chosen)
RANDOM_TRIALS = 6  # drawn at random before the estimator speaks; the portfolio informs it from the start (chosen)

LEADERS = 3  # contenders that are re-evaluated on new folds before the verdict (chosen)

# An ensemble is offered on fewer images of the pool than this (chosen); it has at most so many members, each of another
# network, in the order of their own losses. One joins unless the mean's validation loss is then above the best so far by more
# than the tolerance: a mean is less sure of itself than it is right (docs/advice.md, "How wide is a tie?").
ENSEMBLE_IMAGES, ENSEMBLE_MEMBERS, ENSEMBLE_TOLERANCE = 5000, 4, 0.05
# Times the winner's input size, at most, for which another network enlarges the winner's squares (chosen).
ENSEMBLE_ENLARGES = 1.25

# ---- Pausing trials ----------------------------------------------------------------------------------------------

PAUSE_RUNGS = RUNGS[:-1]  # percent of the steps, at which a trial may pause
# Before their median may pause another trial: the median rule of Golovin et al. 2017; the number is chosen.
MIN_TRIALS_AT_RUNG = 4
KEPT_CHECKPOINTS = 4  # of paused trials, best first: bounds the disk that a search takes
KEPT_MODELS = 6  # of trained trials, best first; the untuned default's comes on top

# ---- Timing the first steps --------------------------------------------------------------------------------------

# Not counted, and counted. Guessed from a frozen pass alone, a training's pace was off by up to 1.5 (docs/decisions.md).
TIMED_WARMUP_STEPS, TIMED_STEPS = 2, 6
# Of the time left, which the fewest steps that say anything may take, at a pace that may be guessed too slow (chosen).
TIMED_STEPS_SHARE = 0.15
# Times slower than the truth that a guessed pace may be: what would not fit in its shortest form even so is not timed.
PACE_DOUBT = 2.0

# Of a new reading of the machine's slowdown, and the relative change from which on it is logged (chosen). Half at once: one
# reading of a tenth of a second is noisy.
SLOWDOWN_WEIGHT, SLOWDOWN_LOGGED = 0.5, 0.2
LAST_READINGS = 3  # before the size of the test is decided: a load that has just begun then counts by 15 in 16
TEST_PARTS_FROM_S = 5.0  # from which on the test is scored in two parts, the second only if there is time (chosen)
MIN_TEST_IMAGES = 100  # of the locked test, evaluated however little time is left: a 95 % interval of about +-10 points

# ---- Workers that die --------------------------------------------------------------------------------------------

# In a row, before the run ends (exit 4); and the pause before the first restart, doubled each time: half a minute in all, in
# which a machine short of memory may recover (chosen).
MAX_WORKER_DEATHS = 5
FIRST_RESTART_PAUSE_S = 1.0
# Of the time left, which a third-party network may take for its description, and for its probe, before it is ended (chosen).
THIRD_PARTY_LOOK_SHARE, THIRD_PARTY_PROBE_SHARE = 0.25, 0.5
THIRD_PARTY_RESTARTS = 1  # of a worker that dies with a third-party network at its first look; then it is left out
