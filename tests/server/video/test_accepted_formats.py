"""The lists of what is taken: FFmpeg knows every name on them, and docs/protocol.md tells them all."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from laps_server.video.accepted_formats import ACCEPTED, AcceptedFormats, CodecSet

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"


@pytest.mark.parametrize("codecs", ["standard", "wide"])
def test_every_listed_decoder_and_demuxer_is_there(codecs: CodecSet) -> None:
    accepted = ACCEPTED[codecs]
    decoders = [av.Codec(name, "r") for name in accepted.decoders]
    assert {decoder.type for decoder in decoders} == {"video"}
    assert [decoder.name for decoder in decoders] == list(accepted.decoders)
    assert len({decoder.id for decoder in decoders}) == len(decoders), "one decoder for a codec"
    assert set(accepted.containers) <= av.formats_available


def test_the_wide_set_takes_whatever_the_standard_one_does() -> None:
    assert ACCEPTED["standard"].decoders.items() < ACCEPTED["wide"].decoders.items()
    assert ACCEPTED["standard"].containers.items() < ACCEPTED["wide"].containers.items()


@pytest.mark.parametrize("codecs", ["standard", "wide"])
def test_the_lists_hold_no_playlist_and_nothing_that_reads_elsewhere(codecs: CodecSet) -> None:
    names = ACCEPTED[codecs].format_whitelist.split(",")
    assert not {"hls", "dash", "concat", "sdp", "rtsp", "rtp", "image2", "imf", "lavfi"} & set(names)


def test_the_protocol_page_names_every_codec_and_container() -> None:
    lines = PROTOCOL.read_text().splitlines()
    for codecs, accepted in ACCEPTED.items():
        (row,) = (line for line in lines if line.startswith(f"| `{codecs}`"))
        known = ACCEPTED["standard"] if codecs == "wide" else AcceptedFormats({}, {})
        for _, title in accepted.decoders.items() - known.decoders.items():
            assert title in row
        for _, name in accepted.containers.items() - known.containers.items():
            assert f"`{name}`" in row
