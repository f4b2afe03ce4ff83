"""NVIDIA's Triton binary, which the package nvidia-pytriton carries, over a repository with one Python model."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from bench.peers import views

CONFIG = """\
name: "video"
backend: "python"
max_batch_size: 4
input {{ name: "video" data_type: TYPE_STRING dims: [ 1 ] }}
output {{ name: "answer" data_type: TYPE_STRING dims: [ 1 ] }}
instance_group {{ count: {workers} kind: KIND_CPU }}
dynamic_batching {{ max_queue_delay_microseconds: 10000 }}
parameters {{ key: "model" value: {{ string_value: "{model}" }} }}
parameters {{ key: "threads" value: {{ string_value: "{threads}" }} }}
parameters {{ key: "batch" value: {{ string_value: "{batch}" }} }}
"""


def write_repository() -> Path:
    """A repository with the one model; what the benchmark starts, it removes with its folder for temporary files."""
    given = views.arguments()
    repository = Path(tempfile.mkdtemp(prefix="bench-triton-"))
    version = repository / "video" / "1"
    version.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("model.py"), version)
    config = CONFIG.format(model=given.model.resolve(), workers=given.workers, threads=given.threads, batch=given.batch)
    (version.parent / "config.pbtxt").write_text(config)
    return repository


def main() -> None:
    """Become Triton."""
    given = views.arguments()
    packages = Path(sysconfig.get_path("purelib"))
    server = packages / "pytriton" / "tritonserver"
    # Triton's interpreter finds this environment by the first python on the path, and libpython by its folder.
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{sysconfig.get_config_var('LIBDIR')}:{packages / 'nvidia_pytriton.libs'}",
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": f"{packages}:{os.environ['PYTHONPATH']}",
    }
    command = [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={write_repository()}",
        f"--backend-directory={server / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name=laps-bench-{given.port}-",
        "--http-address=127.0.0.1",
        f"--http-port={given.port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--exit-timeout-secs=1",
    ]
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
