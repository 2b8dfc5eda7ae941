"""Networks: backbones with their weights, the classifier, features, predictions."""
