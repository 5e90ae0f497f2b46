"""From a draft and everybody's public halves to the terms that all sign."""

import codecs
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from console.errors import ConsoleError
from console.keyring import Identity, kind_of, roles
from policy.agreement import Draft, Terms
from policy.compilation import compile_plans
from policy.errors import AgreementError
from policy.faults import one_line
from policy.kpi import Kpi

KPIS: TypeAdapter[list[Kpi]] = TypeAdapter(list[Kpi])
TERMS, KPI_TEXTS = "terms.json", "kpis.json"
MOST_BYTES = 1 << 16


def load_identity(path: Path) -> Identity:
    """Read what an organisation gave (JSON).

    Raises:
        ConsoleError: unreadable, or something else.
    """
    try:
        if not path.is_file():
            raise ConsoleError(f"identity {path}: no such file. Expected the identity.json of a role.")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1).removeprefix(codecs.BOM_UTF8)
        if len(content) > MOST_BYTES:
            raise ConsoleError(f"identity {path}: more than {MOST_BYTES} bytes, expected some hundreds.")
        return Identity.model_validate_json(content, strict=True)
    except OSError as error:
        raise ConsoleError(f"identity {path}: {error.strerror}.") from error
    except ValidationError as error:
        # Without the content: somebody may have named a key file.
        raise ConsoleError(
            f"identity {path}: {one_line(error)}. Expected the identity.json that winnow agreement keys wrote."
        ) from None


def put_together(draft: Draft, kpis: tuple[Kpi, ...], identities: Sequence[Identity]) -> Terms:
    """The terms of a draft; the same whatever the order of the identities.

    Args:
        draft: what people agreed on.
        kpis: its programs.
        identities: one of every role.

    Raises:
        policy.errors.PlanError: a KPI does not compile against the agreement.
        AgreementError: an identity is missing, there twice, or of no role of this agreement; or the terms contradict
            each other.
    """
    expected = roles(draft)
    found: dict[str, Identity] = {}
    for identity in identities:
        if identity.agreement != draft.name:
            raise AgreementError(
                f"the identity of {identity.role} is for agreement {identity.agreement}, expected {draft.name}. Have "
                "its keys drawn for this one"
            )
        if identity.role in found:
            raise AgreementError(f"there are two identities of {identity.role}, expected one. Leave one out")
        found[identity.role] = identity
    if strange := [role for role in found if role not in expected]:
        raise AgreementError(
            f"agreement {draft.name} has no {', '.join(strange)}; it has {', '.join(expected)}. Leave the others out"
        )
    if missing := [role for role in expected if role not in found]:
        raise AgreementError(f"identities are missing: of {', '.join(missing)}. Name the files of these, too")
    given = [found[role] for role in expected]
    if wrong := [i for i in given if i.kind != kind_of(draft, i.role)]:
        raise AgreementError(
            f"the identity of {wrong[0].role} is that of a {wrong[0].kind}, expected that of a "
            f"{kind_of(draft, wrong[0].role)}. Have its keys drawn from this draft"
        )
    try:
        return Terms(
            draft=draft, plans=compile_plans(draft, kpis),
            parties=tuple(i.party for i in given if i.party is not None),
            nodes=tuple(i.node for i in given if i.node is not None),
            recipients=tuple(i.recipient for i in given if i.recipient is not None),
            requesters=tuple(i.requester for i in given if i.requester is not None),
        )
    except ValidationError as error:
        raise AgreementError(f"agreement {draft.name}: {one_line(error)}") from error


def write_terms(folder: Path, terms: Terms, kpis: Sequence[Kpi]) -> None:
    """Write what is signed, and the KPI programs for their texts."""
    (folder / TERMS).write_text(terms.model_dump_json(), encoding="utf-8")
    (folder / KPI_TEXTS).write_bytes(KPIS.dump_json(list(kpis)))
