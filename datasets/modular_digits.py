"""Operations modulo p on two large numbers written as digits; the answer is one class."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from deepboot.bootstrap.registry import register
from deepboot.datasets.binary_operations import RULES, Operation, equation
from deepboot.datasets.digit_sequences import NumberPairs


@register("task", "modular_digits")
@dataclass(frozen=True, kw_only=True)
class ModularDigits(NumberPairs):
    """Arithmetic modulo p = ``modulus`` on two numbers written in digits, which may be far larger than p.

    The input is ``a op b =``, with a and b of 1 .. ``largest_operand`` in digits of ``base``, with leading zeros, the
    most significant first; the label is (a op b) mod p. Tokens: a digit is itself, the operation is base, "=" is
    base + 1. Labels are not equally frequent: of products modulo 67 the label 0 is twice as frequent as any other.
    Where the numbers are single tokens below p, `binary_operations` is the task.

    Args:
        operation: what is done to a (called x) and b (called y), modulo p.
        modulus: p, prime or not; the number of classes.

    Raises:
        ValueError: an operation that divides, since a b that is 0 modulo p has no inverse.
    Source: Charton & Kempe 2024, arXiv 2410.07041 (multiplication modulo 67 of numbers up to 10^6 in base 1,000). One
    class as the answer and the fixed number of digits are choices.

    >>> from torch import tensor
    >>> x, y = ModularDigits(operation="x*y", modulus=7, largest_operand=99).samples_of(tensor([12, 3]))
    >>> x.tolist(), y.item()  # 12 * 3 = 36 = 1 (mod 7)
    ([1, 2, 10, 0, 3, 11], 1)
    """

    operation: Operation = "x*y"
    modulus: Annotated[int, Field(ge=2, lt=1 << 31)] = 67

    def __post_init__(self) -> None:
        if RULES[self.operation].divides:
            others = ", ".join(repr(name) for name, rule in RULES.items() if not rule.divides)
            raise ValueError(
                f"operation must not divide, since numbers may be 0 modulo {self.modulus}, got {self.operation!r}. "
                f"Choose one of {others}."
            )

    @property
    def classes(self) -> int:
        return self.modulus

    def answer(self, a: Tensor, b: Tensor) -> Tensor:
        p = self.modulus
        return RULES[self.operation].answer(a % p, b % p, p) % p

    def written(self, a: int, b: int, answer: int) -> str:
        return equation(self.operation, a, b, answer, self.modulus)
