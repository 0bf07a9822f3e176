"""From what a user names to a generator in our hands."""
