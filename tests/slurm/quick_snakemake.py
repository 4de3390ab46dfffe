"""Snakemake that asks for its jobs' states every second: the executor's own pause grows from 10 s to minutes."""

import asyncio

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def one_second(self):
    await asyncio.sleep(1)


RemoteExecutor.sleep = one_second

if __name__ == "__main__":
    main()
