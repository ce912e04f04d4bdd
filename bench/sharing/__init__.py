"""Sealing, carrying and rotating, measured beside what people use today. One file for each part; one shape of line."""
