"""What is kept, and what it says."""
