"""One party's small files, and terms whose keys a test holds."""

import json
from datetime import date, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policy.agreement import Terms
from tests.support.terms import make_terms

LINK_SECRET, PSEUDONYM_KEY, SHARING_KEY = b"L" * 32, b"P" * 32, b"S" * 32
BATCH_KEY, REJECTS_KEY = b"B" * 32, b"R" * 32
NODE_KEYS = [bytes([65 + j]) * 32 for j in range(3)]
MEMBERS = "record_id,person,start,end,recorded_at"
MEMBERS_TOML = """
[[file]]
path = "members.csv"
format = "csv"
kind = "enrolment"
end_inclusive = false
fields = { id = "record_id", person = "person", start = "start", end = "end", recorded = "recorded_at" }
constants = { programme = "insured" }
"""
"""source.toml for members.csv."""
CLAIMS = "record_id,person,care_type,product,service_date,amount_cents,debit_credit,previous_record_id,recorded_at"
PERSONS = "record_id,person,income_quintile,valid_from,recorded_at"


def keyed_terms(**changes) -> Terms:
    """Terms in which every party signs with BATCH_KEY and node j opens with NODE_KEYS[j]."""
    terms = make_terms(**changes)
    batch_key = Ed25519PrivateKey.from_private_bytes(BATCH_KEY).public_key().public_bytes_raw().hex()
    sealing = [X25519PrivateKey.from_private_bytes(k).public_key().public_bytes_raw().hex() for k in NODE_KEYS]
    return terms.model_copy(update={
        "parties": tuple(p.model_copy(update={"batch_key": batch_key}) for p in terms.parties),
        "nodes": tuple(n.model_copy(update={"sealing_key": k}) for n, k in zip(terms.nodes, sealing, strict=True)),
    })


def write_lines(path: Path, *lines: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join((x if isinstance(x, bytes) else x.encode()) + b"\n" for x in lines))
    return path


def person(number: int) -> str:
    return f"P{number:08d}"


def patient(key: str, number: str, recorded: str) -> str:
    return json.dumps({
        "resourceType": "Patient", "id": key, "meta": {"lastUpdated": recorded}, "gender": "other",
        "identifier": [{"system": "urn:other", "value": "x"}, {"system": "urn:winnow:person", "value": number}],
    })


def episode(key: str, of: str, start: str, recorded: str, end: str | None = None, code: str = "ibd-care", **more) -> str:
    return json.dumps({
        "resourceType": "EpisodeOfCare", "id": key, "meta": {"lastUpdated": recorded},
        "status": "finished" if end else "active", "type": [{"coding": [{"code": code}]}],
        "patient": {"reference": f"Patient/{of}"}, "period": {"start": start} | ({"end": end} if end else {}), **more,
    })


def task(key: str, of: str, start: str, recorded: str, end: str | None = None, code: str = "ibd-coach", **more) -> str:
    return json.dumps({
        "resourceType": "Task", "id": key, "meta": {"lastUpdated": recorded},
        "status": "completed" if end else "in-progress", "code": {"coding": [{"code": code}]},
        "for": {"reference": f"Patient/{of}"}, "executionPeriod": {"start": start} | ({"end": end} if end else {}), **more,
    })


def day(number: int, start: date = date(2024, 1, 1)) -> str:
    return (start + timedelta(days=number)).isoformat()
