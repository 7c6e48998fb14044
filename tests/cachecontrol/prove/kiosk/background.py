"""The Celery application of the kiosk."""

import os

from celery import Celery

app = Celery(
    "kiosk", broker=f"redis+socket://{os.environ['KIOSK_REDIS'].removeprefix('unix://').partition('?')[0]}"
)
app.autodiscover_tasks()


@app.on_after_finalize.connect
def schedule(sender: Celery, **_: object) -> None:
    """Run the cache's job that mends triggers every second, so that it runs during a short proof."""
    from cachecontrol.tasks import BEAT_SCHEDULE

    sender.conf.beat_schedule = {"mend": {**BEAT_SCHEDULE["mend"], "schedule": 1.0}}
