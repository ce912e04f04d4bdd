"""Small models with a known truth, trained from seeds: for tests, bench, demo and assessment.

In: a seed and a recipe. Out: data, a model and, kept apart, the truth about what was planted.
Organisms are gain-of-function in small: their size is capped, and their weights are made from a
seed on the machine that needs them.
"""
