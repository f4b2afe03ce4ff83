#!/usr/bin/env bash
# Classify a video with curl: first as one answer in JSON, then as a stream of events.
#
#   examples/classify.sh http://127.0.0.1:8000 clip.mp4
set -euo pipefail

server=${1:?usage: classify.sh SERVER VIDEO}
video=${2:?usage: classify.sh SERVER VIDEO}

# The quotes inside are curl's: names may hold commas and semicolons.
upload="file=@\"$video\""

# An error is JSON as well, and says what would be right; --fail-with-body prints it and exits with 22.
curl --silent --show-error --fail-with-body --form "$upload" "$server/classify?top_k=3&frames=false"
echo

# --no-buffer prints each event when it comes. Lines that begin with a colon are heartbeats.
curl --silent --show-error --fail-with-body --no-buffer --form "$upload" \
  --header 'Accept: text/event-stream' "$server/classify?top_k=1&frames=false"
