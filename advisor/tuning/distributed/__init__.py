"""A search shared through a database by several machines."""
