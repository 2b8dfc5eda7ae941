"""Other questions to the same data: rerun, compare, few-shot, adaptation, learning-rate finder."""
