"""Measurements after the decision, where time is left: forgetting of the source, what the data show, unlike images."""
