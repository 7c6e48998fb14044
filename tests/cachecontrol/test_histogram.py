"""Durations in buckets: each lies in its own, and quantiles come close to the exact ones."""

import random

from hypothesis import given
from hypothesis import strategies as st

from cachecontrol.stats import histogram


@given(st.floats(min_value=2e-6, max_value=100))
def test_a_duration_lies_within_its_bucket(seconds: float) -> None:
    number = histogram.bucket_of(seconds)
    lower = histogram.upper_bound(number - 1)
    assert lower * 0.999 <= seconds <= histogram.upper_bound(number) * 1.001


def test_a_quantile_is_within_a_tenth_of_the_exact_one() -> None:
    rng = random.Random(7)
    durations = sorted(rng.lognormvariate(-7, 1) for _ in range(5000))
    buckets: dict[int, int] = {}
    for seconds in durations:
        number = histogram.bucket_of(seconds)
        buckets[number] = buckets.get(number, 0) + 1
    for share in (0.5, 0.95, 0.99):
        exact = durations[int(share * len(durations)) - 1]
        estimate = histogram.quantile(buckets, share)
        assert estimate
        assert abs(estimate / exact - 1) < 0.1


def test_no_reads_have_no_quantile() -> None:
    assert histogram.quantile({}, 0.5) is None


def test_odd_durations_find_a_bucket() -> None:
    assert histogram.bucket_of(0) == histogram.bucket_of(-1) == histogram.bucket_of(float("nan")) == 0
    assert histogram.bucket_of(1e9) == histogram.LAST_BUCKET
