"""A filter of system calls (seccomp, mode 2) for this process: what a decoder needs, and nothing else.

Everything that is not named gets EPERM: no file can be opened, no socket made, no program run, no process started.
See seccomp(2) and Documentation/userspace-api/seccomp_filter.rst of the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# linux/prctl.h, linux/seccomp.h, linux/filter.h, linux/audit.h
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_NAME: Final = 15
_FILTER_MODE: Final = 2
_RET_ALLOW: Final = 0x7FFF0000
_RET_ERRNO: Final = 0x00050000
_RET_KILL: Final = 0x80000000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF: ld word, jeq, jset, ret
_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data
_X32_BIT: Final = 0x40000000

# linux/sched.h, linux/fcntl.h
_CLONE_THREAD: Final = 0x00010000
_AT_EMPTY_PATH: Final = 0x1000

# Numbers of what is allowed, by architecture; asm/unistd_64.h and asm-generic/unistd.h.
_X86_64: Final = MappingProxyType(
    {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
        "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "readv": 19,
        "writev": 20, "sched_yield": 24, "mremap": 25, "mincore": 27, "madvise": 28, "nanosleep": 35, "getpid": 39,
        "sendmsg": 46, "recvmsg": 47, "recvfrom": 45, "exit": 60, "uname": 63, "fcntl": 72, "ftruncate": 77,
        "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104,
        "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131, "gettid": 186, "futex": 202,
        "sched_getaffinity": 204, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229,
        "clock_nanosleep": 230, "exit_group": 231, "set_robust_list": 273, "getcpu": 309, "getrandom": 318,
        "memfd_create": 319, "membarrier": 324, "rseq": 334, "futex_waitv": 449,
        "clone": 56, "clone3": 435, "prctl": 157, "tgkill": 234, "newfstatat": 262, "prlimit64": 302,
    }
)  # fmt: skip
_AARCH64: Final = MappingProxyType(
    {
        "read": 63, "write": 64, "close": 57, "fstat": 80, "ppoll": 73, "lseek": 62, "mmap": 222, "mprotect": 226,
        "munmap": 215, "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "pread64": 67,
        "readv": 65, "writev": 66, "sched_yield": 124, "mremap": 216, "mincore": 232, "madvise": 233, "nanosleep": 101,
        "getpid": 172, "sendmsg": 211, "recvmsg": 212, "recvfrom": 207, "exit": 93, "uname": 160, "fcntl": 25,
        "ftruncate": 46, "gettimeofday": 169, "getrusage": 165, "sysinfo": 179, "times": 153, "getuid": 174,
        "getgid": 176, "geteuid": 175, "getegid": 177, "getppid": 173, "sigaltstack": 132, "gettid": 178, "futex": 98,
        "sched_getaffinity": 123, "restart_syscall": 128, "clock_gettime": 113, "clock_getres": 114,
        "clock_nanosleep": 115, "exit_group": 94, "set_robust_list": 99, "getcpu": 168, "getrandom": 278,
        "memfd_create": 279, "membarrier": 283, "rseq": 293, "futex_waitv": 449,
        "clone": 220, "clone3": 435, "prctl": 167, "tgkill": 131, "newfstatat": 79, "prlimit64": 261,
    }
)  # fmt: skip
_ARCHITECTURES: Final[Mapping[str, tuple[int, Mapping[str, int]]]] = MappingProxyType(
    {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}
)

# Allowed only with certain arguments: which one, and how it is tested.
_WITH_BITS: Final = {"clone": (0, _CLONE_THREAD), "newfstatat": (3, _AT_EMPTY_PATH)}


class FilterMissing(Exception):
    """The kernel, or this processor's architecture, has no filter."""


def install_filter() -> None:
    """Confine this process, and all threads that it starts from now on, for good.

    Raises:
        FilterMissing: nothing is confined.
    """
    try:
        audit, numbers = _ARCHITECTURES[platform.machine()]
    except KeyError:
        raise FilterMissing(f"no list of system calls for {platform.machine()}") from None
    program = _program(audit, numbers, own=os.getpid())
    code = ctypes.create_string_buffer(program)
    # struct sock_fprog: a count, and a pointer at the alignment of pointers
    fprog = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _FILTER_MODE, fprog, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise FilterMissing(f"the kernel refuses a filter: {os.strerror(ctypes.get_errno())}")


def _program(audit: int, numbers: Mapping[str, int], *, own: int) -> bytes:
    """BPF instructions: of another architecture nothing, then one test after the other."""
    code = [_op(_LOAD, _ARCH), _op(_EQUAL, audit, 1, 0), _op(_RETURN, _RET_KILL), _op(_LOAD, _NUMBER)]
    code += [_op(_ANY_BIT, _X32_BIT, 0, 1), _op(_RETURN, _RET_KILL)] if "poll" in numbers else []
    # The arguments of clone3 lie in memory, where no filter sees them: C libraries fall back to clone.
    code += _answer(numbers["clone3"], [_op(_RETURN, _RET_ERRNO | errno.ENOSYS)])
    for name, (argument, bits) in _WITH_BITS.items():
        code += _answer(numbers[name], [_load_argument(argument), _op(_ANY_BIT, bits, 0, 1), _allow(), _deny()])
    # Limits are read, of this process; threads are named; a process that ends by abort() signals itself.
    for name, argument, value in (("prctl", 0, _PR_SET_NAME), ("tgkill", 0, own), ("prlimit64", 2, 0)):
        code += _answer(numbers[name], [_load_argument(argument), _op(_EQUAL, value, 0, 1), _allow(), _deny()])
    for name, number in numbers.items():
        if name not in {"clone3", "prctl", "tgkill", "prlimit64", *_WITH_BITS}:
            code += [_op(_EQUAL, number, 0, 1), _allow()]
    return b"".join([*code, _deny()])


def _answer(number: int, then: list[bytes]) -> list[bytes]:
    """What to do at one system call, which ends there."""
    return [_op(_EQUAL, number, 0, len(then)), *then]


def _load_argument(place: int) -> bytes:
    """The lower half of an argument, on processors that put it first."""
    return _op(_LOAD, 16 + 8 * place)


def _allow() -> bytes:
    return _op(_RETURN, _RET_ALLOW)


def _deny() -> bytes:
    return _op(_RETURN, _RET_ERRNO | errno.EPERM)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction: struct sock_filter."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
