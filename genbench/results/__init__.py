"""Results: the records that are kept, and the conclusions drawn from them."""
