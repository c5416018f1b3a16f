"""Published numbers, and our own beside them."""
