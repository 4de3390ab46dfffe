"""Snakemake that asks for its jobs' states every second: the executor's own pause grows from 10 s to minutes.

With TLI_TEST_ROUNDS it keeps the executor's own pace, and writes there when each pause ended.
"""

import asyncio
import os
import time
from pathlib import Path

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

ROUNDS = os.environ.get("TLI_TEST_ROUNDS")
own_pace = RemoteExecutor.sleep


async def pause(self):
    if not ROUNDS:
        await asyncio.sleep(1)
        return
    await own_pace(self)
    with Path(ROUNDS).open("a") as stream:
        stream.write(f"{time.time()}\n")


RemoteExecutor.sleep = pause

if __name__ == "__main__":
    main()
