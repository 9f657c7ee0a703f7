"""A workflow as a drawing: its steps from top to bottom, conditions beside them, undo to the right."""

from dataclasses import dataclass, field

from apps.orchestration.definitions.contracts import StepDefinition, WorkflowDefinition

WIDTH, BOX, UNDO_BOX, HEIGHT, GAP, LEFT, UNDO_LEFT = 620, 260, 200, 46, 44, 20, 390
TEXT_CHARS = 32


@dataclass(frozen=True)
class Box:
    """A box with its words; `state` colours it on a run."""

    x: int
    y: int
    width: int
    title: str
    note: str
    state: str = ""
    condition: str = ""

    @property
    def middle(self) -> int:
        return self.x + self.width // 2

    @property
    def bottom(self) -> int:
        return self.y + HEIGHT

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
    box_height: int
    steps: list[Box]
    undos: list[tuple[Box, Box]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def draw(definition: WorkflowDefinition, states: dict[str, str] | None = None) -> Graph:
    """Return the drawing of a workflow; the same workflow is always drawn alike."""
    known, steps, undos = states or {}, [], []
    for number, step in enumerate(definition.steps):
        y = GAP // 2 + number * (HEIGHT + GAP)
        note = step.tool or step.model or step.workflow or step.graph or step.type.value
        state = known.get(step.id, "")
        box = Box(LEFT, y, BOX, _short(step.id), _short(note), state, _short(step.condition))
        steps.append(box)
        undo = definition.compensation.get(step.id)
        if undo is not None:
            undone = state if state in ("undone", "stuck") else ""
            undos.append((box, Box(UNDO_LEFT, y, UNDO_BOX, "undo", _short(undo.action), undone)))
    height = GAP + len(steps) * (HEIGHT + GAP)
    return Graph(WIDTH, height, HEIGHT, steps, undos, [_line(definition, step) for step in definition.steps])


def _line(definition: WorkflowDefinition, step: StepDefinition) -> str:
    words = f"{step.id}: {step.type.value} {step.tool or step.workflow or step.graph}".rstrip()
    if step.condition:
        words += f", if {step.condition}"
    undo = definition.compensation.get(step.id)
    return f"{words}, undone by {undo.action}" if undo else words


def _short(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 1]}…"
