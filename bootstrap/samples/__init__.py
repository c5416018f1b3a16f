"""Samples of training and test: how they are split, labelled, put into batches, read ahead and augmented."""
