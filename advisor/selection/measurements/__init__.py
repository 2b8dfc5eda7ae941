"""Measurements after the decision, where time is left: forgetting of the source, what the data say, unlike images."""
