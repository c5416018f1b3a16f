import numpy as np
import pandas as pd
import pytest

from deepboot.bootstrap.results import among


@pytest.mark.parametrize("dtype", ["string", "str", object])
@pytest.mark.parametrize("known", [["b", "z", "b"], [], ["a", "b", "c"]])
def test_names_among_others_are_those_that_pandas_finds(dtype, known):
    """Of texts of every type, repeated ones too, looked up in a list, a column and an index; a null is not found."""
    names = pd.Series(["a", "b", None, "b"], dtype=dtype, index=[3, 5, 7, 9])
    expected = [name in known for name in ("a", "b", None, "b")]
    for form in (known, pd.Series(known, dtype="string"), pd.Index(known, dtype=object)):
        found = among(names, form)
        assert (found.dtype, found.tolist()) == (np.dtype(bool), expected)
    assert among(names.head(0), known).tolist() == []
