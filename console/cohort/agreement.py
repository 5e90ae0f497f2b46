"""The agreement of the demonstration, for any length of the period."""

import re
from datetime import timedelta
from importlib import resources

from console.cohort.shape import Shape

LINKAGE_DAY = 2
"""Day of the period on which registers close: after everybody known at the start, before the first pane ends."""


def demo_agreement(shape: Shape | None = None) -> str:
    """The demonstration's agreement as TOML, with the period, zone and linkage date of `shape`.

    Raises:
        ValueError: the packaged agreement lacks a line that has to be set.
    """
    shape = shape or Shape()
    text = (resources.files("console") / "demo" / "agreement.toml").read_text(encoding="utf-8")
    for key, value in (
        ("zone", f'"{shape.zone}"'), ("start", shape.start.isoformat()), ("count", str(shape.weeks)),
        ("date", (shape.start + timedelta(days=LINKAGE_DAY)).isoformat()),
        ("valid_from", shape.start.isoformat()),
    ):
        text, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        if found != 1:
            raise ValueError(f"console/demo/agreement.toml has {found} lines of {key!r}; expected 1")
    return text
