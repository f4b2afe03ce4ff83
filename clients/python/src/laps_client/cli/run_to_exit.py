"""Runs a command's work, and turns every way in which it can end into an exit status."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from laps_client.cli import exit_status
from laps_client.cli.display import Display
from laps_client.cli.exit_status import CommandFailed, not_written
from laps_client.cli.standard_streams import send_nowhere


def run_to_exit(display: Display, work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command's work; returns the exit status, whatever happened.

    An interrupt cancels the work: the connections of files in flight are closed, and so the server stops its work too.
    """
    terminated = False

    async def main() -> int:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        with suppress(NotImplementedError):  # Windows ends the process by itself
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await work()

    try:
        with display:
            return asyncio.run(main())
    except CommandFailed as failure:
        display.command_failed(failure)
        return failure.status
    except BrokenPipeError:  # as with head; nobody reads the rest of standard output
        send_nowhere(sys.stdout)
        return exit_status.PIPE_CLOSED
    except OSError as exc:  # writers have errors of their own; this is any other, as a disk that cannot be read
        display.command_failed(not_written(str(exc.filename or "the system"), exc))
        return exit_status.NOT_WRITTEN
    except KeyboardInterrupt:
        display.say("interrupted")
        return exit_status.INTERRUPTED
    except asyncio.CancelledError:
        if not terminated:
            raise
        display.say("terminated")
        return exit_status.TERMINATED
