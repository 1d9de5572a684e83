"""The pocket models: real architectures in miniature, with their weights and the recipe that made them."""
