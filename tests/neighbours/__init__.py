"""One small class for each real program that tests start."""
