"""The six functions of Ray that the executor calls, with actors as objects of this process: its rules without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


@dataclass(eq=False)
class Question:
    """What `method.remote(...)` returns: computed when it is asked for."""

    actor: Actor
    call: Callable[[], Any]


class Method:
    """A method of an actor."""

    def __init__(self, actor: Actor, name: str) -> None:
        self.actor, self.name = actor, name

    def remote(self, *arguments: Any) -> Question:
        """Return a question."""
        return Question(self.actor, lambda: getattr(self.actor.made, self.name)(*arguments))


class Actor:
    """An actor; `node` counts up, so that the first lies on the first node."""

    def __init__(self, made: Any) -> None:
        self.made = made
        self.alive = True

    def __getattr__(self, name: str) -> Method:
        return Method(self, name)


class Ray:
    """Stands for the module `ray`, connected to a cluster of nodes with one CPU each."""

    def __init__(self, nodes: int) -> None:
        self.count = nodes
        self.started = 0

    def remote(self, **options: Any) -> Callable[[type[Any]], Any]:
        """Return what makes a class of actors."""
        return lambda kind: SimpleNamespace(remote=lambda: self._start(kind))

    def _start(self, kind: type[Any]) -> Actor:
        made = kind()
        made.number = self.started % self.count
        self.started += 1
        return Actor(made)

    def nodes(self) -> list[dict[str, Any]]:
        """List the nodes."""
        return [{"Alive": True, "Resources": {"CPU": 1.0, "object_store_memory": 10**8}} for _ in range(self.count)]

    def wait(self, questions: Sequence[Question], **options: Any) -> tuple[list[Question], list[Question]]:
        """Say that the first question has its answer."""
        return list(questions[:1]), list(questions[1:])

    def get(self, question: Question) -> Any:
        """Answer a question, or raise what the actor raises."""
        return question.call()

    def kill(self, actor: Actor, **options: Any) -> None:
        """End an actor."""
        actor.alive = False

    def shutdown(self) -> None:
        """Leave the cluster."""
