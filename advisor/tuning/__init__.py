"""What to try next under a budget: candidates, costs, portfolio, sampler, pruner, study."""
