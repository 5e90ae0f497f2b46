"""Curves as SVG, without a library: x on a logarithmic scale of base 2, y linear from 0."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

SVG = "http://www.w3.org/2000/svg"
WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 44, 44
LINE_HEIGHT = 20
TICKS = 5


@dataclass(frozen=True)
class Curve:
    """Points (x > 0, y ≥ 0) by x, under a name."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def curves(title: str, across: str, drawn: Sequence[Curve]) -> str:
    """One picture; `across` says what x is."""
    xs = sorted({x for curve in drawn for x, _ in curve.points})
    step = _step(max(y for curve in drawn for _, y in curve.points) / TICKS)
    top = step * math.ceil(max(y for curve in drawn for _, y in curve.points) / step)
    low, high = math.log2(xs[0]), math.log2(xs[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        right = LEFT + (math.log2(x) - low) / max(high - low, 1e-9) * (WIDTH - LEFT - RIGHT)
        return round(right, 1), round(HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM), 1)

    parts = [
        f'<svg xmlns="{SVG}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
    ]
    for tick in range(round(top / step) + 1):
        y = place(xs[0], tick * step)[1]
        parts += [
            f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#e3e3e3"/>',
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{tick * step:g}</text>',
        ]
    parts += [
        f'<text x="{place(x, 0)[0]}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>' for x in xs
    ]
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(across)}</text>')
    for number, curve in enumerate(drawn):
        points = " ".join(f"{x},{y}" for x, y in (place(*point) for point in curve.points))
        look = f'stroke="{curve.colour}" stroke-width="2"' + (' stroke-dasharray="6 5"' if curve.dashed else "")
        line = TOP + 12 + number * LINE_HEIGHT
        parts += [
            f'<polyline points="{points}" fill="none" {look}/>',
            f'<line x1="{LEFT + 16}" y1="{line}" x2="{LEFT + 48}" y2="{line}" {look}/>',
            f'<text x="{LEFT + 56}" y="{line + 4}">{escape(curve.name)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _step(rough: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
