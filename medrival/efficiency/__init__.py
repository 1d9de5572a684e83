"""How much the suite costs beside the model's own forward passes, as ratios measured in one run."""
