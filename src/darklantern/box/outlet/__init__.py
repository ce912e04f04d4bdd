"""The only way out of a box: channels, prices, and transcripts that a budget bounds."""
