"""Training a pack of runs: the loop, the step, how steps are carried out, and what is measured."""
