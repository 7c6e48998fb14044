"""Real product data beside the project, for tests and measurements that need it."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("LARDER_REAL_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON Lines."""
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def match_pairs() -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[tuple[str, str]]]:
    """Return the products of two shops, and the pairs of `id` of those that are the same."""
    with gzip.open(DATA / "match_abt_buy_truth.tsv.gz", "rt") as file:
        truth = [(row["left_id"], row["right_id"]) for row in csv.DictReader(file, delimiter="\t")]
    return rows("match_abt_buy_left"), rows("match_abt_buy_right"), truth
