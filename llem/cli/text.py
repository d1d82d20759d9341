"""Text and quantities in words, for every command; loads no model of what it is told of."""

_SCALES = ((1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def printable(text: str, limit: int = 500) -> str:
    """Return ``text`` without control characters, so that nothing from a worker can act on a terminal."""
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


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
