"""What a document's rows say about each alert: how it stands, and since when; pure functions of values."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from console.locale import MINUS, Lang
from console.telling import unit_name
from console.texts import translator
from evaluation.document import AlertRow, DateWindow
from policy.kpi import Kpi


@dataclass(frozen=True)
class Standing:
    """One alert after the windows so far."""

    row: AlertRow
    """Of its latest window."""
    state: str
    """raised or clear, as the latest window with data left it; no-data before the first one."""
    since: DateWindow | None
    """The window that brought it there; None: it is so from the start."""
    changes: int


def standings(alerts: Sequence[AlertRow]) -> list[Standing]:
    """Every alert once, in the document's order; its rows come by window."""
    by_id: dict[str, list[AlertRow]] = {}
    for row in alerts:
        by_id.setdefault(row.id, []).append(row)
    found = []
    for rows in by_id.values():
        changed = [row.window for row in rows if row.changed]
        state = next((row.state for row in reversed(rows) if row.state != "no-data"), "no-data")
        found.append(Standing(rows[-1], state, changed[-1] if changed else None, len(changed)))
    return found


def bounds(row: AlertRow, kpi: Kpi, lang: Lang) -> str:
    """When it goes on and off, in the KPI's unit."""
    return translator(lang)(
        f"alert_{row.when}", raise_at=_decimal(row.raise_at, kpi, lang), clear_at=_decimal(row.clear_at, kpi, lang),
        unit=unit_name(kpi, lang),
    )


def _decimal(text: str, kpi: Kpi, lang: Lang) -> str:
    """As it was agreed, with the language's decimal sign; of a share, which is shown so, in percent."""
    if kpi.value_unit == "share":
        text = f"{(100 * Decimal(text)).normalize():f}"
    return (text.replace(".", ",") if lang == "nl" else text).replace("-", MINUS)
