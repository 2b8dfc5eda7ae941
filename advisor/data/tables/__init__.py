"""Tables that list labelled images (CSV, TSV, JSON Lines, Parquet): reading them, and what their columns mean."""
