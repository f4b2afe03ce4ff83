"""Classify a video; print its best labels, and when the best of them is clearest.

python examples/classify.py http://127.0.0.1:8000 clip.mp4
"""

import sys

from laps_client import LapsClient, LapsError

server, video = sys.argv[1:]

with LapsClient(server) as client:
    try:
        result = client.classify(video, top_k=3)
    except (LapsError, OSError) as error:  # what the server or the network says; a file that cannot be read
        sys.exit(str(error))

for prediction in result.predictions:
    print(f"{prediction.score:.3f}  {prediction.label}")

if result.frames is not None:  # some models have no scores over time
    curve = result.frames.curve(result.top.label)
    score, time_s = max(zip(curve, result.frames.time_s, strict=True))
    print(f"{result.top.label} is clearest at {time_s:.1f} s, with {score:.3f}")
