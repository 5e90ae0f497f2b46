"""Names that columns have in Dutch and English, and codes that sources commonly write."""

import re

NAMES: dict[str, tuple[str, ...]] = {
    "person": (
        "bsn", "burgerservicenummer", "person", "persoon", "personid", "persoonsnummer", "patient", "patientid",
        "patientnummer", "patientnr", "insurednumber", "verzekerdennummer", "verzekerdenummer", "verzekerde", "member",
        "memberid", "subjectreference", "patientreference", "forreference", "client", "clientid", "clientnummer",
        "rinpersoon", "subject", "who",
    ),
    "id": (
        "id", "recordid", "record", "eventid", "referentienummer", "eigenreferentie", "ownreference", "reference",
        "claimid", "declaratieid", "regelid", "regelnummer", "encounterid", "contactid", "uuid", "polisnummer",
        "volgnummer", "nr", "nummer",
    ),
    "recorded": (
        "recordedat", "recorded", "recordeddate", "datumverwerking", "verwerkingsdatum", "verwerktop", "verwerkt",
        "metalastupdated", "lastupdated", "updatedat", "geboekt", "geboektop", "boekdatum", "booked", "bookedat",
        "createdat", "registratiedatum", "invoerdatum", "mutatiedatum", "lastmodified", "authoredon",
    ),
    "occurred": (
        "occurredat", "occurred", "servicedate", "datumprestatie", "prestatiedatum", "begindatumprestatie",
        "behandeldatum", "date", "datum", "day", "dag", "fromdate", "performedperiodstart",
        "effectivedatetime", "authored", "periodstart", "contactdatum", "afnamedatum", "validfrom", "geldigvanaf",
        "peildatum", "start", "begindatum", "startdate",
    ),
    "start": (
        "start", "startdate", "startdatum", "begindatum", "ingangsdatum", "begin", "validfrom", "geldigvanaf", "since",
        "van", "vanaf", "periodstart", "executionperiodstart", "onsetdatetime", "from", "fromdate",
    ),
    "end": (
        "end", "enddate", "einddatum", "eind", "stop", "stopdate", "tot", "totenmet", "tm", "until", "validuntil",
        "geldigtot", "periodend", "executionperiodend", "abatementdatetime", "to", "todate",
    ),
    "cents": (
        "amountcents", "cents", "centen", "bedragincenten", "bedragcenten", "bedragcents", "berekendbedragcenten",
    ),
    "amount": (
        "amount", "bedrag", "berekendbedrag", "gedeclareerdbedrag", "declaratiebedrag", "vergoedbedrag", "cost",
        "costs", "kosten", "price", "prijs", "tarief", "euro", "totalclaimcost", "total", "totaal",
    ),
    "care_type": (
        "caretype", "zorgsoort", "zorgtype", "soortzorg", "care", "specialisme", "kindofcare", "healthcareclaimtypeid1",
    ),
    "product": (
        "product", "prestatiecode", "procedurecode", "declaratiecode", "productcode", "claimcode", "zorgproduct",
    ),
    "side": ("debitcredit", "indicatiedebetcredit", "debetcredit", "dc", "side"),
    "previous": (
        "previousrecordid", "referentienummervoorgaand", "vorigreferentienummer", "vorigereferentie",
        "previousreference", "previous", "vorige", "corrects",
    ),
    "programme": (
        "programme", "program", "programma", "plan", "traject", "zorgpad", "codecoding0code", "typecoding0code",
    ),
    "value": (
        "value", "waarde", "incomequintile", "income", "inkomen", "inkomenskwintiel", "kwintiel", "education",
        "opleiding", "opleidingsniveau", "household", "huishouden",
    ),
    "class": ("class", "classcode", "encounterclass", "klasse", "contacttype", "contactsoort", "soortcontact"),
    "module": ("module", "modulecode", "meting", "taak"),
    "status": ("status", "modulestatus", "voortgang"),
    "instrument": ("instrument", "vragenlijst", "questionnaire", "lijst"),
    "score": ("score", "totaalscore", "totalscore", "somscore", "valuequantityvalue"),
    "state": ("state", "recordstatus"),
}
"""Our field → names of columns, the surest first, as plain_name writes them."""
SYNONYMS: dict[str, dict[str, str]] = {
    "side": {"d": "D", "debet": "D", "debit": "D", "c": "C", "credit": "C"},
    "class": {
        "amb": "outpatient", "ambulatory": "outpatient", "outpatient": "outpatient", "wellness": "outpatient",
        "polikliniek": "outpatient", "imp": "admission", "inpatient": "admission", "admission": "admission",
        "opname": "admission", "emer": "ed", "emergency": "ed", "ed": "ed", "seh": "ed", "vr": "tele",
        "virtual": "tele", "tele": "tele", "procedure": "procedure", "verrichting": "procedure",
    },
    "status": {"due": "due", "completed": "completed", "gepland": "due", "afgerond": "completed"},
    "state": {"finished": "valid", "valid": "valid", "entered-in-error": "cancelled", "cancelled": "cancelled"},
}
"""Our field → what sources write, in lower case → our code."""
MIN_START = 7
"""Letters of a name that may be the beginning of a longer one."""
_PLAIN = re.compile(r"[^a-z0-9]")


def plain_name(column: str) -> str:
    """A column's name without case, spaces and signs."""
    return _PLAIN.sub("", column.lower())


def rank(field: str, column: str) -> int | None:
    """How surely a column's name is one of our field's, 0 being the surest; None: it is not."""
    plain, names = plain_name(column), NAMES.get(field, ())
    if plain in names:
        return names.index(plain)
    starts = [place for place, name in enumerate(names) if len(name) >= MIN_START and plain.startswith(name)]
    return len(names) + starts[0] if starts else None


def is_exact(field: str, column: str) -> bool:
    """Whether a column's name is one of our field's, not only begins with one."""
    return plain_name(column) in NAMES.get(field, ())
