"""What the data show: suspicious labels, unfamiliar images, what more images would bring, and where a model looks."""
