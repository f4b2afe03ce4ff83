"""Builds a pipeline from settings: the only place that knows which engine is which. No FastAPI here."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from laps_server.engines.base import Engine
from laps_server.engines.ort import OrtEngine
from laps_server.errors import NoModels
from laps_server.pipeline import Pipeline, ServedModel
from laps_server.repository import ModelFiles, discover
from laps_server.scheduler import Scheduler
from laps_server.settings import Settings
from laps_server.video.extract import MediaLimits
from laps_server.video.worker import DecodePool

_LOG = logging.getLogger(__name__)


def build_pipeline(settings: Settings) -> Pipeline:
    """Read the model repository and put a pipeline together; ``await pipeline.start()`` loads the models.

    Raises:
        ModelError: no model there, or one that is wrong.
        ModelNotFound: ``default_model`` names a model that is not there.
    """
    found = _runnable(discover(settings.model_repository, versions=settings.versions), settings.engine)
    executor = ThreadPoolExecutor(1, thread_name_prefix="infer")
    models = tuple(
        ServedModel(
            files,
            Scheduler(
                _build_engine(settings, files, executor),
                batch_sizes=settings.batch_sizes,
                max_queued_views=settings.max_queued_views,
            ),
        )
        for files in found
    )
    return Pipeline(
        models,
        decode_pool=DecodePool(settings.decode_workers),
        default_model=settings.default_model,
        decode_threads=settings.decode_threads,
        limits=MediaLimits(max_pixels=settings.max_pixels, max_segments=settings.max_segments),
    )


def _runnable(found: tuple[ModelFiles, ...], engine: str) -> tuple[ModelFiles, ...]:
    """A TensorRT plan may lie beside the graph that it was built from; in process only the graph can run."""
    if engine != "ort":
        return found
    graphs = tuple(files for files in found if files.manifest.plan is None)
    for name in sorted({files.name for files in found if files.manifest.plan is not None}):
        _LOG.info("%s is a TensorRT plan: left to Triton", name)
    if not graphs:
        raise NoModels(
            "the model repository holds TensorRT plans alone", hint="Triton runs plans; put the ONNX entry beside them"
        )
    return graphs


def _build_engine(settings: Settings, files: ModelFiles, executor: ThreadPoolExecutor) -> Engine:
    if settings.engine == "triton" and settings.triton_url is not None:
        # Here, since tritonclient is an extra: who runs graphs in process need not have it.
        from laps_server.engines.triton.engine import TritonEngine  # noqa: PLC0415
        from laps_server.engines.triton.wire import connect  # noqa: PLC0415

        return TritonEngine(
            files,
            url=settings.triton_url,
            connect=connect,
            shared_memory=settings.triton_shared_memory,
            calls_at_once=settings.triton_calls,
            timeout_s=settings.triton_timeout_s,
            start_timeout_s=settings.triton_start_timeout_s,
        )
    return OrtEngine(files, device=settings.device, threads=settings.threads, executor=executor)
