"""What is said beside a verdict: the runs it lacks, what was compared, and what would change it."""
