"""What a terminal shows, and how a program is run in one."""

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CODES = re.compile(r"\x1b\[(?P<csi>[?0-9;]*)(?P<end>[A-Za-z])|\x1b(?P<esc>[78DM])|(?P<text>[^\x1b])", re.DOTALL)


class Screen:
    """So much of a VT100 as pytest and the status line need.

    `lines` is all that was ever written, of which the last `rows` are visible; `row` and `column` are the cursor's.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""]
        self.row = self.column = 0
        self.wraps = True
        self.kept = (0, 0)  # of the screen, not of what has scrolled away

    @property
    def top(self) -> int:
        return max(0, len(self.lines) - self.rows)

    def feed(self, text: str) -> None:
        for found in CODES.finditer(text):
            if found["text"]:
                self._put(found["text"])
            elif found["esc"] == "7":
                self.kept = (self.row - self.top, self.column)
            elif found["esc"] == "8":
                self.row, self.column = self.kept[0] + self.top, self.kept[1]
            elif found["esc"] == "D":
                self._down()
            elif found["esc"] == "M":
                assert self.row > self.top
                self.row -= 1
            elif found["end"] == "J":
                self.lines[self.row] = self.lines[self.row][: self.column]
                self.lines[self.row + 1 :] = [""] * len(self.lines[self.row + 1 :])
            elif found["csi"] == "?7":
                self.wraps = found["end"] == "h"
            else:
                assert found["end"] == "m", found[0]

    def _put(self, char: str) -> None:
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self._down()
        elif char.isprintable():
            if self.column == self.columns:
                if self.wraps:
                    self.column = 0
                    self._down()
                else:
                    self.column -= 1
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")


def in_terminal(
    arguments: Sequence[str], folder: Path, columns: int, rows: int, environment: Mapping[str, str], narrower: int = 0
) -> tuple[list[str], str]:
    """Run a program at a terminal: what it wrote from time to time, and all of it.

    Args:
        narrower: so many columns the terminal has once something was drawn in it; 0 where it stays as it is.
    """
    import fcntl
    import pty
    import struct
    import termios

    def resize(size: int) -> None:
        fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, size, 0, 0))

    leader, follower = pty.openpty()
    resize(columns)
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS")}
    variables |= {"TERM": "xterm", "OMP_NUM_THREADS": "1", **environment}
    process = subprocess.Popen(arguments, cwd=folder, stdin=follower, stdout=follower, stderr=follower, env=variables)
    os.close(follower)
    chunks: list[str] = []
    while True:
        time.sleep(0.02)  # so that what belongs together comes together
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk.decode(errors="replace"))
        if narrower and "\x1b8" in chunks[-1]:
            resize(narrower)
            narrower = 0
    process.wait()
    os.close(leader)
    return chunks, "".join(chunks)
