"""`python -m medrival`, and the command `medrival`: what there is to choose from, and what to do around a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from medrival.commands import parser
from medrival.errors import MedrivalError

INTERRUPTED = 130
"""As shells have it: 128 and the number of the signal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a verb asks for; return the exit status."""
    understood = parser("medrival" if Path(sys.argv[0]).stem == "medrival" else "python -m medrival")
    options = understood.parse_args(arguments)
    try:
        if options.run is None:
            understood.print_help()
            return 0
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at the end
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except MedrivalError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    raise SystemExit(main())
