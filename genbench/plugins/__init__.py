"""Generators: from what a user names to one in our hands, held to the contract."""
