"""Which files of which packages are photographs worth filming: named one by one or by pattern, after looking.

Left out are diagrams, screenshots, pictures derived from others of the list, and second views of the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEBIAN_ROOT = Path("/usr/share")
"""Where Debian's packages lie; another folder where they were only unpacked (`dpkg -x`)."""


@dataclass(frozen=True)
class PhotographSource:
    """Photographs of one package: patterns below the Debian root, or below a Python package's folder."""

    package: str
    patterns: tuple[str, ...]
    module: str | None = None


_OPENCV_EXAMPLES = (
    "alphamat/input_images/plant.jpg",
    *(
        f"data/{name}"
        for name in [
            "Blender_Suzanne1.jpg",
            "aero1.jpg",
            "aloeL.jpg",
            "apple.jpg",
            "baboon.jpg",
            "basketball1.png",
            "board.jpg",
            "box_in_scene.png",
            "building.jpg",
            "butterfly.jpg",
            "chicky_512.png",
            "ela_original.jpg",
            "fruits.jpg",
            "graf1.png",
            "home.jpg",
            "left.jpg",
            "left05.jpg",
            "leuvenA.jpg",
            "messi5.jpg",
            "orange.jpg",
            "rubberwhale1.png",
            "squirrel_cls.jpg",
            "starry_night.jpg",
            "stuff.jpg",
            "sudoku.png",
        ]
    ),
    "fuzzy/input.png",
    "dnn_superres/butterfly.png",
    *(f"text/scenetext{number:02d}.jpg" for number in range(1, 7)),
    *(f"text/scenetext_segmented_word{number:02d}.jpg" for number in (1, 2, 3, 4)),
)
_OPENCV_MANUAL = [
    "4_barcodes.jpg",
    "Background_Subtraction_Tutorial_frame.jpg",
    "ambush_5_left.jpg",
    "astra_color.jpg",
    "bus_det.jpg",
    "bicubicOutput.jpg",
    "cat_det.jpg",
    "detect_test1.jpg",
    "detect_test2.jpg",
    "feature_building.jpg",
    "fusion.png",
    "fusion_mertens.jpg",
    "gst_input.jpg",
    "newspaper.jpg",
    "opencv_bus_res.jpg",
    "person_multi_det.jpg",
    "retina_TreeHdr_small.jpg",
    "space_shuttle.jpg",
    "studentsSample_input.jpg",
    "yolo.jpg",
]
_PLASMA = [
    "Altai",
    "Autumn",
    "BytheWater",
    "Canopee",
    "Cascade",
    "Cluster",
    "ColdRipple",
    "ColorfulCups",
    "EveningGlow",
    "FallenLeaf",
    "Grey",
    "Honeywave",
    "IceCold",
    "Kite",
    "OneStandsOut",
    "Patak",
    "Path",
    "SafeLanding",
    "Shell",
    "Volna",
]


SOURCES = (
    PhotographSource(
        "opencv-doc",
        (
            *(f"doc/opencv-doc/examples/{name}" for name in _OPENCV_EXAMPLES),
            *(f"doc/opencv-doc/opencv4/html/{name}" for name in _OPENCV_MANUAL),
        ),
    ),
    PhotographSource("mate-backgrounds", ("backgrounds/mate/nature/*.jpg", "backgrounds/mate/abstract/Elephants.jpg")),
    PhotographSource(
        "gnome-backgrounds",
        tuple(f"backgrounds/gnome/{name}-l.webp" for name in ("grid", "licorice", "pixels", "truchet", "wood")),
    ),
    PhotographSource(
        "plasma-workspace-wallpapers",
        tuple(f"wallpapers/{name}/contents/images/[2-5]???x????.*" for name in _PLASMA),
    ),
    PhotographSource(
        "scikit-image",
        tuple(
            f"data/{name}"
            for name in [
                "astronaut.png",
                "brick.png",
                "chelsea.png",
                "coffee.png",
                "coins.png",
                "grass.png",
                "gravel.png",
                "hubble_deep_field.jpg",
                "motorcycle_left.png",
                "rocket.jpg",
            ]
        ),
        module="skimage",
    ),
    PhotographSource("scikit-learn", ("datasets/images/*.jpg",), module="sklearn"),
)
