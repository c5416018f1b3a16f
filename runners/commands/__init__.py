"""The commands of ``deepboot`` beside `run`, one a file."""
