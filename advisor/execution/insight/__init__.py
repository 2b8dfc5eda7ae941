"""What a worker measures at the end of a run: the learning curve, the map of features, where models look, forgetting."""
