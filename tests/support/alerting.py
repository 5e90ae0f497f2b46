"""An alerts process with everything around it but nodes: broker, receivers, and results as nodes would send them."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import tomli_w
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.assembly import KPIS
from evaluation.config import AlertsSettings
from evaluation.keys import private_folder, write_secret
from evaluation.results import AlertShares, KpiShares, ReleasedCell, ResultShares, seal_result
from policy.kpi import load_kpi
from streams.broker import Broker, Producer
from streams.topics import results
from tests.support.command import alive, children
from tests.support.terms import make_terms

ROOT = Path(__file__).parents[2]
PRIME = 2**256 - 189
SECRET = bytes(range(32))
NODES = [Ed25519PrivateKey.generate() for _ in range(3)]
RECIPIENT = X25519PrivateKey.from_private_bytes(SECRET)
KPI = "gp-visit-rate-ratio"
RULE = {"id": "busy", "kpi": KPI, "recipient": "team", "when": "above", "raise_at": "1.2", "clear_at": "1"}
WAIT_SECONDS = 60


def alert_terms(reads=(KPI,), rules=(RULE,), **changes):
    """Terms whose only recipient may read these KPIs and gets these alerts; nodes sign with NODES."""
    made = make_terms(recipients=[{"name": "team", "kpis": list(reads)}], alerts=list(rules), kpis=[KPI], **changes)
    return made.model_copy(update={
        "nodes": tuple(
            n.model_copy(update={"record_key": k.public_key().public_bytes_raw().hex()})
            for n, k in zip(made.nodes, NODES, strict=True)
        ),
        "recipients": tuple(
            r.model_copy(update={"sealing_key": RECIPIENT.public_key().public_bytes_raw().hex()})
            for r in made.recipients
        ),
    })


def on_lines(values):
    """Three nodes' residues of values."""
    slopes = [secrets.randbelow(PRIME) for _ in values]
    return [
        tuple(f"{(v + s * (j + 1)) % PRIME:x}" for v, s in zip(values, slopes, strict=True)) for j in range(3)
    ]


def binary(value):
    """(mantissa, exponent) of a dyadic fraction."""
    exact = Fraction(value)
    return exact.numerator, 1 - exact.denominator.bit_length()


def run_results(terms, run, states, values=None, variance=Fraction(1, 64)):
    """Three nodes' sealed results of a run.

    Args:
        terms: the agreement.
        run: its id.
        states: alert → {window: 1 raised, 0 clear}.
        values: {window: value of all patients} of the KPI, where the recipient may read it; dyadic.
        variance: of the value's logarithm.
    """
    made = [
        [AlertShares(alert=alert, windows=tuple(by_window), states=residues)
         for residues in on_lines(list(by_window.values()))]
        for alert, by_window in states.items()
    ]
    kpis = [()] * 3
    if values:
        (plan,) = [p for p in terms.plans if p.kpi == KPI]
        pairs = [binary(v) for v in values.values()], [binary(variance)] * len(values)
        columns = {
            f"{name}.{part}": on_lines([pair[place] for pair in found])
            for name, found in zip(("value", "variance"), pairs, strict=True)
            for place, part in enumerate(("mantissa", "exponent"))
        }
        cells = tuple(ReleasedCell(window=w, stratum=0) for w in values)
        kpis = [
            (KpiShares(plan=plan.hash, cells=cells, outputs={name: rows[j] for name, rows in columns.items()}),)
            for j in range(3)
        ]
    return [
        seal_result(
            ResultShares(agreement=terms.hash, recipient="team", node=j, run=run, kpis=kpis[j],
                         alerts=tuple(shares[j] for shares in made)),
            terms.recipients[0].sealing_key, NODES[j],
        )
        for j in range(3)
    ]


async def publish(broker, messages, topic=None):
    """Send messages to the recipient's results, or to another topic."""
    async with Producer(Broker(broker.address)) as producer:
        await producer.send(topic or results("team"), 0, [(None, m) for m in messages])


@dataclass
class AlertsProcess:
    """`python -m console.alerts`, and what it says."""

    settings: Path
    log: Path
    said: list = field(default_factory=list)
    child: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def configured(cls, root, broker, terms, urls, **settings):
        """Write everything it needs under `root`."""
        keys = private_folder(root / "keys")
        if not (keys / "sealing").exists():
            write_secret(keys / "sealing", SECRET)
        (root / "terms.json").write_text(terms.model_dump_json())
        (root / "kpis.json").write_bytes(KPIS.dump_json([load_kpi(k) for k in terms.draft.kpis]))
        notify = root / "notify.txt"
        notify.write_text("".join(f"{url}\n" for url in urls))
        notify.chmod(0o600)
        config = {
            "recipient": "team", "terms": str(root / "terms.json"), "kpis": str(root / "kpis.json"),
            "broker": broker.address, "keys": str(keys), "notify": str(notify), "folder": str(root / "faust"),
            "first_retry_seconds": 0.2, "longest_retry_seconds": 1.0, **settings,
        }
        AlertsSettings.model_validate(config)
        (root / "alerts.toml").write_text(tomli_w.dumps(config))
        return cls(root / "alerts.toml", root / "log.jsonl")

    def start(self):
        """Start it, perhaps again."""
        self.said = []
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "console.alerts", str(self.settings)], cwd=self.settings.parent,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=log,
            )
        threading.Thread(target=self._read, args=(self.child.stdout, self.said), daemon=True).start()
        return self

    @staticmethod
    def _read(pipe, said):
        for line in pipe:
            said.append(json.loads(line))

    def lines(self, phase):
        return [line for line in self.said if line["phase"] == phase]

    async def until(self, condition, what):
        """Wait until something holds."""
        limit = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > limit or (self.child.poll() is not None):
                said = [(line["phase"], line["facts"]) for line in self.said if line["phase"] != "alive"]
                raise AssertionError(
                    f"no {what}; exit code {self.child.poll()}; said {said}; log {self.log.read_text()[-3000:]}"
                )
            await asyncio.sleep(0.02)

    async def says(self, phase, count=1):
        await self.until(lambda: len(self.lines(phase)) >= count, f"{phase!r} {count} times")
        return self.lines(phase)[-1]["facts"]

    def kill(self):
        """SIGKILL. What it was delivering ends a moment later by itself, and has ended when this returns."""
        if self.child is not None:
            deliveries = children(self.child.pid)
            self.child.kill()
            self.child.wait()
            self.child.stdout.close()
            self.child = None
            limit = time.monotonic() + 30
            while any(map(alive, deliveries)):
                assert time.monotonic() < limit, "a delivery outlives its sender"
                time.sleep(0.01)

    async def ended(self):
        """Its exit code, once it has ended by itself."""
        return await asyncio.to_thread(self.child.wait, WAIT_SECONDS)
