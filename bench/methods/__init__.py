"""The room `methods`: interpretability as functions, beside the packages that people use for each."""
