"""Whatever touches PyAV: from a file descriptor to packets and decoded frames. Nothing else of the server imports it.

A client's file is hostile until shown otherwise. Containers, protocols and codecs are allow lists, the pixel limit is
set in both places that FFmpeg reads it from, the thread count is explicit, and a file name never gets here. Every
foreign exception leaves this package as one of ours.

It is a package because one module of all that would be too long::

    video_file          VideoFile: an open video, its packets in file order, its decoder
    open_container      the allow lists and limits under which a file is opened
    container_streams   the video streams that it holds
    stream_headers      what it declares about one of them
    container_index     where its index says that the packets lie
    packet              Packet: one packet of the video
    decoded_frame       DecodedFrame: what the decoder makes of packets
    refusals            what is said of a file that is not taken
"""
