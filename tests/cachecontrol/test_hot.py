import time

from cachecontrol import recorder, stats
from cachecontrol.hot import Hot, hottest


def ask(policy, key, times):
    for _ in range(times):
        stats.record(policy, "hit", "", 0.001, key=key, recipe={"path": f"/{key}/"})


def test_the_most_asked_comes_first_with_its_recipe(redis):
    ask("p", "rare", 1)
    ask("p", "frequent", 5)
    stats.flush()
    assert [(hot.key, hot.recipe) for hot in hottest("p", 2)] == [
        ("frequent", {"path": "/frequent/"}),
        ("rare", {"path": "/rare/"}),
    ]


def test_what_a_key_asks_for_is_told_to_a_person():
    recipe = {"path": "/search/", "query": "q=caf%C3%A9+cup", "vary": ["de"]}
    assert Hot(key="k", score=1.0, recipe=recipe).asked == "/search/?q=café cup · de"
    assert Hot(key="k", score=1.0, recipe={"path": "/"}).asked == "/"


def test_yesterdays_favourite_gives_way(redis):
    ask("p", "old", 4)
    stats.flush()
    later = time.time() + 4 * recorder.HOT_WINDOW
    assert hottest("p", 1, now=later)[0].score < 2
    assert hottest("p", 1, now=later + recorder.KEEP_HOT) == []


def test_a_key_that_another_wrote_is_left_out(redis):
    ask("p", "true", 1)
    stats.flush()
    window = int(time.time()) // recorder.HOT_WINDOW
    redis.zincrby(recorder.hot_key("p", window), 100, '{"key": "x", "recipe": {"path": "/evil/"}}:signature')
    assert [hot.key for hot in hottest("p", 5)] == ["true"]


def test_a_flood_of_keys_stays_bounded_and_keeps_the_hottest(redis):
    ask("p", "hot", 50)
    for number in range(12 * recorder.HOT_KEYS):
        ask("p", f"cold{number}", 1)
    stats.flush()
    window = int(time.time()) // recorder.HOT_WINDOW
    sizes = [redis.zcard(recorder.hot_key("p", window - age)) for age in range(2)]
    assert max(sizes) <= recorder.HOT_KEYS
    assert hottest("p", 1)[0].key == "hot"
