"""What an evaluation is doing, on stderr, at all times.

The processes report {"process", "phase", "done", "total", "detail"}; on a terminal each has a line with a bar, else
plain lines tell what changed, and that we are still there when nothing did.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

QUIET_SECONDS: Final = 10.0
"""Without a terminal: longest silence."""
STEP_SECONDS: Final = 2.0
"""Without a terminal: a process that goes on with a phase gets at most one line in this time."""
FRAMES_PER_SECOND: Final = 8
BAR_WIDTH: Final = 24
MAX_PROCESSES: Final = 64
"""More names than an evaluation has processes would be a fault of who reports; they are not shown."""
MAX_TEXT: Final = 100


class StatusLine(BaseModel):
    """One report of a process; `total` None means that nobody knows how much there is to do."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    process: str = Field(min_length=1, max_length=MAX_TEXT)
    phase: str = Field(max_length=MAX_TEXT)
    done: int = Field(default=0, ge=0)
    total: int | None = Field(default=None, ge=0)
    detail: str = ""

    @property
    def finished(self) -> bool:
        """Whether the phase is through."""
        return self.total is not None and self.done >= self.total

    @property
    def count(self) -> str:
        """"12 of 40", "12", or nothing."""
        if self.total is not None:
            return f"{self.done:,} of {self.total:,}"
        return f"{self.done:,}" if self.done else ""

    @property
    def note(self) -> str:
        """The detail as one printable line."""
        return "".join(c if c.isprintable() else " " for c in self.detail[:MAX_TEXT])


class Progress:
    """Shows reports until the block ends; `update` may be called from any thread."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, StatusLine] = {}
        self._started = clock()
        self._printed: dict[str, tuple[float, StatusLine]] = {}
        self._last_print = self._started
        self._live: Live | None = None
        self._ended = threading.Event()
        self._watch: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._picture, console=self._console, refresh_per_second=FRAMES_PER_SECOND,
                transient=True,
            )
            self._live.start()
        else:
            self._print("started")
            self._watch = threading.Thread(target=self._keep_company, name="progress", daemon=True)
            self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._live is not None:
            self._live.stop()
        if self._watch is not None:
            self._watch.join()
        how = "ended" if kind is None else "stopped"
        self._print(f"{how} after {self._elapsed()}")

    def update(self, status: Mapping[str, object]) -> None:
        """Take a report; one that is not of the form above is left out, progress is never a reason to stop."""
        try:
            line = StatusLine.model_validate(status)
        except ValidationError:
            return
        with self._lock:
            if line.process not in self._lines and len(self._lines) >= MAX_PROCESSES:
                return
            self._lines[line.process] = line
            if self._live is None and self._worth_a_line(line):
                self._printed[line.process] = (self._clock(), line)
                self._print(_sentence(line))

    def heartbeat(self) -> None:
        """Without a terminal: say what is going on if nothing was printed for a while."""
        with self._lock:
            if self._live is None and self._clock() - self._last_print >= QUIET_SECONDS:
                busy = [_sentence(line) for line in self._lines.values() if not line.finished]
                self._print("; ".join(busy) or "waiting for the first report")

    def _worth_a_line(self, line: StatusLine) -> bool:
        at, before = self._printed.get(line.process, (-math.inf, None))
        if before is None or before.phase != line.phase or line.finished != before.finished:
            return True
        return line != before and self._clock() - at >= STEP_SECONDS

    def _keep_company(self) -> None:
        while not self._ended.wait(QUIET_SECONDS / 4):
            self.heartbeat()

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(self._clock() - self._started), 60)
        return f"{minutes}:{seconds:02}"

    def _print(self, said: str) -> None:
        self._last_print = self._clock()
        self._console.print(Text(f"[{self._elapsed()}] {said}"), soft_wrap=True)

    def _picture(self) -> RenderableType:
        with self._lock:
            lines = list(self._lines.values())
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(width=BAR_WIDTH)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        for line in lines:
            bar: RenderableType = ProgressBar(
                total=line.total or 1, completed=line.done if line.total else 0,
                width=BAR_WIDTH, pulse=line.total is None, animation_time=self._clock(),
            )
            grid.add_row(
                Text(line.process, style="bold"), Text(line.phase), bar, Text(line.count),
                Text(line.note, style="dim"),
            )
        said = "waiting for the first report" if not lines else "working"
        return Group(grid, Spinner("dots", Text(f"{said}, {self._elapsed()}")))


def _sentence(line: StatusLine) -> str:
    said = f"{line.process}: {line.phase}"
    if line.count:
        said += f" {line.count}"
    return f"{said} ({line.note})" if line.note else said
