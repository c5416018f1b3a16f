"""What a network holds, read from the weights that a study kept; arrays in NumPy, tables in pandas, no torch.

    spectra         Fourier spectra of layers over Z_p, and the number of frequencies, over training
    circles         the plane of one frequency: how round, how evenly spaced
    embeddings      principal components and t-SNE
    chains          tokens of a constant stride that follow each other, with a p value
    cosets          cosets of a subgroup of S_n as clusters, with a p value
    neurons         norms, phases and even angles of hidden units
    bits            relevant and distracting bits of sparse parity
    interpolation   weights between two checkpoints
    kept, layers, groups    files of weights, layers over tokens, permutation groups

Each has functions of arrays, and one that takes an output folder (or results, or a comparison) and gives a table with
a row per run, step and finding. ``where`` and ``steps`` choose runs and steps. `figures.representation` draws them::

    from deepboot.reports.representation.spectra import frequency_table, spectrum_table
    from deepboot.reports.figures.representation import plot_spectrum

    one = {"world": "real", "seed": 0}
    frequency_table("results/addition", steps="last")
    spectra = spectrum_table("results/addition", where=one)
    plot_spectrum(spectra[spectra["layer"] == "embedding"])
"""
