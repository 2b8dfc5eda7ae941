"""Networks, input sizes and strategies whose own code fails: what a search goes on without, and what it says about it."""
