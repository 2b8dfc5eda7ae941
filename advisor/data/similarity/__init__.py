"""Images that resemble others: which ones are kept together when a test set is held out and folds are drawn."""
