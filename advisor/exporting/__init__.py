"""A run's model for other programs: one graph from pixels to probabilities in several formats, checked before it is kept."""
