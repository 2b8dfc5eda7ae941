"""Recorded trainings, put to use: where a training will end, and what to train next under a clock."""
