"""Deep Bootstrap: identical models trained on a finite sample and on endless fresh samples.

The ideas live here, one per module; nothing in this package imports the other three, and importing
the package itself does not load torch.
"""
