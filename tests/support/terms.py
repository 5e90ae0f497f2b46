"""Small terms with made-up keys, for tests that do not need a whole evaluation."""

from policy.agreement import Draft, Terms
from policy.compilation import compile_plans
from policy.identity import NodeIdentity, PartyIdentity, RecipientIdentity, RequesterIdentity
from policy.kpi import load_kpi

KEY = "11" * 32


def draft_data(**changes):
    """The tables of a small agreement, as tomllib would read them."""
    data = {
        "name": "small", "title": {"en": "Small", "nl": "Klein"}, "purposes": ["dpv:ServiceOptimisation"],
        "data_categories": ["dpv:HealthData"], "valid_from": "2024-01-01", "valid_until": "2030-01-01", "shards": 1,
        "panes": {"zone": "Europe/Amsterdam", "unit": "week", "start": "2024-01-01", "count": 12},
        "windows": {"size": 4, "step": 1}, "linkage": {"date": "2024-01-08", "block_slots": 64, "dummies": 6},
        "disclosure": {"minimum_cohort": 3}, "quota": {"runs": 100},
        "parties": [
            {"name": "hospital", "sources": [{"name": "fhir", "kinds": ["enrolment"]}]},
            {"name": "insurer", "sources": [{"name": "claims", "kinds": ["enrolment", "claim"]}], "grace_panes": 2},
            {"name": "statistics", "sources": [{"name": "persons", "kinds": ["social"]}]},
        ],
        "measures": [
            {"name": "app_user", "party": "hospital", "aggregation": "exposed", "programme": "ibd-coach"},
            {"name": "app_not_yet", "party": "hospital", "aggregation": "not-yet-exposed", "programme": "ibd-coach",
             "cohort": "ibd-care"},
            {"name": "insured_days", "party": "insurer", "aggregation": "days", "programme": "insured", "bound": 7},
            {"name": "insured_any", "party": "insurer", "aggregation": "nonzero", "of": "insured_days"},
            {"name": "gp_visits", "party": "insurer", "aggregation": "count", "kind": "claim", "care_type": "gp",
             "at_risk": "insured_days", "bound": 63},
            {"name": "gp_any", "party": "insurer", "aggregation": "nonzero", "of": "gp_visits"},
            {"name": "cost", "party": "insurer", "aggregation": "sum", "kind": "claim", "at_risk": "insured_days",
             "bound": 2**26 - 1},
            {"name": "cost_any", "party": "insurer", "aggregation": "nonzero", "of": "cost"},
            *({"name": f"income_{q}", "party": "statistics", "aggregation": "category", "field": "income",
               "value": str(q)} for q in range(1, 6)),
        ],
        "recipients": [{"name": "innovation-team", "kpis": ["gp-visit-rate-ratio", "cost-difference"]}],
        "kpis": ["gp-visit-rate-ratio", "cost-difference"],
    }
    data.update(changes)
    return data


def make_terms(**changes):
    """Terms over `draft_data`; all keys are made up unless a test replaces them."""
    draft = Draft.model_validate(draft_data(**changes))
    return Terms(
        draft=draft,
        parties=tuple(PartyIdentity(name=p.name, address=f"0x{0x2200 + i:040x}", batch_key=f"{60 + i}" * 32)
                      for i, p in enumerate(draft.parties)),
        nodes=tuple(
            NodeIdentity(number=j, organisation=draft.parties[j].name, endpoint="127.0.0.1:1",
                         certificate=f"{10 + j}" * 32, sealing_key=f"{20 + j}" * 32, record_key=f"{30 + j}" * 32,
                         attestor=f"0x{0x3300 + j:040x}")
            for j in range(3)
        ),
        recipients=tuple(RecipientIdentity(name=r.name, sealing_key=KEY) for r in draft.recipients),
        plans=compile_plans(draft, tuple(load_kpi(k) for k in draft.kpis)),
        requesters=tuple(RequesterIdentity(name=r.name, address=f"0x{44 + i:040x}") for i, r in enumerate(draft.requesters)),
    )
