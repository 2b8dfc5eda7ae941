"""What a worker measures about the data at the end of a run: the learning curve, the map of features, where models look."""
