"""LangGraph graphs that tests run; what they did is in `done`."""

import asyncio
import time
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

done: list[tuple[str, str]] = []


class State(TypedDict, total=False):
    question: str
    mood: str
    answer: Any


def _graph(**nodes):
    builder = StateGraph(State)
    before = START
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    builder.add_edge(before, END)
    return builder.compile()


def _note(state: State, config: RunnableConfig) -> State:
    done.append((state["question"], config["configurable"]["effect_key"]))
    return {"mood": "angry" if "!" in state["question"] else "calm"}


async def _answer(state: State) -> State:
    await asyncio.sleep(0)
    return {"answer": {"to": state["question"], "mood": state["mood"]}}


def _fail(state: State) -> State:
    raise ValueError("the graph does not like this")


async def _dawdle(state: State) -> State:
    await asyncio.sleep(30)
    return {}


def _block(state: State) -> State:
    time.sleep(3)
    return {}


triage = _graph(note=_note, reply=_answer)
failing = _graph(note=_note, fail=_fail)
slow = _graph(note=_note, wait=_dawdle)
blocking = _graph(note=_note, wait=_block)
odd = _graph(note=lambda state: {"answer": object()})
asking = _graph(ask=lambda state: {"answer": interrupt("May I?")})
not_compiled = StateGraph(State)
