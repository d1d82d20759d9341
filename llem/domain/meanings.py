"""What the keys of a model mean, in the words of its docstring: the one text for documentation and editors."""

import inspect
import re

from pydantic import BaseModel


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return each field's text in the "Attributes" of the docstrings of ``model`` and its bases."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        _, _, section = (inspect.cleandoc(cls.__doc__ or "")).partition("Attributes:\n")
        for name, text in re.findall(r"^    (\w+): (.+(?:\n     +.+)*)", section, flags=re.MULTILINE):
            if name in model.model_fields:
                found[name] = " ".join(text.split())
    return found


def about(model: type[BaseModel]) -> str:
    """Return the first paragraph of a model's docstring as one line."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].split())
