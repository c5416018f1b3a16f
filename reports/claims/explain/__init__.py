"""The evidence beside a verdict: missing runs, what was compared, and what would change it."""
