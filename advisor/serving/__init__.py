"""A run's model over HTTP: an API, a page to try it on, and batches that are formed across requests."""
