"""Distillation: a small network learns from the answers of a finished run's model, beside the same network without them."""
