"""genbench: train, score and rank generative models under one budget."""
