"""What a study takes on trust: code and files that could do anything, which it asks for by name."""

from collections.abc import Iterator, Mapping

from llem.engines import ENGINES


def trusted(engine: str, model: object, options: Mapping[str, object]) -> Iterator[str]:
    """Yield what a person should know before an experiment runs, in words; nothing for random weights.

    Args:
        engine: The engine's name; of one that this llem lacks, nothing is known.
        model: The experiment's model, as a journal keeps it: a name, or a configuration.
        options: The engine's own section.
    """
    if engine in ENGINES and isinstance(model, str):
        yield from ENGINES[engine].trusts(model, options)
