"""What can be asked of finished runs: how they compare, how the model of one does on other labelled images."""
