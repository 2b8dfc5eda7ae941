"""Trials on a Ray cluster: connecting to it, what an actor does there, and the executor that the search sees."""
