"""A workflow as a drawing: its steps from top to bottom, branches side by side, transitions at the left."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from apps.orchestration.contracts import StepView
from apps.orchestration.definitions.contracts import (
    END,
    StepDefinition,
    StepType,
    WorkflowDefinition,
    step_id_of,
)

BOX, UNDO_BOX, HEIGHT, GAP, LEFT, UNDO_GAP = 260, 200, 46, 44, 20, 110
INNER_BOX, PADDING, HEAD, LANE, LINE = 220, 14, 40, 16, 17
TEXT_CHARS, INNER_CHARS = 32, 27
# Of several iterations of a step the one shows that most needs to be seen.
URGENT = ("stuck", "failed", "unknown", "running", "waiting", "pending", "undone", "done", "skipped")


@dataclass(frozen=True)
class Lamp:
    """How a step stands on a run, and that in words."""

    state: str
    words: str


@dataclass(frozen=True)
class Box:
    """A box with its words; `state` colours it on a run. A frame is one that holds others."""

    x: int
    y: int
    width: int
    title: str
    note: str
    state: str = ""
    condition: str = ""
    height: int = HEIGHT
    is_frame: bool = False

    @property
    def middle(self) -> int:
        return self.x + self.width // 2

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def text_x(self) -> int:
        return self.x + 12

    @property
    def title_y(self) -> int:
        return self.y + 20

    @property
    def note_y(self) -> int:
        return self.y + 36

    @property
    def center_y(self) -> int:
        return self.y + HEIGHT // 2


@dataclass(frozen=True)
class Graph:
    """What the template draws; `lines` say the same in words."""

    width: int
    height: int
    steps: list[Box]
    undos: list[tuple[Box, Box]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    labels: list[tuple[int, int, str]] = field(default_factory=list)


def light(steps: Iterable[StepView]) -> dict[str, Lamp]:
    """Tell by step how it stands on a run: its latest visit, and of a loop's iterations all together."""
    found: dict[str, list[StepView]] = {}
    for step in steps:
        found.setdefault(step_id_of(step.id), []).append(step)
    return {step_id: _lamp(views) for step_id, views in found.items()}


def _lamp(views: list[StepView]) -> Lamp:
    last = views[-1].state.value
    if len(views) == 1:
        return Lamp(last, last)
    if not any("[" in view.id for view in views):
        return Lamp(last, f"{last}, {len(views)} visits")
    states = [view.state.value for view in views]
    most = min(states, key=URGENT.index)
    return Lamp(most, f"{most}, {states.count('done')} of {len(states)} done")


def draw(definition: WorkflowDefinition, lamps: dict[str, Lamp] | None = None) -> Graph:
    """Return the drawing of a workflow; the same workflow is always drawn alike."""
    lines = [line for step in definition.steps for line in _lines(definition, step, "")]
    return _Pen(definition, lamps or {}).draw(lines)


class _Pen:
    def __init__(self, definition: WorkflowDefinition, lamps: dict[str, Lamp]) -> None:
        self.definition, self.lamps = definition, lamps
        self.boxes: list[Box] = []
        self.undos: list[tuple[Box, Box]] = []
        self.edges: list[str] = []
        self.labels: list[tuple[int, int, str]] = []

    def draw(self, lines: list[str]) -> Graph:
        jumps = list(_jumps(self.definition))
        left, y = LEFT + LANE * len(jumps), GAP // 2
        outer: dict[str, Box] = {}
        for step in self.definition.steps:
            outer[step.id] = box = self.block(step, left, y, is_outer=True)
            y = box.bottom + GAP + self.describe_turns(step, box)
        self.connect_down(outer)
        for lane, (origin, target) in enumerate(jumps):
            self.connect_back(outer[origin], outer.get(target), lane)
        rightmost = max([box.right for box in self.boxes] + [undo.right for _, undo in self.undos])
        width = max(rightmost, left + BOX + UNDO_GAP + UNDO_BOX) + LEFT
        return Graph(width, y, self.boxes, self.undos, lines, self.edges, self.labels)

    def block(self, step: StepDefinition, x: int, y: int, *, is_outer: bool = False) -> Box:
        """Draw a step with all that is inside of it, and return its outermost box."""
        lamp = self.lamps.get(step.id)
        chars = TEXT_CHARS if is_outer else INNER_CHARS
        box = Box(
            x,
            y,
            BOX if is_outer else INNER_BOX,
            _short(step.id, chars),
            _short(_note(step) + (f" · {lamp.words}" if lamp else ""), chars + 8),
            lamp.state if lamp else "",
            _short(step.condition, chars),
        )
        if step.is_container:
            return self.frame(step, box)
        self.boxes.append(box)
        self.undo(step, box, is_outer)
        return box

    def frame(self, step: StepDefinition, box: Box) -> Box:
        place = len(self.boxes)
        x, top, bottom = box.x + PADDING, box.y + HEAD + GAP // 2, 0
        for steps in [branch.steps for branch in step.branches] or [step.body]:
            column = self.column(steps, x, top)
            x, bottom = max(inner.right for inner in column) + PADDING, max(bottom, column[-1].bottom)
        width = max(x - box.x, INNER_BOX + 2 * PADDING)
        whole = replace(box, width=width, height=bottom + PADDING - box.y, is_frame=True)
        self.boxes.insert(place, whole)
        return whole

    def column(self, steps: tuple[StepDefinition, ...], x: int, y: int) -> list[Box]:
        drawn: list[Box] = []
        for step in steps:
            box = self.block(step, x, y)
            if drawn:
                self.edges.append(f"M{box.x + INNER_BOX - 20} {drawn[-1].bottom}V{box.y}")
            drawn.append(box)
            y = box.bottom + GAP
        return drawn

    def undo(self, step: StepDefinition, box: Box, is_outer: bool) -> None:
        undo = self.definition.compensation.get(step.id)
        if undo is None:
            return
        if not is_outer:
            self.labels.append((box.text_x, box.bottom + 14, f"undo: {_short(undo.action, INNER_CHARS)}"))
            return
        state = box.state if box.state in ("undone", "stuck") else ""
        beside = Box(box.right + UNDO_GAP, box.y, UNDO_BOX, "undo", _short(undo.action), state)
        self.undos.append((box, beside))

    def describe_turns(self, step: StepDefinition, box: Box) -> int:
        """Write where a step leads below it, and return how much room that takes."""
        for number, turn in enumerate(step.next):
            words = f"→ {turn.to}" + (f" if {_short(turn.when)}" if turn.when else "")
            self.labels.append((box.text_x, box.bottom + 16 + LINE * number, words))
        return LINE * len(step.next)

    def connect_down(self, outer: dict[str, Box]) -> None:
        steps = self.definition.steps
        for above, below in pairwise(steps):
            if not above.next or all(turn.when for turn in above.next) or _leads_to(above, below.id):
                x = outer[above.id].x + BOX // 2
                self.edges.append(f"M{x} {outer[above.id].bottom}V{outer[below.id].y}")

    def connect_back(self, origin: Box, target: Box | None, lane: int) -> None:
        x, begin = LEFT // 2 + LANE * lane, origin.y + HEIGHT // 2 + 6
        end = target.y + HEIGHT // 2 - 6 if target else origin.bottom + GAP // 2
        self.edges.append(
            f"M{origin.x} {begin}H{x}V{end}" + (f"H{target.x}l-6 -4m6 4l-6 4" if target else "")
        )


def _jumps(definition: WorkflowDefinition) -> Iterator[tuple[str, str]]:
    """Yield the transitions that lead elsewhere than to the step below."""
    steps = definition.steps
    for step, below in zip(steps, [*(other.id for other in steps[1:]), END], strict=True):
        for to in dict.fromkeys(turn.to for turn in step.next):
            if to not in (below, END):
                yield step.id, to


def _leads_to(step: StepDefinition, target: str) -> bool:
    return any(turn.to == target for turn in step.next)


def _note(step: StepDefinition) -> str:
    match step.type:
        case StepType.PARALLEL:
            return f"parallel, join {step.config.get('join', 'all')}"
        case StepType.FOREACH:
            return f"for each, {step.config.get('concurrency', 1)} at a time"
    return step.tool or step.model or step.workflow or step.graph or step.type.value


def _lines(definition: WorkflowDefinition, step: StepDefinition, inside: str) -> Iterator[str]:
    words = f"{step.id}: {_note(step) if step.is_container else step.type.value}"
    words += f" {step.tool or step.workflow or step.graph}".rstrip()
    words += f", {inside}" if inside else ""
    words += f", if {step.condition}" if step.condition else ""
    undo = definition.compensation.get(step.id)
    words += f", undone by {undo.action}" if undo else ""
    for turn in step.next:
        words += f", then {turn.to}" + (f" if {turn.when}" if turn.when else "")
    yield words
    for branch in step.branches:
        for inner in branch.steps:
            yield from _lines(definition, inner, f"in branch {branch.id} of {step.id}")
    for inner in step.body:
        yield from _lines(definition, inner, f"for each item of {step.id}")


def _short(text: str, chars: int = TEXT_CHARS) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"
