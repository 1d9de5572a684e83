"""Understanding or reasoning: a small classifier of questions, for data sets without labels of their own."""
