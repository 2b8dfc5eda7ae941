"""What a worker does: trials, refits, test scoring; worker processes and their pool."""
