"""Every way to write a video that tests look at: container by codec, in the settings that take them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from support.numbered_videos import HEIGHT, WIDTH, encode, ffmpeg

COUNT = 150
# Shares of the frames that are decoded for the views of this test.
SEEKS = 0.5  # key frames every 12 to 20 frames, three of four windows away from the start
ONE_KEY_FRAME = 0.8  # from the start to the last frame wanted
INTRA = 0.25  # every frame is a key frame: those wanted, and the first picture
STRAIGHT = 1.05  # once from end to end, and the first picture before
STEPS_BACK = 2.0  # entering is tried, found wrong and given up
QUIET_HEVC = "log-level=none:keyint=20:min-keyint=20:scenecut=0:pools=1:frame-threads=1"
X264 = {"preset": "veryfast", "g": "20", "keyint_min": "20", "sc_threshold": "0", "bf": "3", "b_strategy": "0"}
X265 = {"preset": "ultrafast", "x265-params": f"{QUIET_HEVC}:bframes=3:open-gop=0"}
X265_OPEN = {"preset": "ultrafast", "x265-params": f"{QUIET_HEVC}:bframes=3:open-gop=1"}
# Pictures that follow a key frame in the file, are shown before it, and come out even where decoding begins there.
X265_LEADING = {"preset": "ultrafast", "x265-params": f"{QUIET_HEVC}:bframes=3:open-gop=0:radl=2"}
MPEG = {"g": "12", "bf": "2", "b": "800k"}
VP8 = {"g": "20", "b": "400k", "deadline": "realtime", "cpu-used": "8"}
VP9 = {"g": "20", "b": "400k", "deadline": "realtime", "cpu-used": "8"}
VP9_HIDDEN = {"g": "30", "b": "400k", "auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "5"}
MICROSOFT = {"g": "12", "b": "800k"}
DNXHR = {"profile": "dnxhr_hq"}
QCIF = (176, 144)
PAL = (720, 576)
AV1 = {"preset": "12", "g": "20", "svtav1-params": "lp=1"}


@dataclass(frozen=True)
class Cell:
    """One way to write a video. At most ``share`` of its frames are decoded, rounded up."""

    name: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    muxer: str | None = None
    muxer_options: dict[str, str] = field(default_factory=dict)
    share: float = SEEKS
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = (WIDTH, HEIGHT)
    count: int = COUNT
    through: str | None = None  # a container that PyAV writes, where only ffmpeg writes this one: packets are copied

    def write(self, folder: Path) -> Path:
        """The video as a file in ``folder``."""
        path = folder / self.name
        written = path if self.through is None else path.with_suffix(self.through)
        encode(
            written,
            self.codec,
            count=self.count,
            options=self.options,
            muxer=self.muxer,
            muxer_options=self.muxer_options,
            pix_fmt=self.pix_fmt,
            size=self.size,
        )
        if self.through is not None:
            ffmpeg("-i", written, "-c", "copy", path)
        return path


CELLS = [
    Cell("h264.mp4", "libx264", X264),
    Cell("h264_open_gop.mp4", "libx264", {**X264, "x264-params": "open-gop=1"}),
    Cell("h264_intra_refresh.mp4", "libx264", {**X264, "bf": "0", "x264-params": "intra-refresh=1"}, share=STEPS_BACK),
    Cell("h264_one_gop.mp4", "libx264", {**X264, "g": "1000", "keyint_min": "1000"}, share=ONE_KEY_FRAME),
    Cell("hevc.mp4", "libx265", X265),
    Cell("hevc_open_gop.mp4", "libx265", X265_OPEN),
    Cell("hevc_leading_pictures.mp4", "libx265", X265_LEADING, share=0.55),  # two frames more at every entry
    Cell("av1.mp4", "libsvtav1", AV1),
    Cell("vp9.mp4", "libvpx-vp9", VP9),
    Cell("mpeg4.mp4", "mpeg4", MPEG),
    Cell("mpeg2.mp4", "mpeg2video", MPEG),
    Cell("mpeg1.mp4", "mpeg1video", MPEG),
    Cell("mjpeg.mp4", "mjpeg", pix_fmt="yuvj420p"),
    Cell("h264.mov", "libx264", X264),
    Cell("mjpeg.mov", "mjpeg", pix_fmt="yuvj420p"),
    Cell("h264_fragmented.mp4", "libx264", X264, muxer_options={"movflags": "frag_keyframe+empty_moov"}),
    Cell("h264.mkv", "libx264", X264),
    Cell("h264_open_gop.mkv", "libx264", {**X264, "x264-params": "open-gop=1"}),
    Cell("hevc.mkv", "libx265", X265),
    Cell("hevc_open_gop.mkv", "libx265", X265_OPEN),
    Cell("vp8.mkv", "libvpx", VP8),
    Cell("vp9.mkv", "libvpx-vp9", VP9),
    Cell("av1.mkv", "libsvtav1", AV1),
    Cell("mpeg4.mkv", "mpeg4", MPEG),
    Cell("mpeg2.mkv", "mpeg2video", MPEG),
    Cell("mpeg1.mkv", "mpeg1video", MPEG),
    Cell("mjpeg.mkv", "mjpeg", pix_fmt="yuvj420p"),
    Cell("vp8.webm", "libvpx", VP8),
    Cell("vp9.webm", "libvpx-vp9", VP9),
    Cell("vp9_hidden_frames.webm", "libvpx-vp9", VP9_HIDDEN),
    Cell("av1.webm", "libsvtav1", AV1),
    Cell("h264_no_b.avi", "libx264", {**X264, "bf": "0"}),
    Cell("h264.avi", "libx264", X264, share=STRAIGHT),
    Cell("mpeg4_no_b.avi", "mpeg4", {**MPEG, "bf": "0"}),
    Cell("mpeg4.avi", "mpeg4", MPEG),
    Cell("mpeg2.avi", "mpeg2video", MPEG),
    Cell("mjpeg.avi", "mjpeg", pix_fmt="yuvj420p"),
    Cell("vp8.avi", "libvpx", VP8),
    Cell("h264.ts", "libx264", X264),
    Cell("h264_open_gop.ts", "libx264", {**X264, "x264-params": "open-gop=1"}),
    Cell("hevc.ts", "libx265", X265),
    Cell("hevc_open_gop.ts", "libx265", X265_OPEN),
    Cell("mpeg2.ts", "mpeg2video", MPEG),
    Cell("mpeg1.ts", "mpeg1video", MPEG),
    Cell("mpeg4.ts", "mpeg4", MPEG),
    Cell("mpeg1.mpg", "mpeg1video", MPEG, muxer="mpeg"),
    Cell("mpeg2.mpg", "mpeg2video", MPEG, muxer="vob"),
    Cell("h264.mpg", "libx264", X264, muxer="mpeg", share=STRAIGHT),
    Cell("h264.flv", "libx264", X264),
    Cell("hevc.flv", "libx265", X265),
    Cell("av1.flv", "libsvtav1", AV1),
    Cell("vp9.flv", "libvpx-vp9", VP9),
    Cell("vp8.ogg", "libvpx", VP8),
    Cell("gif.gif", "gif", pix_fmt="rgb8", share=ONE_KEY_FRAME),
    Cell("divx3.avi", "msmpeg4", MICROSOFT),
    Cell("divx3.mkv", "msmpeg4", MICROSOFT),
    Cell("divx3.mov", "msmpeg4", MICROSOFT),
    Cell("msmpeg4v2.avi", "msmpeg4v2", MICROSOFT),
    Cell("msmpeg4v2.mkv", "msmpeg4v2", MICROSOFT, through=".avi"),
    Cell("h263.3gp", "h263", MICROSOFT, size=QCIF),
    Cell("h263_sub_qcif.3gp", "h263", MICROSOFT, size=(128, 96)),
    Cell("h263.mov", "h263", MICROSOFT, size=QCIF),
    Cell("h263.mkv", "h263", MICROSOFT, size=QCIF, through=".3gp", share=STRAIGHT),  # every packet is marked as key
    Cell("h263.avi", "h263", MICROSOFT, size=QCIF, share=STRAIGHT),  # likewise
    Cell("prores.mov", "prores_ks", pix_fmt="yuv422p10le", share=INTRA),
    Cell("prores_4444.mov", "prores_ks", {"profile": "4444"}, pix_fmt="yuva444p10le", share=INTRA),
    Cell("prores.mkv", "prores_ks", pix_fmt="yuv422p10le", share=INTRA),
    Cell("ffv1.mkv", "ffv1", {"level": "3", "slices": "4", "slicecrc": "1"}),
    Cell("ffv1_10_bit.mkv", "ffv1", {"level": "3", "g": "1"}, pix_fmt="yuv422p10le", share=INTRA),
    Cell("ffv1_one_state.mkv", "ffv1", {"level": "1", "coder": "1", "context": "1", "g": "20"}),
    Cell("ffv1.avi", "ffv1", {"g": "20"}),
]
# Taken where the setting is wide. FFmpeg cannot write WMV 9, which is below, nor VC-1, Microsoft's MPEG-4 v1 and
# Intel's H.263, which are not tested.
WIDE_CELLS = [
    Cell("wmv1.asf", "wmv1", MICROSOFT),
    Cell("wmv2.wmv", "wmv2", MICROSOFT),
    Cell("divx3.asf", "msmpeg4", MICROSOFT),
    Cell("mpeg4.asf", "mpeg4", {**MPEG, "bf": "0"}),
    Cell("h264.asf", "libx264", {**X264, "bf": "0"}),
    Cell("mjpeg.asf", "mjpeg", pix_fmt="yuvj420p", share=INTRA),
    Cell("wmv1.avi", "wmv1", MICROSOFT),
    Cell("wmv2.avi", "wmv2", MICROSOFT),
    Cell("wmv2.mkv", "wmv2", MICROSOFT, through=".avi"),
    Cell("dnxhd.mov", "dnxhd", DNXHR, pix_fmt="yuv422p", size=(256, 128), share=INTRA),
    Cell("dnxhd.mkv", "dnxhd", DNXHR, pix_fmt="yuv422p", size=(256, 128), share=INTRA, through=".mov"),
    Cell("dv.dv", "dvvideo", size=PAL, count=60, share=INTRA),
    Cell("dv.avi", "dvvideo", size=PAL, count=60, share=INTRA),
    Cell("dv.mov", "dvvideo", size=PAL, count=60, share=INTRA),
    Cell("dv.mkv", "dvvideo", size=PAL, count=60, share=INTRA, through=".avi"),
    Cell("huffyuv.avi", "huffyuv", pix_fmt="yuv422p", share=INTRA),
    Cell("huffyuv_rgb.avi", "huffyuv", pix_fmt="rgb24", share=INTRA),
    Cell("huffyuv.mkv", "huffyuv", pix_fmt="yuv422p", share=INTRA, through=".avi"),
    Cell("ffvhuff.avi", "ffvhuff", {"context": "1"}, share=INTRA),
    Cell("ffvhuff.mkv", "ffvhuff", share=INTRA, through=".avi"),
    Cell("raw.avi", "rawvideo", share=INTRA),
    Cell("raw_bottom_up.avi", "rawvideo", pix_fmt="bgr24", share=INTRA),
    Cell("raw.mov", "rawvideo", pix_fmt="uyvy422", share=INTRA),
    Cell("raw.mkv", "rawvideo", share=INTRA),
    Cell("v210.mov", "v210", pix_fmt="yuv422p10le", share=INTRA),
    Cell("v210.avi", "v210", pix_fmt="yuv422p10le", share=INTRA),
    Cell("v210.mkv", "v210", pix_fmt="yuv422p10le", share=INTRA, through=".avi"),
    Cell("sorenson.flv", "flv", MICROSOFT),
    Cell("sorenson.avi", "flv", MICROSOFT),
    Cell("sorenson.mkv", "flv", MICROSOFT, through=".avi"),
]
