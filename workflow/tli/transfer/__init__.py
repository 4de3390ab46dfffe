"""Downstream tasks: their items from local files, the harness's task objects, and scores item by item."""
