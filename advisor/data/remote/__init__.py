"""Data sets and images behind a URL (s3://, gs://, https:// ...): fetched once into the cache through fsspec."""
