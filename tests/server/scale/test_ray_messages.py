"""What of Ray's messages reaches whoever runs a job."""

from __future__ import annotations

import pytest
from ray.exceptions import RayError

from laps_server.scale.ray_messages import reason_of

DIED = """The actor died because of an error in its creation task, \x1b[36mray::MapWorker.__init__()\x1b[39m (pid=7, \
ip=10.0.0.7, actor_id=1)
  File "/usr/lib/ray/worker.py", line 1, in __init__
    raise last_exception
laps_server.errors.NoModels: model repository /models does not exist"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(DIED, "no actor can start on 10.0.0.7: model repository /models does not exist", id="ours"),
        pytest.param("The node died.\n\tactor_id: 1", "The node died.", id="Ray's"),
    ],
)
def test_a_reason_is_one_line(text: str, reason: str) -> None:
    assert reason_of(RayError(text)) == reason
