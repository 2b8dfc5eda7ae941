"""Experiment trackers that a run can be logged to: TensorBoard, MLflow, Weights & Biases; one file for each."""
