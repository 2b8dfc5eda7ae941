"""The version of tl-advise, in one place: recipes name it, and `pyproject.toml` must agree."""

__version__ = "0.1.0"
