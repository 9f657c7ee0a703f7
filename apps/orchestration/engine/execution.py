"""Executes a claimed run until it ends, sleeps or is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from apps.conversations.contracts import MessageView
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.attempts import Attempts
from apps.orchestration.engine.awaiting import end_wait
from apps.orchestration.engine.children import begin_child, undo_child
from apps.orchestration.engine.choosing import NAP_S
from apps.orchestration.engine.deadlines import Deadline, deadline_of, is_limited
from apps.orchestration.engine.finish import finish
from apps.orchestration.engine.flights import action_of
from apps.orchestration.engine.journal import CancelArrived, LeaseLost
from apps.orchestration.engine.state import Kind
from apps.orchestration.engine.waits import begin_wait
from apps.tenants.context import release_connection

# Facts of reading steps are stored at the latest when this much work would be lost with the process.
FLUSH_AFTER_S = 1.0
log = structlog.get_logger(__name__)


@dataclass
class Execution(Attempts):
    """One claim's work on a run."""

    stop_at: float | None = None
    on_stop: Callable[[], None] = lambda: None
    may_go_on: Callable[[], bool] = lambda: True
    reply: MessageView | None = None  # what the run has said, once that is stored
    deadline: Deadline | None = None

    def run(self) -> None:
        """Go on until the run rests; raises nothing but what is a defect."""
        is_fresh = True
        try:
            self.deadline = deadline_of(self.journal, self.definition)
            while not self._pauses():
                busy = self.flights.paths
                command = d.decide(self.journal.state, self.definition, self.settings, busy)
                if self._rests(command, is_fresh):
                    return
                # A wish to cancel or pause is heeded at the next turn; what was to begin has not begun.
                with contextlib.suppress(CancelArrived):
                    self._perform(command, is_fresh)
                is_fresh = False
        except LeaseLost:
            log.info("run_left_to_another", run_id=str(self.journal.run.id))
        finally:
            self.flights.leave()

    def _pauses(self) -> bool:
        """Put the run to rest where somebody asked for that, once what is under way has ended."""
        if not self.journal.is_pause_requested or self.is_asleep or self.journal.state.is_at_rest:
            return False
        while self.flights.paths:
            self._land(NAP_S)
        return self.journal.pause()

    def _rests(self, command: d.Command, is_fresh: bool) -> bool:
        """Stop before a command when the run has to sleep, or this process wants to hand it on."""
        if isinstance(command, d.Rest):
            self.journal.flush()
            return True
        if self.is_asleep:
            return True
        delay_s = getattr(command, "delay_s", 0.0)
        # A fresh claim of a sleeping run means that its time has come.
        if delay_s > NAP_S and not is_fresh:
            self.journal.flush(due_in_s=self._at_most(delay_s), lease_owner="")
            return True
        if delay_s and not is_fresh and not isinstance(command, d.Together):
            time.sleep(delay_s)
        if isinstance(command, d.Finish | d.Linger):
            return False
        is_over = self.stop_at is not None and time.monotonic() > self.stop_at
        if not is_over and self.may_go_on():
            return False
        while self.flights.paths:
            self._land(NAP_S)
        self.journal.flush(due_in_s=0.0, lease_owner="")
        if is_over:
            self.on_stop()
        return True

    def _perform(self, command: d.Command, is_fresh: bool) -> None:
        journal = self.journal
        if self._has_to_stop():
            return
        match command:
            case d.Record(fact):
                journal.note(fact.kind, dict(fact.data))
            case d.Execute():
                self._execute(command)
            case d.BeginWait() | d.BeginChild() | d.Await() | d.UndoChild() | d.Linger():
                self._wait(command)
            case d.Together(commands):
                self._do_together(commands, is_fresh)
            case d.LookUp():
                self._look_up(command)
            case d.RunFallback():
                self._fall_back(command)
            case d.UndoStep():
                self._undo(command)
            case d.Finish(status):
                self.reply = finish(journal, self.definition, status)

    def _has_to_stop(self) -> bool:
        """Note a wish to cancel the run, or that its time is over; else store what has waited long."""
        journal = self.journal
        if journal.is_cancel_requested and not journal.state.is_cancelling:
            journal.note(Kind.CANCEL_REQUESTED, {})
            return True
        if self.deadline and self.deadline.has_passed(journal.state):
            journal.note(Kind.RUN_TIMED_OUT, {"error": self.deadline.error})
            return True
        if journal.waiting and time.monotonic() - journal.oldest_waiting > FLUSH_AFTER_S:
            journal.flush()
        return False

    def _wait(self, command: d.BeginWait | d.BeginChild | d.Await | d.UndoChild | d.Linger) -> None:
        match command:
            case d.Linger(waits):
                self._linger(waits)
            case d.BeginWait():
                begin_wait(self.journal, command)
            case d.BeginChild():
                begin_child(self.journal, command)
            case d.Await():
                self.is_asleep = end_wait(self.journal, (command,), self._at_most)
            case d.UndoChild():
                self.is_asleep = undo_child(self.journal, command)

    def _do_together(self, commands: tuple[d.Execute | d.Await, ...], is_fresh: bool) -> None:
        """Begin what calls out, all intents in one transaction; or sleep until one of the waits is over."""
        executes = [command for command in commands if isinstance(command, d.Execute)]
        if not executes:
            waits = tuple(command for command in commands if isinstance(command, d.Await))
            self.is_asleep = end_wait(self.journal, waits, self._at_most)
            return
        self._intend(executes)
        for command in executes:
            context = self._step_context(command, emit=None)
            step, after_s = command.step, 0.0 if is_fresh else command.delay_s
            act = partial(self._call_out, step.tool, step.effect, action_of(step), context)
            self.flights.begin(command, act, after_s=after_s)

    def _linger(self, waits: tuple[d.Await, ...]) -> None:
        """Note what has ended; meanwhile a wait of another branch may be over."""
        release_connection()  # calls take their time, and there are fewer connections than threads
        if not self._land(NAP_S) and waits:
            end_wait(self.journal, waits, None)

    def _at_most(self, seconds: float) -> float:
        """Shorten a sleep to the moment at which the whole run is out of time."""
        if self.deadline is None or not is_limited(self.journal.state):
            return seconds
        return min(seconds, self.deadline.left_s)
