"""Memory that was freed, given back."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Return to the system what reading and drawing have freed: the C library (of GNU) keeps it for later, and a job is measured by it."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return  # another C library, which has its own ways


def one_allocator() -> None:
    """Let Arrow, which reads Parquet, take its memory where everything else does, so that `give_back` returns it too."""
    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
