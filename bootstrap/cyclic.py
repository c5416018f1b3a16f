"""Cyclic groups: the order of the elements in which an operation adds positions."""

PRODUCTS = ("x*y", "x/y")  # operations of numbers modulo a prime that are addition of exponents


def powers_of_a_root(modulus: int) -> list[int]:
    """Powers g^0 … g^(p − 2) of the smallest g whose powers are all nonzero numbers modulo a prime p.

    Raises:
        ValueError: the modulus is no prime.

    >>> powers_of_a_root(7)
    [1, 3, 2, 6, 4, 5]
    """
    for root in range(1, modulus):
        powers = [pow(root, exponent, modulus) for exponent in range(modulus - 1)]
        if set(powers) == set(range(1, modulus)):
            return powers
    raise ValueError(
        f"`task.modulus` must be prime to order numbers as powers of one of them, got {modulus}. "
        "Call the functions of arrays with an order of your own."
    )
