"""Builds a pipeline from settings, with the engine that they name. No FastAPI here."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from laps_server.engines.registry import ENGINES, RegisteredEngine, format_of
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

    What is opened here is closed with the pipeline, or at once where this raises.

    Raises:
        ModelError: no model there, or one that is wrong.
        ModelNotFound: ``default_model`` names a model that is not there.
        BadParameter: the engine is not installed.
    """
    engine = ENGINES[settings.engine]
    engine.check_installed()
    found = _runnable(discover(settings.model_repository, versions=settings.versions), engine)
    with ExitStack() as unless_built:
        resources = unless_built.enter_context(ExitStack())
        executor = resources.enter_context(ThreadPoolExecutor(1, thread_name_prefix="infer"))
        models = tuple(
            ServedModel(
                files,
                Scheduler(
                    engine.build(files, settings, executor),
                    batch_sizes=settings.batch_sizes,
                    max_queued_views=settings.max_queued_views,
                ),
            )
            for files in found
        )
        pipeline = Pipeline(
            models,
            decode_pool=DecodePool(settings.decode_workers),
            default_model=settings.default_model,
            decode_threads=settings.decode_threads,
            limits=MediaLimits(max_pixels=settings.max_pixels, max_segments=settings.max_segments),
            resources=resources,
        )
        unless_built.pop_all()
        return pipeline


def _runnable(found: tuple[ModelFiles, ...], engine: RegisteredEngine) -> tuple[ModelFiles, ...]:
    """A TensorRT plan may lie beside the graph that it was built from, for whoever runs plans."""
    runnable = tuple(files for files in found if engine.can_run(files.manifest))
    left = {files.name: format_of(files.manifest) for files in found if not engine.can_run(files.manifest)}
    for name in sorted(left):
        _LOG.info("%s is a %s, which engine %s does not run", name, left[name], engine.name)
    if not runnable:
        formats = " and ".join(sorted({f"{what}s" for what in left.values()}))
        raise NoModels(
            f"the model repository holds {formats} alone",
            hint="Triton runs plans; put the ONNX entry beside them",
        )
    return runnable
