"""Minimum and dominance on shares against the output checker acro, on a thousand random tables."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign import Foreign, interpreter
from mpc.dominance import dominated
from mpc.engine import Engine
from policy.disclosure import Dominance
from tests.support.dealing import deal
from tests.support.wires import run_three

ACRO = Foreign("acro", "3.11", (
    "acro==1.0.2", "contourpy==1.3.3", "cycler==0.12.1", "et_xmlfile==2.0.0", "fonttools==4.68.0", "formulaic==1.2.2",
    "interface_meta==2.0.1", "kiwisolver==1.5.1", "lxml==6.1.3", "matplotlib==3.11.2", "narwhals==2.29.0",
    "numpy==2.4.6", "openpyxl==3.1.5", "packaging==26.4", "pandas==2.3.3", "patsy==1.0.3", "pillow==13.0.0",
    "pyparsing==3.3.3", "python-dateutil==4.0.0", "pytz==2026.6", "PyYAML==6.0.4", "rdflib==7.6.0", "scipy==1.17.1",
    "six==1.17.0", "statsmodels==0.15.0", "tabulate==0.10.0", "typing_extensions==4.16.0", "tzdata==2026.6",
    "wrapt==2.5.2",
))
SCRIPT = Path(__file__).parents[1] / "support" / "acro_verdicts.py"
TABLES, CELLS, MOST = 1000, 6, 30
MINIMUM, LARGEST = 10, 2**31
NAMES = {1: "largest_percent", 2: "two_largest_percent"}
N_AND_K = ((2, 90), (2, 85), (1, 50))
SECONDS = 300


def random_tables(rng):
    """Cells of up to 30 contributors, alike or of very different sizes, many of them at an edge of a rule."""
    tables = []
    for _ in range(TABLES):
        cells = []
        for _ in range(CELLS):
            people = rng.integers(1, MOST + 1)
            amounts = rng.integers(1, 10 ** rng.integers(1, 4), people)
            if rng.random() < 0.7:
                rest = int(np.sort(amounts)[:-1].sum())
                amounts[-1] = max(1, rest * rng.choice([1, 3, 5, 9, 10, 19]) + rng.integers(-1, 2))
            cells.append([int(amount) for amount in amounts])
        tables.append(cells)
    return tables


def asked_of_acro(tables):
    """(n and k, tables, cells, 3) threshold, (n, k), p %: whether it fails."""
    python = interpreter(ACRO)
    assert python is not None, "acro's environment could not be made"
    risks = [
        {"safe_threshold": MINIMUM, "safe_nk_n": n, "safe_nk_k": percent / 100, "safe_pratio_p": 0.1}
        for n, percent in N_AND_K
    ]
    ended = subprocess.run(
        [python, SCRIPT], input=json.dumps({"risks": risks, "tables": tables}), capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return np.array(json.loads(ended.stdout))


async def found_on_shares(tables, rules):
    """(tables, cells, 1 + rules): fewer than the minimum contribute, and each rule by itself is broken."""
    values = np.zeros((TABLES * CELLS, MOST), np.int64)
    for row, cell in enumerate(cell for table in tables for cell in table):
        values[row, : len(cell)] = cell
    dealt = deal(values, np.random.default_rng(2))

    async def program(wire):
        engine, shares = Engine(wire), dealt[wire.number].bounded(LARGEST)
        contributors = MOST - (await engine.equal_zero(shares)).sum()
        few = await engine.less(contributors, MINIMUM)
        opened = [(await engine.open(few)).astype(bool)]
        for rule in rules:
            held = await engine.equal_zero(await dominated(engine, shares, rule, signed=False))
            opened.append((await engine.open(held)) == 0)
        return np.stack(opened, axis=-1).reshape(TABLES, CELLS, -1)

    found, *_ = await run_three(program)
    return found


@pytest.mark.timeout(900)
async def test_verdicts_agree_on_a_thousand_tables():
    tables = random_tables(np.random.default_rng(11))
    rules = [Dominance(**{NAMES[n]: percent}) for n, percent in N_AND_K]
    few, *by_rule, p_ratio = np.moveaxis(await found_on_shares(tables, [*rules, Dominance(p_percent=10)]), -1, 0)
    for (n, percent), expected, nk in zip(N_AND_K, asked_of_acro(tables), by_rule, strict=True):
        for place, (name, found) in enumerate({"minimum": few, f"({n}, {percent} %)": nk, "p %": p_ratio}.items()):
            assert 0.05 < expected[..., place].mean() < 0.95, name
            differing = np.argwhere(found != expected[..., place])
            assert not len(differing), (name, [tables[t][c] for t, c in differing[:3]])
