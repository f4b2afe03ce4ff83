"""What a key with administration may do. The door lets nobody else in, and without keys nobody at all."""

from __future__ import annotations

from fastapi import APIRouter

from laps_server.api import schemas
from laps_server.api.responses import failed_bodies
from laps_server.api.routes import ServicesDep

router = APIRouter(prefix="/admin", include_in_schema=False)


@router.post("/reload")
async def reload(services: ServicesDep) -> schemas.ReloadResponse:
    """Look at the model repository now; answered when what is new is served."""
    runtime = services.runtime
    changes = await runtime.reload()
    return schemas.ReloadResponse(
        added=changes.added, retired=changes.retired, failed=failed_bodies(runtime.failed_versions)
    )
