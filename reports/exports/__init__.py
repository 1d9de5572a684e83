"""A report in the forms that other programs read: tables of its views, an MLflow run, a model card's results."""
