"""Bad lines of all kinds through readers and validation alone; tests/integration/test_nasty_files.py runs them."""

import shutil
import tomllib
from pathlib import Path

from policy.agreement import Draft
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from streams.sources.agreed import open_sources
from streams.sources.lines import read_events
from tests.support.checking import Checker
from tests.support.nasty import spoil_events, spoil_hospital, with_events
from tests.support.parties import LINK_SECRET, PSEUDONYM_KEY

EXAMPLE = Path(__file__).parents[3] / "examples" / "own-files"


def test_every_line_of_every_kind_is_accepted_or_refused_for_its_reason(tmp_path):
    folder = shutil.copytree(EXAMPLE / "hospital", tmp_path / "hospital")
    clean = {path.name: len(path.read_bytes().splitlines()) for path in folder.iterdir()}
    expected = spoil_hospital(folder) + spoil_events(folder)
    draft = Draft.model_validate(tomllib.loads(with_events((EXAMPLE / "agreement.toml").read_text())))
    names = Pseudonyms(LINK_SECRET, PSEUDONYM_KEY)
    validator, found, read = Checker(draft, "hospital", names), dict.fromkeys(expected, 0), 0
    for _, position, event, line in read_events(open_sources(draft, "hospital", folder, names)):
        outcome = event if isinstance(event, Reason) else validator.check(event)
        read += 1
        if position.line > clean.get(position.file, 0):
            why = str(outcome) if isinstance(outcome, Reason) else "accepted"
            found[why] = found.get(why, 0) + 1
        else:
            assert not isinstance(outcome, Reason), line
    assert found == expected
    assert read == sum(clean.values()) + expected.total()
    assert found["accepted"] > 10
