"""``python -m llem``: the same as the command ``llem``."""

from llem.cli import main

if __name__ == "__main__":
    main()
