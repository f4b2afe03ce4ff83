"""Plot the scores of a video's frames over time; cell by cell in an editor or a notebook, or as a whole:

    python examples/plot_frames.py http://127.0.0.1:8000 clip.mp4 scores.png

Needs the client's extra: pip install './clients/python[plot]'
"""

# %% What to classify, where, and the picture to write. In a notebook, write them here.
import sys

server, video, picture = sys.argv[1:]

# %% Classify it. Every sampled frame of every view has a score.
from laps_client import LapsClient

with LapsClient(server) as client:
    result = client.classify(video, top_k=3)

print(result.top)

# %% Plot it. In a notebook the figure of the last line shows by itself.
from matplotlib.figure import Figure

from laps_client.plots import plot

figure = Figure(figsize=(9, 4), layout="constrained")
axes = plot(result, ax=figure.subplots())
axes.set_title(f"{video}: {result.top.label}")
figure.savefig(picture)
figure

# %% The same scores segment by segment, which suit long videos better.
with LapsClient(server) as client:
    long = client.classify(video, segments="1s", frames=False)

for segment in long.segments or ():
    print(f"{segment.start_s:.1f} s to {segment.end_s:.1f} s: {segment.top.label}")
