"""tl-advise: from a folder of images to a good classifier, with the advice, the evidence, and a score that is true."""

__version__ = "0.1.0"
