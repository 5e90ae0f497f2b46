"""The evidence of one evaluation, and what a test knows because it holds everybody's keys and files."""

import asyncio
import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.merkle import merkle_root
from evaluation.records import open_record
from evaluation.results import open_result
from infra.local.chain import DEV_KEY
from policy.agreement import Terms
from policy.chain.artifact import registry_artifact
from policy.chain.codec import encode_call
from policy.chain.signing import address_of
from streams.tags import TAG_BYTES
from tests.support.inspection import chain as on_chain
from tests.support.inspection import keys as key_files
from tests.support.inspection import plaintext, shares
from tests.support.inspection.evidence import PUBLIC, Blob, Evidence, memory
from tests.support.inspection.observe import observe

NODES = ("node-0", "node-1", "node-2")


@dataclass(frozen=True)
class Case:
    """Everything the checks need."""

    terms: Terms
    evidence: Evidence
    onboarded: object
    ports: Mapping[str, int]
    keys: Mapping[str, Mapping[str, bytes]]
    """Role → name → 32 bytes."""
    batches: list[shares.Batch]
    identifiers: plaintext.Identifiers
    events: tuple[plaintext.Events, ...]
    lacking: tuple[shares.Lacking, ...]
    found_in_memory: Mapping[str, list[str]]
    """Role → findings."""
    looked_at: Mapping[str, Counter]
    """Role → bytes of memory, and how often the terms' hash, which every process has, stood in them."""

    @cached_property
    def roles(self):
        names = [p.name for p in self.terms.parties] + [r.name for r in self.terms.recipients]
        return frozenset([*names, *NODES])

    @cached_property
    def parties(self):
        return frozenset(p.name for p in self.terms.parties)

    @cached_property
    def inboxes(self):
        return self.evidence.inboxes(self.terms.draft)

    @cached_property
    def blobs(self):
        return self.evidence.blobs(self.roles) + shares.opened_inboxes(self.inboxes, self.keys)

    def blob(self, place):
        return next(b for b in self.blobs if b.place == place)

    def plant(self, place, data):
        """A real blob with something added in the middle, between two line ends."""
        blob = self.blob(place)
        half = len(blob.data) // 2
        return Blob(blob.place, blob.owner, b"\n".join((blob.data[:half], data, blob.data[half:])))

    def stored_at(self, number):
        """The share batches that a node has stored."""
        store = f"file node-{number}/store/"
        return [b for b in self.blobs if b.place.startswith(store) and b.place.endswith(".arrow")]

    def readable_by(self, number):
        """What a node has or may read without anybody's help: its own, what is public, and every sealed topic."""
        topics = {f"topic {n}" for n in self.evidence.topics if n.endswith(".inbox") or n.startswith("results.")}
        return [b for b in self.blobs if b.owner in {f"node-{number}", PUBLIC} or b.place in topics]

    def lacked_by(self, number, *, travels):
        """A row of a component that a node lacks, and the component."""
        lacked = (number + 2) % 3
        return next(
            (b.rows[lacked], b.component(lacked)) for b in self.batches
            if b.rows[lacked]["travels"] == travels and b.header["kind"] == "pane"
        )

    @property
    def sealed_parts(self):
        """Place → the parts that must be ciphertext."""
        topics = self.evidence.topics
        found = {f"inbox {j}": [shares.head_of(m)[1] for m in messages] for j, messages in self.inboxes.items()}
        found |= {
            f"results.{r.name}": [m.value[65:] for m in topics[f"results.{r.name}"]] for r in self.terms.recipients
        }
        for party in self.parties:
            name = f"{party}.rejected"
            found[name] = [base64.b64decode(json.loads(r.value)["sealed"]) for r in topics[name]]
        return found

    @cached_property
    def link_values(self):
        return self.identifiers.link_values(self.keys["hospital"]["link"])

    @cached_property
    def records(self):
        return [open_record(r.value, self.terms) for r in self.evidence.topics["runs"]]

    @cached_property
    def escaped(self):
        return key_files.Escaped(self.keys, self.parties)

    @cached_property
    def callable_ports(self):
        """Role → ports on loopback that it may connect to."""
        ports = self.ports
        services, nodes = {ports["broker"], ports["chain"]}, {ports[n] for n in NODES}
        return {
            **dict.fromkeys(self.parties, services), **{n: services | nodes - {ports[n]} for n in NODES},
            **{r.name: {ports["broker"]} for r in self.terms.recipients},
        }

    @cached_property
    def released_numbers(self):
        """The numbers of the recipient's document, in digits, without their signs; those of fewer than six left out."""
        document = json.loads(self.blob(f"file {self.terms.recipients[0].name}/document.json").data)
        found = set()
        for release in document["releases"]:
            value = release["value"]
            found |= {str(v).lstrip("-") for v in (value.values() if isinstance(value, dict) else [value])}
        return {number.encode() for number in found if len(number) >= 6}

    @cached_property
    def allowed(self):
        """Role → {(kind, port)} that it may listen on."""
        found = {role: {("tcp", port)} for role, port in self.ports.items()}
        return found | {r.name: {("tcp", None)} for r in self.terms.recipients} | {p: set() for p in self.parties}

    @cached_property
    def expected(self):
        draft, terms = self.terms.draft, self.terms
        roots, sealed = {}, {}
        done = {r.run: r for r in self.records if r.kind == "done"}
        for name in sorted(r.name for r in terms.recipients):
            key = X25519PrivateKey.from_private_bytes(self.keys[name]["sealing"])
            for record in self.evidence.topics[f"results.{name}"]:
                opened = open_result(record.value, name, key, terms)
                sealed.setdefault(opened.run, []).append((opened.node, name, hashlib.sha256(record.value).digest()))
        windows = draft.lattice.scheduled
        for run in done.values():
            panes = range(windows[run.windows[0]].start, windows[run.windows[-1]].stop) if run.windows else range(-1, 0)
            read = [b for b in self.batches if b.header["pane"] in panes]
            name = on_chain.run_id(terms.hash, sorted(p.hash for p in terms.plans), list(run.windows), read)
            hashes = [digest for _, _, digest in sorted(sealed.get(run.run, ()))]
            roots[name] = merkle_root(hashes) if hashes else None
        proposer = next(t.sender for t in self.evidence.chain.transactions if t.data[:4] == encode_call(
            "propose", (bytes(32), bytes(32), [], [], [], 0, 0, 0, 0))[:4])
        return on_chain.Expected(
            abi=registry_artifact().abi, bytecode=registry_artifact().bytecode,
            registry=self.onboarded.deployment.address.lower(), agreement=bytes.fromhex(self.onboarded.agreement_id),
            terms_hash=bytes.fromhex(terms.hash),
            parties=tuple(address_of(self.keys[p.name]["chain"]).lower() for p in terms.parties),
            attestors=tuple(address_of(self.keys[n]["chain"]).lower() for n in NODES),
            others=frozenset({address_of(DEV_KEY).lower(), proposer}),
            valid_from=midnight(draft.valid_from), valid_until=midnight(draft.valid_until + timedelta(days=1)),
            quota=draft.quota.runs, blocks=self.evidence.chain.blocks, roots=roots,
        )


def midnight(day: date):
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def know(evidence, terms):
    """Everything that follows from everybody's keys together."""
    keys = key_files.private_keys(evidence.files)
    inboxes = evidence.inboxes(terms.draft)
    batches = shares.dealt(inboxes, keys)
    events = tuple(
        plaintext.Events(
            p.name,
            [r.value for r in evidence.topics[f"{p.name}.source"]],
            [r.value[:-TAG_BYTES] for r in evidence.topics[f"{p.name}.{terms.draft.name}.panes"]],
        )
        for p in terms.parties
    )
    return keys, batches, events, tuple(shares.Lacking(batches, j) for j in range(3))


@dataclass(frozen=True)
class Searcher:
    """What must not be in a process's memory."""

    role: str
    lacking: shares.Lacking | None
    identifiers: plaintext.Identifiers
    events: tuple
    link_words: object
    escaped: key_files.Escaped

    def findings(self, piece):
        found = self.lacking.findings_in_memory(piece) if self.lacking else []
        found += self.identifiers.findings_in_memory(piece)
        found += [text for events in self.events for text in events.findings_in_memory(piece)]
        found += [f"memory: a person's link key {word:016x}" for _, word in self.link_words.find(piece, 8)]
        return found + self.escaped.findings_in_memory(self.role, piece)


def investigate(agreement, parties, work, names):
    """Run an evaluation, and look at everything it leaves; see `observe`.

    Args:
        agreement: its TOML file.
        parties: name → folder of source files.
        work: folder of the evaluation.
        names: of people, as they stand in the files.
    """
    identifiers = plaintext.Identifiers(
        [path.read_bytes() for party in parties.values() for path in sorted(party.iterdir())], names
    )

    def in_memory(evidence, terms, pids):
        known = keys, _, events, lacking = know(evidence, terms)
        escaped = key_files.Escaped(keys, {p.name for p in terms.parties})
        words = plaintext.link_words(identifiers.link_values(keys["hospital"]["link"]))
        found, looked = {}, {}
        for role in (*NODES, *(r.name for r in terms.recipients)):
            third = lacking[NODES.index(role)] if role in NODES else None
            searcher = Searcher(role, third, identifiers, events, words, escaped)
            found[role], looked[role] = [], Counter()
            for piece in memory(pids[role]):
                found[role] += searcher.findings(piece)
                looked[role]["bytes"] += len(piece)
                looked[role]["terms"] += piece.count(terms.hash.encode())
        return known, found, looked

    observed = asyncio.run(observe(agreement, parties, work, in_memory))
    (keys, batches, events, lacking), found, looked = observed.memory
    return Case(
        observed.terms, observed.evidence, observed.onboarded, observed.ports, keys, batches, identifiers, events,
        lacking, found, looked,
    )
