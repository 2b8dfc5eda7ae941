"""Archives and packed tables, unpacked into folders of the cache within limits of size and of compression."""
