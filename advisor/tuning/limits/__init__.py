"""Limits on the exported model: what a network at an input size costs, predicted and measured, and which ones fit."""
