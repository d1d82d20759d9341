"""``llem`` and ``python -m llem``: a signal ends it at once and without a trace, until a session notes signals."""

import signal


def let_signals_end_us() -> None:
    """Have Ctrl-C end this process as any other signal does: Python's answer is a traceback of where it was."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the command line and exit with its code."""
    let_signals_end_us()
    from llem.cli import main as run  # noqa: PLC0415 - after that: imports take most of a short command's time

    run()


if __name__ == "__main__":
    main()
