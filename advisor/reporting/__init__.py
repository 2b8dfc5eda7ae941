"""What a person reads: the report, the model card, charts, wording. No torch."""
