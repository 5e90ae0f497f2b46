"""The commands of `winnow`; those of an agreement, an audit and a party's data come from their own modules."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from console.agreement.on_chain import agreement
from console.audit.commands import audit
from console.drill import Drill
from console.options import Kafka, Whole
from console.output import standard_output
from console.party_commands import figures, init_source, receipts, rejected, replay, source

app = App(
    name="winnow",
    version=lambda: version("winnow-health"),
    help="Tells care organisations, week by week, which innovations work, without anyone handing over a "
         "patient's record.",
    suppress_keyboard_interrupt=False,
)

alert = App(name="alert", help="Messages about alerts.")
app.command(alert)
app.command(agreement)
app.command(audit)
app.command(source)
for command in (figures, init_source, receipts, rejected, replay):
    app.command(command)


@app.command
def evaluate(
    agreement: Path,
    *,
    party: Annotated[list[str], Parameter(negative=())],
    json: Annotated[bool, Parameter(negative=())] = False,
    serve: Annotated[bool, Parameter(negative=())] = False,
    work: Path | None = None,
    drill: Drill | None = None,
    notify: Path | None = None,
    kafka: Kafka = 0,
) -> int:
    """Evaluate an agreement over the parties' files, on this machine.

    Starts an embedded broker and chain, a process for every party, three MPC nodes and a page for the recipient;
    lets every party sign; replays the files in the order in which they were recorded; prints the released KPIs.

    Exit codes: 0 ended (suppressed cells included), 2 usage, 3 refused by policy, 4 nothing reached the minimum,
    5 a process, broker or chain is gone, 6 integrity, 130 interrupted.

    Args:
        agreement: the agreement, a TOML file.
        party: NAME=DIR, once for every party of the agreement: where its files are.
        json: print one JSON document on standard output instead of tables.
        serve: keep the pages up until Ctrl-C.
        work: folder for throw-away keys, stores and logs; by default a temporary one that is removed.
        drill: rehearse a refusal: unsigned, unagreed-kpi, small-cohort or revoke-mid-run.
        notify: send the agreement's alerts to the addresses in this file (one a line, mode 600); see docs/alerts.md.
        kafka: run on Apache Kafka with 1 or 3 brokers (needs Java and Maven); 0: on the embedded broker.
    """
    from console.evaluate import Options, evaluate_files

    options = Options(json=json, serve=serve, work=work, drill=drill, notify=notify, kafka=kafka)
    return evaluate_files(agreement, party, options)


@app.command
def demo(
    *,
    patients: Whole = 4350,
    weeks: Whole = 78,
    seed: Whole = 1,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    serve: Annotated[bool, Parameter(negative=())] = False,
    work: Path | None = None,
    notify: Path | None = None,
    kafka: Kafka = 0,
) -> int:
    """Make a synthetic cohort of an e-health app for chronic bowel disease, and evaluate it.

    Args:
        patients: patients of the hospital.
        weeks: length of the period.
        seed: another seed makes other patients.
        out: keep the three parties' files and the agreement in this folder, which must be new or empty.
        json: print one JSON document on standard output instead of tables.
        serve: keep the pages up until Ctrl-C.
        work: folder for throw-away keys, stores and logs; by default a temporary one that is removed.
        notify: send the agreement's alerts to the addresses in this file (one a line, mode 600); see docs/alerts.md.
        kafka: run on Apache Kafka with 1 or 3 brokers (needs Java and Maven); 0: on the embedded broker.
    """
    from console.evaluate import Options, evaluate_demo

    options = Options(json=json, serve=serve, work=work, notify=notify, kafka=kafka)
    return evaluate_demo(out, patients, weeks, seed, options)


@app.command
def request(
    *,
    config: Path,
    kpi: Annotated[list[str], Parameter(negative=())],
    window: str,
    cell: Annotated[list[str] | None, Parameter(negative=())] = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    timeout: float = 120.0,
) -> int:
    """Ask a running system for KPIs of a window, and wait for them.

    Signs the request with the requester's key, sends it, and prints what came out: what was released before is printed
    at once and costs no quota.

    Exit codes: 0 released, 2 usage, 3 refused by a rule, 4 nothing reached the minimum, 5 no answer in time, or the
    broker or chain is gone, 6 integrity, 130 interrupted.

    Args:
        config: the requester's configuration, a TOML file.
        kpi: a KPI of the agreement; may be given several times.
        window: START/END, dates of the agreement: the first day, and the first day after it.
        cell: print these cells only, such as income:1, or "all" for all patients; may be given several times.
        dry_run: send nothing; print every rule's verdict, as far as the chain and the nodes' records tell.
        json: print one JSON document on standard output.
        timeout: longest wait for the end, in seconds.
    """
    from console.request import Asked
    from console.request import request as ask

    return ask(config, Asked(
        tuple(kpi), window, tuple(cell or ()), dry_run=dry_run, json=json, timeout_seconds=timeout
    ))


@app.command
def schedule(*, config: Path, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """List the agreement's windows: which ran, when, and why late; which are due, missed, skipped or refused.

    A state is shown when two of the three nodes say so in signed records.

    Exit codes: 0 listed, 2 usage, 5 the broker is gone.

    Args:
        config: the requester's configuration, a TOML file.
        json: print one JSON document on standard output.
    """
    from console.schedule import schedule as table

    return table(config, as_json=json)


@app.command
def party(*, config: Path) -> int:
    """Run a data party: its events become pane after pane of shares, as the agreement says.

    Says what it does on standard output: in words on a terminal, else one JSON object a line; logs on standard error.

    Exit codes: 0 its files are read to their end, 2 configuration or files, 3 refused by policy, 5 the broker or chain
    is gone, 6 integrity, 130 ended from outside.

    Args:
        config: the party's configuration, a TOML file; see docs/operating.md.
    """
    from console.live import run_role
    from evaluation.party import main

    return run_role(main, config)


@app.command
def node(*, config: Path) -> int:
    """Run an MPC node, until it is ended: it computes with its two peers what the agreement permits.

    Says what it does on standard output: in words on a terminal, else one JSON object a line; logs on standard error.
    Goes on where it was when it is started again.

    Exit codes: 2 configuration, 3 refused by policy, 5 the broker, the chain or a peer is gone, 6 integrity, 130 ended
    from outside.

    Args:
        config: the node's configuration, a TOML file; see docs/operating.md.
    """
    from console.live import run_role
    from evaluation.node import main

    return run_role(main, config)


@app.command
def console(*, config: Path) -> int:
    """Run a recipient's console, until it is ended: it recombines the results and serves the pages.

    Says where the pages are on standard output: in words on a terminal, else one JSON object a line.

    Exit codes: 2 configuration, 5 the broker is gone, 6 results do not fit, 130 ended from outside.

    Args:
        config: the recipient's configuration, a TOML file; see docs/operating.md.
    """
    from console.live import run_role
    from console.recipient import main

    return run_role(main, config)


@app.command
def topics(
    agreement: Path, /, *, make: Path | None = None, json: Annotated[bool, Parameter(negative=())] = False
) -> int:
    """List the Kafka topics, users and access rules of an agreement; with --make, make topics and rules.

    For whoever runs the cluster. What is there already must be as it is listed; users are made with Kafka's own tools.

    Exit codes: 0 listed or made, 2 a file is wrong, 5 the broker is gone or refuses, or a topic is there that differs.

    Args:
        agreement: the draft (TOML) or the terms (JSON).
        make: a file (TOML) with the operator's [broker]; see docs/kafka.md.
        json: print one JSON document.
    """
    from console.topics import topics as look

    return look(agreement, make, as_json=json)


@app.command
def schema() -> int:
    """Print the JSON Schema of the document that --json prints."""
    import json

    from evaluation.document import document_schema

    with standard_output():
        sys.stdout.write(json.dumps(document_schema(), indent=2) + "\n")
    return 0


@alert.command
def test(*, notify: Path) -> int:
    """Send a test message to every address of a file, and say what became of it; it says nothing about any data.

    Exit codes: 0 all took it, 2 the file or an address is wrong, 5 an address did not take it.

    Args:
        notify: the file, one address a line, mode 600; see docs/alerts.md.
    """
    from console.trial import send_tests

    return send_tests(notify)


@alert.command
def run(*, config: Path) -> int:
    """Run a recipient's alerts, until it is ended: it tells people once when a state changes.

    Exit codes: 2 configuration or addresses, 5 the broker is gone, 6 results do not fit, 130 ended from outside.

    Args:
        config: the alerts' configuration, a TOML file; see docs/operating.md.
    """
    from console.alerts import main
    from console.live import run_role

    return run_role(main, config)
