"""What the output checker acro says of tables. Runs in acro's own environment: tables from stdin, verdicts to stdout.

In: {"risks": [{…}, …], "tables": [[[amount of a contributor, …] of each cell, …], …]}. Out: under each risk appetite, for
each table, of each cell whether the threshold, the (n, k) and the p-ratio checks fail.
"""

import json
import logging
import sys
from types import SimpleNamespace

import pandas as pd
from acro import sdc_agg_funcs
from acro.sdcchecks import SDCChecks


def verdicts(cells, risks):
    """Under each risk appetite [threshold, nk, p] of each cell; all cells of all tables are one row of a table."""
    amounts = [pd.Series(cell) for cell in cells]
    same = {
        "count_table": [len(cell) for cell in amounts], "num_negative": [0] * len(cells),
        "sum": [cell.sum() for cell in amounts], "max": [cell.max() for cell in amounts],
        "top_2_sum": [sdc_agg_funcs.agg_top_2_sum(cell) for cell in amounts],
    }
    checks, model = SDCChecks.__new__(SDCChecks), SimpleNamespace(model_type="table")
    for risk in risks:
        checks.risk_appetite, sdc_agg_funcs.NK_N = risk, risk["safe_nk_n"]
        of = {**same, "top_n_sum": [sdc_agg_funcs.agg_top_n_sum(cell) for cell in amounts]}
        evidence = SimpleNamespace(interim_tables={name: pd.DataFrame([row]) for name, row in of.items()})
        masks = [
            check("table", evidence, model)[2].to_numpy()[0].tolist()
            for check in (checks.check_min_threshold, checks.check_nk_dominance, checks.check_ppercent_dominance)
        ]
        yield list(zip(*masks, strict=True))


def main():
    logging.disable()
    asked = json.load(sys.stdin)
    tables = asked["tables"]
    found = verdicts([cell for table in tables for cell in table], asked["risks"])
    each = iter([iter(row) for row in found])
    json.dump([[[next(row) for _ in table] for table in tables] for row in each], sys.stdout)


main()
