"""A FastAPI view on asyncpg: one customer by its id as JSON. Runs in the peers' environment, not in ours."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg  # type: ignore[import-not-found]
from fastapi import FastAPI  # type: ignore[import-not-found]

QUERY = f"SELECT id, name, email, created_at FROM {os.environ['BENCH_TABLE']} WHERE id = $1"


@asynccontextmanager
async def life(app: FastAPI) -> AsyncIterator[None]:
    """Keep a pool for as long as the process lives."""
    app.state.pool = await asyncpg.create_pool(os.environ["BENCH_DATABASE"], min_size=4, max_size=8)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=life)


@app.get("/{customer_id}")
async def show(customer_id: UUID) -> dict[str, object]:
    """Answer one row."""
    return dict(await app.state.pool.fetchrow(QUERY, customer_id))
