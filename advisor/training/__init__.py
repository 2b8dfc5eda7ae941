"""The one training loop and what a step needs: batches, augmentation, losses, optimizer."""
