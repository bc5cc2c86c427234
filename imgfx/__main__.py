"""The console script, and `python -m imgfx`."""

import signal


def run() -> None:
    """Runs the command line of this process, and exits.

    Until what takes interrupts has been imported, one ends the process as it ends any other, and
    not with a traceback.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from imgfx import cli

    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, handler)
    cli.run()


if __name__ == "__main__":
    run()
