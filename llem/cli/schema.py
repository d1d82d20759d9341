"""``llem schema``."""

from llem.study.schema import schema_text


def schema() -> int:
    """Print the JSON Schema of study files, for editors."""
    print(schema_text(), end="")
    return 0
