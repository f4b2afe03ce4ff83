"""Which frames a view uses: index arithmetic apart from decoding, as pure functions.

::

    sampling    what a model wants along time, and a stream's clock
    windowed    laps_uniform, slowfast_uniform, slowfast_offset: clips in windows of declared time
    in_order    uniform_in_order: from the first frame to the last
    counted     strided_centre, segments_of_5, whole_clip, tokshift: by the numbers of frames alone
    moments     steady_25: a video seen at 25 pictures a second
    rules       the table of them all, by the names in manifests

In all of them ``k`` counts temporal views from 0 to V_t - 1, ``n`` are the frames that there are, and a clip is T
frames. Timestamps are integers in stream time base units, relative to the stream's first frame. docs/protocol.md tells
the rules.
"""
