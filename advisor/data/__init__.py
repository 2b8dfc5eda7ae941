"""From files to arrays: layouts, splits, profile, duplicates, decoded pixels. No torch."""
