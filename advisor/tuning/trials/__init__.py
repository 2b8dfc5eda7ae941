"""Trials as they are numbered, drawn and written down: the study, its sampler, and the database that it stands in."""
