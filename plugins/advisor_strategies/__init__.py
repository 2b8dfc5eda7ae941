"""First-party strategies: heads on frozen features, fine-tuning in its variants, adaptation, training from scratch.

One family a file: `frozen`, `finetune`, `staged` (who trains when), `narrow` (norms, biases, one stage), `anchored`
(held near the start), `episodic` (few-shot), `adapt` (to a target domain), `scratch`. Parameters that they share are in
`knobs`. Nothing here imports torch.
"""

from __future__ import annotations

from advisor.hooks import Strategy, hookimpl


@hookimpl
def advisor_strategies() -> list[Strategy]:
    """Offer the first-party strategies."""
    from advisor_strategies import adapt, anchored, episodic, finetune, frozen, narrow, scratch, staged

    families = (frozen, finetune, staged, narrow, anchored, episodic, adapt, scratch)
    return [strategy for family in families for strategy in family.STRATEGIES]
