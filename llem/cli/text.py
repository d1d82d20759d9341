"""Text and quantities in words, for every command; loads no model of what it is told of."""

import json

_SCALES = ((1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def printable(text: str, limit: int = 500) -> str:
    """Return ``text`` on one line that no terminal acts on, cut to ``limit`` characters."""
    clean = text[: limit + 1]
    if not clean.isprintable():
        clean = plain(clean.replace("\n", " ").replace("\t", " "))
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def plain(text: str) -> str:
    """Return ``text`` with all but line ends and what can be seen escaped: ``\\x1b``, ``\\u202e``.

    What comes from a worker, a model, a file's name or somebody else's journal can then neither colour nor clear a
    terminal, nor turn the direction of what is read, nor type into it.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def json_text(tree: object) -> str:
    """Return ``tree`` as one line of JSON, in ASCII that no terminal acts on."""
    return json.dumps(tree).replace("\x7f", "\\u007f")  # the one control character that JSON lets stand


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def quantity_text(value: float, unit: str) -> str:
    """Return a quantity with a prefix that suits it: ``100 ms``, ``1 mJ``."""
    rounded = float(f"{value:.3g}")
    factor, prefix = si_prefix(rounded)
    return f"{rounded / factor:.3g} {prefix}{unit}"


def duration_text(seconds: float) -> str:
    """Return a duration as people say it: ``48 s``, ``3:05 min``, ``2:03:40 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def counted(number: int, noun: str) -> str:
    """Return ``1 trial``, ``2 trials``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def si_prefix(value: float) -> tuple[float, str]:
    """Return the factor and the prefix that suit a value: ``1e3`` and ``k`` for 2,000."""
    return next(((factor, prefix) for factor, prefix in _SCALES if abs(value) >= factor), (1.0, ""))
