"""The whole report, in its order."""

from collections.abc import Sequence
from pathlib import Path

from console.agreement.dpia.blocks import Block, Line, Part, Report
from console.agreement.dpia.deployed import Deployed, running
from console.agreement.dpia.description import described, flows, need, purposes, roles
from console.agreement.dpia.keeping import kept, recipients, rights
from console.agreement.dpia.risks import residual, risks


def parts(report: Report, configurations: Sequence[tuple[Path, Deployed]] = ()) -> tuple[Part, ...]:
    """Every part of the report; the last one gathers what people have still to fill in."""
    found = (
        described(report), purposes(report), roles(report), flows(report), need(report), recipients(report),
        kept(report), rights(report), risks(report), residual(report), running(report, configurations),
    )
    gathered = [
        Block(report.say(f"dpia_{part.id}"), lines) for part in found
        if (lines := tuple(dict.fromkeys(line for line in part.lines if line.mark == "open")))
    ]
    decided = tuple(
        Line(report.say(key), "open")
        for key in ("dpia_open_advice", "dpia_open_views", "dpia_open_prior", "dpia_open_review", "dpia_open_signed")
    )
    return (*found, Part("to_do", (*gathered, Block(report.say("dpia_decided"), decided))))
