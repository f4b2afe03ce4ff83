"""The gateway's ends of the sandbox's processes: the zygote, and a worker."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

from laps_server.errors import DecoderCrashed
from laps_server.observe import DecoderEnd, now
from laps_server.part import Part
from laps_server.video.sandbox import wire
from laps_server.video.sandbox.options import SandboxOptions
from laps_server.video.sandbox.page import ProgressPage

_LOOK_S = 1.0  # between two looks at whether a worker gets on
_END_S = 5.0  # for the zygote to end by itself


class WorkerLost(Exception):
    """The worker's process is gone, or what it says makes no sense."""


class Worker:
    """One worker, used by one video at a time."""

    def __init__(self, channel: socket.socket, process: int, page: ProgressPage, *, stall_s: float) -> None:
        """Its process runs already.

        Args:
            channel: to it; closed with this.
            process: a descriptor of its process; closed with this.
            page: that it shares; closed with this.
            stall_s: seconds without a step forward after which it is killed.
        """
        self._channel, self._process, self._page, self._stall_s = channel, process, page, stall_s
        self._channel.setblocking(False)
        self.jobs = 0
        self._answered = True  # it owes no answer
        self._at_work = False  # it has a job that has not ended
        self.lost: DecoderEnd | None = None
        """Why it cannot be used any more; None where it can."""

    @property
    def is_free(self) -> bool:
        """Whether it can be given a video."""
        return self._answered and not self._at_work and self.lost is None

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        ended = select.poll()  # of any descriptor's number
        ended.register(self._process, select.POLLIN)
        return not ended.poll(0)

    def begin(self, job: wire.DecodeJob, upload: int) -> None:
        """Give it a video, and ask for the first Part.

        Raises:
            WorkerLost: it is gone.
        """
        self.jobs += 1
        self._page.ask_to_stop(stop=False)
        self._send(wire.write_job(job), upload)
        self._answered, self._at_work = False, True

    async def next_part(self, *, max_bytes: int) -> Part | None:
        """The video's next Part, None where there is none more; it is free where none can follow.

        Raises:
            MediaError, BadParameter, ClientClosed, InternalError: as the worker says.
            DecoderCrashed: it got no further and was killed.
            WorkerLost: it is gone.
        """
        if self._answered:
            self._send(wire.NEXT)
            self._answered = False
        try:
            message, descriptors = await self._answer()
            self._at_work = wire.more_may_come(message)
            return wire.read_answer(message, descriptors, max_bytes=max_bytes)
        except wire.GarbledMessage as exc:
            self.kill("garbled")
            raise WorkerLost(f"it sent {exc}") from exc
        except DecoderCrashed:  # what needs more memory than there is leaves who knows what behind
            self.kill("memory")
            raise

    async def stop(self, *, within_s: float) -> None:
        """End its job early; if it does not in time, it is killed."""
        if self.lost is not None:
            return
        self._page.ask_to_stop()
        try:
            async with asyncio.timeout(within_s):
                if not self._answered:  # a Part that nobody waits for any more, an end or an error
                    message, descriptors = await self._answer()
                    wire.close_all(descriptors)
                    self._at_work = wire.more_may_come(message)
                if self._at_work:
                    self._send(wire.STOP)
                    _, descriptors = await self._answer()
                    wire.close_all(descriptors)
                    self._at_work = False
        except wire.GarbledMessage:
            self.kill("garbled")
        except (TimeoutError, WorkerLost, DecoderCrashed):
            pass
        finally:
            if not self.is_free:
                self.kill("unwanted")

    def kill(self, why: DecoderEnd) -> None:
        """Its process gets no further, wherever it is; of several reasons the first one counts."""
        self.lost = self.lost or why
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it: it ends by itself, or has ended."""
        self._channel.close()
        self._page.close()
        os.close(self._process)

    def _send(self, message: bytes, *descriptors: int) -> None:
        try:
            wire.send(self._channel, message, descriptors)
        except OSError as exc:
            self.lost = self.lost or "crashed"
            raise WorkerLost("it is gone") from exc

    async def _answer(self) -> tuple[bytes, list[int]]:
        steps, since = self._page.steps, now()
        while True:
            with suppress(BlockingIOError):
                message, descriptors = wire.receive(self._channel)
                if not message:
                    self.lost = self.lost or "crashed"
                    raise WorkerLost("it is gone")
                self._answered = True
                return message, descriptors
            if await _readable(self._channel, timeout_s=min(_LOOK_S, self._stall_s)):
                continue
            if self._page.steps != steps:
                steps, since = self._page.steps, now()
            elif now() - since >= self._stall_s:
                self.kill("stalled")
                raise DecoderCrashed(f"decoding got no further for {self._stall_s:g} s and was stopped")


async def _readable(channel: socket.socket, *, timeout_s: float) -> bool:
    """Wait until there is something to read; whether there is."""
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_reader(channel, there.set)
    try:
        async with asyncio.timeout(timeout_s):
            await there.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(channel)
    return True


class Zygote:
    """The process that workers are forked from. Its methods wait for it, so they are called in threads."""

    def __init__(self, options: SandboxOptions) -> None:
        """Starts the process; does not wait for it."""
        self._options = options
        self._turn = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "laps_server.video.sandbox.zygote",
                    str(theirs.fileno()),
                    str(options.memory_mib),
                    options.log_level,
                    "unfiltered" if options.filter == "off" else "filtered",
                    options.extract,
                ],
                env=None if options.environment is None else dict(options.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # A group, so that Ctrl-C ends the server alone. Not a session: a kernel that shares the processor among
                # sessions (autogroup) would give decoders half of it, whatever their niceness.
                process_group=0,
            )
        self._why_no_filter: str | None = None

    def wait_until_ready(self) -> str:
        """Why workers' system calls are not filtered; empty where they are.

        Raises:
            WorkerLost: it did not start.
        """
        with self._turn:
            return self._ready()

    def _ready(self) -> str:
        if self._why_no_filter is None:
            message, _ = wire.receive(self._channel)
            if not message:
                raise WorkerLost("decoding's own process did not start")
            self._why_no_filter = "" if message == b"filtered" else message.decode(errors="replace")
        return self._why_no_filter

    def fork(self) -> Worker:
        """A new worker.

        Raises:
            WorkerLost: the zygote is gone.
        """
        page_descriptor = ProgressPage.make()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, self._turn:
                self._ready()
                wire.send(self._channel, b"fork", [theirs.fileno(), page_descriptor])
                message, descriptors = wire.receive(self._channel)
            if not message or len(descriptors) != 1:
                wire.close_all(descriptors)
                raise WorkerLost("decoding's own process is gone")
            return Worker(ours, descriptors[0], ProgressPage(page_descriptor), stall_s=self._options.stall_s)
        except (OSError, WorkerLost) as exc:
            ours.close()
            raise WorkerLost(str(exc)) from exc
        finally:
            os.close(page_descriptor)

    def close(self) -> None:
        """End it, and with it every worker."""
        self._channel.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
