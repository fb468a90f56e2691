"""How far is it? A bar on a terminal, else a line every few seconds, or JSON lines."""

import json
import sys
import time


class Progress:
    """Tells how far the work is."""

    def __init__(self, style: str):
        if style == "auto":
            style = "bar" if sys.stderr.isatty() else "lines"
        self.style = style
        self.interval = {"bar": 0.1, "json": 0.2, "lines": 5.0}[style]

    def begin(self, name: str, stage: str, total: int) -> None:
        self.name, self.stage, self.total = name, stage, total
        self.started = self.shown = time.monotonic()
        self.first: int | None = None
        if self.style != "lines":
            self._show(0)

    def at(self, done: int) -> None:
        """Reports that `done` bytes are there, of which those of the first call came from an earlier run."""
        if self.first is None:
            self.first = done
        now = time.monotonic()
        if now - self.shown >= self.interval:
            self.shown = now
            self._show(done)

    def end(self) -> None:
        self._show(self.total)
        if self.style == "bar":
            print(file=sys.stderr)

    def _show(self, done: int) -> None:
        if self.style == "json":
            line = {"name": self.name, "stage": self.stage, "done": done, "total": self.total}
            print(json.dumps(line), flush=True)
            return
        share = min(done / self.total, 1) if self.total else 0
        speed = (done - (self.first or 0)) / max(time.monotonic() - self.started, 0.1)
        figures = f"{share:4.0%}  {done / 1e6:.1f} of {self.total / 1e6:.1f} MB  {speed / 1e6:.1f} MB/s"
        if self.style == "bar":
            bar = ("█" * round(share * 24)).ljust(24, "░")
            print(f"\r\x1b[K{self.name}  {self.stage:8} {bar} {figures}", end="", file=sys.stderr, flush=True)
        else:
            print(f"{self.name}: {self.stage} {figures}", file=sys.stderr, flush=True)
