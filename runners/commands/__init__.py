"""What single commands do, beside `run`."""
