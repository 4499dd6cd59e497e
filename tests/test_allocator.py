"""What the allocator keeps, counted in page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, resource, threading
from nlp_models import allocator

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def touch(times):
    before = faults()
    for _ in range(times):
        block = libc.malloc(40 << 20)  # 10,240 pages
        libc.memset(block, 1, 40 << 20)
        libc.free(block)
    return faults() - before

def count():
    touch(2)
    print(touch(5), flush=True)

def both():  # the main thread and another have arenas of their own
    count()
    other = threading.Thread(target=count)
    other.start()
    other.join()

both()
assert allocator.keep_memory()
both()
assert allocator.keep_memory(False)
count()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='for glibc')
def test_what_is_kept_is_not_touched_for_the_first_time_again():
    done = subprocess.run(
        [sys.executable, '-c', COUNT], capture_output=True, text=True, check=True, timeout=60
    )
    found = list(map(int, done.stdout.split()))
    usual, kept, again = found[:2], found[2:4], found[4]
    assert min(usual) > 5 * 10_000
    assert max(kept) < 100
    assert again > 5 * 10_000
