"""Counter-based randomness: every random number is a pure function of (key, index).

Nothing here has state. A *key* is 64 bits made from a seed and the name of a stream; an *index*
names the sample; a number is found by enciphering the index under the key with Threefry-2x32
(20 rounds; Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). Bits, integers,
uniforms and permutations are equal on every device; normals agree to one unit in the last place.

Shapes: E members, ``...`` any index shape, K numbers per index.
"""

import hashlib
import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

STREAMS = ("init", "data", "order", "noise", "augment", "test")

_PARITY = 0x1BD11BDA
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_BLOCK = 1 << 15  # elements enciphered at a time: three int32 temporaries then stay in a core's cache
_MAX_INDEX = 1 << 47
_MAX_NUMBERS = 1 << 17


def key(seed: int, stream: str) -> tuple[int, int]:
    """Two signed 32-bit words that name one stream of one seed.

    Args:
        seed: any integer.
        stream: any name; those of a run are listed in ``STREAMS``.

    >>> key(0, "data") == key(0, "data"), key(0, "data") == key(1, "data")
    (True, False)
    """
    digest = hashlib.blake2b(f"{stream}/{seed}".encode(), digest_size=8, person=b"deepboot").digest()
    return tuple(int.from_bytes(digest[i : i + 4], "little", signed=True) for i in (0, 4))  # type: ignore[return-value]


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor of the host on a device, without making the host wait for the device."""
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def keys(seeds: Iterable[int], stream: str, device: torch.device | str = "cpu") -> Tensor:
    """Keys of several members' seeds, int32, (E, 2)."""
    return to_device(torch.tensor([key(seed, stream) for seed in seeds], dtype=torch.int32), device)


def subkeys(key_E2: Tensor, name: str) -> Tensor:
    """Keys of a named stream inside each key's stream, int32, (E, 2)."""
    low, high = (torch.full((), word, dtype=torch.int32, device=key_E2.device) for word in key(0, name))
    return torch.stack(threefry(key_E2[..., 0], key_E2[..., 1], low, high), -1)


def threefry(key0: Tensor, key1: Tensor, counter0: Tensor, counter1: Tensor) -> tuple[Tensor, Tensor]:
    """Two random 32-bit words (as int32) per counter, with Threefry-2x32-20; arguments broadcast.

    >>> zero = torch.zeros((), dtype=torch.int32)
    >>> [hex(word.item() & 0xFFFFFFFF) for word in threefry(zero, zero, zero, zero)]
    ['0x6b200159', '0x99ba4efe']
    """
    schedule = (key0, key1, key0 ^ key1 ^ _PARITY)
    word0, word1 = torch.broadcast_tensors(counter0 + key0, counter1 + key1)
    word0, word1 = word0.contiguous(), word1.contiguous()
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            word0.add_(word1)
            # ">>" on int32 copies the sign bit: mask what a logical shift would have cleared.
            low = (word1 >> (32 - rotation)).bitwise_and_((1 << rotation) - 1)
            word1 = low.add_(word1, alpha=1 << rotation).bitwise_xor_(word0)  # "<<" and "|" in one operation
        word0.add_(schedule[(group + 1) % 3])
        word1.add_(schedule[(group + 2) % 3] + (group + 1))
    return word0, word1


def words(key_E2: Tensor, index: Tensor, count: int) -> Tensor:
    """Random 32-bit words, int32, index.shape + (count,).

    Args:
        key_E2: int32, (E, 2), or (2,) for one key.
        index: int64, (E, ...) or (1, ...) or, with one key, any shape; 0 .. 2**47 - 1.
        count: words per index, at most 2**17.
    """
    assert count <= _MAX_NUMBERS, f"at most {_MAX_NUMBERS} words per index"
    pairs = (count + 1) // 2
    trailing = (1,) * (index.dim() - key_E2.dim() + 2)
    key0, key1 = (key_E2[..., i].reshape(key_E2.shape[:-1] + trailing) for i in (0, 1))
    lane = torch.arange(pairs, dtype=torch.int32, device=index.device)
    low, high = index.to(torch.int32)[..., None], ((index >> 32) << 16).to(torch.int32)[..., None]
    pair = torch.stack(_in_blocks(key0, key1, low, high | lane), -1)
    return pair.reshape(*pair.shape[:-2], 2 * pairs)[..., :count]


def _in_blocks(*parts: Tensor) -> tuple[Tensor, Tensor]:
    """The words of ``threefry``, enciphered in blocks of the size of a cache where the device is a CPU."""
    if parts[0].is_cuda or torch.compiler.is_compiling():
        return threefry(*parts)
    shape = np.broadcast_shapes(*(part.shape for part in parts))  # PyTorch's own loads SymPy, which takes a second
    if math.prod(shape) <= _BLOCK:
        return threefry(*parts)
    flat = [part.expand(shape).reshape(-1).split(_BLOCK) for part in parts]
    blocks = [threefry(*block) for block in zip(*flat, strict=True)]
    word0, word1 = (torch.cat(pieces).reshape(shape) for pieces in zip(*blocks, strict=True))
    return word0, word1


def bits(key_E2: Tensor, index: Tensor, count: int) -> Tensor:
    """Fair random bits, int32 in {0, 1}, index.shape + (count,); one word serves 32 of them."""
    word = words(key_E2, index, (count + 31) // 32)
    shift = torch.arange(32, dtype=torch.int32, device=word.device)
    spread = (word[..., None] >> shift).bitwise_and_(1)
    return spread.reshape(*word.shape[:-1], -1)[..., :count]


def uniform(key_E2: Tensor, index: Tensor, count: int) -> Tensor:
    """Uniform numbers in [0, 1), float32 with 24 random bits, index.shape + (count,)."""
    top = (words(key_E2, index, count) >> 8).bitwise_and_(0xFFFFFF)
    return top.to(torch.float32) * 2.0**-24


def integers(key_E2: Tensor, index: Tensor, count: int, high: int) -> Tensor:
    """Integers in 0 .. high - 1, int64, index.shape + (count,).

    A 32-bit word is scaled down, so a value's probability is off by less than ``high / 2**32`` of itself.
    """
    assert 0 < high <= 1 << 31
    unsigned = words(key_E2, index, count).to(torch.int64).bitwise_and_(0xFFFFFFFF)
    return (unsigned * high) >> 32


def wide_integers(key_E2: Tensor, index: Tensor, count: int, high: int | Tensor) -> Tensor:
    """Integers in 0 .. high - 1, int64, index.shape + (count,), of 64 random bits each.

    A value's probability is off by less than ``high / 2**64`` of itself.

    Args:
        key_E2: int32, (E, 2).
        index: int64, (E, ...).
        count: integers per index.
        high: 1 .. 2**31, for all alike; or int64, broadcast to the shape of the integers.
    """
    word = words(key_E2, index, 2 * count).to(torch.int64).bitwise_and_(0xFFFFFFFF)
    upper, lower = word.unflatten(-1, (count, 2)).unbind(-1)
    return (upper * high + (lower * high >> 32)) >> 32  # below 2**63, so nothing overflows


def normal(key_E2: Tensor, index: Tensor, count: int) -> Tensor:
    """Standard normals, float32, index.shape + (count,).

    Box-Muller in float64, then rounded: devices differ by at most one unit in the last place.
    """
    pairs = (count + 1) // 2
    word = words(key_E2, index, 2 * pairs).to(torch.float64)
    unit = (word.unflatten(-1, (pairs, 2)) + (2.0**31 + 0.5)) * 2.0**-32  # in (0, 1)
    radius = unit[..., 0].log().mul_(-2.0).sqrt_()
    angle = unit[..., 1] * (2.0 * torch.pi)
    both = torch.stack((radius * angle.cos(), radius * angle.sin()), -1)
    return both.flatten(-2)[..., :count].to(torch.float32)


def permutation(key_E2: Tensor, number: Tensor, size: int) -> Tensor:
    """Random orders of 0 .. size - 1, int64, number.shape + (size,).

    Args:
        key_E2: int32, (E, 2).
        number: int64, (E, ...): which permutation of the key; 0 .. 2**47 - 1.
        size: how many items are put in order.
    """
    return items_in_order(sort_keys(key_E2, number, size))


def sort_keys(key_E2: Tensor, number: Tensor, size: int) -> Tensor:
    """A random int64 per item, number.shape + (size,); sorted by them, the items are in the permutation's order.

    32 random bits, and in the lowest bits the item itself: no two keys are equal, so that every device
    sorts them alike. Two items draw the same random bits, and keep their order, once in 2**32 pairs.
    """
    named = words(subkeys(key_E2, "permutation"), number, 2)[..., None, :]  # the number, enciphered, is the key
    counter = torch.arange((size + 1) // 2, dtype=torch.int32, device=number.device)
    pair = _in_blocks(named[..., 0], named[..., 1], counter, torch.zeros_like(counter))
    word = torch.stack(pair, -1).flatten(-2)[..., :size].to(torch.int64)
    return (word << _item_bits(size).bit_length()).bitwise_or_(torch.arange(size, device=number.device))


def items_in_order(sort_key: Tensor) -> Tensor:
    """The items of `sort_keys` in their random order, int64, of the same shape."""
    # numpy sorts int64 with vector instructions, ten times as fast as torch does on a CPU
    ordered = sort_key.sort(dim=-1).values if sort_key.is_cuda else torch.from_numpy(np.sort(sort_key.numpy(), axis=-1))
    return ordered.bitwise_and_(_item_bits(sort_key.shape[-1]))


def _item_bits(size: int) -> int:
    return (1 << (size - 1).bit_length()) - 1
