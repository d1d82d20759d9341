"""Bytes flipped, zeroed, overwritten and cut off, and other digits: what a bad disk or hand makes of a file."""

from collections.abc import Sequence

WAYS = ("flip", "flip", "digit", "digit", "zero", "noise", "cut")
LENGTHS = (1, 8, 100, 1000, 4096, 20_000)


def written(content: bytes) -> list[int]:
    """Return where a file holds anything; most of a journal is a reserve, full of zeros."""
    return [place for place, byte in enumerate(content) if byte]


def spoil(content: bytes, places: Sequence[int], how: str, where: float, length: int, value: int) -> bytes:
    """Return ``content`` damaged at a share of the places where it was ever written."""
    spoiled = bytearray(content)
    start = min(places[int(where * len(places))], len(spoiled))
    if how == "cut":
        del spoiled[start:]
    elif how == "flip" and spoiled[start:]:
        spoiled[start] ^= 1 << value % 8
    elif how == "digit":
        digit = next((place for place in range(start, len(spoiled)) if spoiled[place] in b"0123456789"), None)
        if digit is not None:
            spoiled[digit] = b"0123456789"[value % 10]
    else:
        end = min(start + length, len(spoiled))
        spoiled[start:end] = bytes([0 if how == "zero" else value]) * (end - start)
    return bytes(spoiled)
