"""Stand-ins at the far edge of `laps-export tensorrt`: trtexec and docker as executables, tensorrt as a module."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

GPU, CAPABILITY = "NVIDIA H100 80GB HBM3", "9.0"

_TRTEXEC = """
import json, sys
from pathlib import Path

KNOWN = {known}
TYPED = {typed}
options = [argument.partition("=")[::2] for argument in sys.argv[1:]]
print("&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] [b1] # trtexec " + " ".join(sys.argv[1:]))
if ("--help", "") in options:
    print("\\n".join(f"  {{name}}   described here" for name in KNOWN))
    sys.exit(0)
unknown = [name for name, _ in options if name not in KNOWN]
if unknown or (TYPED and ("--stronglyTyped", "") not in options):
    print(f"[E] Unknown option or weakly typed: {{unknown}}")
    sys.exit(1)
given = dict(options)
if {fails}:
    print("[E] [TRT] out of memory")
    sys.exit(1)
import onnx
graph = onnx.load(given["--onnx"]).graph
kinds = sorted({{t.data_type for t in graph.initializer if t.name.endswith("_float16")}})
cache = Path(given["--timingCacheFile"])
cache.write_bytes((cache.read_bytes() if cache.exists() else b"") + b"measured;")
Path(given["--saveEngine"]).write_text(json.dumps({{"options": options, "float16_weights": kinds == [10]}}))
Path(given["--saveEngine"]).chmod(0o600)
print("[I] === Device Information ===\\n[I] Selected Device: {gpu}\\n[I] Compute Capability: {capability}")
{version_line}
print("&&&& PASSED TensorRT.trtexec")
"""

_COMMON = ["--onnx", "--saveEngine", "--timingCacheFile", "--skipInference", "--noTF32", "--profile"]
_COMMON += ["--minShapes", "--optShapes", "--maxShapes", "--help"]

_DOCKER = """
import os, sys

arguments = sys.argv[1:]
assert arguments[:4] == ["run", "--rm", "--gpus", "all"], arguments
image = arguments.index("some/image:1")
options = dict(zip(arguments[4:image:2], arguments[5:image:2]))
assert options["--user"] == f"{{os.getuid()}}:{{os.getgid()}}"
folder = options["--workdir"]
assert options["--volume"] == f"{{folder}}:{{folder}}"
command = arguments[image + 1:]
outside = [a for a in command[4:] if a.startswith("--") and "=/" in a and not a.partition("=")[2].startswith(folder)]
assert not outside, f"a container sees nothing of {{outside}}"
os.environ["PATH"] = "/usr/bin:/bin:" + "{trtexec}"
os.execvp(command[0], command)
"""


def write_trtexec(folder: Path, *, major: int = 11, fails: bool = False, version_line: bool = True) -> Path:
    """A trtexec of that version: 10 demands --stronglyTyped, 11 has lost it, 9 never had it."""
    known = [*_COMMON, *({11: [], 10: ["--stronglyTyped", "--fp16"], 9: ["--fp16"]}[major])]
    source = _TRTEXEC.format(
        known=known,
        typed=major == 10,
        number=f"{major}0304",
        fails=fails,
        gpu=GPU,
        capability=CAPABILITY,
        version_line=f'print("[I] TensorRT version: {major}.3.4")' if version_line else "",
    )
    return _write_executable(folder / "trtexec", source)


def write_docker(folder: Path, trtexec_folder: Path) -> Path:
    """A docker that runs `some/image:1`, which holds the trtexec of that folder and sees one mounted folder."""
    return _write_executable(folder / "docker", _DOCKER.format(trtexec=trtexec_folder))


def _write_executable(path: Path, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(source)}")
    path.chmod(0o755)
    return path


class FakeTensorrt:
    """As much of the package as a build needs, with the names that versions 10 and 11 share."""

    __version__ = "11.3.4"
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    BuilderFlag = SimpleNamespace(TF32="tf32")

    def __init__(self, *, parses: bool = True, builds: bool = True, accepts_cache: bool = True) -> None:
        self.parses, self.builds, self.accepts_cache = parses, builds, accepts_cache
        self.profiles: list[tuple[Any, ...]] = []
        self.cleared: list[str] = []
        self.caches: list[bytes] = []
        self.flags = 0

    class Logger:
        WARNING = 2

        def __init__(self, _level: int) -> None: ...

    def Builder(self, _logger: object) -> Any:  # noqa: N802 - the package's name
        outer = self

        class Config:
            def clear_flag(self, flag: str) -> None:
                outer.cleared.append(flag)

            def add_optimization_profile(self, profile: Any) -> None:
                outer.profiles.append(profile.shapes)

            def create_timing_cache(self, content: bytes) -> bytes:
                return content

            def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
                assert ignore_mismatch is False
                outer.caches.append(cache)
                return outer.accepts_cache or cache == b""

            def get_timing_cache(self) -> Any:
                return SimpleNamespace(serialize=lambda: outer.caches[-1] + b"measured;")

        class Profile:
            shapes: tuple[Any, ...] = ()

            def set_shape(self, *shapes: Any) -> None:
                self.shapes = shapes

        def create_network(flags: int) -> object:
            outer.flags = flags
            return object()

        return SimpleNamespace(
            create_network=create_network,
            create_builder_config=Config,
            create_optimization_profile=Profile,
            build_serialized_network=lambda _network, _config: memoryview(b"a plan") if outer.builds else None,
        )

    def OnnxParser(self, _network: object, _logger: object) -> Any:  # noqa: N802 - the package's name
        return SimpleNamespace(
            parse_from_file=lambda path: Path(path).is_file() and self.parses,
            num_errors=1,
            get_error=lambda _i: SimpleNamespace(desc=lambda: "no such operator"),
        )


class FakeCuda:
    """CUDA's driver interface for one GPU."""

    def cuInit(self, _flags: int) -> int:  # noqa: N802 - CUDA's name
        return 0

    def cuDeviceGet(self, _device: object, _ordinal: int) -> int:  # noqa: N802
        return 0

    def cuDeviceGetName(self, name: Any, _size: int, _device: object) -> int:  # noqa: N802
        name.value = GPU.encode()
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, _device: object) -> int:  # noqa: N802
        value._obj.value = {75: 9, 76: 0}[attribute]
        return 0
