"""Scores as functions of arrays: classification, intervals, representation similarity. numpy only."""
