"""Terms of the W3C Data Privacy Vocabulary that agreements use, in words; any other term is shown by its address."""

from typing import Final

from console.agreement.words import Words, plain
from policy.kpi import Text

PREFIXES: Final = {
    "dpv": "https://w3id.org/dpv#", "dpv-pd": "https://w3id.org/dpv/pd#", "pd": "https://w3id.org/dpv/pd#",
}
TERMS: Final[dict[str, Text]] = {
    "https://w3id.org/dpv#AcademicResearch": Text(en="academic research", nl="academisch onderzoek"),
    "https://w3id.org/dpv#CommercialResearch": Text(en="commercial research", nl="commercieel onderzoek"),
    "https://w3id.org/dpv#ImproveHealthcare": Text(en="improving healthcare", nl="de zorg verbeteren"),
    "https://w3id.org/dpv#NonCommercialResearch": Text(
        en="non-commercial research", nl="onderzoek zonder winstoogmerk",
    ),
    "https://w3id.org/dpv#ProvideOfficialStatistics": Text(en="official statistics", nl="officiële statistiek"),
    "https://w3id.org/dpv#PublicBenefit": Text(en="public benefit", nl="algemeen belang"),
    "https://w3id.org/dpv#PublicPolicyMaking": Text(en="making public policy", nl="beleid maken"),
    "https://w3id.org/dpv#ResearchAndDevelopment": Text(en="research and development", nl="onderzoek en ontwikkeling"),
    "https://w3id.org/dpv#ScientificResearch": Text(en="scientific research", nl="wetenschappelijk onderzoek"),
    "https://w3id.org/dpv#ServiceOptimisation": Text(en="improving services", nl="diensten verbeteren"),
    "https://w3id.org/dpv#ServiceProvision": Text(en="providing services", nl="diensten leveren"),
    "https://w3id.org/dpv/pd#Age": Text(en="age", nl="leeftijd"),
    "https://w3id.org/dpv/pd#AgeRange": Text(en="age range", nl="leeftijdsgroep"),
    "https://w3id.org/dpv/pd#Disability": Text(en="disabilities", nl="beperkingen"),
    "https://w3id.org/dpv/pd#Gender": Text(en="gender", nl="geslacht"),
    "https://w3id.org/dpv/pd#Health": Text(en="health", nl="gezondheid"),
    "https://w3id.org/dpv/pd#HealthHistory": Text(en="history of health", nl="ziektegeschiedenis"),
    "https://w3id.org/dpv/pd#HealthRecord": Text(en="health records", nl="medische dossiers"),
    "https://w3id.org/dpv/pd#IncomeBracket": Text(en="income bracket", nl="inkomensgroep"),
    "https://w3id.org/dpv/pd#Insurance": Text(en="insurance", nl="verzekering"),
    "https://w3id.org/dpv/pd#Location": Text(en="where somebody lives or is", nl="waar iemand woont of is"),
    "https://w3id.org/dpv/pd#MedicalHealth": Text(en="medical data", nl="medische gegevens"),
    "https://w3id.org/dpv/pd#MentalHealth": Text(en="mental health", nl="geestelijke gezondheid"),
    "https://w3id.org/dpv/pd#PhysicalHealth": Text(en="physical health", nl="lichamelijke gezondheid"),
    "https://w3id.org/dpv/pd#Prescription": Text(en="prescribed medication", nl="voorgeschreven medicijnen"),
}


def term_in_words(term: str, say: Words) -> str:
    """A term with what it means; its whole address if that is not known here."""
    prefix, colon, name = term.partition(":")
    address = f"{PREFIXES[prefix]}{name}" if colon and prefix in PREFIXES else term
    known = TERMS.get(address)
    return plain(address) if known is None else say("known_term", words=known.of(say.lang), code=plain(term))
